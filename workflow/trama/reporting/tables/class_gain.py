"""Whether policies win by their class; and if they gain nothing by it, what is to blame.

The paper tests none of it. How a conclusion is drawn: docs/method.md, "Whether the class is used".
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.estimates import Estimate
from trama.reporting.statistics import Files
from trama.reporting.tables.measured import Measured
from trama.reporting.tables.measurement import REPRODUCED, UNDECIDED, Measurement, differences
from trama.reporting.words import MISSING

_SURE = 0.8
"""Share of right predictions at the first step from which on agents see which task it is."""


def class_gain(
    episodes: pd.DataFrame, given: pd.DataFrame, params: TableParams
) -> Iterator[Measurement]:
    """What a wrong class costs the reference and the oracles, and what these gain over controls.

    Args:
        episodes: of all variants, as `statistics.read_episodes` returns them.
        given: of those with classes, as `statistics.read_given_classes` returns them.
        params: of the table, with `reference`, `oracles`, `controls` and `given_classes`.
    """
    if "wrong_class" in params.given_classes:
        for name, found in _lost(episodes, given, "wrong_class", params).items():
            what = f"win rate of {name} minus that with a wrong class given to its agents"
            metric = "win_rate_lost_with_wrong_class"
            yield Measurement("use", metric, name, "", what, MISSING, found, "mean")
    for oracle in params.oracles:
        yield from differences(
            *("oracle", oracle, params.controls, episodes, TRAINED, ("win_rate",), params),
            where=f", of {oracle}, which learns true tasks",
            paired=True,
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
        A sentence; nothing without an oracle and a control, or with too few seeds.
    """
    reference, oracles = params.reference, words.literals(params.oracles)
    wins = [each for each in found if each.metric == "win_rate_difference"]
    over_control = [each.verdict for each in wins if each.claim == "control"]
    of_oracles = [each.verdict for each in wins if each.claim == "oracle"]
    if not over_control or not of_oracles or UNDECIDED in (*over_control, *of_oracles):
        return ""
    if set(over_control) == {REPRODUCED}:
        return f"Classes bring a gain: ``{reference}`` wins more than what starts as it does."
    if REPRODUCED in of_oracles:
        blamed = "clusters lose it: with the true class given it wins no more"
        if "true_class" in params.given_classes:
            lost = _lost(episodes, given, "true_class", params).get(str(reference))
            if lost is not None and lost.high is not None and lost.high < 0:
                blamed = "predictor loses it: with the true class given it wins more"
        return f"An oracle ({oracles}) gains where ``{reference}`` does not, whose {blamed}."
    start = f"No gain of ``{reference}`` is seen, nor one of an oracle ({oracles})"
    used = [each for each in found if each.claim == "use" and each.variant in params.oracles]
    if any(each.verdict == REPRODUCED for each in used):
        return (
            f"{start}, though a wrong class costs the oracle wins: policies use their class, and "
            "what agents see says as much without it."
        )
    at_first = [
        statistics.final_curve_within_episode(path, "predictor_accuracy").y[0]
        for files in histories.values()
        for oracle in params.oracles
        for path in files[oracle].values()
    ]
    right = f"is right on {words.value(float(np.mean(at_first)))} of the agents at the first step"
    if np.mean(at_first) >= _SURE:
        return (
            f"{start}, nor that a wrong class costs the oracle wins. Its predictor {right}: agents "
            "see which task it is, and the class tells them nothing new."
        )
    return (
        f"{start}, nor that a wrong class costs the oracle wins. Its predictor {right}, so that "
        "there is something to be told: another conditioning may do it."
    )


def _lost(
    episodes: pd.DataFrame, given: pd.DataFrame, kind: str, params: TableParams
) -> dict[str, Estimate]:
    """Win rate with predicted classes minus that with given ones, run by run."""
    policy = params.tables.policy
    predicted = statistics.scores(episodes, policy, "win_rate")
    scores = statistics.given_scores(given, policy, kind, predicted, params.seeds)
    won = statistics.known(scores, range(len(predicted.tasks)))
    measured = Measured(statistics.minus(predicted.values, won), params)
    names = [name for name in (params.reference, *params.oracles) if name in won]
    return {str(name): measured.estimate(str(name), "mean") for name in names}
