"""How measured values appear in tables: as a cell, in bold, in the CSV, and in the caption's words.

The best of several variants is in bold where the intervals support it: where the 95 % interval of
its difference to each other one lies above zero. With fewer than `estimates.MIN_SEEDS` seeds there
are no intervals, and nothing is in bold.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trama.config.table_params import TableParams
from trama.reporting import estimates, statistics
from trama.reporting.estimates import STATISTICS, Estimate, Statistic
from trama.reporting.tables.table import Bold
from trama.reporting.words import MISSING, few_seeds, telling

METRICS = {"win_rate": "Win rate", "return": "Return"}
"""Metrics of test episodes, and what tables call them."""

_TIDY = {
    "statistic": "str",
    "seed": "Int64",
    "value": "float64",
    "low": "float64",
    "high": "float64",
    "n_seeds": "Int64",
}


class Measured:
    """A metric of several variants, from runs of the same seeds on the same tasks.

    Args:
        scores: [seeds, tasks] of each variant, seeds in the order of their numbers.
        params: of the table.
        problems: [tasks], the problem of each; empty where all are of one.
    """

    def __init__(
        self,
        scores: Mapping[str, np.ndarray],
        params: TableParams,
        problems: Sequence[str] = (),
    ):
        self.scores, self._params, self._problems = scores, params, problems
        self._bootstrap = statistics.bootstrap_seed(params.study_seed)
        self._estimates: dict[tuple[str, str], Estimate] = {}
        self._best: dict[str, str | None] = {}

    def cell(self, variant: str, statistic: str, *, bold: bool = False) -> str:
        """A statistic with its interval, else with the lowest and the highest of several seeds.

        Args:
            variant: one of the scores; another one has no value.
            statistic: one of `STATISTICS`.
            bold: in bold where it is the best that the intervals support; higher is better.
        """
        if variant not in self.scores:
            return MISSING
        found, decimals = self.estimate(variant, statistic), self._params.tables.decimals
        text = estimate_text(found, self.scores[variant], decimals)
        return Bold(text) if bold and variant == self.best(statistic) else text

    def value_cell(self, variant: str, statistic: str) -> str:
        """A statistic alone."""
        if variant not in self.scores:
            return MISSING
        decimals = self._params.tables.decimals
        return interval_text(self.estimate(variant, statistic).value, None, None, decimals)

    def best(self, statistic: str) -> str | None:
        """The variant that is the best as far as the intervals tell; see `supported_best`."""
        if statistic not in self._best:
            function = STATISTICS[statistic]
            self._best[statistic] = supported_best(
                self.scores, function, self._bootstrap, self._problems
            )
        return self._best[statistic]

    def gain_cell(self, variant: str, over: str | None, statistic: str) -> str:
        """The difference of two variants with its interval; none where there is no other one."""
        gain = self.gain(variant, over, statistic)
        decimals = self._params.tables.decimals
        return MISSING if gain is None else difference_text(*gain[:3], decimals)

    def rows(self, variant: str, /, **keys: Any) -> list[dict[str, Any]]:
        """Rows of a CSV: each statistic with its interval, and each seed; `keys` say of what."""
        if variant not in self.scores:
            return []
        seeds = sorted(self._params.seeds)
        of_seeds = self.scores[variant].mean(axis=1)
        return [
            *(
                {**keys, "statistic": name, **self.estimate(variant, name)._asdict()}
                for name in STATISTICS
            ),
            *(
                {**keys, "statistic": "seed", "seed": seed, "value": value}
                for seed, value in zip(seeds, of_seeds, strict=True)
            ),
        ]

    def gain_rows(self, variant: str, over: str | None, /, **keys: Any) -> list[dict[str, Any]]:
        """Rows of a CSV: the difference of each statistic; none where there is no other variant."""
        gains = {name: self.gain(variant, over, name) for name in STATISTICS}
        return [
            {**keys, "statistic": name, **gain._asdict()}
            for name, gain in gains.items()
            if gain is not None
        ]

    def estimate(self, variant: str, statistic: str) -> Estimate:
        """A statistic of a variant with its interval."""
        key = variant, statistic
        if key not in self._estimates:
            function = STATISTICS[statistic]
            self._estimates[key] = estimates.estimate(
                self.scores[variant], function, self._bootstrap, problems=self._problems
            )
        return self._estimates[key]

    def gain(self, variant: str, over: str | None, statistic: str) -> Estimate | None:
        """A statistic minus that of another variant; None where there is no other one."""
        if over is None:
            return None
        own, other = self.scores[variant], self.scores[over]
        return estimates.difference(
            own, other, STATISTICS[statistic], self._bootstrap, problems=self._problems
        )

    def improvement(self, variant: str, over: str) -> Estimate:
        """How probable it is that a run has a higher score on a task than one of another."""
        own, other = self.scores[variant], self.scores[over]
        return estimates.probability_of_improvement(
            own, other, self._bootstrap, problems=self._problems
        )


def supported_best(
    scores: Mapping[str, np.ndarray],
    statistic: Statistic,
    seed: int,
    problems: Sequence[str] = (),
) -> str | None:
    """Return the variant that is the best as far as the intervals tell, None if there is no such.

    Args:
        scores: [seeds, tasks] of each variant, of the same tasks; higher is better.
        statistic: by which they are compared.
        seed: of the bootstrap.
        problems: [tasks], the problem of each; empty where all are of one.
    """
    best = max(scores, key=lambda variant: float(statistic(scores[variant])))
    gaps = [
        estimates.difference(scores[best], others, statistic, seed, problems=problems)
        for variant, others in scores.items()
        if variant != best
    ]
    supported = gaps and all(gap.low is not None and gap.low > 0 for gap in gaps)
    return best if supported else None


def tidy(rows: Sequence[Mapping[str, Any]], **same: Any) -> pd.DataFrame:
    """Return the rows of a CSV; the columns `same` stand first and are the same in all rows."""
    keys = dict.fromkeys(key for row in rows for key in row if key not in _TIDY)
    frame = pd.DataFrame(rows, columns=[*keys, *_TIDY]).astype(_TIDY)
    for position, (key, value) in enumerate(same.items()):
        frame.insert(position, key, value)
    return frame


def interval_words(
    n_seeds: int, *, bold: bool = False, differences: bool = False, n_problems: int = 1
) -> str:
    """Say what brackets are, and what is in bold.

    `differences`: where some brackets are those of `Measured.gain`; `n_problems`: how many problems
    all of them are over.
    """
    if n_seeds == 1:
        return "There is one seed, so there are no intervals."
    if n_seeds < estimates.MIN_SEEDS:
        return (
            f"In brackets: the lowest and the highest seed; {n_seeds} seeds are too few for "
            "intervals."
        )
    few = few_seeds(n_seeds, differences=differences or bold, n_problems=n_problems)
    words = f"In brackets: 95 % bootstrap intervals over the {n_seeds} seeds{few}."
    if bold:
        words += (
            " Bold: the best variant, where the 95 % interval of its difference to each other one "
            "lies above zero."
        )
    return words


def estimate_text(found: Estimate, scores: np.ndarray, decimals: int) -> str:
    """An estimate of scores [seeds, tasks] with its interval, or what stands for one.

    Where there is no interval it is the lowest and the highest of several seeds.
    """
    value, low, high, n_seeds = found
    if low is None and n_seeds > 1:
        of_seeds = scores.mean(axis=1)
        low, high = of_seeds.min(), of_seeds.max()
    return interval_text(value, low, high, decimals)


def difference_text(value: float, low: float | None, high: float | None, decimals: int) -> str:
    """A difference and its interval, with more decimals where that would seem to reach zero."""
    return interval_text(value, low, high, telling(low, high, decimals))


def interval_text(value: float, low: float | None, high: float | None, decimals: int) -> str:
    """A value, and both ends of its interval where it has one."""
    if low is None or high is None:
        return f"{value:z.{decimals}f}"
    return f"{value:z.{decimals}f} [{low:z.{decimals}f}, {high:z.{decimals}f}]"
