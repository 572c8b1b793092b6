"""Which codes stand for the states of each class and of each true task, before and in training."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from trama.config.figure_params import FigureParams
from trama.reporting import style, words
from trama.reporting.figures.clusterings import MOMENTS, Clusterings, Measures, Moment, numbers
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import colour_scale
from trama.reporting.statistics import Inputs


def codebook(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the use of the codes by each variant that has a codebook, of the study's first seed.

    Args:
        inputs: codebooks `before` training, of each representation and seed, and `during` it, of
            each variant and seed.
        params: of the figure, with `representations`.
        problem: its name.

    Raises:
        TramaError: a file is missing or broken.
    """
    found = Clusterings(inputs, params, "codebook").of_all()
    variants, shown = list(params.names), params.seeds[0]
    rows = [
        (variant, name) for variant in variants for name in MOMENTS if name in found[variant][shown]
    ]
    uses = [
        [_uses(found[variant][shown][name], by) for by in ("label", "task")]
        for variant, name in rows
    ]
    # Of some hundred codes most have a small share: the scale is that of a square root.
    most = max(float(shares.max()) for of_moment in uses for _, shares in of_moment)
    norm = PowerNorm(0.5, 0, most)
    heights = [1.0 + 0.12 * len(tasks) for _, (tasks, _) in uses]
    figure = Figure(figsize=(style.TWO_COLUMNS, 0.75 + 0.6 * sum(heights)))
    grid = figure.subplots(len(rows), 2, squeeze=False, height_ratios=heights)
    for (left, right), (variant, name), of_moment in zip(grid, rows, uses, strict=True):
        moment = found[variant][shown][name]
        (classes, by_class), (tasks, by_task) = of_moment
        # Codes of a class stand together, the most used first.
        owner = by_class.argmax(axis=0)
        order = np.lexsort((-by_class.max(axis=0), owner))
        image = _draw(left, by_class[:, order], norm, [f"class {number}" for number in classes])
        _draw(right, by_task[:, order], norm, [str(task) for task in tasks])
        for boundary in np.flatnonzero(np.diff(owner[order])) + 0.5:
            for axes in (left, right):
                axes.axvline(boundary, color=style.REFERENCE, linewidth=0.5, linestyle="dashed")
        left.set_title(f"{variant}, {name} ({moment.steps} steps)", loc="left")
        right.set_title(f"{len(order)} codes in use", loc="right")
    for axes in grid[-1]:
        axes.set_xlabel("Codes, by the class that uses them most")
    colour_scale(figure, image, grid, "Share of the states")
    title = f"{problem}: use of the codes, seed {shown}"
    figure.suptitle(title, fontweight="bold")
    return Drawing(
        figure,
        title=title,
        caption=[
            f"Use of the codes by {words.literals(variants)} on {problem}, seed {shown}: share of "
            "the states of each class (left) and of each true task (right) that are quantised to a "
            "code. Before training: the states of all trajectories that were clustered; at the "
            "first and at the last accepted clustering during training: those of the newest 256 "
            "episodes. Codes that are in use stand in the order of the class that uses them most, "
            "the same on both sides; dashed lines separate the classes' codes. Effective codes: "
            "exponential of the entropy of the codes' shares. Overlap: sum over the codes of the "
            "least of the shares of two classes (tasks), mean over their pairs; 0: no code in "
            "common, 1: the same use.",
            *numbers(found, _MEASURES, params),
            words.intervals(len(params.seeds)),
        ],
        shown=f"seed {shown}: all rows of the first and the last clustering",
    )


def _draw(axes: Axes, shares: np.ndarray, norm: Normalize, names: Sequence[str]) -> AxesImage:
    image = axes.imshow(
        shares, cmap=style.SEQUENTIAL, norm=norm, aspect="auto", interpolation="nearest"
    )
    axes.set_yticks(range(len(names)), names, fontsize=6)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(True)
    return image


def _uses(moment: Moment, by: str) -> tuple[np.ndarray, np.ndarray]:
    """Names of the groups in a column, and the share of their states on each code in use.

    Returns:
        [groups], and shares [groups, codes].
    """
    code, group, count = (moment.rows[name].to_numpy() for name in ("code", by, "count"))
    codes, column = np.unique(code, return_inverse=True)
    groups, row = np.unique(group, return_inverse=True)
    uses = np.zeros((len(groups), len(codes)))
    np.add.at(uses, (row, column), count)
    return groups, uses / uses.sum(axis=1, keepdims=True)


def _overlap(moment: Moment, by: str) -> float:
    """Mean over pairs of groups of the share of their use that they have in common."""
    shares = _uses(moment, by)[1]
    first, second = np.triu_indices(len(shares), 1)
    # A group alone has nothing in common.
    return (
        float(np.minimum(shares[first], shares[second]).sum(axis=1).mean()) if len(first) else 0.0
    )


def _effective(moment: Moment) -> float:
    code, count = moment.rows["code"].to_numpy(), moment.rows["count"].to_numpy()
    shares = np.bincount(code, count) / count.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _in_use(moment: Moment) -> float:
    return len(np.unique(moment.rows["code"].to_numpy()))


_MEASURES: Measures = {
    "codes in use": _in_use,
    "effective codes": _effective,
    "overlap of classes": partial(_overlap, by="label"),
    "overlap of tasks": partial(_overlap, by="task"),
}
