"""The claims of the paper, each beside what the study measured of it, with a verdict."""

from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
import pandas as pd

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.estimates import Estimate
from trama.reporting.statistics import Files, Inputs
from trama.reporting.tables.class_gain import class_gain, conclusion
from trama.reporting.tables.measured import (
    METRICS,
    Measured,
    difference_text,
    interval_text,
    interval_words,
    tidy,
)
from trama.reporting.tables.measurement import (
    FAVOURABLE,
    PARTLY,
    SUPPORTING,
    Measurement,
    differences,
)
from trama.reporting.tables.table import Table
from trama.reporting.words import MISSING, NOT_TOLD_APART

ACCURACY, CONSISTENCY = 0.80, 0.70
"""Lowest ends of the paper's ranges: right predictions, labels that are kept."""

CLAIMS = {
    "predictor": "agents know their class from what they see",
    "labels": "labels keep their meaning from clustering to clustering",
    "gain": "TRAMA wins more than the baselines on the trained tasks",
    "control": "TRAMA wins more than a control that starts as it does and has no classes, which "
    "the paper does not have",
    "transfer": "TRAMA wins more than the baselines on tasks that are like the trained ones",
    "use": "policies win by the class that they are told, which the paper does not test",
    "oracle": "an oracle wins more than that control, which the paper does not test",
    "stability": "TRAMA wins more than with labels that lose their meaning at each clustering, "
    "which the paper does not test",
}
"""The claims, by the name that stands for each, in words."""


def claims(inputs: Inputs, params: TableParams, study: str) -> Table:
    """Return the table of the paper's claims.

    Args:
        inputs: `episodes` of each problem, variant and seed; `histories` and `given_classes` of
            those of the variants with classes.
        params: of the table, with `reference`, which the claims are about, `without_classes`,
            `mixers`, `controls`, `oracles`, `started_anew`, `initialisations`, `given_classes` and
            `task_sets`.
        study: its name.

    Raises:
        TramaError: a file is missing, broken or lacks what is shown.
    """
    episodes = statistics.read_episodes(inputs["episodes"])
    given = statistics.read_given_classes(inputs["given_classes"])
    histories = statistics.by_problem(inputs["histories"])
    found = [
        *_predictor(histories, params),
        *_labels(histories, params),
        *_gain(episodes, params),
        *_transfer(episodes, params),
        *class_gain(episodes, given, params),
    ]
    verdicts = verdicts_of(found, params)
    problems = [*dict.fromkeys(episodes["problem"])]
    policy = params.tables.policy
    played = words.episodes(statistics.of_sets(episodes, policy, TRAINED))
    of_pairs = "" if len(problems) == 1 else " (degrees of freedom by Satterthwaite, as in Welch's)"
    in_words = "; ".join(f"{name} ({CLAIMS[name]}): {found}" for name, found in verdicts.items())
    return Table(
        title=f"Study {study}: the claims of the paper",
        caption=[
            f"The paper's claims about TRAMA, as ``{params.reference}`` on "
            f"{words.literals(problems)} shows them. "
            f"{in_words[0].upper()}{in_words[1:]}. A claim is reproduced where all of its rows "
            "are, and partly where some are; where none is, and not all speak against it, it is "
            "not told apart. Of several baselines with one mixer, the one that speaks most "
            "against the claim counts. Of what the paper does not have, it is said whether it was "
            "seen.",
            *filter(None, [_of_mixers(episodes, params)]),
            *filter(None, [conclusion(found, episodes, given, histories, params)]),
            *words.left_out([] if "predictor" in verdicts else [_reference(params)]),
            f"Test episodes are greedy ones of the {policy} policies, {played} per seed and task; "
            "win rates and returns are interquartile means (IQM) over seeds and tasks; what is "
            "measured in training is a mean. What is in pairs of runs, which start alike or are of "
            f"the same policies, is a mean with an interval of Student's t{of_pairs}. A row counts "
            "as reproduced where its whole 95 % interval lies "
            "above the lowest end of the paper's range, in it or beyond, or, for a difference, "
            "above zero; where the interval has both in it, the row is not told apart. "
            f"{interval_words(len(params.seeds), differences=True, n_problems=len(problems))}",
        ],
        header=["Claim", "Measured", "Paper", "Here", "Verdict"],
        align="lwlrl",
        rows=[
            [
                each.claim,
                each.words,
                each.paper,
                (interval_text if each.bound else difference_text)(
                    *each.found[:3], params.tables.decimals
                ),
                each.verdict,
            ]
            for each in found
        ],
        tidy=tidy(
            [
                {
                    "claim": each.claim,
                    "metric": each.metric,
                    "variant": each.variant,
                    "over": each.over or MISSING,
                    "verdict": each.verdict,
                    "verdict_of_claim": verdicts[each.claim],
                    "statistic": each.statistic,
                    **each.found._asdict(),
                }
                for each in found
            ],
            study=study,
            policy=policy,
        ),
        shown=f"policy {policy}; predictors at the last test; every clustering",
    )


def verdicts_of(found: Iterable[Measurement], params: TableParams) -> dict[str, str]:
    """Verdict on each claim that something was measured of.

    Of baselines with one mixer the one that speaks most against the claim counts: neither does a
    weak one beside it make it true in part, nor are the settings of a strong one a reason to leave
    it out.
    """
    counted: dict[tuple[str, ...], str] = {}
    for each in found:
        rival = params.mixers.get(each.over, each.over)
        key = (each.claim, each.metric, each.variant, rival)
        counted[key] = min(counted.get(key, each.verdict), each.verdict, key=FAVOURABLE.index)
    verdicts: dict[str, set[str]] = {}
    for (claim, *_), verdict in counted.items():
        verdicts.setdefault(claim, set()).add(verdict)
    return {claim: _together(of_claim) for claim, of_claim in verdicts.items()}


def _of_mixers(episodes: pd.DataFrame, params: TableParams) -> str:
    """What the reference's mixer brings without classes; nothing without any to set it beside."""
    reference = _reference(params)
    mixer = params.mixers[reference]
    alike = [name for name in params.without_classes if params.mixers[name] == mixer]
    others = [name for name in params.without_classes if params.mixers[name] != mixer]
    if not alike or not others:
        return ""
    scores = statistics.scores(episodes, params.tables.policy, "win_rate")
    measured = Measured(scores.values, params, scores.problems)
    gains = [
        f"of ``{own}`` minus that of ``{other}`` {measured.gain_cell(own, other, 'iqm')}"
        for own, other in product(alike, others)
    ]
    return (
        "A gain over another mixer need not be one by classes. Of baselines, win rate "
        f"{'; '.join(gains)}, where {words.literals(alike)} "
        f"{'has' if len(alike) == 1 else 'have'} the mixer of ``{reference}``."
    )


def _together(verdicts: set[str]) -> str:
    if len(verdicts) == 1:
        return next(iter(verdicts))
    return PARTLY if verdicts.intersection(SUPPORTING) else NOT_TOLD_APART


def _reference(params: TableParams) -> str:
    assert params.reference is not None  # those of this table have one
    return params.reference


def _measured(
    scores: dict[str, np.ndarray], histories: dict[str, Files], params: TableParams
) -> Measured:
    """Scores [seeds, problems], as `_over_problems` returns them."""
    return Measured(scores, params, [*histories])


def _mean(scores: np.ndarray, histories: dict[str, Files], params: TableParams) -> Estimate:
    return _measured({"": scores}, histories, params).estimate("", "mean")


def _predictor(histories: dict[str, Files], params: TableParams) -> Iterator[Measurement]:
    """Accuracy over steps and agents at the last test, and what it is better than guessing by."""
    reference = _reference(params)

    def final(metric: str) -> np.ndarray | None:
        return statistics.over_problems(
            histories, reference, lambda files: statistics.final_scores(files, metric)
        )

    accuracy, majority = final("predictor_accuracy"), final("majority_rate")
    if accuracy is None or majority is None:  # a run never had classes
        return
    yield Measurement(
        "predictor",
        "predictor_accuracy",
        reference,
        "",
        "right predictions of the class, over all steps and agents, fallen ones too",
        f"{ACCURACY:.2f} to 0.95",
        _mean(accuracy, histories, params),
        "mean",
        bound=ACCURACY,
    )
    yield Measurement(
        "predictor",
        "predictor_accuracy_over_majority",
        reference,
        "",
        "right predictions, minus those of guessing the largest class",
        "above 0",
        _mean(accuracy - majority, histories, params),
        "mean",
    )


def _labels(histories: dict[str, Files], params: TableParams) -> Iterator[Measurement]:
    """Share of labels kept by the reference's clusterings, and more than by those that start anew.

    The paper says nothing of labels that are matched after a start anew.
    """

    def kept(variant: str) -> np.ndarray | None:
        def scores(files: Files) -> dict[str, np.ndarray]:
            rows = statistics.clusterings(files, ["label_consistency"])
            return statistics.clustering_scores(rows, "label_consistency", len(params.seeds))

        return statistics.over_problems(histories, variant, scores)

    reference = _reference(params)
    own = kept(reference) if reference in params.initialisations else None
    if own is None:
        return
    yield Measurement(
        "labels",
        "label_consistency",
        reference,
        "",
        "labels kept from one clustering to the next, which starts "
        f"{words.STARTS[params.initialisations[reference]]}",
        f"{CONSISTENCY:.2f} to 0.90",
        _mean(own, histories, params),
        "mean",
        bound=CONSISTENCY,
    )
    for variant, initialisation in params.initialisations.items():
        other = kept(variant) if initialisation == "random" else None
        if other is not None:
            both = _measured({reference: own, variant: other}, histories, params)
            gain = both.gain(reference, variant, "mean")
            assert gain is not None  # there is another one
            start = f"{variant}, started {words.STARTS[initialisation]}"
            yield Measurement(
                "labels",
                "label_consistency",
                variant,
                "",
                f"labels kept by {start}",
                f"below {CONSISTENCY:.2f}",
                _mean(other, histories, params),
                "mean",
                bound=CONSISTENCY,
                above=False,
            )
            yield Measurement(
                "labels",
                "label_consistency_difference",
                reference,
                variant,
                f"labels kept, minus those of {start}",
                "above 0",
                gain,
                "mean",
            )


def _gain(episodes: pd.DataFrame, params: TableParams) -> Iterator[Measurement]:
    reference, metrics = _reference(params), tuple(METRICS)
    others = params.without_classes
    yield from differences(
        "gain", reference, others, episodes, TRAINED, metrics, params, paper="above 0"
    )
    yield from differences(
        *("control", reference, params.controls, episodes, TRAINED, metrics, params),
        where=f", which starts as {reference} does",
        start_alike=True,
    )


def _transfer(episodes: pd.DataFrame, params: TableParams) -> Iterator[Measurement]:
    """Gain on tasks that differ from a trained one in a single unit, from a trained start."""
    sets = statistics.played_sets(episodes, params.tables.policy, params.task_sets)
    alike = (episodes["units_changed"] == 1) & episodes["start_trained"].eq(True)
    chosen = episodes[alike & episodes["task_set"].isin(sets)]
    played = [name for name in sets if name in set(chosen["task_set"])]
    if played:
        n_tasks = chosen.drop_duplicates(["problem", "task_set", "task"]).shape[0]
        where = f", on the {n_tasks} tasks with one unit changed and a trained start"
        yield from differences(
            *("transfer", _reference(params), params.without_classes, chosen, played),
            *(("win_rate",), params),
            where=where,
            paper="above 0",
        )
