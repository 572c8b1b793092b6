"""The figures of a problem: read Parquet, draw, write PDF and PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator
from sklearn.decomposition import PCA

from trama.config.model import Figures
from trama.data.parquet import Provenance, column_matrix, read_table
from trama.reporting import statistics, style
from trama.reporting.statistics import Curve, Files

# With fewer seeds than this an interval would say nothing.
_SEEDS_FOR_INTERVALS = 3
# Points of the classes are drawn by turns, so that none hides the others.
_TURNS = 10


def learning_curves(
    histories: Files,
    *,
    problem: str,
    variants: Sequence[str],
    figures: Figures,
    provenance: Provenance,
    outputs: Sequence[Path],
) -> None:
    """Write test win rate and test return against env steps.

    Args:
        histories: history of each variant and seed.
        problem: name of the problem, for the title.
        variants: all variants of the study in order, which fixes their looks.
        figures: config section of that name.
        provenance: goes into the files' metadata.
        outputs: files to write; their suffixes give the formats.

    Raises:
        TramaError: a history is missing, broken or holds no test.
    """
    with style.figure_style():
        figure = draw_learning_curves(histories, problem, variants, figures.smoothing)
        title = f"{problem}: learning curves"
        style.save(figure, outputs, figures.dpi, title, provenance)


def embeddings(
    embeddings: Files,
    cluster_metrics: Files,
    *,
    problem: str,
    figures: Figures,
    provenance: Provenance,
    outputs: Sequence[Path],
) -> None:
    """Write the trajectory embeddings in 2-D, by class and by true task side by side.

    Args:
        embeddings: embeddings of each representation and seed.
        cluster_metrics: cluster metrics of the same.
        problem: name of the problem, for the title.
        figures: config section of that name.
        provenance: goes into the files' metadata.
        outputs: files to write; their suffixes give the formats.

    Raises:
        TramaError: a file is missing or broken.
    """
    with style.figure_style():
        figure = draw_embeddings(embeddings, cluster_metrics, problem)
        title = f"{problem}: trajectory embeddings"
        style.save(figure, outputs, figures.dpi, title, provenance)


def predictor_accuracy(
    histories: Files,
    *,
    problem: str,
    variants: Sequence[str],
    figures: Figures,
    provenance: Provenance,
    outputs: Sequence[Path],
) -> None:
    """Write the class predictor's accuracy over the time steps of an episode.

    Args:
        histories: history of each seed of the variants that have a predictor.
        problem: name of the problem, for the title.
        variants: all variants of the study in order, which fixes their looks.
        figures: config section of that name.
        provenance: goes into the files' metadata.
        outputs: files to write; their suffixes give the formats.

    Raises:
        TramaError: a history is missing, broken or holds no accuracy by time step.
    """
    with style.figure_style():
        figure = draw_predictor_accuracy(histories, problem, variants)
        title = f"{problem}: accuracy of the class predictor"
        style.save(figure, outputs, figures.dpi, title, provenance)


def draw_learning_curves(
    histories: Files, problem: str, variants: Sequence[str], smoothing: int
) -> Figure:
    """Return the figure of `learning_curves`; `smoothing` is the running mean's window."""
    figure = Figure(figsize=(style.TWO_COLUMNS, 2.55))
    panels = {"test_win_rate": "Test win rate", "test_return": "Test return"}
    looks = style.looks(variants)
    for axes, (metric, label) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        for variant, seeds in histories.items():
            curves = [
                statistics.running_mean(statistics.learning_curve(path, metric), smoothing)
                for path in seeds.values()
            ]
            _draw_seeds(axes, curves, looks[variant], variant)
        axes.set_xlabel("Environment steps")
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.set_ylabel(label + (f" (mean of {smoothing} tests)" if smoothing > 1 else ""))
        axes.margins(x=0.02)
        if metric == "test_win_rate":
            axes.set_ylim(0, 1)
    _label(figure, problem, histories, [])
    return figure


def draw_predictor_accuracy(histories: Files, problem: str, variants: Sequence[str]) -> Figure:
    """Return the figure of `predictor_accuracy`."""
    figure = Figure(figsize=(style.ONE_COLUMN, 2.5))
    axes = figure.subplots()
    looks = style.looks(variants)
    for variant, seeds in histories.items():
        curves = [
            statistics.final_curve_within_episode(path, "predictor_accuracy")
            for path in seeds.values()
        ]
        _draw_seeds(axes, curves, looks[variant], variant)
        majority = [statistics.final_value(path, "majority_rate") for path in seeds.values()]
        axes.axhline(
            float(np.mean(majority)),
            color=looks[variant].colour,
            linewidth=0.9,
            linestyle=(0, (1, 2)),
        )
    axes.set_xlabel("Time step within the episode")
    axes.set_ylabel("Predictor accuracy")
    axes.set_ylim(0, 1.02)
    axes.margins(x=0.02)
    reference = Line2D(
        [], [], color=style.REFERENCE, linewidth=0.9, linestyle=(0, (1, 2)), label="majority rate"
    )
    _label(figure, problem, histories, [reference])
    return figure


def draw_embeddings(embeddings: Files, cluster_metrics: Files, problem: str) -> Figure:
    """Return the figure of `embeddings`: a row per representation and seed."""
    runs = [(name, seed) for name, seeds in embeddings.items() for seed in seeds]
    tables = [read_table(embeddings[name][seed], "embeddings") for name, seed in runs]
    labels = [table["label"].to_numpy() for table in tables]
    tasks = [table["task"].to_pandas() for table in tables]
    class_looks = style.looks([f"class {label}" for label in range(max(map(np.max, labels)) + 1)])
    task_looks = style.looks(sorted(set().union(*tasks)))

    figure = Figure(figsize=(style.TWO_COLUMNS, 0.45 + 2.1 * len(runs)))
    grid = figure.subplots(len(runs), 2, squeeze=False, sharex="row", sharey="row")
    for row, (name, seed), table, label, task in zip(
        grid, runs, tables, labels, tasks, strict=True
    ):
        points, shares = _principal_components(column_matrix(table, "embedding"))
        metrics = statistics.cluster_metrics(cluster_metrics[name][seed])
        classes = pd.Series(label).map(lambda number: f"class {number}")
        _scatter(row[0], points, classes, class_looks)
        _scatter(row[1], points, task, task_looks)
        row[0].set_title(f"{name}, seed {seed}: class")
        row[1].set_title(f"{name}, seed {seed}: true task (ARI {metrics['ari']:.2f})")
        row[0].set_ylabel(f"PC 2 ({shares[1]:.0%})")
        for axes in row:
            axes.set_xlabel(f"PC 1 ({shares[0]:.0%})")
            axes.grid(False)
    for axes, legend in zip(grid[0], (class_looks, task_looks), strict=True):
        handles = [
            Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", label=name)
            for name, look in legend.items()
        ]
        axes.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.14),
            ncols=min(len(handles), 3),
            handlelength=1,
            columnspacing=1,
        )
    figure.suptitle(f"{problem}: trajectory embeddings", fontweight="bold")
    return figure


def _draw_seeds(axes: Axes, curves: Sequence[Curve], look: style.Look, label: str) -> None:
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


def _label(figure: Figure, title: str, histories: Files, more: Sequence[Line2D]) -> None:
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


def _principal_components(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project [n, F] to [n, 2]; also return the share of variance of each component [2].

    A component's sign is such that its largest loading is positive. Embeddings that are all equal,
    as those of a collapsed codebook are, have shares of zero.
    """
    # A second column of zeros lets embeddings of one dimension pass.
    matrix = np.pad(matrix.astype(np.float64), ((0, 0), (0, max(2 - matrix.shape[1], 0))))
    pca = PCA(n_components=2, svd_solver="full")
    with np.errstate(invalid="ignore"):
        points = pca.fit_transform(matrix)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.sign(pca.components_[[0, 1], largest])
    return points * signs, np.nan_to_num(pca.explained_variance_ratio_)


def _scatter(
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
