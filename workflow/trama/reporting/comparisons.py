"""What an experiment finds: differences between names, and between problems, and how they are told.

The first problem is what the others are set beside, and the first name what the others are, unless
`baselines` of the experiment says another. A run counts as the mean over its tasks.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from trama.config.experiments import OF_FALLBACKS, OF_GIVEN
from trama.reporting import differences, estimates, words
from trama.reporting.estimates import Estimate
from trama.reporting.experiments import SHARES, TITLES, Scores

NOTE = (
    "Differences of means over runs, with 95 % intervals: of shares of seeds Newcombe's; among "
    "names that go on from the same learners, and beside the same policies, Student's, by pairs of "
    "a seed; else Welch's. Of several names the span of theirs is told. Of differences that are "
    "zero, one in twenty looks as if it were not."
)
"""What has to be said of the intervals."""

STATISTIC = "difference"
"""What the CSV of an experiment calls them."""

_GAINS = ("win_rate", "learning_win_rate", "return")
"""Measures of which problems are compared in what names gain."""
_WON = (*_GAINS, "ood_win_rate", *OF_FALLBACKS, *OF_GIVEN)
"""Measures of what a policy wins."""
AS_PREDICTED = "with the classes that they predict"
"""What stands for `over` where a name that plays otherwise is beside its own play."""

Runs = Mapping[str, np.ndarray]
"""Runs [seeds] by name."""


class Comparison(NamedTuple):
    """How much more a measure is.

    Attributes:
        problem, measure, name: of what.
        over: than that of another name; its own name where it is beside its own play with the
            classes that it predicts; empty where nothing is taken away but `than_on`.
        than_on: than the same on another problem; empty where it is not compared with any.
        gap: by how much.
    """

    problem: str
    measure: str
    name: str
    over: str
    than_on: str
    gap: Estimate


def comparisons(
    scores: Mapping[str, Scores],
    names: Sequence[str],
    baselines: Mapping[str, str] | None = None,
    start_alike: Sequence[str] = (),
) -> list[Comparison]:
    """Compare names on each problem, and problems with the first one.

    A name is set beside its baseline, or, where that has not got the measure, beside the first one
    that has. With the fallback, it is set beside its baseline's play without it, and beside its
    own; with a class given, beside its own play alone. Problems are compared in what names gain,
    and in all that is not won.

    Args:
        scores: by problem, as `experiments.measured` returns them; names that start alike have the
            same seeds, in the same order.
        names: what is compared.
        baselines: the name that a name is set beside, where that is not the first one.
        start_alike: those whose runs of a seed go on from the same learner.

    Returns:
        None of fewer than `estimates.MIN_SEEDS` seeds.
    """
    runs = {
        problem: {
            measure: {
                name: of[name].mean(1)
                for name in names
                if name in of and len(of[name]) >= estimates.MIN_SEEDS
            }
            for measure, of in of_problem.items()
        }
        for problem, of_problem in scores.items()
    }
    compare = _Compare(baselines or {}, frozenset(start_alike))
    found = [each for problem, of in runs.items() for each in compare.names(problem, of)]
    first = next(iter(runs), "")
    for problem, of in runs.items():
        if problem != first:
            found += compare.problems(problem, of, first, runs[first])
    return found


def told(found: Iterable[Comparison]) -> list[str]:
    """Paragraphs on comparisons: one for all of a problem that are minus the same, and a note."""
    paragraphs: dict[tuple[str, str, str], dict[str, dict[str, Estimate]]] = {}
    for each in found:
        key = each.problem, set_beside(each.name, each.over), each.than_on
        of_measures = paragraphs.setdefault(key, {})
        of_measures.setdefault(each.measure, {})[each.name] = each.gap
    texts = [
        f"{opening(*key)} "
        + " ".join(f"{TITLES[measure]}: {_grouped(gaps)}." for measure, gaps in of_measures.items())
        for key, of_measures in paragraphs.items()
    ]
    return [*texts, NOTE] if texts else []


def rows(found: Iterable[Comparison]) -> list[dict[str, Any]]:
    """Rows of the experiment's CSV, of statistic `difference`."""
    return [
        {
            "problem": problem,
            "name": name,
            "measure": measure,
            "over": over,
            "than_on": than_on,
            "statistic": STATISTIC,
            **gap._asdict(),
        }
        for problem, measure, name, over, than_on, gap in found
    ]


class _Compare:
    """Compares runs, knowing which names go together; see `comparisons`."""

    def __init__(self, baselines: Mapping[str, str], start_alike: frozenset[str]) -> None:
        self._baselines, self._start_alike = baselines, start_alike

    def names(self, problem: str, measured: Mapping[str, Runs]) -> Iterator[Comparison]:
        """Names on one problem, and beside their own play where they play otherwise."""
        own = []
        for measure, runs in measured.items():
            plain = measured.get(_measure_as_predicted(measure), runs)
            otherwise = plain is not runs
            for name in (name for name in runs if otherwise and name in plain):
                gap = self._gap(measure, name, name, runs[name], plain[name])
                own.append(Comparison(problem, measure, name, name, "", gap))
            if otherwise and measure in OF_GIVEN:
                continue
            for name in runs:
                over = self._over(name, plain)
                if over != name:
                    gap = self._gap(measure, name, over, runs[name], plain[over])
                    yield Comparison(problem, measure, name, over, "", gap)
        yield from own

    def problems(
        self,
        problem: str,
        measured: Mapping[str, Runs],
        first: str,
        of_first: Mapping[str, Runs],
    ) -> Iterator[Comparison]:
        """A problem beside the first one: what names gain on both, or what is measured of them."""
        for measure in (measure for measure in measured if measure in of_first):
            here, there = measured[measure], of_first[measure]
            for name in (name for name in here if name in there):
                over = self._over(name, here)
                if measure not in _WON:
                    gap = self._gap(measure, name, "", here[name], there[name])
                    yield Comparison(problem, measure, name, "", first, gap)
                elif measure in _GAINS and over != name and over in there:
                    gap = self._gap_of_gains(name, over, here, there)
                    yield Comparison(problem, measure, name, over, first, gap)

    def _over(self, name: str, runs: Runs) -> str:
        """The name that one is set beside, of those that have runs; itself if none has."""
        chosen = self._baselines.get(name, name)
        return chosen if chosen != name and chosen in runs else next(iter(runs), name)

    def _alike(self, *names: str) -> bool:
        return self._start_alike.issuperset(names)

    def _gap(
        self, measure: str, name: str, over: str, own: np.ndarray, other: np.ndarray
    ) -> Estimate:
        """Runs of a name beside those of another; see `NOTE` for how errors are found."""
        if measure in SHARES:
            return estimates.difference_of_shares(own[:, None], other[:, None])
        if over == name or self._alike(name, over):
            return differences.contrast([own - other], [])
        return differences.contrast([own], [other])

    def _gap_of_gains(self, name: str, over: str, here: Runs, there: Runs) -> Estimate:
        if self._alike(name, over):
            return differences.contrast([here[name] - here[over]], [there[name] - there[over]])
        return differences.contrast([here[name], there[over]], [here[over], there[name]])


def _measure_as_predicted(measure: str) -> str:
    """The measure of the same play with the classes that agents predict; often itself."""
    if measure in OF_FALLBACKS:
        return measure.removeprefix("fallback_")
    return "win_rate" if measure in OF_GIVEN else measure


def set_beside(name: str, over: str) -> str:
    """What `opening` calls the `over` of a name."""
    return AS_PREDICTED if over == name else over


def opening(problem: str, over: str, than_on: str) -> str:
    """Say what is set beside what: as in a `Comparison`, with `AS_PREDICTED`."""
    if over == AS_PREDICTED:
        return f"On ``{problem}``, minus the same policies {AS_PREDICTED}."
    if not over:
        return f"On ``{problem}``, minus the same on ``{than_on}``."
    more = f", and minus the same on ``{than_on}``" if than_on else ""
    return f"On ``{problem}``, minus ``{over}``{more}."


def _grouped(gaps: Mapping[str, Estimate]) -> str:
    """Differences by name, grouped by what their intervals say."""
    groups = []
    for side, of in words.by_side(gaps).items():
        if side == words.NOT_TOLD_APART and len(of) > 1:
            groups.append(f"{side} for {words.differences(of)}")
        elif of:
            each = {name: words.difference(gap) for name, gap in of.items()}
            groups.append(f"{side} for {words.listed(each)}")
    return "; ".join(groups)
