"""Differences of means of few runs, with 95 % intervals that take the errors of runs to be normal.

A bootstrap of three runs would take twice as many differences for real that are none. Runs are
arrays [seeds], a score for each. Runs without any spread tell nothing of what others would be:
their interval is the value alone.
"""

from collections.abc import Sequence

import numpy as np
import scipy.stats

from trama.reporting.estimates import MIN_SEEDS, Estimate, tasks_by_problem

_ROUNDING = 1e-12
"""Equal runs differ by no more in their means."""


def contrast(plus: Sequence[np.ndarray], minus: Sequence[np.ndarray]) -> Estimate:
    """Sum of the means of some runs [seeds] minus that of others, whose errors differ in size.

    The interval is Welch's, its degrees of freedom Satterthwaite's.
    """
    runs = (*plus, *minus)
    value = float(sum(of.mean() for of in plus) - sum(of.mean() for of in minus))
    sizes = np.array([len(of) for of in runs])
    variances = np.array([of.var(ddof=1) for of in runs]) / sizes
    total = variances.sum()
    degrees = total**2 / (variances**2 / (sizes - 1)).sum() if total > 0 else 1.0
    return _within(value, np.sqrt(total), degrees, int(sizes.min()))


def paired(own: np.ndarray, other: np.ndarray, problems: Sequence[str] = ()) -> Estimate:
    """Mean of scores minus that of others of the same seeds, with the interval of pairs.

    For runs of a seed that start alike; no interval of fewer than `estimates.MIN_SEEDS`. On several
    problems a seed has as many pairs, whose errors may differ in size: the interval is Welch's.

    Args:
        own: [seeds, tasks].
        other: the same of others.
        problems: [tasks], the problem of each; empty where all are of one.
    """
    gaps = own - other
    n_seeds, n_tasks = gaps.shape
    if n_seeds < MIN_SEEDS:
        return Estimate(float(gaps.mean()), None, None, n_seeds)
    parts = tasks_by_problem(n_tasks, problems)
    return contrast([gaps[:, part].sum(1) / n_tasks for part in parts], [])


def _within(value: float, width: float, degrees: float, n_seeds: int) -> Estimate:
    half = float(scipy.stats.t.ppf(0.975, degrees) * width) if width >= _ROUNDING else 0.0
    return Estimate(value, value - half, value + half, n_seeds)
