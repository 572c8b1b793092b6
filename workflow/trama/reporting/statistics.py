"""Aggregates over seeds, tasks and time, computed from the rows that the stages wrote."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from trama.config.problems import TRAINED
from trama.data.parquet import read_table
from trama.errors import TramaError
from trama.reporting import estimates
from trama.seeds import derive_seed

Files = Mapping[str, Mapping[int, Path]]
"""File of each name (variant or representation) and seed."""

Inputs = Mapping[str, Sequence[Path]]
"""Files that a figure or table is made from, by their kind, in the order in which they appear."""

FALLBACK = "fallback"
"""Stands for the classes of agents that use none while their episode looks novel to them."""

PREDICTED = "predicted"
"""Stands for the classes that agents predict, beside those that they are given."""

OVERALL = "overall"
"""Stands for all tasks of a problem together, each with the same weight."""


class Curve(NamedTuple):
    """A value along an axis: x [n], increasing; y [n]."""

    x: np.ndarray
    y: np.ndarray


_SCORES = {"win_rate": "won", "return": "episode_return"}
"""Column of `episodes` that is averaged for a metric; others are named as their column."""


class Scores(NamedTuple):
    """Scores of several variants on the same tasks by runs of the same seeds.

    Attributes:
        tasks: problem and name of each task.
        values: [seeds, tasks] for each variant, free of NaN.
    """

    tasks: list[tuple[str, str]]
    values: dict[str, np.ndarray]

    @property
    def problems(self) -> list[str]:
        """The problem of each task, for estimates over several."""
        return [problem for problem, _ in self.tasks]


def by_name_and_seed(paths: Iterable[Path | str]) -> dict[str, dict[int, Path]]:
    """Arrange paths ``.../<name>/seed_<s>/<file>`` as {name: {s: path}}, in the order given."""
    files: dict[str, dict[int, Path]] = {}
    for path in map(Path, paths):
        seed = int(path.parent.name.removeprefix("seed_"))
        files.setdefault(path.parent.parent.name, {})[seed] = path
    return files


def by_problem(paths: Iterable[Path]) -> dict[str, Files]:
    """Arrange paths ``<problem>/<stage>/<name>/seed_<s>/<file>`` by problem, name and seed."""
    problems: dict[str, list[Path]] = {}
    for path in paths:
        problems.setdefault(path.parents[3].name, []).append(path)
    return {problem: by_name_and_seed(files) for problem, files in problems.items()}


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


def final_scores(histories: Files, metric: str) -> dict[str, np.ndarray]:
    """Return scores [seeds, 1] of each variant: the last value of a metric.

    Variants of which a run has none are left out: it never had classes, where that is of them.

    Raises:
        TramaError: a history is missing or broken.
    """
    return {
        variant: np.array([[final_value(files[seed], metric)] for seed in sorted(files)])
        for variant, files in histories.items()
        if all(_has(history, metric) for history in files.values())
    }


def rises(histories: Files, metric: str) -> dict[str, np.ndarray]:
    """Return scores [seeds, 1] of each variant: what a metric gained in the last fifth.

    It is the last value minus the last one of the first four fifths of the env steps. Variants of
    which a run has none are left out; errors as `learning_curve`.
    """

    def rise(history: Path) -> float:
        env_steps, values = learning_curve(history, metric)
        before = np.flatnonzero(env_steps <= 0.8 * env_steps[-1])
        return float(values[-1] - values[before[-1]]) if len(before) else np.nan

    found = {
        variant: np.array([[rise(files[seed])] for seed in sorted(files)])
        for variant, files in histories.items()
    }
    return {variant: scores for variant, scores in found.items() if not np.isnan(scores).any()}


def over_problems(
    histories: Mapping[str, Files], variant: str, scores: Callable[[Files], dict[str, np.ndarray]]
) -> np.ndarray | None:
    """Return scores [seeds, problems] of a variant; None if a problem has none of all its seeds.

    Args:
        histories: of each problem.
        variant: its name.
        scores: of such files, scores [seeds, 1] of each variant, as `final_scores` has them.
    """
    found = [scores({variant: files[variant]}) for files in histories.values()]
    if not all(variant in each for each in found):
        return None
    return np.concatenate([each[variant] for each in found], axis=1)


def _has(history: Path, metric: str) -> bool:
    table = read_table(history, "history")
    return metric in set(table["metric"].to_pylist())


def clusterings(histories: Files, metrics: Sequence[str]) -> pd.DataFrame:
    """Return metrics of the clusterings during training.

    Returns:
        One row per variant, metric, seed and clustering: columns variant, metric, seed, env_steps,
        value.

    Raises:
        TramaError: a history is missing or broken.
    """
    frames = []
    for variant, files in histories.items():
        for seed in sorted(files):
            history: pd.DataFrame = read_table(files[seed], "history").to_pandas()
            rows = history[history["metric"].isin(metrics)]
            frames.append(rows.assign(variant=variant, seed=seed))
    columns = ["variant", "metric", "seed", "env_steps", "value"]
    return pd.concat(frames, ignore_index=True)[columns]


def clustering_scores(
    clusterings: pd.DataFrame, metric: str, n_seeds: int
) -> dict[str, np.ndarray]:
    """Return scores [seeds, 1] of each variant: the mean of a metric over a run's clusterings.

    Args:
        clusterings: as `clusterings` returns them.
        metric: one of theirs.
        n_seeds: variants with fewer seeds that have a clustering are left out.
    """
    rows = clusterings[clusterings["metric"] == metric]
    means = {
        variant: rows[rows["variant"] == variant].groupby("seed")["value"].mean().to_numpy()
        for variant in dict.fromkeys(rows["variant"])
    }
    return {variant: x[:, None] for variant, x in means.items() if len(x) == n_seeds}


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


def cluster_scores(files: Files, metric: str) -> dict[str, np.ndarray]:
    """Return scores [seeds, 1] of each representation: a metric of its clustering."""
    return {
        name: np.array([[cluster_metrics(seeds[seed])[metric]] for seed in sorted(seeds)])
        for name, seeds in files.items()
    }


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


def predictor_alone(path: Path, labels: str, split: str = "held_out") -> pd.DataFrame:
    """Return what stage predict measured of the predictor alone.

    Args:
        path: its file.
        labels: `true_task` or `clusters`.
        split: `held_out` or `trained`.

    Returns:
        Rows of the file, in the order of the steps; the first one is of all steps together.

    Raises:
        TramaError: the file is missing or broken, or has no such rows.
    """
    table: pd.DataFrame = read_table(path, "predictor_accuracy").to_pandas()
    rows = table[(table["labels"] == labels) & (table["split"] == split)]
    if rows.empty or rows["step"].notna().iloc[0]:
        raise TramaError(
            f"{path}: no row of all steps, labels `{labels}` and split `{split}`; run the target "
            "`predict` again"
        )
    return rows


def predictors_alone(paths: Iterable[Path]) -> dict[str, tuple[Mapping[int, Path], str]]:
    """Name the predictors that stage predict trained: on true tasks, on each kind of clusters.

    Args:
        paths: its files, of one problem, at least one; what they have of true tasks is the same
            for all representations.

    Returns:
        Name -> file of each seed, and labels.
    """
    files = by_name_and_seed(paths)
    return {
        "true tasks": (next(iter(files.values())), "true_task"),
        **{f"clusters of {name}": (of_seed, "clusters") for name, of_seed in files.items()},
    }


def predictor_alone_scores(
    files: Mapping[int, Path], labels: str, column: str, split: str = "held_out"
) -> np.ndarray:
    """Return scores [seeds, 1]: a column of all steps together; see `predictor_alone`."""
    return np.array(
        [[predictor_alone(files[s], labels, split)[column].iloc[0]] for s in sorted(files)]
    )


def running_mean(curve: Curve, window: int) -> Curve:
    """Return the mean of each point and the `window` - 1 before it (fewer at the start)."""
    means = pd.Series(curve.y).rolling(window, min_periods=1).mean()
    return Curve(curve.x, means.to_numpy())


def aligned(curves: Sequence[Curve]) -> tuple[np.ndarray, np.ndarray]:
    """Return curves at the same points, where all of them are defined.

    The points are those of all curves together; between its own points a curve is linear.

    Returns:
        x [points] and values [curves, points].
    """
    start = max(curve.x[0] for curve in curves)
    end = min(curve.x[-1] for curve in curves)
    x = np.unique(np.concatenate([curve.x for curve in curves]))
    x = x[(x >= start) & (x <= end)]
    return x, np.stack([np.interp(x, curve.x, curve.y) for curve in curves])


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean of curves where all of them are defined; points as `aligned`."""
    x, values = aligned(curves)
    return Curve(x, values.mean(axis=0))


def bootstrap_seed(study_seed: int) -> int:
    """Return the seed of every bootstrap of a study.

    It is one for all, so that a number has the same interval wherever it is shown.
    """
    return derive_seed(study_seed, "bootstrap")


def read_episodes(paths: Iterable[Path]) -> pd.DataFrame:
    """Return the test episodes of several runs, of one problem or more, in the order given.

    Args:
        paths: evaluation of each run.

    Returns:
        The rows of all files, with their columns and `file`, the path.

    Raises:
        TramaError: a file is missing or broken, or holds a run that another one holds too.
    """
    return _read_runs(paths, "episodes")


def read_given_classes(paths: Iterable[Path]) -> pd.DataFrame:
    """Return the test episodes of several runs whose agents were given a class.

    See `read_episodes`; here the task set is that of all rows.
    """
    return _read_runs(paths, "given_classes").assign(task_set=TRAINED)


def read_fallback(paths: Iterable[Path]) -> pd.DataFrame:
    """Return the test episodes of several runs whose agents might use no class.

    See `read_episodes`; `given` is `FALLBACK`.
    """
    return _read_runs(paths, "fallback").assign(given=FALLBACK)


def _read_runs(paths: Iterable[Path], kind: str) -> pd.DataFrame:
    frames = []
    files: dict[tuple[str, str, int], Path] = {}
    for path in paths:
        frame: pd.DataFrame = read_table(path, kind).to_pandas()
        runs = frame[["problem", "variant", "seed"]].drop_duplicates()
        for problem, variant, seed in runs.itertuples(index=False, name=None):
            if (problem, variant, seed) in files:
                raise TramaError(
                    f"{path}: evaluates `{variant}` with seed {seed} on `{problem}`, as "
                    f"{files[problem, variant, seed]} does; remove the file that is in the wrong "
                    "place and run the target `evaluate` again"
                )
            files[problem, variant, seed] = path
        frames.append(frame.assign(file=str(path)))
    return pd.concat(frames, ignore_index=True)


def played_sets(episodes: pd.DataFrame, policy: str, task_sets: Sequence[str]) -> list[str]:
    """Return those of some sets that a policy played: one has no tasks where all are trained on."""
    played = set(episodes["task_set"][episodes["policy"] == policy])
    return [name for name in task_sets if name in played]


def of_sets(episodes: pd.DataFrame, policy: str, task_set: str | Sequence[str]) -> pd.DataFrame:
    """Return the episodes of a policy on the tasks of a set or several.

    Raises:
        TramaError: there are none.
    """
    sets = [task_set] if isinstance(task_set, str) else task_set
    rows = episodes[(episodes["policy"] == policy) & episodes["task_set"].isin(sets)]
    if rows.empty:
        names = ", ".join(f"`{name}`" for name in sets)
        raise TramaError(
            f"{episodes['file'].iloc[0]}: no episode of policy `{policy}` and task set {names}, nor"
            " in the other evaluations; check evaluate.policies and evaluate.task_sets, and run "
            "the target `evaluate` again"
        )
    return rows


def scores(
    episodes: pd.DataFrame, policy: str, metric: str, task_set: str | Sequence[str] = TRAINED
) -> Scores:
    """Average the episodes of each run on each task.

    Args:
        episodes: of one problem or several, as `read_episodes` returns them.
        policy: `last` or `best`.
        metric: win_rate, return, or a column of numbers by its name. Variants of which a run has
            none (null in every episode, as the entropy where there are no classes) are left out.
        task_set: set of tasks, or several.

    Returns:
        The scores; variants and tasks in the order of the episodes, seeds by number.

    Raises:
        TramaError: no episode is of the policy and task set; variants, seeds or problems differ in
            their runs or tasks; a run has the metric in some episodes only.
    """
    rows = of_sets(episodes, policy, task_set)
    column = _SCORES.get(metric, metric)
    known = rows.groupby(["variant", "seed", "problem"], sort=False)[column].count()
    without = {variant for variant, *_ in known.index[known == 0]}
    rows = rows[~rows["variant"].isin(without)]
    lacking = rows[rows[column].isna()]
    if not lacking.empty:
        raise TramaError(
            f"{lacking['file'].iloc[0]}: no `{column}` in some episodes of task "
            f"`{lacking['task'].iloc[0]}`; run the target `evaluate` again"
        )

    keys = ["variant", "seed", "problem", "task"]
    means = rows.groupby(keys, sort=False)[column].mean().astype("float64").to_dict()
    variants = list(dict.fromkeys(rows["variant"]))
    seeds = sorted(set(rows["seed"]))
    # By problem; the sort keeps the order of its tasks.
    problems = list(dict.fromkeys(rows["problem"]))
    tasks = list(rows[["problem", "task"]].drop_duplicates().itertuples(index=False, name=None))
    tasks.sort(key=lambda task: problems.index(task[0]))
    for score in product(variants, seeds, tasks):
        variant, seed, (problem, task) = score
        if (variant, seed, problem, task) not in means:
            raise TramaError(_missing(episodes, policy, *score))
    values = {
        variant: np.array([[means[variant, seed, *task] for task in tasks] for seed in seeds])
        for variant in variants
    }
    return Scores(tasks, values)


def given_scores(
    given: pd.DataFrame,
    policy: str,
    kind: str,
    predicted: Scores,
    seeds: Sequence[int],
    column: str = "won",
) -> dict[str, np.ndarray]:
    """Average the episodes of each run on each task whose agents did not use predicted classes.

    Args:
        given: of one problem or several, as `read_given_classes` and `read_fallback` return them.
        policy: `last` or `best`.
        kind: of the given classes, or `FALLBACK`.
        predicted: scores of the same runs with the classes that agents predict.
        seeds: of the runs.
        column: what is averaged.

    Returns:
        Scores of the variants, seeds and tasks of `predicted`, with NaN where a run has no such
        class for a task.
    """
    rows = given[(given["policy"] == policy) & (given["given"] == kind)]
    means = rows.groupby(["variant", "seed", "problem", "task"])[column].mean().to_dict()

    def of_run(variant: str, seed: int) -> list[float]:
        return [means.get((variant, seed, *task), np.nan) for task in predicted.tasks]

    return {v: np.array([of_run(v, seed) for seed in sorted(seeds)]) for v in predicted.values}


def known(scores: Mapping[str, np.ndarray], tasks: Sequence[int]) -> dict[str, np.ndarray]:
    """Return scores on some tasks, by their numbers, of the variants that have all of them."""
    chosen = {variant: values[:, tasks] for variant, values in scores.items()}
    return {variant: values for variant, values in chosen.items() if np.isfinite(values).all()}


def minus(x: Mapping[str, np.ndarray], y: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the differences of runs, by variant, of those that both have."""
    return {variant: values - y[variant] for variant, values in x.items() if variant in y}


def results(
    episodes: pd.DataFrame,
    policy: str,
    study_seed: int,
    task_set: str | Sequence[str] = TRAINED,
) -> pd.DataFrame:
    """Return win rate and return on each task and over the tasks of a problem, with intervals.

    Args:
        episodes: of one problem or several, as `read_episodes` returns them.
        policy: `last` or `best`.
        study_seed: study.seed of the config.
        task_set: set of tasks, or several.

    Returns:
        One row per problem, task (then `OVERALL`), variant and metric (win_rate, return): columns
        problem, task, variant, metric, iqm, iqm_low, iqm_high, mean, mean_low, mean_high (95 %
        intervals, NaN below `estimates.MIN_SEEDS` seeds), lowest and highest (a seed's mean over
        the tasks), n_seeds, episodes_per_seed (fewest of a seed).

    Raises:
        TramaError: as `scores`.
    """
    seed = bootstrap_seed(study_seed)
    records = []
    for problem, rows in of_sets(episodes, policy, task_set).groupby("problem", sort=False):
        of_problem = episodes[episodes["problem"] == problem]
        counts = rows.groupby(["variant", "seed", "task"], sort=False).size()
        by_metric = {
            metric: scores(of_problem, policy, metric, task_set)
            for metric in ("win_rate", "return")
        }
        tasks = [task for _, task in by_metric["win_rate"].tasks]
        for i, task in enumerate([*tasks, OVERALL]):
            for variant, metric in product(by_metric["win_rate"].values, by_metric):
                values = by_metric[metric].values[variant]
                counted = counts.xs(variant, level="variant")
                if task == OVERALL:
                    counted = counted.groupby("seed").sum()
                else:
                    values, counted = values[:, [i]], counted.xs(task, level="task")
                iqm, mean = (
                    estimates.estimate(values, statistic, seed)
                    for statistic in (estimates.iqm, estimates.mean)
                )
                seeds = values.mean(axis=1)
                record = (problem, task, variant, metric, *iqm[:3], *mean[:3])
                records.append((*record, seeds.min(), seeds.max(), len(seeds), counted.min()))
    columns = ["problem", "task", "variant", "metric", "iqm", "iqm_low", "iqm_high"]
    columns += ["mean", "mean_low", "mean_high", "lowest", "highest"]
    columns += ["n_seeds", "episodes_per_seed"]
    table = pd.DataFrame(records, columns=columns)
    ends = [column for column in columns if column.endswith(("_low", "_high"))]
    return table.astype(dict.fromkeys(ends, "float64"))


def _missing(
    episodes: pd.DataFrame, policy: str, variant: str, seed: int, task: tuple[str, str]
) -> str:
    """Say which file lacks the episodes of a run on a task, or that there is no such file."""
    problem, name = task
    run = (
        (episodes["variant"] == variant)
        & (episodes["seed"] == seed)
        & (episodes["problem"] == problem)
    )
    if not run.any():
        return (
            f"`{variant}` with seed {seed} was not evaluated on `{problem}`, as other variants, "
            "seeds or problems were; run the target `evaluate` again"
        )
    return (
        f"{episodes['file'][run].iloc[0]}: no episode of policy `{policy}` on task `{name}`, where "
        "other runs have some; run the target `evaluate` again"
    )
