"""K-means, label consistency and quality on points made by hand."""

from itertools import permutations

import numpy as np
import pytest

from trama.errors import TramaError
from trama.learning.clustering import (
    SILHOUETTE_SAMPLE,
    Clusters,
    cluster_quality,
    count_different,
    fit_clusters,
    label_consistency,
    majority_rate,
    match_labels,
)


def _points(seed: int = 0, spread: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(300, 3)).astype(np.float32) * spread


@pytest.mark.parametrize("seed", range(5))
def test_centroid_initialisation_keeps_the_labels_of_unchanged_data(seed: int) -> None:
    first = fit_clusters(_points(), 4, 0, n_init=10)
    again = fit_clusters(_points(), 4, seed + 1, n_init=10, previous=first.centroids)
    assert np.array_equal(first.labels, again.labels)
    np.testing.assert_allclose(first.centroids, again.centroids, atol=1e-5)


def test_centroid_initialisation_keeps_labels_of_data_in_another_order() -> None:
    first = fit_clusters(_points(), 4, 0, n_init=10)
    again = fit_clusters(_points()[::-1], 4, 1, n_init=10, previous=first.centroids)
    assert np.array_equal(first.labels, again.labels[::-1])


def test_random_initialisation_renames_the_classes() -> None:
    first = fit_clusters(_points(), 4, 0, n_init=10)
    kept = [
        label_consistency(first.labels, fit_clusters(_points(), 4, s, n_init=1).labels)[0]
        for s in range(1, 6)
    ]
    assert min(kept) < 0.5


def test_drifting_clouds_keep_their_names() -> None:
    rng = np.random.default_rng(1)
    cloud = rng.integers(3, size=200)
    centres = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 6.0]])
    noise = rng.normal(size=(200, 2)) * 0.3
    clusters = fit_clusters(centres[cloud] + noise, 3, 0, n_init=10)
    names = clusters.labels
    for shift in range(1, 6):
        moved = centres[cloud] + noise + 1.5 * shift
        clusters = fit_clusters(moved, 3, shift, n_init=10, previous=clusters.centroids)
        assert np.array_equal(clusters.labels, names)


def test_same_seed_same_clusters() -> None:
    first, second = (fit_clusters(_points(), 5, 3, n_init=2) for _ in range(2))
    assert np.array_equal(first.labels, second.labels)
    assert first.centroids.tobytes() == second.centroids.tobytes()


def test_seeds_of_63_bits_are_taken() -> None:
    assert fit_clusters(_points(), 2, 2**63 - 1, n_init=1).n_used == 2


def test_too_few_different_embeddings() -> None:
    points = np.repeat(np.array([[0.0, 1.0], [2.0, 3.0]]), 50, axis=0)
    with pytest.raises(TramaError, match=r"2 different .* cannot fill 3 clusters.*n_classes"):
        fit_clusters(points, 3, 0, n_init=1)
    assert fit_clusters(points, 2, 0, n_init=1).n_used == 2


@pytest.mark.parametrize("seed", range(5))
def test_rounding_makes_no_difference(seed: int) -> None:
    """The means of one code over 1 to 100 steps, as a collapsed codebook gives them."""
    code = np.random.default_rng(seed).random(4, np.float32)
    sums = np.cumsum(np.tile(code, (100, 1)), axis=0, dtype=np.float32)
    points = sums / np.arange(1, 101, dtype=np.float32)[:, None]
    assert len(np.unique(points, axis=0)) > 2
    with pytest.raises(TramaError, match="1 different"):
        fit_clusters(points, 2, 0, n_init=1)
    assert fit_clusters(np.concatenate([points, points + 1e-3]), 2, 0, n_init=1).n_used == 2


@pytest.mark.parametrize(
    ("labels", "n_classes", "min_clusters", "accepted"),
    [
        ([0, 1, 2], 4, 3, True),
        ([0, 1, 1], 4, 3, False),
        ([0, 1, 1], 4, 2, True),
        ([0, 1], 2, 3, True),
        ([1, 1], 2, 3, False),
    ],
)
def test_acceptance(labels: list[int], n_classes: int, min_clusters: int, accepted: bool) -> None:
    clusters = Clusters(np.array(labels), np.zeros((n_classes, 1)), np.arange(n_classes))
    assert clusters.accepted(min_clusters) == accepted


def test_names_that_keep_most_labels() -> None:
    before = np.array([2, 2, 2, 0, 0, 1, 1, 1, 1])
    after = np.array([0, 0, 1, 1, 1, 2, 2, 2, 0])
    names = match_labels(before, after, 3)
    assert names.tolist() == [2, 0, 1]
    assert label_consistency(before, names[after])[0] == pytest.approx(7 / 9)
    # Not the best pair first: 3 and 3 kept are more than 4 and 0.
    before, after = np.repeat([0, 0, 1], [4, 3, 3]), np.repeat([0, 1, 0], [4, 3, 3])
    assert match_labels(before, after, 2).tolist() == [1, 0]


def test_new_classes_have_names_that_are_free() -> None:
    """Room for five; before, 1 and 4 were in use; now there are three classes."""
    before, after = np.array([1, 1, 4, 4, 4]), np.array([2, 2, 0, 0, 1])
    names = match_labels(before, after, 5)
    assert sorted(names.tolist()) == [0, 1, 2, 3, 4]
    assert names[[2, 0]].tolist() == [1, 4] and names[1] in (0, 2, 3)
    nothing = np.zeros(0, np.int64)
    assert sorted(match_labels(nothing, nothing, 3).tolist()) == [0, 1, 2]


def test_renamed_clusters_are_the_same_ones() -> None:
    first = fit_clusters(_points(), 3, 0, n_init=3)
    other = first.renamed(np.array([4, 0, 2]))
    assert other.classes is not None and other.classes.tolist() == [0, 2, 4]
    assert np.array_equal(other.labels, np.array([4, 0, 2])[first.labels])
    assert np.array_equal(other.centroids, first.centroids[[1, 2, 0]])
    assert np.array_equal(other.distances(_points()), first.distances(_points()))
    assert other.n_used == 3 and other.accepted(3)


def test_label_consistency_by_hand() -> None:
    before, after = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 2])
    kept, chance = label_consistency(before, after)
    assert kept == pytest.approx(3 / 5)
    assert chance == pytest.approx((3 / 5) * (2 / 5) + (2 / 5) * (2 / 5))  # class 2 was empty
    assert label_consistency(before, before) == (1.0, pytest.approx(9 / 25 + 4 / 25))


def test_matching_finds_the_names_again() -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(5, size=300)
    for _ in range(10):
        names = rng.permutation(5)
        assert np.array_equal(match_labels(before, names[before], 5), np.argsort(names))


@pytest.mark.parametrize("seed", range(5))
def test_no_other_names_keep_more_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    before, after = rng.integers(4, size=(2, 60))
    after[before < 2] = rng.integers(2, size=(before < 2).sum())  # two classes compete for a name
    kept = [np.mean(np.array(names)[after] == before) for names in permutations(range(4))]
    found = match_labels(before, after, 4)
    assert sorted(found) == [0, 1, 2, 3]
    assert np.mean(found[after] == before) == max(kept)


def test_what_matching_does_not_know_keeps_its_name() -> None:
    nothing = np.array([], np.int64)
    assert match_labels(nothing, nothing, 3).tolist() == [0, 1, 2]
    # Class 0 takes the name 2; the empty classes take what is left.
    assert match_labels(np.full(9, 2), np.zeros(9, np.int64), 3)[0] == 2


def test_renamed_clusters_are_the_same_clusters() -> None:
    clusters = fit_clusters(_points(), 4, 0, n_init=2)
    renamed = clusters.renamed(np.array([2, 0, 3, 1]))
    assert np.array_equal(renamed.labels, np.array([2, 0, 3, 1])[clusters.labels])
    own = (each.centroids[each.labels] for each in (clusters, renamed))
    assert np.array_equal(*own)


def test_quality() -> None:
    points = np.concatenate([_points(0, 0.1), _points(1, 0.1) + 5])
    labels = np.repeat([0, 1], 300)
    best = cluster_quality(points, labels, 1 - labels, 0)  # names do not matter
    assert best["silhouette"] > 0.9 and best["ari"] == best["nmi"] == pytest.approx(1.0)
    blind = cluster_quality(points, np.arange(600) % 2, labels, 0)
    assert abs(blind["silhouette"]) < 0.05 and abs(blind["ari"]) < 0.01
    one = cluster_quality(points, np.zeros(600, np.int64), labels, 0)
    assert one["silhouette"] == 0.0 and one["ari"] == 0.0


def test_true_tasks_only_measure() -> None:
    points, labels = _points(), np.arange(300) % 3
    first = cluster_quality(points, labels, labels, 0)
    other = cluster_quality(points, labels, np.zeros(300, np.int64), 0)
    assert first["silhouette"] == other["silhouette"]
    assert first["ari"] != other["ari"]


def test_majority_rate() -> None:
    assert majority_rate(np.array([0, 2, 2, 2, 1])) == 0.6


def test_a_lonely_trajectory_does_not_break_the_silhouette() -> None:
    """The silhouette's sample of a large data set may miss a tiny class."""
    embedding = np.random.default_rng(0).normal(size=(SILHOUETTE_SAMPLE + 500, 2))
    for lonely in range(0, len(embedding), 250):
        labels = np.zeros(len(embedding), np.int64)
        labels[lonely] = 1
        quality = cluster_quality(embedding, labels, labels, seed=0)
        assert -1.0 <= quality["silhouette"] <= 1.0 and quality["ari"] == 1.0


def test_close_embeddings_are_not_taken_for_equal_ones() -> None:
    close = 0.5 + np.random.default_rng(0).uniform(0, 1e-3, size=(5000, 4)).astype(np.float32)
    assert count_different(close) > 4000
    assert count_different(np.full((50, 4), 0.25676015) + 3e-8 * np.arange(50)[:, None] / 50) == 1
