"""Stage cluster: trajectory embeddings, K-means, and the classifier."""

import logging
from functools import partial
from pathlib import Path

import numpy as np
import torch

from trama.config.model import MOST_CLASSES, Pretrain
from trama.config.params import ClusterParams
from trama.data.parquet import Provenance, TableWriter, write_table
from trama.learning.build import load_weights, make_embedding, read_statistics, save_weights
from trama.learning.class_number import (
    Comparison,
    Trajectories,
    compare_class_numbers,
    read_trajectories,
    spread_steps,
)
from trama.learning.clustering import LOW_SILHOUETTE, cluster_quality, fit_clusters
from trama.learning.embedding import TrajectoryEmbedding
from trama.networks.classifier import Classifier
from trama.runtime import torch_device
from trama.seeds import derive_seed
from trama.stages.codebook import write_codebook
from trama.stages.trajectory_states import (
    TrajectoryStates,
    embed_trajectories,
    naming,
    read_states,
)

logger = logging.getLogger("trama")

SMALL_CLASS = 0.1
"""A class with a smaller share of the trajectories is reported."""
LOW_ACCURACY = 0.95
"""A classifier that agrees less often with K-means is reported."""


def cluster(
    params: ClusterParams,
    provenance: Provenance,
    *,
    trajectories: Path,
    state_statistics: Path,
    vqvae: Path | None,
    embeddings: Path,
    centroids: Path,
    classifier: Path,
    cluster_metrics: Path,
    codebook: Path,
    class_numbers: Path,
) -> None:
    """Cluster the collected trajectories (the newest `max_trajectories`) and learn to label others.

    The criterion of a representation that chooses its number of classes is compared on candidates
    first, as are those of `criteria`, which only report.

    Args:
        vqvae: weights of stage pretrain; None for the representation `mean_state`.
    """
    device = torch_device(params.device)
    config, representation = params.cluster, params.representation
    seed = derive_seed(params.study_seed, "cluster", params.problem_name, params.seed)
    number = representation.class_number
    data = read_states(trajectories, representation.n_classes if number is None else 2)
    statistics = read_statistics(state_statistics, representation.states)
    embedding = make_embedding(statistics, representation, params.pretrain or Pretrain(), device)
    if vqvae is not None:
        load_weights(embedding, vqvae, "pretrain", device)
    chosen = np.arange(len(data))[-config.max_trajectories :]
    points = embed_trajectories(data, embedding, chosen, device)
    own = [] if number is None else [number.criterion]
    most = MOST_CLASSES if number is None else number.most
    more = partial(_trajectories, data, chosen, embedding, device)
    with naming(trajectories):
        compared = {
            criterion: compare_class_numbers(criterion, points, most, seed, more)
            for criterion in dict.fromkeys((*own, *config.criteria))
        }
        n_classes = representation.n_classes
        if number is not None:
            n_classes = compared[number.criterion].chosen
            logger.info("%s chooses %d classes", number.criterion, n_classes)
        clusters = fit_clusters(points, n_classes, seed, config.n_init)
    task = data.task[chosen]
    torch.manual_seed(seed)
    network = Classifier(embedding.size, representation.most_classes, config.classifier).to(device)
    accuracy = network.fit(
        torch.from_numpy(points).to(device),
        torch.from_numpy(clusters.labels).to(device),
        torch.arange(n_classes, device=device),
        torch.Generator().manual_seed(seed),
    )
    sizes = np.bincount(clusters.labels, minlength=n_classes)
    spread = np.bincount(clusters.labels, clusters.distances(points), minlength=n_classes)
    tasks, task_number = np.unique(task, return_inverse=True)
    codes = embedding.code_use(
        data.state[data.start[chosen[0]] :].to(device),
        np.repeat(np.arange(len(chosen)), data.length[chosen]),
        task_number,
        clusters.labels,
    )
    metrics: dict[str, float] = {
        **cluster_quality(points, clusters.labels, task, seed),
        "n_trajectories": len(chosen),
        "classifier_accuracy": accuracy,
    }
    if embedding.vqvae is not None:
        metrics["codes_in_use"] = codes.n_codes
    logger.info("clusters: %s, sizes %s", metrics, sizes.tolist())
    _warn(metrics, sizes / len(chosen), task)

    env_steps = int(data.length.sum())
    save_weights(network, classifier)
    write_table(
        embeddings,
        "embeddings",
        {
            "env_steps": np.full(len(chosen), env_steps),
            "episode": chosen.astype(np.int32),
            "task": task.tolist(),
            "label": clusters.labels.astype(np.int32),
            "embedding": points,
        },
        provenance,
    )
    write_table(
        centroids,
        "centroids",
        {
            "class": np.arange(n_classes, dtype=np.int32),
            "centroid": clusters.centroids.astype(np.float32),
            "trajectories": sizes.astype(np.int32),
            "mean_distance": spread / np.maximum(sizes, 1),
        },
        provenance,
    )
    write_table(
        cluster_metrics,
        "cluster_metrics",
        {
            "metric": [*metrics, *["class_size"] * len(sizes)],
            "class": [*[None] * len(metrics), *range(len(sizes))],
            "value": [*metrics.values(), *map(float, sizes)],
        },
        provenance,
    )
    write_codebook(codebook, [(env_steps, codes)], tasks.tolist(), provenance)
    _write_comparisons(class_numbers, list(compared.values()), provenance)


def _trajectories(
    data: TrajectoryStates,
    chosen: np.ndarray,
    embedding: TrajectoryEmbedding,
    device: torch.device,
) -> Trajectories:
    """What criteria read of the trajectories `chosen`, the last ones of the data."""
    length, start = data.length[chosen], data.start[chosen]
    trajectory, step = spread_steps(length)
    first, state = (
        embedding.scaler(data.state[torch.from_numpy(rows)].to(device)).cpu().numpy()
        for rows in (start, start[trajectory] + step)
    )
    return read_trajectories(first, trajectory, step, state, data.reward[start[0] :], length)


def _write_comparisons(path: Path, comparisons: list[Comparison], provenance: Provenance) -> None:
    """One row per criterion and candidate; no rows where nothing was compared."""
    with TableWriter(path, "class_numbers", provenance) as writer:
        for each in comparisons:
            known = ~np.isnan(each.error)
            writer.append(
                {
                    "criterion": [each.criterion] * len(each.n_classes),
                    "n_classes": each.n_classes.astype(np.int32),
                    "score": each.score,
                    "standard_error": [
                        float(error) if there else None
                        for error, there in zip(each.error, known, strict=True)
                    ],
                    "chosen": each.n_classes == each.chosen,
                }
            )


def _warn(metrics: dict[str, float], share: np.ndarray, task: np.ndarray) -> None:
    """Say in plain words what looks wrong with a clustering."""
    if len(np.unique(task)) == 1:
        logger.warning(
            "all trajectories are of one task (%s): ARI and NMI say nothing; collect more "
            "episodes, or check the problem's units and starts",
            task[0],
        )
    if metrics["silhouette"] < LOW_SILHOUETTE:
        logger.warning(
            "the silhouette of the trajectory clusters is low (%.2f): the classes overlap; try "
            "another n_classes, longer pretraining, or more episodes",
            metrics["silhouette"],
        )
    if share.min() < SMALL_CLASS:
        logger.warning(
            "the smallest class holds %.1f %% of the trajectories: n_classes may be too large",
            100 * share.min(),
        )
    if metrics["classifier_accuracy"] < LOW_ACCURACY:
        logger.warning(
            "the classifier agrees with K-means on %.0f %% of the trajectories only: raise "
            "cluster.classifier.epochs",
            100 * metrics["classifier_accuracy"],
        )
