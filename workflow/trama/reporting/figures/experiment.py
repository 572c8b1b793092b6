"""What an experiment compares: a panel for each measure."""

from itertools import product

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from trama.config.figure_params import FigureParams
from trama.reporting import estimates, experiments, statistics, style, words
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import draw_estimate, label_figure, point_handles
from trama.reporting.statistics import Inputs

_COLUMNS = 3
"""Panels beside each other."""
_ROW = 0.14
"""Height of an estimate, inches."""
# Share of the room of a row that its estimates take.
_GROUP = 0.8


def experiment(inputs: Inputs, params: FigureParams, name: str) -> Drawing:
    """Draw an experiment: the longer of its lists, names or problems, from top to bottom.

    Args:
        inputs: as `experiments.measured` reads them.
        params: of the figure.
        name: of the experiment.

    Raises:
        TramaError: as `experiments.measured`.
    """
    policy, n_seeds = params.figures.policy, len(params.seeds)
    seed = statistics.bootstrap_seed(params.study_seed)
    scores = experiments.measured(
        inputs, params.measures, policy, params.task_sets, params.n_combinations
    )
    by_problem = len(params.problems) > len(params.names)
    rows, groups = params.names, params.problems
    if by_problem:
        rows, groups = groups, rows
    looks = style.looks(groups)
    n_columns = min(_COLUMNS, len(params.measures))
    n_lines = -(-len(params.measures) // n_columns)
    height = _ROW * len(rows) * max(len(groups), 1.5) + 0.55
    figure = Figure(figsize=(style.TWO_COLUMNS, n_lines * height + 0.7))
    panels = list(figure.subplots(n_lines, n_columns, sharey=True, squeeze=False).flat)
    room = _GROUP / len(groups)
    offsets = room * (np.arange(len(groups)) + 0.5) - _GROUP / 2
    paragraphs = []
    for axes, measure in zip(panels, params.measures, strict=False):
        numbers = {}
        for (place, row), (offset, group) in product(
            enumerate(rows), zip(offsets, groups, strict=True)
        ):
            problem, compared = (row, group) if by_problem else (group, row)
            values = scores[problem].get(measure, {}).get(compared)
            if values is None:
                continue
            found, of_seeds = experiments.estimate(measure, values, seed), values.mean(axis=1)
            position = place + offset - room / 6
            look = looks[group]
            draw_estimate(axes, position, found, of_seeds, look, room=room, horizontal=True)
            label = compared if len(params.problems) == 1 else f"{compared} on {problem}"
            numbers[label] = words.estimate(found, of_seeds)
        axes.set_title(experiments.TITLES[measure])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.margins(x=0.1)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_yticks(range(len(rows)), rows)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if numbers:
            paragraphs.append(f"{experiments.TITLES[measure]}: {words.listed(numbers)}.")
    for axes in panels[len(params.measures) :]:
        axes.set_visible(False)
    title = f"Experiment {name}"
    label_figure(figure, title, point_handles(looks) if len(groups) > 1 else [], n_seeds)
    ends = "" if n_seeds < estimates.MIN_SEEDS else ", lines: its 95 % intervals"
    return Drawing(
        figure,
        title=title,
        caption=[
            params.question,
            "Full markers: interquartile mean over seeds (of episodes: over seeds and tasks, the "
            f"{policy} policies); of shares of seeds, the share{ends}; open markers: seeds."
            f"{experiments.explained(params.measures)}",
            *paragraphs,
            words.intervals(n_seeds),
        ],
        shown=f"measures {', '.join(params.measures)}; of episodes those of policy {policy}",
    )
