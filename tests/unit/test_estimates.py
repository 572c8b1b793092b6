"""Estimates and intervals against closed forms and tables computed by hand."""

import math
from functools import partial
from itertools import product

import numpy as np
import pytest
import scipy.stats

from trama.reporting import estimates
from trama.reporting.estimates import Estimate, Statistic

# Three runs on two tasks.
_SCORES = np.array([[0.0, 0.8], [0.3, 0.9], [0.6, 1.3]])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([[1.0, 2.0], [3.0, 100.0]], 2.5),  # one of four at each end
        ([[5.0, -90.0, 1.0, 3.0], [4.0, 70.0, 2.0, 6.0]], 3.5),  # two of eight: 2, 3, 4, 5 stay
        ([[0.0], [0.0], [9.0]], 3.0),  # of three none: the mean
        ([[0.0, 1.0, 2.0], [3.0, 4.0, 95.0]], 2.5),  # a quarter of six, rounded down, is one
    ],
)
def test_iqm_is_the_mean_of_the_middle_half(scores: list[list[float]], expected: float) -> None:
    assert estimates.iqm(np.array(scores)) == pytest.approx(expected)


def test_mean_and_optimality_gap_by_hand() -> None:
    assert estimates.mean(_SCORES) == pytest.approx(3.9 / 6)
    # What is beyond the target counts as the target: 1 - (0 + .8 + .3 + .9 + .6 + 1) / 6.
    assert estimates.optimality_gap(_SCORES) == pytest.approx(0.4)
    assert estimates.optimality_gap(_SCORES, target=0.5) == pytest.approx(0.5 - 2.3 / 6)


@pytest.mark.parametrize(
    "statistic", [estimates.iqm, estimates.mean, estimates.optimality_gap], ids=lambda f: f.__name__
)
def test_a_statistic_of_many_score_arrays_is_that_of_each(statistic: Statistic) -> None:
    many = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    each = [[statistic(scores) for scores in row] for row in many]
    np.testing.assert_allclose(statistic(many), each)


def test_interval_of_a_mean_is_that_of_the_normal_formula() -> None:
    scores = np.random.default_rng(1).normal(3.0, 2.0, size=(200, 1))
    result = estimates.estimate(scores, estimates.mean, 7, resamples=20_000)
    # The bootstrap of a mean has the standard error of the plug-in distribution, and at 200 runs
    # its normal shape.
    error = scores.std() / math.sqrt(200)
    half = scipy.stats.norm.ppf(0.975) * error
    # Monte-Carlo error of a 2.5 % quantile of 20,000 normal draws, four times over.
    density = scipy.stats.norm.pdf(scipy.stats.norm.ppf(0.975)) / error
    within = 4 * math.sqrt(0.025 * 0.975 / 20_000) / density
    assert result.value == pytest.approx(scores.mean())
    assert result.low == pytest.approx(scores.mean() - half, abs=within)
    assert result.high == pytest.approx(scores.mean() + half, abs=within)
    assert within < 0.05 * half


def test_interval_has_the_level_that_is_asked_for() -> None:
    scores = np.random.default_rng(2).normal(size=(200, 1))
    result = estimates.estimate(scores, estimates.mean, 7, level=0.5, resamples=20_000)
    half = scipy.stats.norm.ppf(0.75) * scores.std() / math.sqrt(200)
    assert result.low is not None
    assert result.high is not None
    assert (result.high - result.low) / 2 == pytest.approx(half, rel=0.05)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        truth = estimates.estimate(rng.normal(size=(30, 2)), estimates.mean, seed, resamples=500)
        assert truth.low is not None
        assert truth.high is not None
        covered += truth.low <= 0 <= truth.high
    # 95 %, less the known shortfall of the percentile method at 30 runs, four standard errors wide.
    assert 0.87 <= covered / 200 <= 0.99


def test_interval_of_three_seeds_by_all_resamples() -> None:
    runs = (0.0, 0.4, 1.0)
    means = sorted(np.mean(resample) for resample in product(runs, repeat=3))
    # Of 27 equally likely resamples one, 3.7 %, has the mean 0, and one the mean 1.
    assert (means[0], means[1]) == (0.0, pytest.approx(0.4 / 3))
    result = estimates.estimate(np.array(runs)[:, None], estimates.mean, 0)
    assert result.value == pytest.approx(1.4 / 3)
    assert result[1:] == (0.0, 1.0, 3)
    # Student's t of two degrees at 60 % is 1.061; times sqrt(3 / 2) that is the normal's 80.6 %.
    narrower = estimates.estimate(np.array(runs)[:, None], estimates.mean, 0, level=0.6)
    low, high = np.quantile(means, [0.097, 0.903], method="inverted_cdf")
    assert (narrower.low, narrower.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("n_seeds", [5, 10])
def test_interval_of_few_runs_of_many_tasks_covers_the_truth(n_seeds: int) -> None:
    """Runs are good or bad on all tasks alike, as one training plays them all."""
    rng = np.random.default_rng(13)
    covered = 0
    for seed in range(300):
        scores = rng.normal(size=(n_seeds, 1)) + 0.3 * rng.normal(size=(n_seeds, 6))
        found = estimates.estimate(scores, estimates.iqm, seed, resamples=500)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0 <= found.high
    # 95 %, less what is left of the shortfall at so few runs, four standard errors wide.
    assert covered / 300 >= 0.87


@pytest.mark.parametrize(
    ("n_problems", "n_seeds"), [(p, n) for p, of in estimates.COVERAGE.items() for n in of]
)
def test_intervals_of_few_runs_cover_as_little_as_captions_say(
    n_problems: int, n_seeds: int
) -> None:
    rng = np.random.default_rng(17)
    problems = [f"P{number}" for number in range(n_problems) for _ in range(6)]
    shape = 2, n_seeds, n_problems
    covered = np.zeros(2)
    for seed in range(300):
        runs = rng.normal(size=(*shape, 1)) + 0.3 * rng.normal(size=(*shape, 6))
        x, y = runs.reshape(2, n_seeds, -1)
        found = (
            estimates.estimate(x, estimates.iqm, seed, resamples=500, problems=problems),
            estimates.difference(x, y, estimates.iqm, seed, resamples=500, problems=problems),
        )
        for number, each in enumerate(found):
            assert each.low is not None and each.high is not None
            covered[number] += each.low <= 0 <= each.high
    shares = estimates.COVERAGE[n_problems][n_seeds]
    for found_share, share in zip(covered / 300, shares, strict=True):
        p = share / 100
        assert found_share == pytest.approx(p, abs=3 * np.sqrt(p * (1 - p) / 300))


def test_seeds_of_each_problem_are_drawn_by_themselves() -> None:
    rng = np.random.default_rng(19)
    scores = rng.normal(size=(200, 3))
    found = estimates.estimate(
        scores, estimates.mean, 0, resamples=10_000, problems=["P", "Q", "P"]
    )
    # The mean of three is that of the runs of P, of two tasks, and of the runs of Q.
    variances = [(scores[:, part].sum(1) / 3).var() / 200 for part in ([0, 2], [1])]
    half = scipy.stats.norm.ppf(0.975) * math.sqrt(sum(variances))
    assert found.low == pytest.approx(found.value - half, abs=0.05 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.05 * half)
    # What a seed wins on one problem it need not lose on the other: they are other runs.
    opposite = np.array([[0.0, 1.0], [0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    apart = estimates.estimate(opposite, estimates.mean, 0, problems=["P", "Q"])
    assert apart.low is not None and apart.high is not None and apart.low < 0.5 < apart.high
    as_one = estimates.estimate(opposite, estimates.mean, 0, problems=["P", "P"])
    assert as_one == estimates.estimate(opposite, estimates.mean, 0)
    for compare in (
        partial(estimates.difference, statistic=estimates.mean, seed=0),
        partial(estimates.probability_of_improvement, seed=0),
    ):
        gap = compare(opposite, opposite[:, ::-1] / 2, problems=["P", "Q"])
        assert gap.low is not None and gap.high is not None and gap.low < gap.value < gap.high


def test_problems_have_to_be_those_of_all_tasks() -> None:
    with pytest.raises(ValueError, match="2 problems of 3 tasks"):
        estimates.estimate(np.ones((4, 3)), estimates.mean, 0, problems=["P", "Q"])


def test_tasks_are_kept() -> None:
    # Runs agree on each task, and the tasks differ: other seeds would give the same again.
    scores = np.repeat([[0.1, 0.5, 0.9]], 5, axis=0)
    assert estimates.estimate(scores, estimates.mean, 0) == Estimate(0.5, 0.5, 0.5, 5)
    pooled = scipy.stats.bootstrap(
        (scores.ravel(),), np.mean, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert pooled.high - pooled.low > 0.2


def test_a_run_is_drawn_with_its_scores_on_all_tasks() -> None:
    # What it wins on one task it loses on the other: every resample has the same mean.
    scores = np.array([[0.0, 1.0], [0.2, 0.8], [0.5, 0.5], [0.9, 0.1]])
    assert estimates.estimate(scores, estimates.mean, 0) == Estimate(0.5, 0.5, 0.5, 4)
    # A second task on which each run does as well as on the first says nothing new.
    twice = np.repeat(scores[:, :1], 2, axis=1)
    once = estimates.estimate(scores[:, :1], estimates.mean, 0)
    assert estimates.estimate(twice, estimates.mean, 0) == once


@pytest.mark.parametrize("statistic", [estimates.iqm, estimates.mean, estimates.optimality_gap])
@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, 1.0])
def test_equal_scores_have_an_interval_of_no_width(statistic: Statistic, value: float) -> None:
    x, y = np.full((3, 4), value), np.full((5, 4), value)
    result = estimates.estimate(x, statistic, 0)
    assert result.low == result.value == result.high
    # Exactly: no last digit of a sum makes one variant better than another.
    assert estimates.difference(x, y, statistic, 0) == Estimate(0.0, 0.0, 0.0, 3)
    assert math.copysign(1, estimates.difference(x, y, statistic, 0).value) == 1


def test_difference_by_hand_and_against_the_normal_formula() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(1.0, 0.5, size=(120, 2)), rng.normal(0.4, 1.0, size=(80, 2))
    result = estimates.difference(x, y, estimates.mean, 5, resamples=10_000)
    assert result.value == pytest.approx(x.mean() - y.mean())
    assert result.n_seeds == 80
    # Each mean is over two independent tasks.
    variances = [scores.var(axis=0).sum() / 4 / len(scores) for scores in (x, y)]
    half = 1.96 * math.sqrt(sum(variances))
    assert result.low == pytest.approx(result.value - half, abs=0.1 * half)
    assert result.high == pytest.approx(result.value + half, abs=0.1 * half)


def test_shares_of_runs_by_published_examples() -> None:
    ones = np.repeat([[1.0], [0.0]], [9, 1], axis=0)
    # Clopper-Pearson of 9 of 10.
    assert estimates.share(ones)[:3] == pytest.approx((0.9, 0.5550, 0.9975), abs=1e-4)
    assert estimates.share(ones[:9])[:3] == pytest.approx((1.0, 0.6637, 1.0), abs=1e-4)
    assert estimates.share(ones[8:]) == Estimate(0.5, None, None, 2)
    # Newcombe 1998, table II, method 10: 56/70 - 48/80, 9/10 - 3/10 and 10/10 - 0/10.
    for counts, expected in (
        ((56, 70, 48, 80), (0.2, 0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.6, 0.1705, 0.8090)),
        ((10, 10, 0, 10), (1.0, 0.6075, 1.0)),
    ):
        done, n, other_done, other_n = counts
        x, y = (
            (np.arange(size) < number).astype(float)[:, None]
            for number, size in ((done, n), (other_done, other_n))
        )
        found = estimates.difference_of_shares(x, y)
        assert found[:3] == pytest.approx(expected, abs=1e-4)
        assert found.n_seeds == min(n, other_n)


def test_probability_of_improvement_of_separated_equal_and_tied_runs() -> None:
    low, high = np.array([[0.1], [0.2], [0.3]]), np.array([[0.4], [0.5], [0.6]])
    assert estimates.probability_of_improvement(high, low, 0) == Estimate(1.0, 1.0, 1.0, 3)
    assert estimates.probability_of_improvement(low, high, 0) == Estimate(0.0, 0.0, 0.0, 3)
    assert estimates.probability_of_improvement(low, low, 0).value == 0.5
    tied = np.full((3, 1), 0.2)
    assert estimates.probability_of_improvement(tied, tied, 0) == Estimate(0.5, 0.5, 0.5, 3)


def test_probability_of_improvement_by_hand_and_by_scipy() -> None:
    x = np.array([[0.2, 0.9], [0.5, 0.1], [0.5, 0.4]])
    y = np.array([[0.5, 0.4], [0.1, 0.0], [0.3, 0.2], [0.6, 0.8]])
    # Task 1: 0.2 beats 1 of 4; each 0.5 beats 2 and ties with 1: (1 + 2.5 + 2.5) / 12.
    # Task 2: 0.9 beats 4; 0.1 beats 1; 0.4 beats 2 and ties with 1: (4 + 1 + 2.5) / 12.
    result = estimates.probability_of_improvement(x, y, 0)
    assert result.value == pytest.approx((6 / 12 + 7.5 / 12) / 2)
    u = [scipy.stats.mannwhitneyu(x[:, task], y[:, task]).statistic / 12 for task in (0, 1)]
    assert result.value == pytest.approx(np.mean(u))
    assert result.n_seeds == 3
    assert result.low is not None
    assert result.high is not None
    assert 0 <= result.low < result.value < result.high <= 1


@pytest.mark.parametrize("n_seeds", [2, 4])
def test_the_other_way_round_a_comparison_is_the_same(n_seeds: int) -> None:
    rng = np.random.default_rng(10)
    x, y = rng.random((n_seeds, 3)), rng.random((5, 3))
    for compare, total in (
        (partial(estimates.difference, statistic=estimates.iqm, seed=3), 0),
        (partial(estimates.probability_of_improvement, seed=3), 1),
    ):
        one, other = compare(x, y), compare(y, x)
        assert one.value != other.value
        assert one.value + other.value == pytest.approx(total)
        assert one.n_seeds == other.n_seeds == n_seeds
        if n_seeds < estimates.MIN_SEEDS:
            assert one[1:3] == other[1:3] == (None, None)
            continue
        for end, opposite in ((one.low, other.high), (one.high, other.low)):
            assert end is not None
            assert opposite is not None
            assert end + opposite == pytest.approx(total)


def test_performance_profile_counts_the_runs_above() -> None:
    profile = estimates.performance_profile(_SCORES, np.array([-0.1, 0.0, 0.3, 0.85, 1.3]), 0)
    # A run at the threshold is not above it.
    np.testing.assert_allclose(profile.share, [1, 5 / 6, 4 / 6, 2 / 6, 0])
    assert profile.low is not None
    assert profile.high is not None
    assert profile.low[0] == profile.high[0] == 1
    assert profile.low[-1] == profile.high[-1] == 0
    assert np.all(profile.low <= profile.share)
    assert np.all(profile.share <= profile.high)


def test_area_under_a_profile_is_the_mean() -> None:
    scores = np.random.default_rng(5).random((6, 3))
    thresholds = np.linspace(0, 1, 20_001)
    share = estimates.performance_profile(scores[:2], thresholds, 0).share
    assert np.trapezoid(share, thresholds) == pytest.approx(scores[:2].mean(), abs=1e-4)


def test_a_curve_has_the_estimate_of_its_scores_at_each_point() -> None:
    rng = np.random.default_rng(6)
    curves = rng.random((5, 7))
    result = estimates.curve_estimate(curves, estimates.iqm, 3)
    points = [estimates.estimate(curves[:, [i]], estimates.iqm, 3) for i in range(7)]
    # Whole curves are resampled, so that one seed draws the same runs at every point.
    for name in ("value", "low", "high"):
        expected = [getattr(point, name) for point in points]
        np.testing.assert_allclose(getattr(result, name), expected, atol=1e-12)
    assert result.n_seeds == 5


def test_a_curve_over_tasks_has_the_estimate_of_its_scores_at_each_point() -> None:
    curves = np.random.default_rng(7).random((4, 3, 6))
    result = estimates.curve_estimate(curves, estimates.mean, 3)
    points = [estimates.estimate(curves[..., i], estimates.mean, 3) for i in range(6)]
    np.testing.assert_allclose(result.value, curves.mean(axis=(0, 1)))
    for name in ("low", "high"):
        expected = [getattr(point, name) for point in points]
        np.testing.assert_allclose(getattr(result, name), expected, atol=1e-12)


def _all_results(seed: int, n_seeds: int) -> list[tuple[object, ...]]:
    rng = np.random.default_rng(8)
    x, y = rng.random((n_seeds, 3)), rng.random((n_seeds, 3))
    return [
        estimates.estimate(x, estimates.iqm, seed),
        estimates.difference(x, y, partial(estimates.optimality_gap, target=0.5), seed),
        estimates.probability_of_improvement(x, y, seed),
        estimates.performance_profile(x, np.array([0.25, 0.5]), seed),
        estimates.curve_estimate(x, estimates.mean, seed),
    ]


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    first, same, other = (_all_results(seed, 15) for seed in (11, 11, 15))
    assert repr(first) == repr(same)
    for one, two in zip(first, other, strict=True):
        assert repr(one) != repr(two)


def test_resampling_in_parts_keeps_its_level(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(9).normal(size=(50, 2))
    whole = estimates.estimate(scores, estimates.mean, 0, resamples=20_000)
    monkeypatch.setattr(estimates, "_BATCH_VALUES", 70_000)
    parts = estimates.estimate(scores, estimates.mean, 0, resamples=20_000)
    assert parts.low == pytest.approx(whole.low, abs=0.01)
    assert parts.high == pytest.approx(whole.high, abs=0.01)


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_few_seeds_have_values_and_no_interval(n_seeds: int) -> None:
    iqm, difference, probability, profile, curve = _all_results(11, n_seeds)
    for result in (iqm, difference, probability):
        assert isinstance(result, Estimate)
        assert math.isfinite(result.value)
        assert (result.low, result.high, result.n_seeds) == (None, None, n_seeds)
    assert profile[2:] == (None, None)
    assert curve[1:] == (None, None, n_seeds)


def test_the_variant_of_fewer_seeds_decides_on_the_interval() -> None:
    x, y = _SCORES, _SCORES[:2]
    assert estimates.difference(x, y, estimates.mean, 0)[1:] == (None, None, 2)
    assert estimates.probability_of_improvement(y, x, 0)[1:] == (None, None, 2)


def test_other_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\); 2 axes"):
        estimates.estimate(np.ones(3), estimates.mean, 0)
    with pytest.raises(ValueError, match=r"shape \(0, 2\)"):
        estimates.performance_profile(np.ones((0, 2)), np.ones(1), 0)
    with pytest.raises(ValueError, match="NaN"):
        estimates.curve_estimate(np.array([[0.0, np.nan]]), estimates.mean, 0)
    with pytest.raises(ValueError, match="scores of 2 and of 1 tasks"):
        estimates.difference(_SCORES, _SCORES[:, :1], estimates.mean, 0)
    with pytest.raises(ValueError, match="scores of 1 and of 2 tasks"):
        estimates.probability_of_improvement(_SCORES[:, :1], _SCORES, 0)
