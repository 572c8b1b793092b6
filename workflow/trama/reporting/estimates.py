"""Estimates over seeds and tasks with intervals, from arrays of scores alone.

Measures and intervals are those of Agarwal et al. 2021, "Deep RL at the Edge of the Statistical
Precipice" (NeurIPS 2021, arXiv 2108.13264); scipy trims and resamples. A score is the mean of one
run (seed) on one task over its episodes: arrays [seeds, tasks], free of NaN. The bootstrap draws
seeds with replacement and keeps the tasks, so that an interval says what other seeds would give on
the same tasks. Unlike there, where each task has trainings of its own, a seed is drawn with its
scores on all tasks of a problem: one training plays all of them, and what made it a good one shows
on each. Of several problems, which have trainings of their own, each draws its own seeds.

A bootstrap of few seeds is too narrow, so its percentiles are those of the expanded interval
(Hesterberg 2015, "What Teachers Should Know About the Bootstrap", section 5.3): as far out as
Student's t lies beyond the normal. Of three seeds of one problem it reaches from the worst to the
best resample, and no further: `COVERAGE`.
Equal scores and seeds give equal bytes.

All functions raise `ValueError` for arrays of another form.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

MIN_SEEDS = 3
"""With fewer seeds an interval would say nothing: it is None."""

COVERAGE = {1: {3: (75, 90), 4: (87, 95), 5: (93, 97)}, 2: {3: (86, 94)}}
"""By number of problems and of seeds, how many of a hundred 95 % intervals hold what they are to
hold: those of a value, and those of a difference. Measured on normal scores; of more seeds they are
near 95, and of more problems no further from it."""

RESAMPLES = 10_000
"""Of each interval: with five seeds of one problem ten of them lie beyond either end."""

Statistic = Callable[[np.ndarray], Any]
"""From scores [..., seeds, tasks] to values [...]."""

# Values that are resampled at a time.
_BATCH_VALUES = 4_000_000
# Sums of the same numbers in another order differ in their last digits. Without these, equal scores
# have an interval of no width, and equal variants a difference of zero.
_DECIMALS = 12


class Estimate(NamedTuple):
    """A value with its interval (None below `MIN_SEEDS` seeds) and the seeds that it comes from."""

    value: float
    low: float | None
    high: float | None
    n_seeds: int


class CurveEstimate(NamedTuple):
    """Values [points] with a pointwise interval [points], as an `Estimate` at each point."""

    value: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None
    n_seeds: int


class Profile(NamedTuple):
    """Share of runs above each threshold [thresholds], with its pointwise interval."""

    thresholds: np.ndarray
    share: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


def iqm(scores: np.ndarray) -> Any:
    """Return the interquartile mean: the mean of the middle half of all runs on all tasks.

    A quarter of the scores, rounded down, is left out at each end: of three or fewer none is.
    Less moved by outliers than the mean, less uncertain than the median (Agarwal et al. 2021,
    section 4.3).

    Args:
        scores: [..., seeds, tasks].

    Returns:
        [...], of scores [seeds, tasks] one number.
    """
    flat = scores.reshape(*scores.shape[:-2], -1)
    return scipy.stats.trim_mean(flat, 0.25, axis=-1)


def mean(scores: np.ndarray) -> Any:
    """Return the mean over runs and tasks, from scores [..., seeds, tasks] to [...]."""
    return np.mean(scores, axis=(-2, -1))


STATISTICS: dict[str, Statistic] = {"iqm": iqm, "mean": mean}
"""Statistics over seeds and tasks, by name."""


def share(runs: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the share of runs that do something, with its exact (Clopper-Pearson) interval.

    Args:
        runs: [seeds, 1], 1 where a run does it and else 0.
        level: of the interval.
    """
    runs = _checked(runs, 2)
    n_seeds, done = len(runs), int(runs.sum())
    if n_seeds < MIN_SEEDS:
        return Estimate(done / n_seeds, None, None, n_seeds)
    low, high = scipy.stats.binomtest(done, n_seeds).proportion_ci(level, "exact")
    return Estimate(done / n_seeds, float(_rounded(low)), float(_rounded(high)), n_seeds)


def difference_of_shares(x: np.ndarray, y: np.ndarray, level: float = 0.95) -> Estimate:
    """Return the share of x minus that of y, with the interval of Newcombe 1998 (method 10).

    Args:
        x: [seeds, 1], as `share` takes them.
        y: the same of others; its seeds may be others.
        level: of the interval.
    """
    ends = []
    for runs in (_checked(x, 2), _checked(y, 2)):
        found = scipy.stats.binomtest(int(runs.sum()), len(runs))
        ends.append((found.statistic, *found.proportion_ci(level, "wilson")))
    (own, low, high), (other, other_low, other_high) = ends
    gap, n_seeds = float(_rounded(own - other)), min(len(x), len(y))
    if n_seeds < MIN_SEEDS:
        return Estimate(gap, None, None, n_seeds)
    below, above = np.hypot(own - low, other_high - other), np.hypot(high - own, other - other_low)
    return Estimate(gap, float(_rounded(gap - below)), float(_rounded(gap + above)), n_seeds)


def optimality_gap(scores: np.ndarray, target: float = 1.0) -> Any:
    """Return by how much runs fall short of `target` on average; more than it counts as it.

    Lower is better (Agarwal et al. 2021, section 4.3).

    Args:
        scores: [..., seeds, tasks].
        target: the score beyond which more does not matter, for win rates 1.

    Returns:
        [...], of scores [seeds, tasks] one number.
    """
    return target - np.mean(np.minimum(scores, target), axis=(-2, -1))


def tasks_by_problem(n_tasks: int, problems: Sequence[str]) -> list[np.ndarray]:
    """Return the numbers of the tasks of each problem.

    Args:
        n_tasks: number of tasks.
        problems: [tasks], the problem of each; empty where all are of one.
    """
    names = np.array(problems if len(problems) else [""] * n_tasks)
    if len(names) != n_tasks:
        raise ValueError(f"{len(names)} problems of {n_tasks} tasks")
    return [np.flatnonzero(names == name) for name in dict.fromkeys(names)]


def estimate(
    scores: np.ndarray,
    statistic: Statistic,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    problems: Sequence[str] = (),
) -> Estimate:
    """Return a statistic of scores [seeds, tasks] with its bootstrap interval.

    Args:
        scores: [seeds, tasks].
        statistic: as `iqm`, `mean` or `optimality_gap`.
        seed: of the resampling.
        level: share of the resamples within the interval.
        resamples: their number.
        problems: [tasks], the problem of each; empty where all are of one.
    """
    return _estimate((_checked(scores, 2),), statistic, seed, level, resamples, problems)


def difference(
    x: np.ndarray,
    y: np.ndarray,
    statistic: Statistic,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    problems: Sequence[str] = (),
) -> Estimate:
    """Return the statistic of x minus that of y with its bootstrap interval.

    x and y are resampled independently: runs of one seed in two variants that start from scratch
    share their first battles, which soon no longer matters; of those that go on from the same
    learner see `differences.paired`. The
    other way round the interval is the mirrored one.

    Args:
        x: scores [seeds, tasks].
        y: scores of the same tasks; its seeds may be others.
        statistic: as `iqm`, `mean` or `optimality_gap`.
        seed: of the resampling.
        level: share of the resamples within the interval.
        resamples: their number.
        problems: [tasks], the problem of each; empty where all are of one.
    """

    def subtract(x: np.ndarray, y: np.ndarray) -> Any:
        return statistic(x) - statistic(y)

    return _compare(x, y, subtract, 0.0, seed, level, resamples, problems)


def probability_of_improvement(
    x: np.ndarray,
    y: np.ndarray,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    problems: Sequence[str] = (),
) -> Estimate:
    """Return how probable it is that a run of x has a higher score than one of y, on any task.

    On each task the share of the pairs of runs that x wins, ties counting half (the Mann-Whitney
    statistic); then the mean over tasks (Agarwal et al. 2021, section 4.3). It says nothing about
    the size of the improvement; 0.5 means none. The other way round it is 1 minus this, and so is
    its interval.

    Args:
        x: scores [seeds, tasks].
        y: scores of the same tasks; its seeds may be others.
        seed: of the resampling.
        level: share of the resamples within the interval.
        resamples: their number.
        problems: [tasks], the problem of each; empty where all are of one.
    """

    def improvement(x: np.ndarray, y: np.ndarray) -> Any:
        pairs = np.heaviside(x[..., :, None, :] - y[..., None, :, :], 0.5)
        return np.mean(pairs, axis=(-3, -2, -1))

    return _compare(x, y, improvement, 1.0, seed, level, resamples, problems)


def performance_profile(
    scores: np.ndarray,
    thresholds: np.ndarray,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    problems: Sequence[str] = (),
) -> Profile:
    """Return the share of runs, over all tasks, whose score lies above each threshold.

    The run-score distribution of Agarwal et al. 2021, section 4.2; its interval is pointwise. A
    profile above another everywhere is stochastically larger; the area under it, for scores of at
    least 0 and thresholds from 0 on, is the mean.

    Args:
        scores: [seeds, tasks].
        thresholds: [thresholds], in the unit of the scores.
        seed: of the resampling.
        level: share of the resamples within the interval.
        resamples: their number.
        problems: [tasks], the problem of each; empty where all are of one.
    """
    groups = (_checked(scores, 2),)
    thresholds = np.asarray(thresholds, dtype=np.float64)

    def shares(scores: np.ndarray) -> np.ndarray:
        return np.stack([mean(scores > threshold) for threshold in thresholds])

    low, high = _interval(groups, shares, seed, level, resamples, problems)
    return Profile(thresholds, shares(*groups), low, high)


def curve_estimate(
    curves: np.ndarray,
    statistic: Statistic,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> CurveEstimate:
    """Return a statistic at each point of the runs' curves, with its pointwise interval.

    The sample-efficiency curve of Agarwal et al. 2021: whole curves are resampled.

    Args:
        curves: [seeds, points], or [seeds, tasks, points] where the statistic is over tasks too.
        statistic: as `iqm` or `mean`.
        seed: of the resampling.
        level: share of the resamples within the interval.
        resamples: their number.
    """
    curves = np.asarray(curves)
    if curves.ndim == 2:
        curves = curves[:, None]
    # [points, seeds, tasks]
    groups = (np.moveaxis(_checked(curves, 3), -1, 0),)
    low, high = _interval(groups, statistic, seed, level, resamples)
    return CurveEstimate(_rounded(statistic(*groups)), low, high, len(curves))


def _compare(
    x: np.ndarray,
    y: np.ndarray,
    statistic: Callable[..., Any],
    total: float,
    seed: int,
    level: float,
    resamples: int,
    problems: Sequence[str],
) -> Estimate:
    """Compare scores by a statistic whose values for (x, y) and (y, x) sum up to `total`.

    Both are found from the same resamples, so that no text shows two intervals of one comparison.
    """
    x, y = _of_the_same_tasks(x, y)
    if x.tobytes() <= y.tobytes():
        return _estimate((x, y), statistic, seed, level, resamples, problems)
    value, low, high, n_seeds = _estimate((y, x), statistic, seed, level, resamples, problems)
    mirrored = float(_rounded(total - value))
    if low is None or high is None:
        return Estimate(mirrored, None, None, n_seeds)
    return Estimate(mirrored, float(_rounded(total - high)), float(_rounded(total - low)), n_seeds)


def _estimate(
    groups: Sequence[np.ndarray],
    statistic: Callable[..., Any],
    seed: int,
    level: float,
    resamples: int,
    problems: Sequence[str],
) -> Estimate:
    """Return a statistic of arrays [seeds, tasks], each resampled by itself, as an `Estimate`."""
    low, high = _interval(groups, statistic, seed, level, resamples, problems)
    return Estimate(
        float(_rounded(statistic(*groups))),
        None if low is None else float(low),
        None if high is None else float(high),
        min(map(len, groups)),
    )


def _interval(
    groups: Sequence[np.ndarray],
    statistic: Callable[..., Any],
    seed: int,
    level: float,
    resamples: int,
    problems: Sequence[str] = (),
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return both ends of the bootstrap interval; None below `MIN_SEEDS` seeds.

    Args:
        groups: arrays [..., seeds, tasks], each resampled by itself.
        statistic: takes one array [..., resamples, seeds, tasks] per group; the resamples are the
            last axis of what it returns.
        seed: of the resampling.
        level: share of the resamples within the interval.
        resamples: their number.
        problems: [tasks], the problem of each, whose seeds are drawn by themselves; empty where
            all are of one.
    """
    fewest = min(group.shape[-2] for group in groups)
    if fewest < MIN_SEEDS:
        return None, None
    parts = tasks_by_problem(groups[0].shape[-1], problems)
    of_parts = [group[..., part] for group in groups for part in parts]

    def of_drawn(*seeds: np.ndarray, axis: int) -> Any:
        drawn = [scores[..., of, :] for scores, of in zip(of_parts, seeds, strict=True)]
        return statistic(
            *(
                np.concatenate(drawn[first : first + len(parts)], axis=-1)
                for first in range(0, len(drawn), len(parts))
            )
        )

    result = scipy.stats.bootstrap(
        [np.arange(scores.shape[-2]) for scores in of_parts],  # each is drawn from by itself
        of_drawn,
        n_resamples=resamples,
        batch=max(_BATCH_VALUES // sum(group.size for group in groups), 1),
        vectorized=True,
        axis=-1,
        confidence_level=_expanded(level, fewest, [len(part) for part in parts]),
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return _rounded(result.confidence_interval.low), _rounded(result.confidence_interval.high)


def _expanded(level: float, n_seeds: int, n_tasks: Sequence[int]) -> float:
    """Level whose normal quantile is Student's t at `level`, widened by the plug-in's bias.

    The degrees of freedom are Satterthwaite's of problems with so many tasks, all of equal weight
    and with runs that scatter alike.
    """
    weights = np.square(n_tasks, dtype=np.float64)
    degrees = (n_seeds - 1) * weights.sum() ** 2 / np.square(weights).sum()
    t = scipy.stats.t.ppf((1 + level) / 2, degrees)
    return float(1 - 2 * scipy.stats.norm.sf(t * np.sqrt(n_seeds / (n_seeds - 1))))


def _of_the_same_tasks(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = _checked(x, 2), _checked(y, 2)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"scores of {x.shape[1]} and of {y.shape[1]} tasks cannot be compared")
    return x, y


def _checked(scores: np.ndarray, n_axes: int) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != n_axes or scores.size == 0:
        raise ValueError(f"scores of shape {scores.shape}; {n_axes} axes with values are needed")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinite values")
    return scores


def _rounded(values: Any) -> np.ndarray:
    # Adding zero turns a rounded -0.0 into 0.0.
    return np.round(values, _DECIMALS) + 0.0
