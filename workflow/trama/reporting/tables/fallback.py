"""What it brings that agents use no class while their episode looks novel."""

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.detection import ood_groups
from trama.reporting.statistics import FALLBACK, PREDICTED, Inputs
from trama.reporting.tables.measured import Measured, interval_words, tidy
from trama.reporting.tables.table import Table
from trama.reporting.words import MISSING

_SCORE_WORDS = {
    "confidence": "1 - the largest calibrated class probability",
    "energy": "-logsumexp of the class predictor's logits",
    "distance": (
        "the Mahalanobis distance of the class predictor's hidden state to the nearest class mean"
    ),
}
_SIMILARITY = (
    "The rows of a number of changed units are those of all such tasks, by the units in which the "
    "team differs from the nearest trained one, missing ones too."
)


def fallback(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of win rates of agents that use no class while their episode looks novel.

    Args:
        inputs: `episodes` of each seed of the variants with a fallback and of their baselines, and
            `fallback` of the former.
        params: of the table, with `task_sets`, `baselines` and `fallback`.
        problem: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy, score = params.tables.policy, params.fallback.score
    episodes = statistics.read_episodes(inputs["episodes"])
    again = statistics.read_fallback(inputs["fallback"])
    sets = statistics.played_sets(episodes, policy, params.task_sets)
    rows, records = [], []
    groups = [(TRAINED, None, "0"), *ood_groups(episodes, policy, sets)]
    for group, columns, changed in groups:
        members = [TRAINED] if columns is None else sets
        predicted = statistics.scores(episodes, policy, "win_rate", members)
        tasks = range(len(predicted.tasks)) if columns is None else columns
        with_fallback, class_free = (
            statistics.known(
                statistics.given_scores(again, policy, FALLBACK, predicted, params.seeds, column),
                tasks,
            )
            for column in ("won", "class_free")
        )
        won = statistics.known(predicted.values, tasks)
        wins = {PREDICTED: Measured(won, params), FALLBACK: Measured(with_fallback, params)}
        free = Measured(class_free, params)
        difference = Measured(statistics.minus(with_fallback, won), params)
        for variant in params.names:
            over = params.baselines.get(variant) if variant in with_fallback else None
            # Its own wins with the fallback beside those of the baseline.
            beside = Measured({**won, **with_fallback}, params)
            rows.append(
                [
                    *(group, variant, str(len(tasks))),
                    *(measured.cell(variant, "iqm") for measured in wins.values()),
                    free.value_cell(variant, "mean"),
                    difference.cell(variant, "mean"),
                    MISSING if over is None else wins[PREDICTED].value_cell(over, "iqm"),
                    beside.gain_cell(variant, over, "iqm"),
                ]
            )
            keys = {"task_set": group, "variant": variant, "units_changed": changed}
            for kind, measured in wins.items():
                records += measured.rows(variant, **keys, classes=kind, metric="win_rate")
            for metric, measured in (("class_free", free), ("win_rate_difference", difference)):
                records += measured.rows(variant, **keys, classes=FALLBACK, metric=metric)
            more = {"classes": FALLBACK, "metric": "win_rate_gain"}
            records += beside.gain_rows(variant, over, **keys, **more)
        for over in dict.fromkeys(params.baselines.values()):
            keys = {"task_set": group, "variant": over, "units_changed": changed}
            records += wins[PREDICTED].rows(over, **keys, classes=None, metric="win_rate")
    n_episodes = words.episodes(statistics.of_sets(episodes, policy, (TRAINED, *sets)))
    return Table(
        title=f"{problem}: agents that use no class while their episode looks novel",
        caption=[
            f"Greedy evaluation of the {policy} policies of {problem} that also learnt without a "
            "class: interquartile mean (IQM) of the win rate over seeds and tasks, of "
            f"{n_episodes} per seed and task, with the classes that agents predict, and where an "
            "agent uses none while the mean over its steps of its score of novelty, "
            f"{_SCORE_WORDS[score]}, is above the {100 * params.fallback.quantile:g} % quantile of "
            "what agents have at that step on the trained tasks. Class-free: share of the steps of "
            "living agents at which they used none. Difference: of the win rates, run by run, mean "
            "over seeds and tasks. Baseline: the variant without classes that has the same mixer. "
            f"Gain: of the win rate with the fallback over it. {_SIMILARITY} "
            f"{interval_words(len(params.seeds))}"
        ],
        header=[
            *("Task set", "Variant", "Tasks"),
            *("Predicted", "Fallback", "Class-free", "Difference", "Baseline", "Gain"),
        ],
        align="ll" + "r" * 7,
        rows=rows,
        tidy=tidy(records, problem=problem, policy=policy, score=score),
        shown=f"policy {policy}, task sets {', '.join((TRAINED, *sets))}",
    )
