"""Win rate of each variant on each task that a problem trains on."""

import numpy as np
from matplotlib.figure import Figure

from trama.config.figure_params import FigureParams
from trama.config.problems import TRAINED
from trama.reporting import estimates, statistics, style, words
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import draw_estimate, label_figure, point_handles, task_label
from trama.reporting.statistics import OVERALL, Inputs

# Share of the room of a task that its variants take.
_GROUP = 0.85


def task_win_rates(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the win rates on each task of a problem, and over all of them.

    Args:
        inputs: `episodes` of each variant and seed.
        params: of the figure.
        problem: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy, n_seeds = params.figures.policy, len(params.seeds)
    seed = statistics.bootstrap_seed(params.study_seed)
    episodes = statistics.read_episodes(inputs["episodes"])
    scores = statistics.scores(episodes, policy, "win_rate")
    looks = style.looks(params.names)
    groups = {task: [i] for i, (_, task) in enumerate(scores.tasks)}
    groups[OVERALL] = [*range(len(scores.tasks))]
    room = _GROUP / len(params.names)
    offsets = room * (np.arange(len(params.names)) + 0.4) - _GROUP / 2
    figure = Figure(figsize=(style.TWO_COLUMNS, 2.7))
    axes = figure.subplots()
    numbers: dict[str, dict[str, str]] = {}
    for position, (task, columns) in enumerate(groups.items()):
        numbers[task] = {}
        for offset, variant in zip(offsets, params.names, strict=True):
            values = scores.values[variant][:, columns]
            found = estimates.estimate(values, estimates.iqm, seed)
            of_seeds = values.mean(axis=1)
            place = position + offset
            draw_estimate(axes, place, found, of_seeds, looks[variant], room=room)
            numbers[task][variant] = words.estimate(found, of_seeds)
    for position in range(1, len(groups)):
        last = position == len(groups) - 1
        axes.axvline(position - 0.5, color=style.REFERENCE, linewidth=0.8 if last else 0.3)
    axes.set_xticks(range(len(groups)), [task_label(task) for task in groups])
    axes.tick_params(axis="x", length=0)
    axes.grid(False, axis="x")
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("Win rate")
    title = f"{problem}: win rate per task"
    label_figure(figure, title, point_handles(looks), n_seeds)
    rows = statistics.of_sets(episodes, policy, TRAINED)
    ends = "" if n_seeds < estimates.MIN_SEEDS else ", lines: its 95 % intervals"
    return Drawing(
        figure,
        title=title,
        caption=[
            f"Win rate of every variant on each task of {problem}, and over all tasks "
            f"together: greedy evaluation of the {policy} policies, of "
            f"{words.counted(n_seeds, 'seed')} and {words.episodes(rows)} per seed and task. Full "
            f"markers: interquartile mean (IQM) over seeds (overall: over seeds and tasks){ends}; "
            "open markers: seeds.",
            *(
                f"Win rate (IQM), {task}: {words.listed(values)}."
                for task, values in numbers.items()
            ),
            words.intervals(n_seeds),
        ],
        shown=f"policy {policy}, task set trained",
    )
