"""What experiments measure: scores by problem, measure, and representation or variant."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from trama.config.experiments import (
    OF_CLUSTERS,
    OF_EPISODES,
    OF_FALLBACKS,
    OF_GIVEN,
    OF_HISTORIES,
    OF_PREDICTORS,
    OF_TIMINGS,
)
from trama.config.problems import TRAINED
from trama.data.parquet import read_table
from trama.data.schemas import PHASES_OF_CLASSES
from trama.reporting import detection, estimates, statistics
from trama.reporting.estimates import Estimate
from trama.reporting.statistics import Files, Inputs

FOUND = 0.8
"""ARI from which on clusters count as the true tasks."""

TITLES = {
    "win_rate": "Win rate",
    "return": "Return",
    "ood_win_rate": "OOD win rate",
    "swap_actions": "Changed actions",
    **{f"{score}_auroc": f"{title} (AUROC)" for score, title in detection.SCORES.items()},
    "fallback_win_rate": "Win rate, fallback",
    "fallback_ood_win_rate": "OOD, fallback",
    "true_class_win_rate": "True class given",
    "random_class_win_rate": "Random class given",
    "wrong_class_win_rate": "Wrong class given",
    "learning_win_rate": "Win rate while learning",
    "predictor_accuracy": "Accuracy",
    "predictor_balanced_accuracy": "Balanced accuracy",
    "label_consistency": "Label consistency",
    "label_consistency_chance": "Consistency by chance",
    "ari": "ARI",
    "tasks_found": "Tasks found",
    "nmi": "NMI",
    "silhouette": "Silhouette",
    "codes_in_use": "Codes in use",
    "n_classes": "Classes",
    "right_number": "Right number",
    "true_task_accuracy": "True tasks",
    "true_task_first_accuracy": "True tasks, first step",
    "clusters_accuracy": "Clusters",
    "clusters_first_accuracy": "Clusters, first step",
    "train_minutes": "Minutes",
    "classes_share": "Classes' share",
    "predictor_seconds": "Predictor, s",
    "label_seconds": "Labels, s",
    "vqvae_seconds": "VQ-VAE, s",
    "cluster_seconds": "Clusterings, s",
    "predictor_mb": "Predictor, MB",
    "label_mb": "Labels, MB",
    "vqvae_mb": "VQ-VAE, MB",
    "cluster_mb": "Clusterings, MB",
}
"""What figures and tables call the measures."""

EXPLANATIONS = {
    ("win_rate", "return"): "greedy episodes on the problem's own tasks",
    ("ood_win_rate",): "on tasks that were not trained on",
    ("swap_actions",): "share of the greedy actions that another class would change",
    ("confidence_auroc", "energy_auroc", "disagreement_auroc", "distance_auroc"): (
        "how well that score of novelty tells OOD tasks from trained ones; 0.5 is chance"
    ),
    ("fallback_win_rate", "fallback_ood_win_rate"): (
        "agents use no class where an episode looks novel"
    ),
    ("true_class_win_rate", "random_class_win_rate", "wrong_class_win_rate"): (
        "win rate with one class that all agents are given instead of those that they predict"
    ),
    ("learning_win_rate",): (
        "area under the learning curve of the tests over all env steps, as a share; before its "
        "first test a training counts as winning nothing"
    ),
    ("predictor_accuracy", "predictor_balanced_accuracy"): "of the class predictor, last test",
    ("label_consistency",): "share of labels that a re-clustering keeps, mean of a training",
    ("label_consistency_chance",): "the share that chance would keep",
    ("ari", "nmi"): "agreement of clusters with true tasks, in a training of the last ones",
    ("tasks_found",): f"share of seeds whose ARI is at least {FOUND}",
    ("n_classes",): "their number",
    ("right_number",): "share of seeds with as many classes as unit combinations",
    (
        "true_task_accuracy",
        "true_task_first_accuracy",
        "clusters_accuracy",
        "clusters_first_accuracy",
    ): ("accuracy of a class predictor alone on trajectories that were held out"),
    ("train_minutes",): "what the parts of a training took together",
    ("classes_share",): "share of that time for predictor, labels, clusterings and VQ-VAE updates",
    ("predictor_seconds", "label_seconds", "vqvae_seconds", "cluster_seconds"): (
        "wall time of a whole training for that part"
    ),
    ("predictor_mb", "label_mb", "vqvae_mb", "cluster_mb"): (
        "the most memory that a call of that part took beyond what was held, of host and GPU, in "
        "its first 16 calls and then in those of a power of two"
    ),
}
"""What captions say of groups of measures after their titles."""

SHARES = ("right_number", "tasks_found")
"""Measures that are 0 or 1 in each run, so that only their mean says anything."""

Scores = dict[str, dict[str, np.ndarray]]
"""Scores [seeds, tasks] by measure and name, without the names that do not have the measure."""

_SERIES = ("label_consistency", "label_consistency_chance")


def measured(
    inputs: Inputs,
    measures: Sequence[str],
    policy: str,
    task_sets: Sequence[str],
    n_combinations: Mapping[str, int | None],
) -> dict[str, Scores]:
    """Return the scores of an experiment by problem, and by measure in the order of `measures`.

    Args:
        inputs: of each problem, seed and variant `episodes`, `fallback`, `given_classes`, `history`
            and `timing`, as far as something is measured of them, or of each representation
            `cluster_metrics` and `predictor_accuracy`.
        measures: some of `TITLES`.
        policy: `last` or `best`; whose episodes count.
        task_sets: the sets of tasks that were not trained on.
        n_combinations: unit combinations of each problem whose number of classes is measured, None
            where it has none.

    Raises:
        TramaError: a file is missing or broken, or lacks what others of its name have.
    """
    found: dict[str, Scores] = {}
    per_run: dict[str, tuple[Sequence[str], Callable[[Path], Mapping[str, float]]]] = {
        "history": ((*OF_HISTORIES, *OF_CLUSTERS), _of_history),
        "timing": (OF_TIMINGS, _of_timing),
        "cluster_metrics": (OF_CLUSTERS, _of_clusters),
        "predictor_accuracy": (OF_PREDICTORS, _of_predictor),
    }
    for kind, (known, read) in per_run.items():
        for problem, files in statistics.by_problem(inputs.get(kind, ())).items():
            chosen = [measure for measure in measures if measure in known]
            right = n_combinations.get(problem)
            found.setdefault(problem, {}).update(_of_runs(files, chosen, read, right))
    given: dict[str, tuple[Sequence[str], Callable[[Iterable[Path]], pd.DataFrame]]] = {
        "fallback": (OF_FALLBACKS, statistics.read_fallback),
        "given_classes": (OF_GIVEN, statistics.read_given_classes),
    }
    for problem, files in statistics.by_problem(inputs.get("episodes", ())).items():
        episodes = statistics.read_episodes(_paths(files))
        ood = statistics.played_sets(episodes, policy, task_sets)
        chosen = [measure for measure in measures if measure in OF_EPISODES]
        of_problem = found.setdefault(problem, {})
        of_problem.update(_of_episodes(episodes, chosen, policy, ood))
        for kind, (known, read_given) in given.items():
            again = statistics.by_problem(inputs.get(kind, ()))
            if problem in again:
                chosen = [measure for measure in measures if measure in known]
                played = read_given(_paths(again[problem]))
                of_problem.update(_of_given(episodes, played, chosen, policy, ood))
    return {
        problem: {measure: of[measure] for measure in measures if measure in of}
        for problem, of in found.items()
    }


def _paths(files: Files) -> list[Path]:
    return [path for seeds in files.values() for path in seeds.values()]


def estimate(measure: str, scores: np.ndarray, seed: int) -> Estimate:
    """What is shown of a measure: the share of the seeds that it counts, else the IQM.

    Args:
        measure: one of `TITLES`.
        scores: [seeds, tasks].
        seed: of the bootstrap.
    """
    if measure in SHARES:
        return estimates.share(scores)
    return estimates.estimate(scores, estimates.iqm, seed)


def explained(measures: Sequence[str]) -> str:
    """Say what the measures are, as far as their titles do not."""
    told = []
    for group, text in EXPLANATIONS.items():
        if titles := [TITLES[measure] for measure in group if measure in measures]:
            told.append(f" {'; '.join(titles)}: {text}.")
    return "".join(told)


def _of_runs(
    files: Files,
    measures: Sequence[str],
    read: Callable[[Path], Mapping[str, float]],
    n_combinations: int | None,
) -> Scores:
    """Measures that a file of each run tells, of the names of which every seed has them.

    A run has the right number of classes where they are `n_combinations`; None: nobody knows.
    """

    def of_run(path: Path) -> Mapping[str, float]:
        found = {**read(path)}
        if "ari" in found:
            found["tasks_found"] = float(found["ari"] >= FOUND)
        if n_combinations is not None and "n_classes" in found:
            found["right_number"] = float(found["n_classes"] == n_combinations)
        return found

    values = {
        name: [of_run(seeds[seed]) for seed in sorted(seeds)] for name, seeds in files.items()
    }
    return {
        measure: {
            name: np.array([[run[measure]] for run in runs])
            for name, runs in values.items()
            if all(measure in run for run in runs)
        }
        for measure in measures
    }


def _of_history(path: Path) -> dict[str, float]:
    """Last values of a training's metrics over all tasks; of `_SERIES` the means."""
    table: pd.DataFrame = read_table(path, "history").to_pandas()
    rows = table[table["task"].isna() & table["step"].isna()].sort_values("env_steps")
    values = rows.groupby("metric")["value"]
    means = values.mean()
    found = {**values.last(), **means[means.index.isin(_SERIES)]}
    if "test_win_rate" in means:
        tests = rows[rows["metric"] == "test_win_rate"]
        steps = tests["env_steps"].to_numpy()
        # A training that goes on from stage collect is not tested before.
        found["learning_win_rate"] = float(np.trapezoid(tests["value"], steps) / steps[-1])
    shares = table[table["metric"] == "class_share"]
    if len(shares):
        last = shares[shares["env_steps"] == shares["env_steps"].max()]
        found["n_classes"] = float((last["value"] > 0).sum())
    return found


def _of_clusters(path: Path) -> dict[str, float]:
    return {**statistics.cluster_metrics(path), "n_classes": len(statistics.class_shares(path))}


def _of_predictor(path: Path) -> dict[str, float]:
    found = {}
    for labels in ("true_task", "clusters"):
        accuracy = statistics.predictor_alone(path, labels)["accuracy"]
        found[f"{labels}_accuracy"] = float(accuracy.iloc[0])  # of all steps together
        found[f"{labels}_first_accuracy"] = float(accuracy.iloc[1])
    return found


def _of_timing(path: Path) -> dict[str, float]:
    timing: pd.DataFrame = read_table(path, "timing").to_pandas().set_index("phase")
    seconds = timing["seconds"]
    of_classes = timing[timing.index.isin(PHASES_OF_CLASSES)]
    memory = (of_classes["memory_mb"] + of_classes["gpu_memory_mb"].fillna(0)).dropna()
    return {
        "train_minutes": float(seconds.sum()) / 60,
        "classes_share": float(of_classes["seconds"].sum() / seconds.sum()),
        **{f"{phase}_seconds": float(took) for phase, took in of_classes["seconds"].items()},
        **{f"{phase}_mb": float(most) for phase, most in memory.items()},
    }


def _of_episodes(
    episodes: pd.DataFrame, measures: Sequence[str], policy: str, ood: Sequence[str]
) -> Scores:
    found: Scores = {}
    for measure in measures:
        of_ood = measure == "ood_win_rate"
        if of_ood and not ood:
            continue
        if measure.endswith("_auroc"):
            score = measure.removesuffix("_auroc")
            found[measure] = detection.detection(episodes, policy, score, ood)
            continue
        metric, tasks = ("win_rate", ood) if of_ood else (measure, TRAINED)
        found[measure] = statistics.scores(episodes, policy, metric, tasks).values
    return found


def _of_given(
    episodes: pd.DataFrame,
    given: pd.DataFrame,
    measures: Sequence[str],
    policy: str,
    ood: Sequence[str],
) -> Scores:
    seeds = sorted(set(episodes["seed"]))
    found: Scores = {}
    for measure in measures:
        tasks = ood if measure == "fallback_ood_win_rate" else TRAINED
        kind = statistics.FALLBACK if measure in OF_FALLBACKS else measure.removesuffix("_win_rate")
        if tasks:
            played = statistics.scores(episodes, policy, "win_rate", tasks)
            scores = statistics.given_scores(given, policy, kind, played, seeds)
            found[measure] = statistics.known(scores, range(len(played.tasks)))
    return found
