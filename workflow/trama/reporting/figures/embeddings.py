"""Trajectory embeddings in 2-D, by class and by true task."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sklearn.decomposition import PCA

from trama.config.params import FigureParams
from trama.data.parquet import column_matrix, read_table
from trama.reporting import statistics, style
from trama.reporting.figures.drawing import Drawing, Inputs
from trama.reporting.figures.parts import scatter


def embeddings(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the embeddings of a problem's trajectories: a row per representation and seed.

    Args:
        inputs: `embeddings` and `cluster_metrics` of each representation and seed.
        params: not read.
        problem: its name.

    Raises:
        TramaError: a file is missing or broken.
    """
    embeddings = statistics.by_name_and_seed(inputs["embeddings"])
    cluster_metrics = statistics.by_name_and_seed(inputs["cluster_metrics"])
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
        scatter(row[0], points, classes, class_looks)
        scatter(row[1], points, task, task_looks)
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
    return Drawing(
        figure,
        title=f"{problem}: trajectory embeddings",
        caption=[
            f"Embeddings of the baseline's trajectories on {problem}, on their first two principal "
            "components (share of variance in brackets), one row per representation and seed. "
            "Left: the class that K-means gave. Right: the true task, which no part of the method "
            "has seen. ARI: adjusted Rand index of the two; 0 is chance, 1 is identity. Colours of "
            "classes and of tasks are unrelated."
        ],
        shown="all trajectories; metric ari",
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
