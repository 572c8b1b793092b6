"""Trajectory embeddings in 2-D, by class and by true task, before and during training."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from trama.config.figure_params import FigureParams
from trama.data.parquet import column_matrix
from trama.reporting import style, words
from trama.reporting.figures.clusterings import MOMENTS, Clusterings, Moment, numbers
from trama.reporting.figures.drawing import Drawing
from trama.reporting.figures.parts import point_handles, scatter
from trama.reporting.statistics import Inputs


def embeddings(inputs: Inputs, params: FigureParams, problem: str) -> Drawing:
    """Draw the embeddings of each variant that clusters, of the study's first seed.

    Args:
        inputs: embeddings `before` training, of each representation and seed, and `during` it, of
            each variant and seed.
        params: of the figure, with `representations`.
        problem: its name.

    Raises:
        TramaError: a file is missing or broken.
    """
    found = Clusterings(inputs, params, "embeddings").of_all()
    variants, shown = list(params.names), params.seeds[0]
    moments = [moment for variant in variants for moment in found[variant][shown].values()]
    n_classes = max(max(moment.rows["label"].to_pylist()) for moment in moments) + 1
    class_looks = style.looks([f"class {number}" for number in range(n_classes)])
    tasks = sorted(set().union(*(moment.rows["task"].to_pylist() for moment in moments)))
    task_looks = style.looks(tasks)

    figure = Figure(figsize=(style.TWO_COLUMNS, 0.35 + 3.1 * len(variants)))
    blocks = figure.subfigures(len(variants), 1, squeeze=False)[:, 0]
    for block, variant in zip(blocks, variants, strict=True):
        grid = block.subplots(2, len(MOMENTS))
        for column, name in zip(grid.T, MOMENTS, strict=True):
            moment = found[variant][shown].get(name)
            if moment is None:
                for axes in column:
                    axes.set_axis_off()
                column[0].set_title(f"{name}: none")
                continue
            points, shares = _principal_components(column_matrix(moment.rows, "embedding"))
            classes = moment.rows["label"].to_pandas().map(lambda number: f"class {number}")
            _draw(column[0], points, shares, classes, class_looks)
            _draw(column[1], points, shares, moment.rows["task"].to_pandas(), task_looks)
            column[0].set_title(f"{name} ({moment.steps} steps)\nARI {words.value(_ari(moment))}")
        block.suptitle(f"{variant}, seed {shown}", fontsize=8)
        for axes, what, looks in zip(
            grid[:, -1], ("Class", "True task"), (class_looks, task_looks), strict=True
        ):
            axes.legend(
                handles=point_handles(looks),
                title=what,
                title_fontsize=7,
                loc="upper left",
                bbox_to_anchor=(1.0, 1.03),
                handlelength=0.8,
                handletextpad=0.4,
                borderpad=0,
            )
    title = f"{problem}: trajectory embeddings"
    figure.suptitle(title, fontweight="bold")
    return Drawing(
        figure,
        title=title,
        caption=[
            f"Trajectory embeddings of {words.literals(variants)} on {problem}, seed {shown}: the "
            "baseline's trajectories that the representation was clustered on before training, and "
            "those of the replay buffer at the first and at the last accepted clustering during "
            "training. Each clustering is drawn on its own first two principal components (share "
            "of the variance in brackets). Above: the class that K-means gave. Below: the true "
            "task, which no part of the method has seen. Colours of classes and of tasks are "
            "unrelated. ARI, NMI: adjusted Rand index and normalised mutual information of the two "
            "(1: identity; ARI 0: chance).",
            *numbers(found, {"ARI": _ari, "NMI": _nmi}, params, _trajectories),
            words.intervals(len(params.seeds)),
        ],
        shown=f"seed {shown}: all trajectories of the first and the last clustering",
    )


def _draw(
    axes: Axes,
    points: np.ndarray,
    shares: np.ndarray,
    groups: pd.Series,
    looks: dict[str, style.Look],
) -> None:
    scatter(axes, points, groups, looks)
    axes.set_xlabel(f"PC 1 ({shares[0]:.0%})", labelpad=1)
    axes.set_ylabel(f"PC 2 ({shares[1]:.0%})", labelpad=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)


def _ari(moment: Moment) -> float:
    return float(adjusted_rand_score(*_labels(moment)))


def _nmi(moment: Moment) -> float:
    return float(normalized_mutual_info_score(*_labels(moment)))


def _labels(moment: Moment) -> tuple[np.ndarray, np.ndarray]:
    return moment.rows["task"].to_numpy(), moment.rows["label"].to_numpy()


def _trajectories(moments: Sequence[Moment]) -> list[str]:
    return [f"{words.span([len(moment.rows) for moment in moments])} trajectories"]


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
