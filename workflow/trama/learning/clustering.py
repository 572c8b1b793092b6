"""K-means over trajectory embeddings, and what is measured of it.

scikit-learn takes 1.5 s to import and is imported where it is used: most jobs never cluster. So is
SciPy.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from trama.errors import TramaError

SILHOUETTE_SAMPLE = 2_000
"""Trajectories that the silhouette is computed on, at most: its cost is quadratic."""
LOW_SILHOUETTE = 0.2
"""Below this, clusters overlap more than they stand apart."""


@dataclass(frozen=True)
class Clusters:
    """Result of a clustering.

    Attributes:
        labels: class of each trajectory, [M] int64.
        centroids: [K, d].
        classes: class of each centroid, [K] int64, ascending.
    """

    labels: np.ndarray
    centroids: np.ndarray
    classes: np.ndarray

    @property
    def n_used(self) -> int:
        """Clusters that hold at least one trajectory."""
        return len(np.unique(self.labels))

    def distances(self, embedding: np.ndarray) -> np.ndarray:
        """Distance [M] of each clustered embedding [M, d] to the centroid of its own cluster."""
        own = self.centroids[np.searchsorted(self.classes, self.labels)]
        distance: np.ndarray = np.linalg.norm(embedding - own, axis=1)
        return distance

    def accepted(self, min_clusters: int) -> bool:
        """At least min(min_clusters, K) clusters are used, as in the released code."""
        return self.n_used >= min(min_clusters, len(self.centroids))

    def renamed(self, names: np.ndarray) -> "Clusters":
        """The same clusters 0 to K - 1, of which k is called names[k]; `names` [K] differ."""
        order = np.argsort(names)
        return Clusters(names[self.labels], self.centroids[order], names[order])


def fit_clusters(
    embedding: np.ndarray,
    n_classes: int,
    seed: int,
    n_init: int,
    previous: np.ndarray | None = None,
) -> Clusters:
    """K-means; from `previous` centroids labels keep their meaning over time.

    Args:
        embedding: [M, d].
        n_classes: K.
        seed: of k-means++.
        n_init: restarts of a first fit.
        previous: centroids [K, d] of the clustering before, or None for a first fit.

    Raises:
        TramaError: fewer different embeddings than clusters.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    different = count_different(embedding)
    if different < n_classes:
        raise TramaError(
            f"K-means: {different} different trajectory embeddings cannot fill {n_classes} "
            "clusters. Lower n_classes of the representation (class_number.most, where it chooses "
            "their number), collect more episodes, or pretrain longer (a collapsed codebook gives "
            "equal embeddings)."
        )
    kmeans = KMeans(
        n_classes,
        init="k-means++" if previous is None else previous,
        n_init=n_init if previous is None else 1,
        random_state=seed % 2**32,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # empty clusters: see `accepted`
        labels = kmeans.fit_predict(embedding.astype(np.float64))
    return Clusters(labels.astype(np.int64), kmeans.cluster_centers_, np.arange(n_classes))


def count_different(embedding: np.ndarray) -> int:
    """Different rows of [M, d]; means of equal vectors differ by rounding, which does not count."""
    centred = embedding - embedding.mean(0)
    return len(np.unique(np.round(centred / grain(embedding)).astype(np.int64), axis=0))


def grain(embedding: np.ndarray) -> float:
    """Differences of embeddings [M, d] below this are taken for rounding."""
    return 1e-5 * max(float(np.abs(embedding).max()), 1e-30)


def match_labels(before: np.ndarray, after: np.ndarray, n_classes: int) -> np.ndarray:
    """Names for new classes under which as many trajectories as possible keep their label.

    Args:
        before: labels [M] of the clustering before, below K.
        after: labels [M] that the same trajectories have now, below K.
        n_classes: K.

    Returns:
        [K] int64, a permutation: what class k of `after` is called.
    """
    from scipy.optimize import linear_sum_assignment

    shared = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(shared, (after, before), 1)
    _, names = linear_sum_assignment(shared, maximize=True)
    return np.asarray(names, np.int64)


def label_consistency(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Share of trajectories that kept their label, and the share that chance would keep.

    Chance is two independent draws with the same class shares before and after.
    """
    kept = float(np.mean(before == after))
    classes = np.union1d(before, after)
    chance = sum(np.mean(before == k) * np.mean(after == k) for k in classes)
    return kept, float(chance)


def cluster_quality(
    embedding: np.ndarray, labels: np.ndarray, task: np.ndarray, seed: int
) -> dict[str, float]:
    """Silhouette (of a sample), ARI and NMI against the true tasks.

    The true tasks serve to measure; nothing is chosen or trained by them.
    """
    from sklearn.metrics import (
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_score,
    )

    rng = np.random.default_rng(seed)
    sample = rng.choice(len(embedding), min(SILHOUETTE_SAMPLE, len(embedding)), replace=False)
    several = 1 < len(np.unique(labels[sample])) < len(sample)
    return {
        "silhouette": (
            float(silhouette_score(embedding[sample], labels[sample])) if several else 0.0
        ),
        "ari": float(adjusted_rand_score(task, labels)),
        "nmi": float(normalized_mutual_info_score(task, labels)),
    }


def majority_rate(labels: np.ndarray) -> float:
    """Share of the largest class: what always guessing it would score."""
    return float(np.bincount(labels).max() / len(labels))
