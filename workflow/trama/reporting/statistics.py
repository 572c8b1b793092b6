"""Aggregates over seeds, tasks and time, computed from the rows that the stages wrote."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from trama.data.parquet import read_table
from trama.errors import TramaError

Files = Mapping[str, Mapping[int, Path]]
"""File of each name (variant or representation) and seed."""

OVERALL = "overall"
"""Stands for all tasks of a problem together, each with the same weight."""


class Curve(NamedTuple):
    """A value along an axis: x [n], increasing; y [n]."""

    x: np.ndarray
    y: np.ndarray


class Summary(NamedTuple):
    """A value over seeds."""

    mean: float
    minimum: float
    maximum: float
    n_seeds: int


def by_name_and_seed(paths: Iterable[Path | str]) -> dict[str, dict[int, Path]]:
    """Arrange paths ``.../<name>/seed_<s>/<file>`` as {name: {s: path}}, in the order given."""
    files: dict[str, dict[int, Path]] = {}
    for path in map(Path, paths):
        seed = int(path.parent.name.removeprefix("seed_"))
        files.setdefault(path.parent.parent.name, {})[seed] = path
    return files


def learning_curve(history: Path, metric: str) -> Curve:
    """Return a metric over all tasks against env steps.

    Raises:
        TramaError: the history is missing or broken or holds no such row.
    """
    rows = _rows(history, metric, by_step=False)
    return Curve(rows["env_steps"].to_numpy(), rows["value"].to_numpy())


def final_value(history: Path, metric: str) -> float:
    """Return the last value of a metric over all tasks; errors as `learning_curve`."""
    return float(learning_curve(history, metric).y[-1])


def final_curve_within_episode(history: Path, metric: str) -> Curve:
    """Return a metric by time step within the episode, as last measured in training.

    Errors as `learning_curve`.
    """
    rows = _rows(history, metric, by_step=True)
    rows = rows[rows["env_steps"] == rows["env_steps"].max()]
    return Curve(rows["step"].to_numpy(dtype=np.int64), rows["value"].to_numpy())


def _rows(history: Path, metric: str, *, by_step: bool) -> pd.DataFrame:
    """Return a metric's rows over all tasks, by time step or not, in order."""
    table: pd.DataFrame = read_table(history, "history").to_pandas()
    chosen = (table["metric"] == metric) & table["task"].isna() & (table["step"].notna() == by_step)
    rows = table[chosen]
    if rows.empty:
        detail = " by time step" if by_step else ""
        raise TramaError(
            f"{history}: no row of metric `{metric}`{detail}; the training was too short to record "
            "it: raise train.env_steps, or lower train.test_interval and "
            "train.clustering.first_env_steps"
        )
    return rows.sort_values(["env_steps", "step"], kind="stable")


def cluster_metrics(path: Path) -> dict[str, float]:
    """Return the metrics of a clustering that concern all classes together."""
    table: pd.DataFrame = read_table(path, "cluster_metrics").to_pandas()
    rows = table[table["class"].isna()]
    return dict(zip(rows["metric"], rows["value"], strict=True))


def class_shares(path: Path) -> list[float]:
    """Return the share of the trajectories in each class, in the order of the classes.

    Raises:
        TramaError: the cluster metrics hold no class sizes.
    """
    table: pd.DataFrame = read_table(path, "cluster_metrics").to_pandas()
    sizes = table[table["metric"] == "class_size"].sort_values("class")["value"]
    if sizes.empty:
        raise TramaError(f"{path}: no metric `class_size`; run the target `cluster` again")
    return (sizes / sizes.sum()).tolist()


def running_mean(curve: Curve, window: int) -> Curve:
    """Return the mean of each point and the `window` - 1 before it (fewer at the start)."""
    means = pd.Series(curve.y).rolling(window, min_periods=1).mean()
    return Curve(curve.x, means.to_numpy())


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean of curves where all of them are defined.

    The points are those of all curves together; between its own points a curve is linear.
    """
    start = max(curve.x[0] for curve in curves)
    end = min(curve.x[-1] for curve in curves)
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    x = x[(x >= start) & (x <= end)]
    return Curve(x, np.mean([np.interp(x, curve.x, curve.y) for curve in curves], axis=0))


def summarise(values: Sequence[float]) -> Summary:
    """Return mean, extremes and number of one value per seed."""
    return Summary(float(np.mean(values)), min(values), max(values), len(values))


def evaluation(episodes: Files, policy: str, task_set: str = "trained") -> pd.DataFrame:
    """Aggregate test episodes: per variant and task, and over the tasks, mean over seeds.

    A seed's value is the mean over its episodes of a task; its value over all tasks is the mean
    of its tasks' values.

    Args:
        episodes: evaluation of each variant and seed.
        policy: `last` or `best`.
        task_set: tasks to aggregate.

    Returns:
        One row per task (in the files' order, then `OVERALL`), variant and metric (win_rate,
        return): columns task, variant, metric, mean, min, max, n_seeds, episodes_per_seed.

    Raises:
        TramaError: a file holds no episode of the policy and task set.
    """
    frames = []
    for variant, seeds in episodes.items():
        for seed, path in seeds.items():
            frame = read_table(path, "episodes").to_pandas()
            frame = frame[(frame["policy"] == policy) & (frame["task_set"] == task_set)]
            if frame.empty:
                raise TramaError(
                    f"{path}: no episode of policy `{policy}` and task set `{task_set}`; "
                    "check evaluate.policies and run the target `evaluate` again"
                )
            frames.append(frame.assign(variant=variant, seed=seed))
    rows = pd.concat(frames).rename(columns={"won": "win_rate", "episode_return": "return"})
    metrics = ["win_rate", "return"]
    tasks = list(dict.fromkeys(rows["task"]))
    groups = rows.groupby(["variant", "seed", "task"], sort=False)
    means = groups[metrics].mean().assign(n=groups.size())
    overall = means.groupby(["variant", "seed"], sort=False).agg(
        {"win_rate": "mean", "return": "mean", "n": "sum"}
    )

    result = []
    for task in [*tasks, OVERALL]:
        per_seed = overall if task == OVERALL else means.xs(task, level="task")
        for variant in episodes:
            values = per_seed.loc[variant]
            for metric in metrics:
                summary = summarise(values[metric].tolist())
                result.append((task, variant, metric, *summary, int(values["n"].min())))
    columns = ["task", "variant", "metric", "mean", "min", "max", "n_seeds", "episodes_per_seed"]
    return pd.DataFrame(result, columns=columns)
