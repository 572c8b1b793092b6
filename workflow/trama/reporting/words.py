"""How captions and notes say what was measured."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from trama.reporting.estimates import COVERAGE, MIN_SEEDS, RESAMPLES, Estimate

MISSING = "n/a"
"""What stands where there is no number."""

NOT_TOLD_APART = "not told apart"
"""Of an interval that has both sides of a bound in it."""

SIDES = ("higher", "lower", NOT_TOLD_APART)
"""What the interval of a difference may say."""

STARTS = {"centroids": "from old centroids", "random": "anew", "matched": "anew, matched"}
"""How clusterings during training start, by the value of `train.clustering.initialisation`."""


def value(number: float) -> str:
    """A number with two decimals; zero has no sign."""
    return f"{number:z.2f}"


def estimate(found: Estimate, of_seeds: Sequence[float] | np.ndarray) -> str:
    """An estimate with its interval, or with the values of the seeds where there is none."""
    if found.low is not None and found.high is not None:
        return f"{value(found.value)} [{value(found.low)}, {value(found.high)}]"
    if len(of_seeds) < 2:
        return value(found.value)
    return f"{value(found.value)} ({', '.join(map(value, of_seeds))})"


def difference(found: Estimate) -> str:
    """A difference with its interval, if that has a width; more decimals where it is small."""
    ends = [end for end in found[1:3] if end is not None]
    decimals = telling(found.low, found.high, _decimals(found.value, *ends))
    value, *shown = (f"{number:z.{decimals}f}" for number in (found.value, *ends))
    # Runs that are all equal tell nothing of what others would be.
    return value if len(set(ends)) < 2 else f"{value} [{', '.join(shown)}]"


def side(found: Estimate) -> str:
    """Which of `SIDES` the interval of a difference says."""
    assert found.low is not None and found.high is not None
    return "higher" if found.low > 0 else "lower" if found.high < 0 else NOT_TOLD_APART


def by_side(gaps: Mapping[str, Estimate]) -> dict[str, dict[str, Estimate]]:
    """Differences by what their intervals say, in the order of `SIDES`, and by name."""
    return {each: {name: gap for name, gap in gaps.items() if side(gap) == each} for each in SIDES}


def differences(found: Mapping[str, Estimate]) -> str:
    """Several by name, all with intervals, of which the span is told; decimals as `difference`."""
    low = min(each.low for each in found.values() if each.low is not None)
    high = max(each.high for each in found.values() if each.high is not None)
    shown = small(low, high, *(each.value for each in found.values()))
    values = dict(zip(found, shown[2:], strict=True))
    return f"{listed(values)}, within [{', '.join(shown[:2])}]"


def small(*numbers: float) -> list[str]:
    """Numbers with two decimals, or with three where all of them are small."""
    return [f"{number:z.{_decimals(*numbers)}f}" for number in numbers]


def _decimals(*numbers: float) -> int:
    return 2 if max(map(abs, numbers)) >= 0.1 else 3


def telling(low: float | None, high: float | None, decimals: int) -> int:
    """Decimals, at least so many, with which an interval beside zero does not seem to reach it."""
    if low is None or high is None or low <= 0 <= high:
        return decimals
    nearest = min(abs(low), abs(high))
    while nearest < 0.5 * 10**-decimals:
        decimals += 1
    return decimals


def listed(values: Mapping[str, str]) -> str:
    """Values by name: "``a`` 1, ``b`` 2"."""
    return ", ".join(f"``{name}`` {text}" for name, text in values.items())


def literals(names: Sequence[str]) -> str:
    """Names: "``a``, ``b`` and ``c``"."""
    quoted = [f"``{name}``" for name in names]
    return " and ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def left_out(names: Sequence[str]) -> list[str]:
    """What has to be said of variants with runs that ended without classes; nothing of none."""
    if not names:
        return []
    return [f"Left out: {literals(names)}, of which at least one run never had trajectory classes."]


def counted(number: int, noun: str) -> str:
    """A number of things: "1 seed", "2 seeds"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def span(numbers: Sequence[int] | pd.Series) -> str:
    """Whole numbers of which the least and the greatest matter: "100", or "90 to 100".

    Missing ones do not count; without any others it is `MISSING`.
    """
    known = pd.Series(numbers).dropna()
    if known.empty:
        return MISSING
    return " to ".join(f"{n:.0f}" for n in dict.fromkeys([known.min(), known.max()]))


def intervals(n_seeds: int, *, of_seeds: bool = True, n_problems: int = 1) -> str:
    """Say what stands behind a number, and how it was computed.

    `of_seeds`: where there are no intervals, `estimate` has the values of the seeds; `n_problems`:
    how many problems all of them are over.
    """
    if n_seeds < MIN_SEEDS:
        each = "; in brackets: the values of the seeds" if of_seeds and n_seeds > 1 else ""
        return f"{counted(n_seeds, 'seed')}: too few for intervals{each}."
    return (
        f"In brackets: 95 % bootstrap intervals over the {n_seeds} seeds ({RESAMPLES:,} "
        f"resamples, percentiles){few_seeds(n_seeds, n_problems=n_problems)}."
    )


def few_seeds(n_seeds: int, *, differences: bool = False, n_problems: int = 1) -> str:
    """What has to be said of the bootstrap intervals of so few seeds.

    `differences`: where some of them are of differences; `n_problems`: how many problems all of
    them are over.
    """
    of_problems = COVERAGE[min(n_problems, max(COVERAGE))]
    if n_seeds not in of_problems:
        return ""
    alone, of_differences = of_problems[n_seeds]
    more = f", and {of_differences} % of those of differences" if differences else ""
    return f"; of so few, some {alone} % of such intervals hold what more seeds would give{more}"


def seed_note(n_seeds: int) -> str | None:
    """What a figure itself says of few seeds; None where it has intervals."""
    if n_seeds >= MIN_SEEDS:
        return None
    return f"{counted(n_seeds, 'seed')}: too few for intervals"


def episodes(rows: pd.DataFrame) -> str:
    """How many episodes a run played on each task: "100 episodes"."""
    counts = rows.groupby(["problem", "variant", "seed", "task_set", "task"], sort=False).size()
    return span(counts) + (" episode" if counts.max() == 1 else " episodes")
