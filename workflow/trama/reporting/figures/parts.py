"""What several figures are composed of: curves of seeds, intervals, legends, notes, matrices."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from trama.reporting import estimates, statistics, style, words
from trama.reporting.estimates import Estimate, Statistic
from trama.reporting.statistics import Curve

# Points of the classes are drawn by turns, so that none hides the others.
_TURNS = 10
_MARKERS = 8
_NOTE = 6.5
# Height of a colour scale, inches.
_SCALE = 1.6
# Between the columns of a legend, and width of an average character: in font sizes.
_SPACING = 1.2
_CHARACTER = 0.58


def draw_curves(
    axes: Axes, curves: Sequence[Curve], look: style.Look, statistic: Statistic, seed: int
) -> tuple[Estimate, np.ndarray]:
    """Draw one curve per seed as a line with its interval; few seeds each as a thin line.

    Args:
        axes: where.
        curves: of each seed, in the order of the seeds; somewhere all of them are defined.
        look: of all of them.
        statistic: over the seeds.
        seed: of the bootstrap.

    Returns:
        The estimate at the last point that all seeds have, and their values there [seeds].
    """
    x, values = statistics.aligned(curves)
    found = estimates.curve_estimate(values, statistic, seed)
    if found.low is None or found.high is None:
        for curve in curves:
            _line(axes, curve, look, linewidth=0.9)
        return Estimate(found.value[-1], None, None, found.n_seeds), values[:, -1]
    draw_band(axes, Curve(x, found.value), found.low, found.high, look)
    last = Estimate(found.value[-1], found.low[-1], found.high[-1], found.n_seeds)
    return last, values[:, -1]


def draw_band(
    axes: Axes, curve: Curve, low: np.ndarray | None, high: np.ndarray | None, look: style.Look
) -> None:
    """Draw a curve with its pointwise interval, where it has one."""
    if low is not None and high is not None:
        axes.fill_between(curve.x, low, high, color=look.colour, alpha=0.2, linewidth=0)
        for end in (low, high):
            axes.plot(curve.x, end, color=look.colour, alpha=0.5, linewidth=0.4)
    _line(axes, curve, look, linewidth=1.5)


def _line(axes: Axes, curve: Curve, look: style.Look, linewidth: float) -> None:
    axes.plot(
        curve.x,
        curve.y,
        color=look.colour,
        linestyle=look.dashes,
        linewidth=linewidth,
        marker=look.marker,
        markevery=max(len(curve.x) // _MARKERS, 1),
    )


def draw_estimate(
    axes: Axes,
    position: float,
    found: Estimate,
    of_seeds: np.ndarray,
    look: style.Look,
    *,
    room: float = 0.0,
    horizontal: bool = False,
) -> None:
    """Draw an estimate: its marker and interval at a position, and beside them the seeds.

    Args:
        axes: where.
        position: along the other axis.
        found: the estimate.
        of_seeds: values of the seeds, of any number.
        look: of all of it.
        room: distance to what is drawn next to it.
        horizontal: whether values go from left to right.
    """

    def draw(at: Sequence[float], values: Sequence[float] | np.ndarray, **kwargs: Any) -> None:
        axes.plot(*((values, at) if horizontal else (at, values)), color=look.colour, **kwargs)

    if found.low is not None and found.high is not None:
        draw([position] * 2, [found.low, found.high], linewidth=1.3, solid_capstyle="butt")
    draw(
        [position + room / 3] * len(of_seeds),
        of_seeds,
        linestyle="none",
        marker=look.marker,
        markersize=2.6,
        markerfacecolor="none",
        markeredgewidth=0.5,
        alpha=0.8,
    )
    draw([position], [found.value], marker=look.marker, markersize=4.5)


def variant_handles(variants: Sequence[str], looks: Mapping[str, style.Look]) -> list[Line2D]:
    """Legend entries of variants."""
    return [
        Line2D(
            [],
            [],
            color=looks[name].colour,
            linestyle=looks[name].dashes,
            marker=looks[name].marker,
            label=name,
        )
        for name in variants
    ]


def point_handles(looks: Mapping[str, style.Look]) -> list[Line2D]:
    """Legend entries of what is drawn as points."""
    return [
        Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", label=name)
        for name, look in looks.items()
    ]


def label_figure(
    figure: Figure, title: str, handles: Sequence[Line2D], n_seeds: int | None = None
) -> None:
    """Give a figure its title, its legend below, and there a note on few seeds.

    Without `n_seeds` the figure has nothing that needs several seeds.
    """
    figure.suptitle(title, fontweight="bold")
    note = None if n_seeds is None else words.seed_note(n_seeds)
    if not handles:
        figure.supxlabel(note or "", fontsize=_NOTE)
        return
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=_columns([str(handle.get_label()) for handle in handles], figure.get_figwidth()),
        columnspacing=_SPACING,
        borderaxespad=0.2,
        title=note,
        title_fontsize=_NOTE,
    )


def _columns(labels: Sequence[str], width: float) -> int:
    """Columns of a legend that fit into a width in inches, in rows of equal length."""
    size = mpl.rcParams["legend.fontsize"] / 72
    handle = mpl.rcParams["legend.handlelength"] + mpl.rcParams["legend.handletextpad"]
    column = size * (handle + _CHARACTER * max(map(len, labels)) + _SPACING)
    n_rows = -(-len(labels) // max(int(width / column), 1))
    return -(-len(labels) // n_rows)


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
                s=5,
                color=look.colour,
                marker=look.marker,
                alpha=0.6,
                linewidths=0,
                rasterized=True,
            )


def colour_scale(figure: Figure, image: AxesImage, grid: np.ndarray, label: str) -> None:
    """Draw the colour scale of matrices beside all axes of a grid."""
    shrink = min(_SCALE / figure.get_figheight(), 1)
    figure.colorbar(image, ax=grid, shrink=shrink, aspect=12, pad=0.01, label=label)


def task_label(task: str) -> str:
    """A task's name in two lines: its units, and its start."""
    return task.replace(" ", "\n")
