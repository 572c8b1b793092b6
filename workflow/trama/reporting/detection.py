"""How well scores of novelty tell tasks that were not trained on, and groups of such tasks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from trama.config.problems import OOD, TRAINED
from trama.reporting import statistics, words

SCORES = {
    "confidence": "Confidence",
    "energy": "Energy",
    "disagreement": "Disagreement",
    "distance": "Distance",
}
"""Scores of novelty, and what figures and tables call them."""


def detection(
    episodes: pd.DataFrame, policy: str, score: str, sets: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return how well a score tells the episodes of each task from those of the trained tasks.

    Args:
        episodes: of one problem, as `statistics.read_episodes` returns them.
        policy: `last` or `best`.
        score: one of `SCORES`.
        sets: of tasks that were not trained on; their tasks are those of `statistics.scores`.

    Returns:
        Areas under the ROC curve [seeds, tasks] of the variants that have the score in all
        episodes, of each run by itself.
    """
    if not sets:
        return {}
    of_tasks = statistics.scores(episodes, policy, "win_rate", sets)
    rows = statistics.of_sets(episodes, policy, [TRAINED, *sets])
    known = rows.groupby("variant")[score].agg(lambda values: np.isfinite(values).all())
    seeds = sorted(set(rows["seed"]))
    found: dict[str, np.ndarray] = {}
    for variant in of_tasks.values:
        if not known[variant]:
            continue
        of_runs = []
        for seed in seeds:
            run = rows[(rows["variant"] == variant) & (rows["seed"] == seed)]
            trained = run[score][run["task_set"] == TRAINED].to_numpy()
            by_task: Mapping[str, np.ndarray] = {
                str(task): values.to_numpy() for task, values in run.groupby("task")[score]
            }
            of_runs.append([_auroc(by_task[task], trained) for _, task in of_tasks.tasks])
        found[variant] = np.array(of_runs)
    return found


def _auroc(novel: np.ndarray, trained: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    is_novel = np.repeat([True, False], [len(novel), len(trained)])
    return float(roc_auc_score(is_novel, np.concatenate([novel, trained])))


def ood_groups(
    episodes: pd.DataFrame, policy: str, sets: Sequence[str]
) -> list[tuple[str, list[int], str]]:
    """Groups of tasks that were not trained on: name, columns of their scores, units changed.

    They are the sets, all of them, and all tasks of a number of changed units.
    """
    if not sets:
        return []
    rows = statistics.of_sets(episodes, policy, sets)
    of_task = rows.drop_duplicates("task").set_index("task")
    order = [task for _, task in statistics.scores(episodes, policy, "win_rate", sets).tasks]
    tasks = of_task.loc[order].reset_index()
    chosen = {name: tasks["task_set"] == name for name in sets}
    chosen[OOD] = pd.Series(True, index=tasks.index)
    for changed in sorted(tasks["units_changed"].dropna().unique()):
        noun = words.counted(int(changed), "unit")
        chosen[f"{noun} changed"] = tasks["units_changed"] == changed
    return [
        (name, np.flatnonzero(which).tolist(), words.span(tasks["units_changed"][which]))
        for name, which in chosen.items()
    ]
