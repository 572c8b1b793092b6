"""State statistics and standardising."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from trama.learning.scaling import (
    StateScaler,
    StateStatistics,
    StatisticsAccumulator,
    summed_features,
)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_pieces_equal_the_whole(offset: float) -> None:
    rng = np.random.default_rng(0)
    states = (rng.normal(size=(5000, 4)) * [1.0, 3.0, 0.2, 10.0] + offset).astype(np.float32)
    length = rng.integers(1, 20, 1000)
    length = np.append(length[length.cumsum() < 5000], 1)
    length[-1] += 5000 - length.sum()
    accumulator = StatisticsAccumulator(4, 0.01)
    bounds = [0, 1, 7, 7, 200, len(length)]
    starts = np.append(0, length.cumsum())
    for first, last in pairwise(bounds):
        if last > first:
            accumulator.add(states[starts[first] : starts[last]], length[first:last])
    found, exact = accumulator.result(), states.astype(np.float64)
    assert accumulator.count == 5000
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.std, exact.std(0), rtol=1e-5)
    assert found.mean.dtype == found.std.dtype == np.float32
    means = np.stack([part.mean(0) for part in np.split(exact, starts[1:-1])])
    between = np.average((means - exact.mean(0)) ** 2, axis=0, weights=length)
    ratio = accumulator.correlation_ratio()
    np.testing.assert_allclose(ratio, np.sqrt(between / exact.var(0)), rtol=1e-3)
    assert ratio.dtype == np.float32


@pytest.mark.parametrize(("floor", "std"), [(0.01, [0.01, 0.01, 0.05]), (0.03, [0.03, 0.03, 0.05])])
def test_std_is_floored(floor: float, std: list[float]) -> None:
    accumulator = StatisticsAccumulator(3, floor)
    accumulator.add(np.array([[7.0, 1.0, 0.0], [7.0, 1.001, 0.1]], np.float32), np.array([2]))
    np.testing.assert_allclose(accumulator.result().std, std, rtol=1e-5)


def test_adding_leaves_the_rows_alone() -> None:
    states = np.ones((3, 2), np.float32)
    StatisticsAccumulator(2, 0.01).add(states, np.array([1, 2]))
    assert (states == 1).all()


def test_correlation_ratio_tells_what_a_trajectory_is_from_what_happens_in_it() -> None:
    """Features: a kind of trajectory; the same course in each; neither; both in equal parts."""
    kind, course = np.repeat([1.0, -1.0, -1.0, 1.0], 4), np.tile([1.0, 1.0, -1.0, -1.0], 4)
    states = np.stack([kind, course, np.full(16, 3.0), kind + course], axis=1)
    accumulator = StatisticsAccumulator(4, 0.01)
    accumulator.add(states[:8].astype(np.float32), np.array([4, 4]))
    accumulator.add(states[8:].astype(np.float32), np.array([4, 4]))
    ratio = accumulator.correlation_ratio()
    np.testing.assert_allclose(ratio, [1.0, 0.0, 0.0, np.sqrt(0.5)], atol=1e-6)
    scaler = StateScaler(accumulator.result().weighted(ratio))
    scaled = scaler(torch.from_numpy(states.astype(np.float32)))
    np.testing.assert_allclose(scaled.std(0, correction=0), ratio, atol=1e-4)


def test_no_rows() -> None:
    with pytest.raises(ValueError, match="no states"):
        StatisticsAccumulator(3, 0.01).result()


def test_scaler_standardises_and_travels_with_its_network() -> None:
    statistics = StateStatistics(
        np.array([1.0, -2.0], np.float32), np.array([2.0, 0.5], np.float32)
    )
    scaler = StateScaler(statistics)
    assert scaler(torch.tensor([[3.0, -2.0], [1.0, -1.0]])).tolist() == [[1.0, 0.0], [0.0, 2.0]]
    other = StateScaler(StateStatistics(np.zeros(2, np.float32), np.ones(2, np.float32)))
    other.load_state_dict(scaler.state_dict())
    assert other(torch.tensor([[3.0, 0.0]])).tolist() == [[1.0, 4.0]]
    assert not list(scaler.parameters())


def test_sums_do_not_depend_on_the_order_of_units() -> None:
    features = ["ally_0_x", "ally_0_is_2", "ally_10_x", "ally_10_is_2", "enemy_0_x", "step"]
    names, sums = summed_features(features)
    assert names == ["ally_x", "ally_is_2", "enemy_x", "step"]
    mean, std = np.array([3, 0, 0, 0], np.float32), np.array([2, 1, 1, 4], np.float32)
    scaler = StateScaler(StateStatistics(mean, std, sums))
    state = torch.tensor([[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]])
    assert scaler.size == 4 and scaler(state).tolist() == [[1.0, 10.0, 16.0, 8.0]]
    assert scaler(state[:, [2, 3, 0, 1, 4, 5]]).tolist() == scaler(state).tolist()
    assert sums.shape == (6, 4) and sums.dtype == np.float32


def test_raw_states_stay_as_they_are() -> None:
    state = torch.tensor([[1.5, -300.0]])
    assert StateScaler(StateStatistics.identity(2))(state).tolist() == state.tolist()
