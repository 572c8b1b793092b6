"""Whether policies win by their class; and if they gain nothing by it, what is to blame.

The paper tests none of it. How a conclusion is drawn: docs/method.md, "Whether the class is used".
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.differences import paired
from trama.reporting.estimates import Estimate
from trama.reporting.statistics import Files
from trama.reporting.tables.measured import METRICS
from trama.reporting.tables.measurement import IN_PAIRS, UNDECIDED, Measurement, differences
from trama.reporting.words import MISSING

_SURE = 0.8
"""Share of right predictions at the first step from which on agents see which task it is."""


def class_gain(
    episodes: pd.DataFrame, given: pd.DataFrame, params: TableParams
) -> Iterator[Measurement]:
    """What policies win by their class: by the one that they are told, a true one, a stable one.

    That is what a wrong class costs the reference and the oracles, what the latter gain over
    controls, and what the reference gains over labels that lose their meaning.

    Args:
        episodes: of all variants, as `statistics.read_episodes` returns them.
        given: of those with classes, as `statistics.read_given_classes` returns them.
        params: of the table, with `reference`, `oracles`, `controls`, `started_anew` and
            `given_classes`.
    """
    for name, found in _lost(episodes, given, "wrong_class", params).items():
        what = f"win rate of {name} minus that with a wrong class given to its agents{IN_PAIRS}"
        metric = "win_rate_lost_with_wrong_class"
        yield Measurement("use", metric, name, "", what, MISSING, found, "mean")
    for oracle in params.oracles:
        yield from differences(
            *("oracle", oracle, params.controls, episodes, TRAINED, tuple(METRICS), params),
            where=f", of {oracle}, which learns true tasks",
            start_alike=True,
        )
    reference = str(params.reference)
    yield from differences(
        *("stability", reference, params.started_anew, episodes, TRAINED, tuple(METRICS), params),
        where=", whose clusterings start anew",
        start_alike=True,
    )


def conclusion(
    found: Sequence[Measurement],
    episodes: pd.DataFrame,
    given: pd.DataFrame,
    histories: Mapping[str, Files],
    params: TableParams,
) -> str:
    """Say whether classes bring a gain over the controls, and if not, what is to blame.

    Args:
        found: the rows of the table, with those of `class_gain`.
        episodes: as there.
        given: as there.
        histories: by problem, of the variants with classes.
        params: of the table.

    Returns:
        A sentence; nothing where something that it needs was not measured, or of too few seeds.
    """
    reference = params.reference
    over_controls = [each for each in found if each.claim == "control"]
    of_oracles = [each for each in found if each.claim == "oracle"]
    used = {each.variant: each for each in found if each.claim == "use"}
    gains = [*over_controls, *of_oracles]
    if not over_controls or not of_oracles or UNDECIDED in {each.verdict for each in gains}:
        return ""
    if any(each.supported for each in over_controls):
        return f"{_by_metric(over_controls, str(reference))}{_but(found)}"
    if gained := [each for each in of_oracles if each.supported]:
        names = words.literals([*dict.fromkeys(each.variant for each in gained)])
        start = f"Oracles gain ({names}), and ``{reference}`` is not seen to"
        lost = _lost(episodes, given, "true_class", params).get(str(reference))
        if lost is None or lost.high is None:
            return f"{start}."
        if lost.high < 0:
            return f"{start}: with the true class given it wins more, so its predictor loses it."
        return f"{start}, nor to win more with the true class given, so its clusters may lose it."
    if not set(params.oracles) <= used.keys():
        return ""
    start = f"Neither ``{reference}`` nor an oracle ({words.literals(params.oracles)}) is seen to "
    if any(used[oracle].supported for oracle in params.oracles):
        return (
            f"{start}gain, though a wrong class costs an oracle wins: policies use their class, "
            "and what agents see may say as much without it."
        )
    at_first = min(
        np.mean(
            [
                statistics.final_curve_within_episode(path, "predictor_accuracy").y[0]
                for oracle in params.oracles
                for path in files[oracle].values()
            ]
        )
        for files in histories.values()
    )
    least = ", on the problem where it is least" if len(histories) > 1 else ""
    theirs = "the oracle's predictor is" if len(params.oracles) == 1 else "oracles' predictors are"
    start = (
        f"{start}gain, nor the latter to lose wins by a wrong class. At the first step {theirs} "
        f"right on {words.value(float(at_first))} of the agents{least}"
    )
    if at_first >= _SURE:
        return f"{start}: they see which task it is, and the class may tell them nothing new."
    return f"{start}: there is something to be told, and another conditioning may do it."


def _by_metric(over_controls: Sequence[Measurement], reference: str) -> str:
    """Over which controls the reference gains in what, and in what over none."""
    over: dict[str, tuple[str, ...]] = {}
    for each in over_controls:
        title = METRICS[each.metric.removesuffix("_difference")].lower()
        over[title] = over.get(title, ()) + ((each.over,) if each.supported else ())
    titles: dict[tuple[str, ...], list[str]] = {}
    for title, names in over.items():
        titles.setdefault(names, []).append(title)
    none = titles.pop((), [])
    seen = f"; in {' and '.join(none)} no gain is seen" if none else ""
    higher = [f"in {' and '.join(of)} than {words.literals(names)}" for names, of in titles.items()]
    start = "starts" if len(set().union(*titles)) == 1 else "start"
    return f"``{reference}`` is higher {' and '.join(higher)}, which {start} as it does{seen}."


def _but(found: Sequence[Measurement]) -> str:
    """Over which baselines no gain is seen, in anything."""
    gains = [each for each in found if each.claim == "gain"]
    gained = {each.over for each in gains if each.supported}
    without = [name for name in dict.fromkeys(each.over for each in gains) if name not in gained]
    return f" Over {words.literals(without)} no gain is seen." if without else ""


def _lost(
    episodes: pd.DataFrame, given: pd.DataFrame, kind: str, params: TableParams
) -> dict[str, Estimate]:
    """Win rate with predicted classes minus that with given ones, in pairs of runs, by variant.

    Of the reference and the oracles, as far as all their runs were given such a class.
    """
    if kind not in params.given_classes:
        return {}
    policy = params.tables.policy
    predicted = statistics.scores(episodes, policy, "win_rate")
    scores = statistics.given_scores(given, policy, kind, predicted, params.seeds)
    won = statistics.known(scores, range(len(predicted.tasks)))
    return {
        name: paired(predicted.values[name], won[name], predicted.problems)
        for name in (str(params.reference), *params.oracles)
        if name in won
    }
