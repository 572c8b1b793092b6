"""Trajectory classes during training: labelling, re-clustering and VQ-VAE updates."""

from typing import Any

import numpy as np
import pytest
import torch

from fakes import CPU, cluster_labels, played_replay, random_env, small_cluster, small_train
from trama.config.model import Representation
from trama.learning.class_number import Trajectories, compare_class_numbers
from trama.learning.clustering import Clusters, label_consistency
from trama.learning.embedding import TrajectoryEmbedding
from trama.learning.labels import ClusterLabels, TrueTaskLabels
from trama.learning.replay import NO_LABEL, ReplayBuffer

MEAN_STATE = Representation(embedding="mean_state", n_classes=3)
CHOSEN = Representation.model_validate(
    {"embedding": "mean_state", "class_number": {"criterion": "silhouette", "most": 5}}
)
QUANTISED = Representation(n_codes=24, code_dim=3, n_classes=3)


def _labels(
    replay: ReplayBuffer,
    representation: Representation = MEAN_STATE,
    n_classes: int | None = None,
    **clustering: object,
) -> ClusterLabels:
    section = {"first_env_steps": 100, "interval_episodes": 40, "interval_env_steps": 50}
    config = small_train(clustering=section | clustering)
    return cluster_labels(replay, representation, config, small_cluster(), 0, n_classes)


def _same(labels: np.ndarray, tasks: np.ndarray) -> bool:
    """Whether labels are tasks under other names."""
    pairs = set(zip(labels.tolist(), tasks.tolist(), strict=True))
    return len(pairs) == len(set(labels.tolist())) == len(set(tasks.tolist()))


def test_labels_are_the_classes_of_the_embeddings() -> None:
    replay = played_replay(random_env(4), 60, seed=0)
    labels = _labels(replay)
    slots = replay.finished[::-2]
    labels.label(replay, slots, CPU)
    assert _same(replay.label[slots], replay.task[slots])
    assert (np.delete(replay.label, slots) == NO_LABEL).all()


def test_embeddings_keep_the_order_of_the_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = played_replay(random_env(4), 30, seed=1)
    embedding = _labels(replay, QUANTISED).embedding
    slots = np.random.default_rng(0).permutation(replay.finished)
    embedded = embedding.of_episodes(replay, slots)
    for slot, row in zip(slots, embedded, strict=True):
        torch.testing.assert_close(embedding.of_episodes(replay, np.array([slot]))[0], row)
    monkeypatch.setattr("trama.learning.replay.EPISODES_AT_ONCE", 7)
    torch.testing.assert_close(embedding.of_episodes(replay, slots), embedded)


@pytest.mark.parametrize("representation", [MEAN_STATE, QUANTISED])
def test_unchanged_data_keep_their_labels(representation: Representation) -> None:
    replay = played_replay(random_env(4), 50, seed=2)
    labels = _labels(replay, representation)
    labels.label(replay, replay.finished, CPU)
    first = labels.recluster(replay, 100, 50, CPU)
    assert first is not None
    known = replay.label.copy()
    shares = np.bincount(known[replay.finished], minlength=3) / len(replay)
    for number in range(1, 7):
        again = labels.recluster(replay, 100 + 50 * number, 50, CPU)
        assert again is not None
        assert again.metrics["label_consistency"] == 1.0
        assert np.array_equal(replay.label, known)
        np.testing.assert_allclose(again.class_share, shares)
        assert again.metrics["label_consistency_chance"] == pytest.approx((shares**2).sum())


def test_random_initialisation_need_not_keep_them() -> None:
    replay = played_replay(random_env(4), 50, seed=2)
    labels = _labels(replay, initialisation="random")
    labels.label(replay, replay.finished, CPU)
    consistency = []
    for number in range(6):
        clustering = labels.recluster(replay, 100 + 50 * number, 50, CPU)
        assert clustering is not None
        consistency.append(clustering.metrics["label_consistency"])
    assert min(consistency[1:]) < 0.5


@pytest.mark.parametrize("representation", [MEAN_STATE, QUANTISED])
def test_matched_labels_keep_their_meaning_after_a_random_initialisation(
    representation: Representation,
) -> None:
    found = {}
    for initialisation in ("random", "matched"):
        replay = played_replay(random_env(4), 50, seed=2)
        labels = _labels(replay, representation, initialisation=initialisation)
        labels.label(replay, replay.finished, CPU)
        found[initialisation] = [
            labels.recluster(replay, 100 + 50 * number, 50, CPU) for number in range(6)
        ]
        # The classifier and the centroids have the names of the labels.
        known = replay.label[replay.finished].copy()
        labels.label(replay, replay.finished, CPU)
        assert (replay.label[replay.finished] == known).mean() > 0.9
        assert labels.centroids is not None
        points = labels.embedding.of_episodes(replay, replay.finished).numpy()
        distance = np.linalg.norm(points[:, None] - labels.centroids, axis=2)
        assert np.array_equal(distance.argmin(1), known)
    for anew, matched in zip(found["random"], found["matched"], strict=True):
        assert anew is not None and matched is not None
        assert _same(anew.clusters.labels, matched.clusters.labels)  # under other names
        assert matched.metrics["label_consistency"] >= anew.metrics["label_consistency"]
    # The tasks lie apart: K-means finds them from any start.
    if representation is MEAN_STATE:
        kept = [each.metrics["label_consistency"] for each in found["matched"] if each is not None]
        assert kept == [1.0] * 6


def test_there_is_nothing_to_match_before_the_first_labels() -> None:
    first = []
    for initialisation in ("random", "matched"):
        replay = played_replay(random_env(4), 50, seed=2)
        labels = _labels(replay, initialisation=initialisation)
        labels.centroids = None
        clustering = labels.recluster(replay, 100, 50, CPU)
        assert clustering is not None and "label_consistency" not in clustering.metrics
        first.append(clustering.clusters.labels)
    assert np.array_equal(first[0], first[1])


def test_what_a_clustering_reports() -> None:
    replay = played_replay(random_env(4), 70, seed=3)  # more than max_trajectories 60
    labels = _labels(replay)
    newest = replay.finished[-60:]
    oldest = replay.finished[:-60]
    replay.label[oldest] = NO_LABEL
    labels.label(replay, newest, CPU)
    names = replay.label[newest].copy()
    replay.label[newest] = 1
    replay.label[newest[-5:]] = NO_LABEL
    assert labels.centroids is not None
    labels.centroids = labels.centroids[[1, 2, 0]]  # other names for the same clusters
    clustering = labels.recluster(replay, 120, len(replay), CPU)
    assert clustering is not None
    found = clustering.clusters.labels
    assert np.array_equal(found, (names + 2) % 3)
    assert np.array_equal(replay.label[newest], found)
    # Episodes beyond the limit take part in no clustering, but carry its classes.
    assert _same(replay.label[oldest], replay.task[oldest])
    assert clustering.metrics["classifier_accuracy"] == 1.0
    assert np.array_equal(clustering.task, replay.task[newest]) and _same(found, clustering.task)
    assert clustering.episode.tolist() == list(range(len(replay) - 60, len(replay)))
    assert clustering.metrics["ari"] == pytest.approx(1.0)
    known = np.ones(55, np.int64)
    kept, chance = label_consistency(known, found[:55])  # unlabelled episodes do not count
    assert clustering.metrics["label_consistency"] == kept
    assert clustering.metrics["label_consistency_chance"] == chance
    assert clustering.embedding.shape == (60, 5) and clustering.env_steps == 120
    own = clustering.clusters.centroids[found]
    assert labels.representation is not None
    assert labels.representation.mean_distance == pytest.approx(
        np.linalg.norm(clustering.embedding - own, axis=1).mean()
    )
    assert len(clustering.codes.count) == 0  # no codebook
    labels.label(replay, newest, CPU)
    assert np.array_equal(replay.label[newest], found)  # the classifier follows


def test_codes_are_counted_over_the_newest_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = played_replay(random_env(4), 50, seed=5)
    labels = _labels(replay, QUANTISED)
    labels.label(replay, replay.finished, CPU)
    monkeypatch.setattr("trama.learning.labels.COUNTED_EPISODES", 7)
    clustering = labels.recluster(replay, 100, 50, CPU)
    assert clustering is not None
    use, newest = clustering.codes, replay.finished[-7:]
    for of_use, of_replay in ((use.label, replay.label), (use.task, replay.task)):
        expected = np.bincount(of_replay[newest], replay.length[newest], minlength=3)
        assert np.array_equal(np.bincount(of_use, use.count, minlength=3), expected)
    assert clustering.metrics["codes_in_use"] == len(set(use.code.tolist())) > 1


def test_when_a_clustering_is_due() -> None:
    replay = played_replay(random_env(4), 50, seed=4)
    labels = _labels(replay)  # first at 100 env steps; every 40 episodes or 50 env steps
    labels.label(replay, replay.finished, CPU)

    def due(env_steps: int, episodes: int) -> bool:
        if not labels.clustering_due(replay, env_steps, episodes):
            return False
        return labels.recluster(replay, env_steps, episodes, CPU) is not None

    assert not due(99, 400)  # episodes do not hasten the first one
    assert due(104, 400)
    assert not due(153, 439)
    assert due(154, 439)
    assert due(155, 479)
    assert not due(204, 518)
    assert due(205, 480)


def test_too_few_episodes_wait() -> None:
    replay = played_replay(random_env(2), 7, seed=5)
    more = played_replay(random_env(2), 30, seed=5)
    labels = _labels(more)
    labels.label(more, more.finished, CPU)
    assert not labels.clustering_due(replay, 100, 8)
    assert labels.clustering_due(more, 101, 30)


def _two_used(points: np.ndarray, *rest: object) -> Clusters:
    return Clusters(np.arange(len(points)) % 2, np.zeros((3, points.shape[1])), np.arange(3))


def test_a_clustering_with_too_few_clusters_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replay = played_replay(random_env(4), 50, seed=6)
    labels = _labels(replay)
    labels.label(replay, replay.finished, CPU)
    assert labels.centroids is not None
    known, centroids = replay.label.copy(), labels.centroids.copy()
    mean_distance = labels.mean_distance
    weights = [p.clone() for p in labels.classifier.parameters()]
    monkeypatch.setattr("trama.learning.labels.fit_clusters", _two_used)
    assert labels.recluster(replay, 100, 50, CPU) is None
    assert np.array_equal(labels.centroids, centroids)
    assert labels.mean_distance == mean_distance > 0
    assert np.array_equal(replay.label, known)
    after = labels.classifier.parameters()
    assert all(torch.equal(a, b) for a, b in zip(weights, after, strict=True))
    monkeypatch.undo()
    assert not labels.clustering_due(replay, 149, 60)  # not sooner than after any other
    assert labels.clustering_due(replay, 150, 60)


def test_fewer_clusters_are_enough_if_the_config_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = played_replay(random_env(4), 50, seed=6)
    labels = _labels(replay)
    labels.label(replay, replay.finished, CPU)
    labels.cluster = small_cluster(min_clusters=2)
    monkeypatch.setattr("trama.learning.labels.fit_clusters", _two_used)
    assert labels.recluster(replay, 100, 50, CPU) is not None


# --- a number of classes that is chosen ----------------------------------------------------------


def test_the_number_of_classes_is_chosen_anew_and_old_classes_keep_their_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    replay = played_replay(random_env(4), 60, seed=2)
    labels = _labels(replay, CHOSEN, n_classes=2)
    assert labels.n_classes == 5 and labels.classes.tolist() == [0, 1]
    # Two classes, of which one holds two tasks; under other numbers than K-means would give.
    labels.classes = np.array([1, 4])
    slots, task = replay.finished, replay.task[replay.finished]
    replay.label[slots] = np.array([4, 1, 1])[task]
    with caplog.at_level("INFO", "trama"):
        found = labels.recluster(replay, 100, 60, CPU)
    assert found is not None and found.metrics["n_classes"] == 3
    assert "after 100 env steps: silhouette chooses 3 classes" in caplog.text
    assert _same(replay.label[slots], task)
    # Task 0 keeps its class, the larger one of the others too; the third has a number of its own.
    larger = 1 + int((task == 2).sum() > (task == 1).sum())
    assert set(replay.label[slots][task == 0]) == {4}
    assert set(replay.label[slots][task == larger]) == {1}
    assert labels.classes.tolist() == sorted(set(replay.label[slots].tolist()))
    new = set(labels.classes.tolist()) - {1, 4}
    assert len(new) == 1 and new < {0, 2, 3}
    kept = np.mean((task == 0) | (task == larger))
    assert found.metrics["label_consistency"] == pytest.approx(kept)
    own = [np.searchsorted(labels.classes, k) for k in replay.label[slots]]
    assert np.array_equal(found.clusters.labels, replay.label[slots])
    assert labels.centroids is not None and labels.centroids.shape == (3, 5)
    distance = np.linalg.norm(found.embedding - labels.centroids[own], axis=1)
    assert labels.mean_distance == pytest.approx(distance.mean())
    assert found.class_share.sum() == pytest.approx(1.0) and len(found.class_share) == 5
    # The same number again: from the previous centroids, under the same names.
    known = replay.label.copy()
    again = labels.recluster(replay, 160, 60, CPU)
    assert again is not None and again.metrics["label_consistency"] == 1.0
    assert np.array_equal(replay.label, known)
    # Episodes that come later are given one of these classes.
    labels.label(replay, slots, CPU)
    assert np.array_equal(replay.label, known)


def test_a_class_fewer_is_out_of_use() -> None:
    replay = played_replay(random_env(4), 60, seed=2)
    labels = _labels(replay, CHOSEN, n_classes=5)
    labels.label(replay, replay.finished, CPU)
    before = set(replay.label[replay.finished].tolist())
    assert before == {0, 1, 2, 3, 4}
    found = labels.recluster(replay, 100, 60, CPU)
    assert found is not None and len(labels.classes) == 3
    labels.label(replay, replay.finished, CPU)
    assert set(replay.label[replay.finished].tolist()) == set(labels.classes.tolist()) < before
    assert found.metrics["label_consistency"] > 0.4  # of three tasks, each largest part


def test_afresh_classes_have_the_lowest_numbers() -> None:
    replay = played_replay(random_env(4), 60, seed=2)
    labels = _labels(replay, CHOSEN, n_classes=3, initialisation="random")
    labels.classes = np.array([1, 3, 4])
    labels.label(replay, replay.finished, CPU)
    assert labels.recluster(replay, 100, 60, CPU) is not None
    assert labels.classes.tolist() == [0, 1, 2]


def test_a_cold_start_begins_with_all_classes_that_there_is_room_for() -> None:
    replay = played_replay(random_env(4), 60, seed=2)
    warm = _labels(replay, CHOSEN, n_classes=3)
    labels = ClusterLabels(
        warm.embedding, warm.classifier, None, 0.0, CHOSEN, warm.cluster, warm.config, seed=0
    )
    assert labels.classes.tolist() == [0, 1, 2, 3, 4]
    found = labels.recluster(replay, 100, 60, CPU)
    assert found is not None and "label_consistency" not in found.metrics
    assert found.metrics["n_classes"] == 3
    assert set(replay.label[replay.finished].tolist()) == set(labels.classes.tolist())


def test_value_reads_states_and_rewards_of_the_clustered_episodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replay = played_replay(random_env(4), 70, seed=3)  # more than max_trajectories 60
    chosen = Representation.model_validate(
        {"embedding": "mean_state", "class_number": {"criterion": "value", "most": 4}}
    )
    labels = _labels(replay, chosen, n_classes=2)
    labels.label(replay, replay.finished, CPU)
    seen: list[Trajectories] = []

    def compared(
        criterion: str, points: np.ndarray, most: int, seed: int, trajectories: Any
    ) -> Any:
        seen.append(trajectories())
        return compare_class_numbers("value", points, most, seed, trajectories)

    monkeypatch.setattr("trama.learning.labels.compare_class_numbers", compared)
    assert labels.recluster(replay, 100, 70, CPU) is not None
    newest = replay.finished[-60:]
    of_step = {
        (number, int(t)): i
        for i, (number, t) in enumerate(
            zip(seen[0].trajectory.tolist(), seen[0].feature[:, 0], strict=True)
        )
    }
    assert len(of_step) == replay.length[newest].sum()  # all steps of such short episodes
    for number, slot in enumerate(newest):
        length = replay.length[slot]
        scaled = labels.embedding.scaler(torch.from_numpy(replay.state[slot, :length])).numpy()
        for step in range(length):
            row = of_step[number, step]
            to_go = replay.reward[slot, step:length].sum(dtype=np.float64)
            assert seen[0].to_go[row] == pytest.approx(to_go, abs=1e-5)
            np.testing.assert_allclose(seen[0].feature[row, 2:], scaled[step], rtol=1e-6)
        np.testing.assert_allclose(seen[0].first[number], scaled[0], rtol=1e-6)


def test_collapsed_embeddings_keep_the_classes(caplog: pytest.LogCaptureFixture) -> None:
    replay = played_replay(random_env(4), 60, seed=2)
    labels = _labels(replay, CHOSEN, n_classes=2)
    labels.label(replay, replay.finished, CPU)
    replay.state[:] = 1.0
    assert labels.recluster(replay, 100, 60, CPU) is None
    assert "collapsed to fewer than 8 different ones" in caplog.text
    assert labels.classes.tolist() == [0, 1]


def test_what_was_chosen_is_part_of_the_state() -> None:
    replay = played_replay(random_env(4), 60, seed=2)
    labels, other = (_labels(replay, CHOSEN, n_classes=2) for _ in range(2))
    labels.label(replay, replay.finished, CPU)
    labels.classes = np.array([1, 4])
    replay.label[replay.finished] = labels.classes[replay.label[replay.finished]]
    assert labels.recluster(replay, 100, 60, CPU) is not None
    other.load_state_dict(labels.state_dict())
    assert np.array_equal(other.classes, labels.classes) and len(other.classes) == 3
    known = replay.label.copy()
    other.label(replay, replay.finished, CPU)
    assert np.array_equal(replay.label, known)


# --- online updates of the VQ-VAE ----------------------------------------------------------------


def test_vqvae_learns_densely_then_every_so_many_episodes() -> None:
    replay = played_replay(random_env(4), 40, seed=7)
    labels = _labels(replay, QUANTISED)  # dense until 100 env steps, then every 4 episodes
    labels.label(replay, replay.finished, CPU)
    batch = replay.batch(replay.finished[:8], CPU)
    calls = [(99, 10), (100, 10), (101, 10), (102, 13), (103, 14), (104, 15), (105, 21)]
    vqvae = labels.embedding.vqvae
    assert vqvae is not None
    for (env_steps, episodes), expected in zip(
        calls, [True, True, False, False, True, False, True], strict=True
    ):
        before = vqvae.codebook.detach().clone()
        assert labels.learning_due(env_steps, episodes) == expected
        if expected:
            losses = labels.learn(batch, episodes)
            assert not torch.equal(before, vqvae.codebook)
            terms = ("loss", "reconstruction", "vq", "commitment", "coverage")
            assert set(losses) == {f"vqvae_{term}" for term in terms}
            assert not any(value.requires_grad for value in losses.values())


def test_vqvae_learns_from_standardised_real_steps_and_their_labels() -> None:
    replay = played_replay(random_env(4), 40, seed=8)
    labels = _labels(replay, QUANTISED)
    labels.label(replay, replay.finished, CPU)
    batch = replay.batch(replay.finished[:8], CPU)
    vqvae = labels.embedding.vqvae
    assert vqvae is not None
    states: list[torch.Tensor] = []
    steps: list[int] = []
    classes: list[int] = []
    for slot in batch.slots:
        length = int(replay.length[slot])
        states.append(torch.from_numpy(replay.state[slot, :length]))
        steps += range(length)
        classes += [int(replay.label[slot])] * length
    expected = vqvae.loss(
        labels.embedding.scaler(torch.cat(states)),
        torch.tensor(steps),
        int(replay.length[batch.slots].max()),
        torch.tensor(classes),
    )
    found = labels.learn(batch, 0)
    torch.testing.assert_close(found["vqvae_loss"], expected.total.detach())
    torch.testing.assert_close(found["vqvae_coverage"], expected.coverage.detach())


def test_mean_state_has_nothing_to_learn() -> None:
    replay = played_replay(random_env(4), 20, seed=9)
    assert not _labels(replay).learning_due(0, 10**9)


# --- the oracle ----------------------------------------------------------------------------------


def test_the_oracle_alone_reads_the_true_task() -> None:
    replay = played_replay(random_env(4), 40, seed=10)
    labels, oracle = _labels(replay), TrueTaskLabels(3)
    slots = replay.finished
    labels.label(replay, slots, CPU)
    pseudo = replay.label[slots].copy()
    oracle.label(replay, slots, CPU)
    assert np.array_equal(replay.label[slots], replay.task[slots])
    replay.task[slots] = (replay.task[slots] + 1) % 3
    oracle.label(replay, slots, CPU)
    assert np.array_equal(replay.label[slots], replay.task[slots])
    labels.label(replay, slots, CPU)
    assert np.array_equal(replay.label[slots], pseudo)
    assert not oracle.clustering_due(replay, 10**9, 10**9)
    assert not oracle.learning_due(0, 10**9)
    assert isinstance(labels.embedding, TrajectoryEmbedding)


def test_the_class_of_a_task_is_what_most_of_its_episodes_have() -> None:
    replay = played_replay(random_env(4), 60, seed=0, capacity=40)
    labels, oracle = _labels(replay), TrueTaskLabels(3)
    tasks = ("a", "b", "c")
    assert labels.class_of_task(replay, tasks) == dict.fromkeys(tasks)  # nothing is labelled
    assert oracle.class_of_task(replay, tasks) == {"a": 0, "b": 1, "c": 2}
    of_task = [replay.finished[replay.task[replay.finished] == task] for task in range(3)]
    assert min(map(len, of_task)) > 6
    # Task 0 in halves but for one, task 1 in class 2 as well, of task 2 nothing.
    half = len(of_task[0]) // 2
    replay.label[of_task[0][: half - 1]], replay.label[of_task[0][half:]] = 1, 2
    replay.label[of_task[1][:5]] = [2, 2, 0, 1, 2]
    # Episodes that the buffer no longer holds do not count.
    gone = np.setdiff1d(np.arange(len(replay.label)), replay.finished)
    replay.label[gone], replay.task[gone] = 0, 2
    assert labels.class_of_task(replay, tasks) == {"a": 2, "b": 2, "c": None}
