"""Win rate and return on tasks that no policy was trained on: by set of tasks, and by task."""

from collections.abc import Sequence

from trama.config.problems import OOD, TRAINED
from trama.config.table_params import TableParams
from trama.reporting import statistics, words
from trama.reporting.statistics import OVERALL, Inputs
from trama.reporting.tables.measured import (
    METRICS,
    Measured,
    interval_words,
    tidy,
)
from trama.reporting.tables.table import Table

_DISTANCE = "centroid_distance"


def ood(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of each set of tasks that a problem's policies were not trained on.

    Args:
        inputs: `episodes` of each variant and seed.
        params: of the table, with `task_sets` and `baselines`.
        problem: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy, or they differ in tasks.
    """
    return _table(inputs, params, problem, by_task=False)


def ood_tasks(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of each task that a problem's policies were not trained on; see `ood`."""
    return _table(inputs, params, problem, by_task=True)


def _table(inputs: Inputs, params: TableParams, problem: str, *, by_task: bool) -> Table:
    policy = params.tables.policy
    episodes = statistics.read_episodes(inputs["episodes"])
    sets = statistics.played_sets(episodes, policy, params.task_sets)
    groups = {name: [name] for name in (TRAINED, *sets)}
    if sets and not by_task:
        groups[OOD] = sets
    rows, records = [], []
    for group, members in groups.items():
        of_group = statistics.of_sets(episodes, policy, members)
        scores = {
            metric: statistics.scores(episodes, policy, metric, members)
            for metric in (_DISTANCE, *METRICS)
        }
        tasks = [task for _, task in scores["win_rate"].tasks]
        for task, columns in _columns(tasks, by_task):
            measured = {
                metric: Measured({v: x[:, columns] for v, x in values.items()}, params)
                for metric, (_, values) in scores.items()
            }
            changed = of_group[of_group["task"].isin([tasks[i] for i in columns])]["units_changed"]
            for variant in params.names:
                over = params.baselines.get(variant)
                rows.append(
                    [
                        group,
                        *([task] if by_task else []),
                        variant,
                        words.span(changed) if by_task else str(len(columns)),
                        measured[_DISTANCE].value_cell(variant, "mean"),
                        *(measured[metric].cell(variant, "iqm", bold=True) for metric in METRICS),
                        measured["win_rate"].gain_cell(variant, over, "iqm"),
                    ]
                )
                keys = {"task_set": group, "task": task, "variant": variant}
                keys["units_changed"] = words.span(changed)
                for metric, of_metric in measured.items():
                    records += of_metric.rows(variant, **keys, metric=metric)
                for metric in METRICS:
                    of_metric = measured[metric]
                    records += of_metric.gain_rows(variant, over, **keys, metric=f"{metric}_gain")
    what, over_what = (
        ("each task", "seeds") if by_task else ("each set of tasks", "seeds and tasks")
    )
    changed_words = (
        "Changed: units in which the team differs from the nearest trained one, missing ones too. "
        if by_task
        else ""
    )
    n_episodes = words.episodes(statistics.of_sets(episodes, policy, (TRAINED, *params.task_sets)))
    return Table(
        title=f"{problem}: {what} that was not trained on ({policy} policies)",
        caption=[
            f"Greedy evaluation of the {policy} policies of {problem} on {what} of which none was "
            f"trained on, and on the trained ones (``{TRAINED}``): interquartile mean (IQM) of win "
            f"rate and return over {over_what}, of {n_episodes} per seed and task. {changed_words}"
            "Distance: from the embedding of an episode to the nearest centroid of the policy's "
            "own representation, over the mean distance of the training trajectories to theirs; "
            "larger is less similar. Gain: difference in win rate to the variant without classes "
            "that has the same mixer. "
            f"{interval_words(len(params.seeds), bold=True)}"
        ],
        header=[
            "Task set",
            *(["Task"] if by_task else []),
            "Variant",
            "Changed" if by_task else "Tasks",
            "Distance",
            *METRICS.values(),
            "Gain in win rate",
        ],
        align=("lll" if by_task else "ll") + "rrrrr",
        rows=rows,
        tidy=tidy(records, problem=problem, policy=policy),
        shown=f"policy {policy}, task sets {', '.join((TRAINED, *params.task_sets))}",
    )


def _columns(tasks: Sequence[str], by_task: bool) -> list[tuple[str, list[int]]]:
    """Columns of the scores that belong together, with the name of their task."""
    if by_task:
        return [(task, [i]) for i, task in enumerate(tasks)]
    return [(OVERALL, list(range(len(tasks))))]
