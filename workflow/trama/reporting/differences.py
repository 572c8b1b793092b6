"""Differences of means of few runs, with 95 % intervals that take the errors of runs to be normal.

A bootstrap of three runs would take twice as many differences for real that are none. Runs are
arrays [seeds], a score for each. Runs without any spread tell nothing of what others would be:
their interval is the value alone.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy.stats

from trama.reporting.estimates import MIN_SEEDS, Estimate, tasks_by_problem

_ROUNDING = 1e-12
"""Equal runs differ by no more in their means."""


class Error(NamedTuple):
    """Standard deviation of a run's error, and the degrees of freedom that it was found with."""

    deviation: float
    degrees: int


def by_name(runs: Mapping[str, np.ndarray]) -> Error:
    """Error of runs around the mean of their name: an analysis of variance with one factor.

    Args:
        runs: [seeds] of each name; their errors are taken to be of one size.
    """
    errors = [of - of.mean() for of in _distinct(runs)]
    return _error(np.concatenate(errors), sum(map(len, errors)) - len(errors))


def by_name_and_seed(runs: Mapping[str, np.ndarray]) -> Error:
    """Error of runs beside what their name and their seed have in common: randomised blocks.

    For runs of a seed that go on from the same learner.

    Args:
        runs: [seeds] of each name, all of the same seeds in the same order; their errors are taken
            to be of one size.
    """
    table = np.array(_distinct(runs))
    n_names, n_seeds = table.shape
    if n_names == 1:  # nothing is known of errors where nothing differs
        return Error(0.0, n_seeds - 1)
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    return _error(left, (n_names - 1) * (n_seeds - 1))


def _distinct(runs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Runs without those that are others' again, as of names that settle on the same classes."""
    return [*{of.tobytes(): of for of in runs.values()}.values()]


def _error(errors: np.ndarray, degrees: int) -> Error:
    return Error(float(np.sqrt((errors**2).sum() / degrees)), degrees)


def difference(own: np.ndarray, other: np.ndarray, error: Error) -> Estimate:
    """Mean of some runs [seeds] minus that of others, whose error is known."""
    value = float(own.mean() - other.mean())
    width = error.deviation * np.sqrt(1 / len(own) + 1 / len(other))
    return _within(value, width, error.degrees, min(len(own), len(other)))


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
