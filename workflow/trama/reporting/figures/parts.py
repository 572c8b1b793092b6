"""What several figures are composed of: curves of seeds, legends, notes, points in groups."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from trama.reporting import statistics, style
from trama.reporting.statistics import Curve, Files

# With fewer seeds than this an interval would say nothing.
_SEEDS_FOR_INTERVALS = 3
# Points of the classes are drawn by turns, so that none hides the others.
_TURNS = 10


def draw_seeds(axes: Axes, curves: Sequence[Curve], look: style.Look, label: str) -> None:
    """Draw a thin line for each curve, and their mean as a thick one."""
    for curve in curves:
        axes.plot(curve.x, curve.y, color=look.colour, linewidth=0.6, alpha=0.45)
    mean = statistics.mean_curve(curves)
    axes.plot(
        mean.x,
        mean.y,
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markevery=max(len(mean.x) // 8, 1),
        label=label,
    )


def label_curves(figure: Figure, title: str, histories: Files, more: Sequence[Line2D]) -> None:
    """Give a figure of curves its title, its legend below, and a note on few seeds."""
    figure.suptitle(title, fontweight="bold")
    n_seeds = min(len(seeds) for seeds in histories.values())
    note = None
    if n_seeds < _SEEDS_FOR_INTERVALS:
        seeds = f"{n_seeds} seed{'s' if n_seeds > 1 else ''}"
        note = f"{seeds}: mean and each seed, no interval"
    handles = [*figure.axes[0].get_legend_handles_labels()[0], *more]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 5 if len(figure.axes) > 1 else 3),
        title=note,
        title_fontsize=6.5,
    )


def scatter(
    axes: Axes, points: np.ndarray, groups: pd.Series, looks: Mapping[str, style.Look]
) -> None:
    """Draw points [n, 2] in the look of their group."""
    for turn in range(_TURNS):
        for name, look in looks.items():
            x, y = points[(groups == name).to_numpy()][turn::_TURNS].T
            # Thousands of points are drawn as one picture, which keeps the PDF small.
            axes.scatter(
                x,
                y,
                s=6,
                color=look.colour,
                marker=look.marker,
                alpha=0.6,
                linewidths=0,
                rasterized=True,
            )
