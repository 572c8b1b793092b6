"""What policies make of their class: with the predicted one and given ones, and when it is swapped.

If the true class wins more than the predicted one, predictor or clusters lose something. If a wrong
class wins as much as the predicted one, the policy does not use its class.
"""

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.statistics import OVERALL, PREDICTED, Inputs
from trama.reporting.tables.measured import Measured, interval_words, tidy
from trama.reporting.tables.table import Table

SWAP = {"swap_effect": "Change of values", "swap_actions": "Changed actions"}
"""Metrics of a swap of classes, and what the table calls them."""

_GIVEN = {
    "true_class": "True class",
    "random_class": "Random class",
    "wrong_class": "Wrong class",
    "no_class": "No class",
}


def class_use(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of what policies with classes make of them on a problem.

    Args:
        inputs: `episodes` and `given_classes` of each seed of the variants with classes.
        params: of the table, with `given_classes`.
        problem: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy = params.tables.policy
    episodes = statistics.read_episodes(inputs["episodes"])
    given = statistics.read_given_classes(inputs["given_classes"])
    predicted = statistics.scores(episodes, policy, "win_rate")
    wins = {PREDICTED: predicted.values}
    for kind in params.given_classes:
        wins[kind] = statistics.given_scores(given, policy, kind, predicted, params.seeds)
    swaps = {metric: statistics.scores(episodes, policy, metric).values for metric in SWAP}
    tasks = [task for _, task in predicted.tasks]
    groups = {task: [i] for i, task in enumerate(tasks)} | {OVERALL: [*range(len(tasks))]}
    rows, records = [], []
    for task, group in groups.items():
        won = {kind: statistics.known(scores, group) for kind, scores in wins.items()}
        of_wins = {kind: Measured(scores, params) for kind, scores in won.items()}
        differences = {
            kind: Measured(statistics.minus(won[kind], won[PREDICTED]), params)
            for kind in params.given_classes
        }
        of_swaps = {
            metric: Measured({v: x[:, group] for v, x in values.items()}, params)
            for metric, values in swaps.items()
        }
        for variant in params.names:
            rows.append(
                [
                    *(task, variant),
                    *(measured.cell(variant, "iqm") for measured in of_wins.values()),
                    *(measured.value_cell(variant, "mean") for measured in of_swaps.values()),
                ]
            )
            keys = {"task": task, "variant": variant}
            for kind, measured in of_wins.items():
                records += measured.rows(variant, **keys, classes=kind, metric="win_rate")
            for kind, measured in differences.items():
                more = {"classes": kind, "metric": "win_rate_difference"}
                records += measured.rows(variant, **keys, **more)
            for metric, measured in of_swaps.items():
                records += measured.rows(variant, **keys, classes=PREDICTED, metric=metric)
    played = words.episodes(statistics.of_sets(episodes, policy, TRAINED))
    n_seeds = len(params.seeds)
    return Table(
        title=f"{problem}: what the {policy} policies make of their class",
        caption=[
            f"Greedy evaluation of the {policy} policies with classes on {problem}: interquartile "
            f"mean (IQM) of the win rate over seeds, of {played} per seed and task, with the "
            f"classes that agents predict{_given_words(params)}. Episodes start alike in all of "
            "these. Change of values: mean absolute change of the available action values when the "
            "predicted classes are replaced by others, over the standard deviation of the values. "
            "Changed actions: share of the greedy actions that this changes. Both are means over "
            "the other classes, episodes and seeds. Overall: over the scores of all seeds and "
            "tasks together. "
            f"{interval_words(n_seeds)}"
        ],
        header=[
            *("Task", "Variant", "Predicted"),
            *(_GIVEN[kind] for kind in params.given_classes),
            *SWAP.values(),
        ],
        align="ll" + "r" * (len(wins) + len(SWAP)),
        rows=rows,
        tidy=tidy(records, problem=problem, policy=policy),
        shown=f"policy {policy}, task set trained",
    )


def _given_words(params: TableParams) -> str:
    """What is said of the given classes, where there are any."""
    if not params.given_classes:
        return ""
    return (
        ", and with one class that all agents are given instead: the true one, which stands for "
        "the task (of clusters, the most frequent label of its episodes), a random one, or a wrong "
        "one, both drawn for each episode, or none; n/a where a run has no such class, or never "
        "learnt without one. The CSV also has the "
        "differences to the predicted classes, run by run"
    )
