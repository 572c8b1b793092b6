"""Something that a claim says, what was found of it, and the verdict."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import pandas as pd

from trama.config.table_params import TableParams
from trama.reporting import estimates, statistics
from trama.reporting.differences import paired
from trama.reporting.estimates import Estimate
from trama.reporting.tables.measured import METRICS, Measured
from trama.reporting.words import MISSING, NOT_TOLD_APART

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
SEEN, NOT_SEEN = "seen", "not seen"
"""Of what the paper does not have."""
PARTLY = "partly"
UNDECIDED = f"fewer than {estimates.MIN_SEEDS} seeds"

FAVOURABLE = (NOT_REPRODUCED, NOT_SEEN, NOT_TOLD_APART, UNDECIDED, REPRODUCED, SEEN)
"""Verdicts on a single measurement, from what speaks most against a claim on."""
IN_PAIRS = ", in pairs of runs"
"""What is said of differences whose runs of a seed go together."""
SUPPORTING = (REPRODUCED, SEEN)
"""Those that speak for it."""


class Measurement(NamedTuple):
    """Something that a claim says, and what was found.

    Attributes:
        claim: name of the claim.
        metric: what is measured, as a name; the CSV's.
        variant: of which variant.
        over: beside which other one; empty if none.
        words: what is measured, in words.
        paper: what the paper says of it.
        found: the estimate.
        statistic: what the estimate is of.
        bound: on which side of it the whole interval has to lie to support the paper.
        above: which side that is.
    """

    claim: str
    metric: str
    variant: str
    over: str
    words: str
    paper: str
    found: Estimate
    statistic: str
    bound: float = 0.0
    above: bool = True

    @property
    def supported(self) -> bool:
        """Whether the whole interval lies on its side of the bound."""
        return self.verdict in SUPPORTING

    @property
    def verdict(self) -> str:
        """Whether this alone was reproduced, or seen where the paper has nothing of it."""
        _, low, high, _ = self.found
        if low is None or high is None:
            return UNDECIDED
        if low <= self.bound <= high:
            return NOT_TOLD_APART
        on_its_side = (low > self.bound) == self.above
        if self.paper == MISSING:
            return SEEN if on_its_side else NOT_SEEN
        return REPRODUCED if on_its_side else NOT_REPRODUCED


def differences(
    claim: str,
    variant: str,
    others: Sequence[str],
    episodes: pd.DataFrame,
    task_set: str | list[str],
    metrics: Sequence[str],
    params: TableParams,
    *,
    where: str = "",
    paper: str = MISSING,
    start_alike: bool = False,
) -> Iterator[Measurement]:
    """What a variant has more than each of the others, of each metric.

    Args:
        claim: that says so.
        variant: of which.
        others: beside which.
        episodes: of all of them, as `statistics.read_episodes` returns them.
        task_set: set of tasks, or several.
        metrics: win_rate, return.
        params: of the table.
        where: what has to be added in words.
        paper: what the paper says of it.
        start_alike: whether runs of a seed do: then it is the mean over pairs of runs.
    """
    policy = params.tables.policy
    scores_of = {
        metric: statistics.scores(episodes, policy, metric, task_set) for metric in metrics
    }
    for over, (metric, scores) in product(others, scores_of.items()):
        values, problems = scores.values, scores.problems
        if start_alike:
            gain = paired(values[variant], values[over], problems)
        else:
            found = Measured(values, params, problems).gain(variant, over, "iqm")
            assert found is not None  # there is another one
            gain = found
        yield Measurement(
            claim,
            f"{metric}_difference",
            variant,
            over,
            f"{METRICS[metric].lower()} minus that of {over}{where}{IN_PAIRS * start_alike}",
            paper,
            gain,
            "mean" if start_alike else "iqm",
        )
