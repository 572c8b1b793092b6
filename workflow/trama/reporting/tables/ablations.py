"""Every variant beside the reference variant of the study, over all problems."""

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.statistics import Inputs
from trama.reporting.tables.measured import (
    METRICS,
    Measured,
    interval_text,
    interval_words,
    tidy,
)
from trama.reporting.tables.table import Table
from trama.reporting.words import MISSING


def ablations(inputs: Inputs, params: TableParams, study: str) -> Table:
    """Return the table that compares the variants of a study with its reference.

    Args:
        inputs: `episodes` of each problem, variant and seed.
        params: of the table, with `reference` and `changes`.
        study: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy, reference = params.tables.policy, params.reference
    assert reference is not None
    episodes = statistics.read_episodes(inputs["episodes"])
    scores = {metric: statistics.scores(episodes, policy, metric) for metric in METRICS}
    measured = {m: Measured(of.values, params, of.problems) for m, of in scores.items()}
    rows, records = [], []
    for variant in params.names:
        changes = "; ".join(params.changes[variant])
        over = None if variant == reference else reference
        improvement = MISSING
        keys = {"variant": variant, "changes": changes}
        for metric, of_metric in measured.items():
            records += of_metric.rows(variant, **keys, metric=metric)
            records += of_metric.gain_rows(variant, over, **keys, metric=f"{metric}_difference")
            if over is not None:
                estimate = of_metric.improvement(variant, over)
                statistic = {"statistic": "probability", **estimate._asdict()}
                records.append({**keys, "metric": f"{metric}_improvement", **statistic})
                if metric == "win_rate":
                    improvement = interval_text(*estimate[:3], params.tables.decimals)
        rows.append(
            [
                variant,
                changes if over else "reference",
                measured["win_rate"].cell(variant, "iqm"),
                *(of_metric.gain_cell(variant, over, "iqm") for of_metric in measured.values()),
                improvement,
            ]
        )
    problems = [*dict.fromkeys(episodes["problem"])]
    played = words.episodes(statistics.of_sets(episodes, policy, TRAINED))
    return Table(
        title=f"Study {study}: variants beside {reference}",
        caption=[
            f"What each variant changes of ``{reference}``, and what comes of it over the tasks of "
            f"{words.literals(problems)} ({policy} policies, greedy, "
            f"{played} per seed and task): interquartile mean (IQM) of the win rate over seeds and "
            "tasks; its difference (Δ) to that of "
            f"``{reference}``, and that of the return; and the probability that a run of the "
            f"variant wins more than one of ``{reference}`` on a task (0.5: none is better). "
            f"{interval_words(len(params.seeds), differences=True, n_problems=len(problems))}"
        ],
        header=[
            "Variant",
            "Changes",
            "Win rate",
            "Δ win rate",
            "Δ return",
            "P(improvement)",
        ],
        align="lwrrrr",
        rows=rows,
        tidy=tidy(records, study=study, policy=policy, reference=reference),
        shown=f"policy {policy}, task set trained",
    )
