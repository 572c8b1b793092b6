"""What classes gain on tasks that were not trained on, against their similarity to the trained."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from trama.config.figure_params import FigureParams
from trama.config.problems import TRAINED
from trama.reporting import estimates, statistics, style, words
from trama.reporting.estimates import Estimate
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import label_figure, point_handles
from trama.reporting.statistics import Inputs
from trama.reporting.words import MISSING

_DISTANCE = "centroid_distance"
_PER_ROW = 3
# Where tasks have the same number of changed units, their sets stand beside each other.
_ROOM = 0.6
_SMALL = 0.1


def ood_gain(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the gain in win rate of each variant with classes over its baseline, task by task.

    Args:
        inputs: `episodes` of each seed of these variants and their baselines.
        params: of the figure, with `task_sets` and `baselines`.
        problem: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy, n_seeds = params.figures.policy, len(params.seeds)
    seed = statistics.bootstrap_seed(params.study_seed)
    episodes = statistics.read_episodes(inputs["episodes"])
    sets = [TRAINED, *statistics.played_sets(episodes, policy, params.task_sets)]
    played = statistics.of_sets(episodes, policy, sets)
    scores = statistics.scores(episodes, policy, "win_rate", sets)
    distances = statistics.scores(episodes, policy, _DISTANCE, sets).values
    of_tasks = played.drop_duplicates("task").set_index("task")
    tasks = of_tasks.loc[[task for _, task in scores.tasks], ["task_set", "units_changed"]]
    looks = style.looks(sets)

    baselines = {v: params.baselines[v] for v in params.names if v in params.baselines}
    n_rows = -(-len(baselines) // _PER_ROW)
    n_columns = min(len(baselines), _PER_ROW)
    width = style.ONE_COLUMN if n_columns == 1 else style.TWO_COLUMNS
    figure = Figure(figsize=(width, 0.95 + 2.15 * n_rows))
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    numbers = {}
    for axes, (variant, over) in zip(grid.flat, baselines.items(), strict=False):
        own, other = scores.values[variant], scores.values[over]
        gains = [
            estimates.difference(own[:, [i]], other[:, [i]], estimates.iqm, seed)
            for i in range(len(tasks))
        ]
        if variant in distances:
            similarity = distances[variant].mean(axis=0)
            axes.set_xlabel("Distance to the nearest centroid\n(trained trajectories: 1)")
            places = similarity
        else:
            similarity = tasks["units_changed"].to_numpy(dtype=float)
            axes.set_xlabel("Units that differ from a trained task")
            places = _columns(axes, similarity) + _beside(tasks["task_set"], sets)
        _draw(axes, places, gains, tasks["task_set"], looks)
        axes.set_title(f"{variant} over {over}")
        numbers[variant] = _numbers(own, other, gains, similarity, tasks, sets, seed)
    for axes in grid.flat[len(baselines) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("Gain in win rate")
    title = f"{problem}: gain against similarity"
    handles = point_handles(looks)
    handles[0].set_markerfacecolor("white")
    label_figure(figure, title, handles, n_seeds)
    similar = [variant in distances for variant in baselines]
    without_units = bool(tasks["units_changed"].isna().any())
    ends = "" if n_seeds < estimates.MIN_SEEDS else ", with its 95 % interval"
    return Drawing(
        figure,
        title=title,
        caption=[
            f"Gain in win rate of variants with classes on {problem}, over the variant without "
            "classes that has the same mixer, on each task that was trained on "
            f"(``{TRAINED}``) and on each task of sets of which none was "
            f"({words.literals(sets[1:]) if sets[1:] else 'none'}): difference of the "
            f"interquartile means (IQM) over {words.counted(n_seeds, 'seed')}{ends}, greedy "
            f"evaluation of the {policy} policies, {words.episodes(played)} per seed and task. "
            f"{_similarity_words(similar, some_without=without_units)}",
            *(
                f"``{variant}`` over ``{baselines[variant]}``, gain in IQM over seeds and "
                f"tasks: {text}."
                for variant, text in numbers.items()
            ),
            words.intervals(n_seeds, of_seeds=False),
        ],
        shown=f"policy {policy}, task sets {', '.join(sets)}",
    )


def _draw(
    axes: Axes,
    places: np.ndarray,
    gains: Sequence[Estimate],
    task_sets: pd.Series,
    looks: dict[str, style.Look],
) -> None:
    axes.axhline(0, color=style.REFERENCE, linewidth=0.8)
    # Small gains look small.
    axes.update_datalim([(places[0], -_SMALL), (places[0], _SMALL)])
    for place, gain, task_set in zip(places, gains, task_sets, strict=True):
        look = looks[task_set]
        if gain.low is not None and gain.high is not None:
            axes.plot(
                [place] * 2, [gain.low, gain.high], color=look.colour, linewidth=0.6, alpha=0.6
            )
        axes.plot(
            [place],
            [gain.value],
            color=look.colour,
            marker=look.marker,
            markersize=4.5,
            # Open markers for the trained tasks.
            markerfacecolor="white" if task_set == TRAINED else look.colour,
            markeredgecolor=look.colour if task_set == TRAINED else "white",
            markeredgewidth=0.9 if task_set == TRAINED else 0.3,
        )


def _columns(axes: Axes, changed: np.ndarray) -> np.ndarray:
    """Where tasks stand by their number of changed units; those without one are right of all."""
    known = ~np.isnan(changed)
    if known.all():
        return changed
    right = np.max(changed[known], initial=-1) + 1
    counts = np.unique(changed[known])
    axes.set_xticks([*counts, right], [*(f"{count:.0f}" for count in counts), MISSING])
    return np.where(known, changed, right)


def _beside(task_sets: pd.Series, sets: Sequence[str]) -> np.ndarray:
    """Where each task stands within the room of its number of changed units."""
    offsets = _ROOM * ((np.arange(len(sets)) + 0.5) / len(sets) - 0.5)
    return np.array([offsets[sets.index(name)] for name in task_sets])


def _numbers(
    own: np.ndarray,
    other: np.ndarray,
    gains: Sequence[Estimate],
    similarity: np.ndarray,
    tasks: pd.DataFrame,
    sets: Sequence[str],
    seed: int,
) -> str:
    """The gain on each set of tasks, and how the gains of OOD tasks go with the similarity."""
    parts = {}
    for name in sets:
        of_set = (tasks["task_set"] == name).to_numpy()
        gain = estimates.difference(own[:, of_set], other[:, of_set], estimates.iqm, seed)
        mean = similarity[of_set].mean()
        at = "" if np.isnan(mean) else f" at {words.value(mean)}"
        parts[name] = f"{words.estimate(gain, [])}{at}"
    text = words.listed(parts)
    ood = (tasks["task_set"] != TRAINED).to_numpy() & ~np.isnan(similarity)
    values = np.array([gain.value for gain in gains])
    if len(np.unique(similarity[ood])) > 1 and len(np.unique(values[ood])) > 1:
        correlation = spearmanr(similarity[ood], values[ood]).statistic
        text += (
            f"; rank correlation (Spearman) of gain and distance over {ood.sum()} tasks that "
            f"were not trained on: {words.value(correlation)}"
        )
    return text


def _similarity_words(with_distance: Sequence[bool], *, some_without: bool) -> str:
    """What stands on the horizontal axis; `some_without`: tasks have no number of units."""
    distance = (
        "distance of an episode's embedding to the nearest centroid, over the mean distance of "
        "the training trajectories to theirs, in the variant's own representation, mean over the "
        "task's episodes and the seeds; larger is less similar"
    )
    changed = (
        "least number of units that differ from a trained combination (task sets beside each other"
        f"{f'; {MISSING}: tasks without units' if some_without else ''})"
    )
    if all(with_distance):
        return f"Horizontal: {distance}."
    if not any(with_distance):
        return f"Horizontal: {changed}."
    return f"Horizontal: {distance}; of a variant of which a run has none: {changed}."
