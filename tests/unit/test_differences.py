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


def test_two_names_have_the_interval_of_students_test_for_runs_alone_or_in_pairs() -> None:
    own, other = np.random.default_rng(2).normal(size=(2, 4))
    runs = {"own": own, "other": other}
    for error, test in (
        (differences.by_name(runs), scipy.stats.ttest_ind),
        (differences.by_name_and_seed(runs), scipy.stats.ttest_rel),
    ):
        interval = test(own, other).confidence_interval(0.95)
        found = differences.difference(own, other, error)
        assert found[1:] == pytest.approx((interval.low, interval.high, 4))
    paired = differences.contrast([own - other], [])
    assert paired == pytest.approx(found)


def test_errors_are_those_of_an_analysis_of_variance() -> None:
    runs = np.random.default_rng(3).normal(size=(5, 3))
    error = differences.by_name(dict(zip("abcde", runs, strict=True)))
    within = runs - runs.mean(1, keepdims=True)
    assert error == pytest.approx((np.sqrt((within**2).sum() / 10), 10))
    between = 3 * ((runs.mean(1) - runs.mean()) ** 2).sum() / 4
    f = scipy.stats.f_oneway(*runs).statistic
    assert between / error.deviation**2 == pytest.approx(f)


def test_what_seeds_have_in_common_is_no_error_in_blocks() -> None:
    of_seeds = np.array([0.3, 0.5, 0.7])
    runs = {name: of_seeds + more for name, more in zip("abc", (0.0, 0.1, 0.2), strict=True)}
    assert differences.by_name_and_seed(runs) == pytest.approx((0, 4))
    assert differences.by_name(runs) == pytest.approx((0.2, 6))


def test_runs_without_any_spread_have_no_interval() -> None:
    own, other = np.full(3, 0.75), np.full(3, 0.25)
    error = differences.by_name({"own": own, "other": other})
    for found in (
        differences.contrast([own], [other]),
        differences.difference(own, other, error),
    ):
        assert found == (0.5, 0.5, 0.5, 3)


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


def test_runs_that_are_the_same_count_once() -> None:
    a, b, c = np.random.default_rng(5).normal(size=(3, 4))
    for error in (differences.by_name, differences.by_name_and_seed):
        alone = error({"a": a, "b": b, "c": c})
        assert error({"a": a, "b": b, "c": c, "b_again": b.copy()}) == alone
    assert differences.by_name_and_seed({"a": a, "a_again": a.copy()}) == (0.0, 3)
