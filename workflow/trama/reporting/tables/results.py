"""Final win rate and return of each variant, per task and overall."""

from itertools import product

from trama.config.problems import TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.estimates import STATISTICS
from trama.reporting.statistics import OVERALL, Inputs
from trama.reporting.tables.measured import (
    METRICS,
    Measured,
    interval_words,
    tidy,
)
from trama.reporting.tables.table import Table

_TITLES = {"iqm": "IQM", "mean": "mean"}


def results(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of results on a problem.

    Args:
        inputs: `episodes` of each variant and seed.
        params: of the table.
        problem: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    policy = params.tables.policy
    episodes = statistics.read_episodes(inputs["episodes"])
    scores = {metric: statistics.scores(episodes, policy, metric) for metric in METRICS}
    tasks = [task for _, task in scores["win_rate"].tasks]
    columns = list(product(METRICS, STATISTICS))
    rows, records = [], []
    groups = {task: [i] for i, task in enumerate(tasks)} | {OVERALL: [*range(len(tasks))]}
    for task, group in groups.items():
        measured = {
            metric: Measured({v: x[:, group] for v, x in scores[metric].values.items()}, params)
            for metric in METRICS
        }
        for variant in params.names:
            cells = [measured[m].cell(variant, statistic, bold=True) for m, statistic in columns]
            rows.append([task, variant, *cells])
            for metric in METRICS:
                records += measured[metric].rows(variant, task=task, variant=variant, metric=metric)
    played = words.episodes(statistics.of_sets(episodes, policy, TRAINED))
    return Table(
        title=f"{problem}: win rate and return of the {policy} policies",
        caption=[
            f"Greedy evaluation of the {policy} policies on {problem}: interquartile mean (IQM) "
            f"and mean over seeds, of {played} per seed and task. Overall: over seeds and tasks, "
            "of whose scores an IQM leaves out the outer ones, whichever task they are of. "
            f"{interval_words(len(params.seeds), bold=True)}"
        ],
        header=["Task", "Variant", *(f"{METRICS[m]} ({_TITLES[s]})" for m, s in columns)],
        align="ll" + "r" * len(columns),
        rows=rows,
        tidy=tidy(records, problem=problem, policy=policy),
        shown=f"policy {policy}, task set trained",
    )
