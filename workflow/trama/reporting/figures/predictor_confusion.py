"""Classes that agents predict on each true task, at some time steps of an episode."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from scipy.optimize import linear_sum_assignment

from trama.config.figure_params import FigureParams
from trama.config.problems import TRAINED
from trama.data.parquet import read_table
from trama.errors import TramaError
from trama.reporting import estimates, statistics, style, words
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import colour_scale
from trama.reporting.statistics import Inputs

# Share of the way from the first step to the last that is shown; classes settle early.
_PARTS = (0.0, 0.1, 0.35, 1.0)
# The last step that is shown is one that this share of the episodes of each task reaches.
_RUNNING = 0.5


class _Run(NamedTuple):
    """Shares of the classes in a run: [steps, tasks, classes], of steps that all tasks have."""

    tasks: list[str]
    shares: np.ndarray
    n_running: np.ndarray


def predictor_confusion(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the share of each class on each task of a problem, for the variants with classes.

    Args:
        inputs: `predictions` of each seed of the variants that have classes.
        params: of the figure.
        problem: its name.

    Raises:
        TramaError: a file is missing or broken, or lacks the policy or the tasks of others.
    """
    policy, n_seeds = params.figures.policy, len(params.seeds)
    seed = statistics.bootstrap_seed(params.study_seed)
    files = statistics.by_name_and_seed(inputs["predictions"])
    runs = {
        variant: [_read(by_seed[s], policy) for s in sorted(by_seed)]
        for variant, by_seed in files.items()
    }
    every = [run for of_seeds in runs.values() for run in of_seeds]
    tasks = every[0].tasks
    for path, run in zip(inputs["predictions"], every, strict=True):
        if run.tasks != tasks:
            raise TramaError(
                f"{path}: predictions on {run.tasks}, where other runs have some on {tasks}; run "
                "the target `evaluate` again"
            )
    # Steps that half of the episodes of each task and run reach.
    last = min(_last_step(run) for run in every)
    steps = sorted({round(part * last) for part in _PARTS})
    rows = {variant: _in_order_of_tasks(of_seeds, last) for variant, of_seeds in runs.items()}

    n_classes = max(shares.shape[-1] for shares in rows.values())
    height = 0.45 + max(0.16 * len(tasks), 0.5)
    figure = Figure(figsize=(style.TWO_COLUMNS, 0.75 + height * len(rows)))
    grid = figure.subplots(len(rows), len(steps), squeeze=False, sharey=True)
    numbers = {}
    for of_variant, (variant, shares) in zip(grid, rows.items(), strict=True):
        for axes, step in zip(of_variant, steps, strict=True):
            image = _draw(axes, shares[:, step].mean(axis=0))
        of_variant[0].set_yticks(range(len(tasks)), tasks, fontsize=6)
        of_variant[0].set_ylabel(variant, fontweight="bold")
        numbers[variant] = _numbers(shares, steps, seed)
    for axes, step in zip(grid[0], steps, strict=True):
        axes.set_title(f"step {step}")
    for axes in grid[-1]:
        axes.set_xlabel("Class")
    colour_scale(figure, image, grid, "Share of the agents")
    title = f"{problem}: predicted classes on each true task"
    figure.suptitle(title, fontweight="bold")
    played = words.span([int(run.n_running[0].min()) for run in every])
    return Drawing(
        figure,
        title=title,
        caption=[
            f"Classes that the living agents of {words.literals(list(rows))} predict on each true "
            f"task of {problem} at some time steps of an episode: share of the agents, mean over "
            f"{words.counted(n_seeds, 'seed')}, in {played} greedy episodes of the {policy} "
            "policies per seed and task (of those that run at the step). Classes have no names: in "
            "each run they are numbered in the order of the tasks that they agree with most at "
            f"step {last} (one task each, with the largest sum of shares; further classes follow). "
            f"Step {last} is the last one that half of the episodes of every task and run reach.",
            *(
                f"``{variant}``, mutual information of task and predicted class over its largest "
                f"value (0: none, 1: as much as so many classes can have), mean over seeds: {text}."
                for variant, text in numbers.items()
            ),
            words.intervals(n_seeds),
        ],
        shown=f"policy {policy}, task set {TRAINED}, metric class_share at steps "
        f"{', '.join(map(str, steps))}; up to {n_classes} classes",
    )


def _read(path: Path, policy: str) -> _Run:
    table: pd.DataFrame = read_table(path, "predictions").to_pandas()
    rows = table[
        (table["policy"] == policy)
        & (table["task_set"] == TRAINED)
        & (table["metric"] == "class_share")
    ]
    if rows.empty:
        raise TramaError(
            f"{path}: no `class_share` of policy `{policy}` and task set `{TRAINED}`; check "
            "evaluate.policies and run the target `evaluate` again"
        )
    tasks = list(dict.fromkeys(rows["task"]))
    shares = rows.pivot_table(index=["task", "step"], columns="class", values="value", sort=True)
    running = rows.groupby(["task", "step"])["episodes"].first()
    # Steps that all tasks have.
    n_steps = min(int(shares.loc[task].index.max()) for task in tasks) + 1
    return _Run(
        tasks,
        np.stack([shares.loc[task].to_numpy()[:n_steps] for task in tasks], axis=1),
        np.stack([running.loc[task].to_numpy()[:n_steps] for task in tasks], axis=1),
    )


def _last_step(run: _Run) -> int:
    """The last step that enough episodes of each task reach."""
    enough = (run.n_running >= _RUNNING * run.n_running[0]).all(axis=1)
    return int(np.flatnonzero(enough)[-1])


def _in_order_of_tasks(runs: list[_Run], step: int) -> np.ndarray:
    """Shares [seeds, steps, tasks, classes] up to a step, classes in the places of their tasks."""
    ordered = []
    for run in runs:
        n_classes = run.shares.shape[2]
        task, of_task = linear_sum_assignment(run.shares[step], maximize=True)
        places = np.argsort(task)
        first = of_task[places]
        others = [number for number in range(n_classes) if number not in first]
        ordered.append(run.shares[: step + 1, :, [*first, *others]])
    return np.stack(ordered)


def _draw(axes: Axes, shares: np.ndarray) -> AxesImage:
    image = axes.imshow(shares, cmap=style.SEQUENTIAL, vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        axes.text(
            column,
            row,
            words.value(share),
            ha="center",
            va="center",
            fontsize=6,
            color="white" if share > 0.55 else "black",
        )
    axes.set_xticks(range(shares.shape[1]), [str(number + 1) for number in range(shares.shape[1])])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(True)
    return image


def _numbers(shares: np.ndarray, steps: list[int], seed: int) -> str:
    """Information that the classes have on the tasks, at each step that is shown."""
    parts = []
    for step in steps:
        values = np.array([[_information(of_seed[step])] for of_seed in shares])
        found = estimates.estimate(values, estimates.mean, seed)
        parts.append(f"{words.estimate(found, values[:, 0])} at step {step}")
    return ", ".join(parts)


def _information(shares: np.ndarray) -> float:
    """Mutual information of task and class over its largest value, of shares [tasks, classes]."""
    most = np.log(min(shares.shape))
    ratio = shares / shares.mean(axis=0).clip(min=1e-300)
    information = (shares * np.log(np.where(shares > 0, ratio, 1))).sum(axis=1).mean()
    return float(information / most) if most > 0 else 0.0
