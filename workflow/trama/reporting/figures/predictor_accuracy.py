"""Accuracy of the class predictor over the time steps of an episode."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trama.config.params import FigureParams
from trama.reporting import statistics, style
from trama.reporting.figures.drawing import Drawing, Inputs
from trama.reporting.figures.parts import draw_seeds, label_curves

_DOTTED = (0, (1, 2))


def predictor_accuracy(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the accuracy of each variant's class predictor on a problem.

    Args:
        inputs: `histories` of each seed of the variants that have a predictor.
        params: `names` are all variants of the study, which fixes their looks.
        problem: its name.

    Raises:
        TramaError: a history is missing, broken or holds no accuracy by time step.
    """
    histories = statistics.by_name_and_seed(inputs["histories"])
    figure = Figure(figsize=(style.ONE_COLUMN, 2.5))
    axes = figure.subplots()
    looks = style.looks(params.names)
    for variant, seeds in histories.items():
        curves = [
            statistics.final_curve_within_episode(path, "predictor_accuracy")
            for path in seeds.values()
        ]
        draw_seeds(axes, curves, looks[variant], variant)
        majority = [statistics.final_value(path, "majority_rate") for path in seeds.values()]
        axes.axhline(
            float(np.mean(majority)),
            color=looks[variant].colour,
            linewidth=0.9,
            linestyle=_DOTTED,
        )
    axes.set_xlabel("Time step within the episode")
    axes.set_ylabel("Predictor accuracy")
    axes.set_ylim(0, 1.02)
    axes.margins(x=0.02)
    reference = Line2D(
        [], [], color=style.REFERENCE, linewidth=0.9, linestyle=_DOTTED, label="majority rate"
    )
    label_curves(figure, problem, histories, [reference])
    return Drawing(
        figure,
        title=f"{problem}: accuracy of the class predictor",
        caption=[
            "Share of the agents' class predictions that agree with the trajectory's pseudo-label "
            "(of an oracle: its true task), by time step within the episode, on "
            f"{problem}, as last measured in training. Thin lines are seeds, thick lines their "
            "mean; dotted: the accuracy of always naming the most frequent class."
        ],
        shown="metrics predictor_accuracy by time step and majority_rate, at the last test",
    )
