"""Criteria for the number of classes, on data whose number is known."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from trama.config.model import Criterion
from trama.errors import TramaError
from trama.learning.class_number import (
    FEWEST_PER_CLASS,
    STEPS_PER_TRAJECTORY,
    Comparison,
    Trajectories,
    compare_class_numbers,
    read_trajectories,
    spread_steps,
)

CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
OF_EMBEDDINGS = tuple(name for name in CRITERIA if name not in ("value", "foretold"))
CENTRES = np.array([[0, 0, 0], [6, 0, 0], [0, 6, 0], [0, 0, 6], [6, 6, 6]], float)


def _clouds(k: int, n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points [n, 3] in k round clouds six standard deviations apart, and their clouds."""
    rng = np.random.default_rng([seed, k])
    cloud = np.arange(n) % k
    return (CENTRES[cloud] + rng.normal(size=(n, 3))).astype(np.float32), cloud


def _trajectories(cloud: np.ndarray, n_kinds: int, seed: int = 0) -> Trajectories:
    """First states that show the cloud, and two more states of each trajectory.

    What the first feature of these is worth depends on the cloud's kind.
    """
    rng = np.random.default_rng([seed, 7])
    trajectory = np.repeat(np.arange(len(cloud)), 2)
    state = rng.normal(size=(len(trajectory), 3))
    slope = np.array([-2.0, 0.0, 2.0, 4.0, 6.0])[cloud[trajectory] % n_kinds]
    to_go = slope * state[:, 0] + state[:, 1] + 0.3 * rng.normal(size=len(trajectory))
    first = CENTRES[cloud] + 0.3 * rng.normal(size=(len(cloud), 3))
    return Trajectories(first, trajectory, state, to_go)


def _never() -> Trajectories:
    raise AssertionError("only value and foretold read more than the embeddings")


def _compare(criterion: Criterion, points: np.ndarray, cloud: np.ndarray, **how: int) -> Comparison:
    def trajectories() -> Trajectories:
        return _trajectories(cloud, int(cloud.max()) + 1)

    settings = {"most": 8, "seed": 0} | how
    reads = _never if criterion in OF_EMBEDDINGS else trajectories
    return compare_class_numbers(criterion, points, trajectories=reads, **settings)


@pytest.mark.parametrize("k", [2, 3, 4, 5])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_finds_the_number_of_separate_clouds(criterion: Criterion, k: int) -> None:
    for seed in range(2):
        points, cloud = _clouds(k, seed=seed)
        found = _compare(criterion, points, cloud, seed=seed)
        assert found.chosen == k
        assert found.criterion == criterion
        assert found.n_classes.tolist() == [2, 3, 4, 5, 6, 7, 8]
        assert np.isfinite(found.score).all() and len(found.score) == 7
        has_error = criterion in ("gap", "stability", "value", "foretold")
        assert np.isfinite(found.error).all() if has_error else np.isnan(found.error).all()


@pytest.mark.parametrize("criterion", CRITERIA)
def test_equal_seeds_give_equal_results_whatever_was_drawn_before(criterion: Criterion) -> None:
    points, cloud = _clouds(3)
    first = _compare(criterion, points, cloud)
    np.random.seed(5)
    again = _compare(criterion, points, cloud)
    assert np.array_equal(first.score, again.score)
    assert np.array_equal(first.error, again.error, equal_nan=True)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_scale_and_place_of_the_embeddings_do_not_matter(criterion: Criterion) -> None:
    points, cloud = _clouds(3)
    moved = _compare(criterion, points * 1e-3 + 0.5, cloud)
    assert moved.chosen == 3


@pytest.mark.parametrize("criterion", ["gap", "bic", "slope", "stability", "foretold"])
def test_of_one_blob_the_fewest_classes_are_chosen(criterion: Criterion) -> None:
    """There is no class to find, and two are the fewest that there may be."""
    for seed in range(3):
        points = np.random.default_rng(seed).normal(size=(400, 3)).astype(np.float32)
        assert _compare(criterion, points, np.zeros(400, int), seed=seed).chosen == 2


def test_of_one_blob_whose_states_have_one_worth_value_chooses_the_fewest() -> None:
    points = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    assert _compare("value", points, np.zeros(400, int)).chosen == 2


def test_the_silhouette_of_one_blob_is_low_whatever_it_chooses() -> None:
    points = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    found = _compare("silhouette", points, np.zeros(400, int))
    assert found.chosen in found.n_classes and found.score.max() < 0.35
    assert found.score.max() == found.score[found.n_classes == found.chosen]


def test_value_splits_only_what_is_worth_something() -> None:
    """Four clouds, in which a state has two worths."""
    _, cloud = _clouds(4, n=800)
    # Clouds 0 and 1 lie together, far from 2 and 3, and are of one kind.
    kind = cloud // 2
    points = CENTRES[cloud] + 20.0 * kind[:, None]
    points += np.random.default_rng(0).normal(size=points.shape)
    found = compare_class_numbers("value", points, 8, 0, lambda: _by_kind(cloud, kind))
    assert found.chosen == 2
    # 0 and 2 are of one kind, 1 and 3 of the other: two clusters do not tell these apart.
    found = compare_class_numbers("value", points, 8, 0, lambda: _by_kind(cloud, cloud % 2))
    assert found.chosen == 4


def _by_kind(cloud: np.ndarray, kind: np.ndarray) -> Trajectories:
    """First states that show the cloud, returns that depend on the kind."""
    shown = _trajectories(cloud, 1).first
    return replace(_trajectories(kind, 2), first=shown)


def test_value_measures_on_trajectories_left_out() -> None:
    """Returns that nothing tells are explained by no class: the score is not above zero."""
    points, cloud = _clouds(3, n=300)
    rng = np.random.default_rng(0)
    noise = Trajectories(
        _trajectories(cloud, 3).first,
        np.arange(300),
        rng.normal(size=(300, 3)),
        rng.normal(size=300),
    )
    found = compare_class_numbers("value", points, 8, 0, lambda: noise)
    assert found.chosen == 2 and found.score.max() < 0.02
    told = _compare("value", points, cloud)
    assert told.score[1] > 0.9 > told.score[0]


@pytest.mark.parametrize("criterion", ["value", "foretold"])
def test_classes_of_the_outcome_are_no_gain(criterion: Criterion) -> None:
    """Two tasks; the embedding shows as clearly whether an episode will have been won."""
    rng = np.random.default_rng(0)
    task, won = np.arange(600) % 2, rng.integers(2, size=600)
    points = 2 * CENTRES[task] + CENTRES[2 * won] + rng.normal(size=(600, 3))
    trajectory, state = np.arange(600), rng.normal(size=(600, 3))
    to_go = np.where(task, 1.0, -1.0) * state[:, 0] + 5.0 * won
    first = CENTRES[task] + rng.normal(size=(600, 3))
    more = Trajectories(first, trajectory, state, to_go)
    found = compare_class_numbers(criterion, points, 8, 0, lambda: more)
    assert found.chosen == 2
    # Of four clusters, the first state tells the task, and the rest is chance.
    assert _compare("bic", points, task).chosen == 4
    if criterion == "foretold":
        assert found.score[0] > 0.95 and found.score[2] == pytest.approx(1 / 3, abs=0.1)


def test_foretold_agreement_is_above_chance_and_on_trajectories_left_out() -> None:
    points, cloud = _clouds(3, n=300)
    told = _compare("foretold", points, cloud)
    assert told.score[1] > 0.98
    assert told.score[2:].max() < 0.9
    nothing = replace(
        _trajectories(cloud, 3), first=np.random.default_rng(0).normal(size=(300, 20))
    )
    found = compare_class_numbers("foretold", points, 8, 0, lambda: nothing)
    assert found.chosen == 2 and np.abs(found.score).max() < 0.15


@pytest.mark.parametrize("criterion", OF_EMBEDDINGS)
def test_equal_embeddings_and_flat_directions_break_nothing(criterion: Criterion) -> None:
    """Three points a hundred times each, in a plane: a mixture's likelihood has no bound."""
    points = np.repeat(CENTRES[:3], 100, axis=0)
    spread = np.random.default_rng(0).normal(size=points.shape) * [1e-2, 1e-2, 0.0]
    found = _compare(criterion, (points + spread).astype(np.float32), np.repeat(np.arange(3), 100))
    assert np.isfinite(found.score).all()
    assert found.chosen == 3


def test_many_dimensions_and_few_points() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 60)) * 3
    points = (centres[np.arange(45) % 3] + rng.normal(size=(45, 60))).astype(np.float32)
    for criterion in OF_EMBEDDINGS:
        found = _compare(criterion, points, np.zeros(45, int), most=8)
        assert np.isfinite(found.score).all()
        assert found.n_classes.tolist() == list(range(2, 9))


def test_no_more_candidates_than_the_data_bear() -> None:
    points, cloud = _clouds(2, n=5 * FEWEST_PER_CLASS)
    assert _compare("silhouette", points, cloud, most=8).n_classes.tolist() == [2, 3, 4, 5]
    few = points[: 2 * FEWEST_PER_CLASS - 1]
    with pytest.raises(TramaError, match=r"7 different trajectory embeddings.*takes 8. Collect"):
        _compare("silhouette", few, cloud[: len(few)])


# --- the steps at which returns are predicted -----------------------------------------------------


def test_steps_are_spread_over_the_trajectory() -> None:
    length = np.array([1, 5, STEPS_PER_TRAJECTORY, 100])
    trajectory, step = spread_steps(length)
    of = {number: step[trajectory == number] for number in range(4)}
    assert of[0].tolist() == [0]
    assert of[1].tolist() == [0, 1, 2, 3, 4]
    assert of[2].tolist() == list(range(STEPS_PER_TRAJECTORY))
    assert len(of[3]) == STEPS_PER_TRAJECTORY
    assert np.ptp(np.diff(of[3])) <= 1 and of[3].min() == 99 - of[3].max()


def test_values_are_sums_of_the_rewards_to_come() -> None:
    length = np.array([3, 2])
    reward = np.array([1.0, 2.0, 4.0, 8.0, 16.0], np.float32)
    trajectory, step = np.array([0, 0, 1, 1]), np.array([0, 2, 0, 1])
    state = np.arange(8.0).reshape(4, 2)
    first = np.ones((2, 2))
    found = read_trajectories(first, trajectory, step, state, reward, length)
    assert found.first is first
    assert found.to_go.tolist() == [7.0, 4.0, 24.0, 16.0]
    assert found.trajectory.tolist() == [0, 0, 1, 1]
    assert np.array_equal(found.feature[:, 2:], state)
    assert found.feature[:, :2].tolist() == [[0, 0], [2, 4], [0, 0], [1, 1]]
