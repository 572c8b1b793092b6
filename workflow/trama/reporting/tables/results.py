"""Final win rate and return of each variant, per task and overall."""

from collections.abc import Mapping
from typing import Any

from trama.config.params import TableParams
from trama.reporting import statistics
from trama.reporting.statistics import Inputs
from trama.reporting.tables.table import Table


def results(inputs: Inputs, params: TableParams, problem: str) -> Table:
    """Return the table of results on a problem.

    Args:
        inputs: `episodes` of each variant and seed.
        params: of the table.
        problem: its name.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy.
    """
    tables = params.tables
    episodes = statistics.by_name_and_seed(inputs["episodes"])
    tidy = statistics.evaluation(episodes, tables.policy)
    tidy.insert(0, "problem", problem)
    tidy.insert(1, "policy", tables.policy)

    summaries = {(r["task"], r["variant"], r["metric"]): r for r in tidy.to_dict("records")}
    rows = []
    for task, variant in dict.fromkeys((task, variant) for task, variant, _ in summaries):
        win_rate = summaries[task, variant, "win_rate"]
        episode_return = summaries[task, variant, "return"]
        rows.append(
            [
                task,
                variant,
                _mean_and_range(win_rate, tables.decimals),
                _mean_and_range(episode_return, tables.decimals),
                str(win_rate["n_seeds"]),
                str(win_rate["episodes_per_seed"]),
            ]
        )
    return Table(
        title=f"{problem}: greedy evaluation of the {tables.policy} policy; "
        "mean over seeds [lowest seed, highest seed]",
        header=["Task", "Variant", "Win rate", "Return", "Seeds", "Episodes per seed"],
        rows=rows,
        tidy=tidy,
        shown=f"policy {tables.policy}, task set trained",
    )


def _mean_and_range(summary: Mapping[Any, Any], decimals: int) -> str:
    mean, low, high = (f"{summary[key]:z.{decimals}f}" for key in ("mean", "min", "max"))
    return f"{mean} [{low}, {high}]"
