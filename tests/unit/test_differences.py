"""Intervals of differences of few runs, beside those that scipy finds."""

import numpy as np
import pytest
import scipy.stats

from trama.reporting import differences

NOISE = np.array([-0.1, 0.0, 0.1])


def test_a_contrast_of_two_sets_has_welchs_interval() -> None:
    rng = np.random.default_rng(1)
    own, other = rng.normal(size=4), 3 * rng.normal(size=3)
    welch = scipy.stats.ttest_ind(own, other, equal_var=False).confidence_interval(0.95)
    found = differences.contrast([own], [other])
    assert found == pytest.approx((own.mean() - other.mean(), welch.low, welch.high, 3))


def test_a_contrast_of_four_sets_of_one_variance_has_all_their_degrees_of_freedom() -> None:
    found = differences.contrast([NOISE + 0.9, NOISE + 0.1], [NOISE + 0.2, NOISE + 0.3])
    half = scipy.stats.t.ppf(0.975, 4 * 2) * np.sqrt(4 * 0.01 / 3)
    assert found == pytest.approx((0.5, 0.5 - half, 0.5 + half, 3))


def test_a_contrast_of_one_set_of_gaps_has_students_interval_of_pairs() -> None:
    own, other = np.random.default_rng(2).normal(size=(2, 4))
    interval = scipy.stats.ttest_rel(own, other).confidence_interval(0.95)
    found = differences.contrast([own - other], [])
    assert found[1:] == pytest.approx((interval.low, interval.high, 4))


def test_runs_without_any_spread_have_no_interval() -> None:
    own, other = np.full(3, 0.75), np.full(3, 0.25)
    assert differences.contrast([own], [other]) == (0.5, 0.5, 0.5, 3)
    assert differences.contrast([own - other], []) == (0.5, 0.5, 0.5, 3)


def test_pairs_of_several_problems_are_those_of_their_own_runs() -> None:
    own, other = np.random.default_rng(7).normal(size=(2, 5, 3))
    found = differences.paired(own, other, ["P", "P", "Q"])
    gaps = own - other
    assert found.value == pytest.approx(gaps.mean())
    # Of two tasks and of one: Welch's interval of the sum of both parts.
    parts = gaps[:, :2].sum(1) / 3, -gaps[:, 2] / 3
    interval = scipy.stats.ttest_ind(*parts, equal_var=False).confidence_interval(0.95)
    assert found[1:] == pytest.approx((interval.low, interval.high, 5))
    of_one = scipy.stats.ttest_1samp(gaps.mean(1), 0).confidence_interval(0.95)
    assert differences.paired(own, other)[1:3] == pytest.approx((of_one.low, of_one.high))
    assert differences.paired(own[:2], other[:2])[1:] == (None, None, 2)
