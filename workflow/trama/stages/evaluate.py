"""Stage evaluate: greedy episodes of a trained variant on its problem's tasks, and on others."""

from pathlib import Path
from typing import Any

import numpy as np

from trama.config.model import Problem
from trama.config.params import EvaluateParams
from trama.data.parquet import Provenance, TableWriter
from trama.environments import make_env
from trama.learning.diagnosis import ClassPredictions, class_predictions
from trama.learning.model import TrainedModel
from trama.learning.replay import ReplayBuffer
from trama.learning.rollout import Episodes, play_episodes
from trama.progress import Progress
from trama.runtime import torch_device
from trama.seeds import derive_seed
from trama.tasks import Task, evaluation_tasks, units_changed

MOST_ENVS = 128
"""Environments that play a task's episodes together, one episode each, at most.

With 100 of them an episode takes half the time that it takes with 32; more gain little.
"""


def evaluate(
    params: EvaluateParams,
    provenance: Provenance,
    *,
    policy_last: Path,
    policy_best: Path,
    episodes: Path,
    predictions: Path,
    threads: int,
) -> None:
    """Write one row per episode, and what agents predicted over time.

    A task's episodes start alike for all variants and seeds.
    """
    device = torch_device(params.device)
    problem, n_episodes = params.problem, params.evaluate.episodes
    paths = {"last": policy_last, "best": policy_best}
    named = {name: params.task_sets[name] for name in params.evaluate.task_sets}
    sets = evaluation_tasks(problem, named)
    tasks = [(task_set, task) for task_set, members in sets.items() for task in members]
    rounds = -(-n_episodes // MOST_ENVS)
    n_envs = -(-n_episodes // rounds)
    total = len(params.evaluate.policies) * len(tasks) * n_episodes
    description = f"evaluate {params.variant_name} {params.problem_name} seed {params.seed}"
    done = 0
    with (
        TableWriter(episodes, "episodes", provenance) as episode_writer,
        TableWriter(predictions, "predictions", provenance) as prediction_writer,
        Progress(description, total, "episodes") as progress,
    ):
        for which in params.evaluate.policies:
            model = TrainedModel.load(paths[which], device)
            for task_set, task in tasks:
                seed = derive_seed(params.study_seed, "evaluate", params.problem_name, task.name)
                with make_env(problem, params.env, n_envs, threads, [task]) as env:
                    replay, slots = play_episodes(env, model.policy, n_episodes, seed, device)
                where = {
                    "problem": params.problem_name,
                    "variant": params.variant_name,
                    "seed": params.seed,
                    "policy": which,
                    "task_set": task_set,
                    "task": task.name,
                }
                found = None
                if model.policy.predictor is not None:
                    found = class_predictions(model.policy, replay, slots, device)
                    prediction_writer.append(_steps(where, found))
                columns = _episodes(where, task, problem, Episodes.of(replay, slots))
                columns |= _classes(model, replay, slots, found)
                episode_writer.append(columns)
                done += n_episodes
                progress.update(done, win_rate=float(replay.won[slots].mean()))


def _repeated(values: dict[str, Any], n_rows: int) -> dict[str, Any]:
    return {name: [value] * n_rows for name, value in values.items()}


def _episodes(
    where: dict[str, Any], task: Task, problem: Problem, played: Episodes
) -> dict[str, Any]:
    """Columns of the episodes of a task, but for those of classes."""
    n_episodes = len(played.length)
    likeness = {
        "units_changed": units_changed(task.units, problem.units),
        "start_trained": task.start in problem.starts,
    }
    return {
        **_repeated(where | likeness, n_episodes),
        "episode": np.arange(n_episodes, dtype=np.int32),
        "episode_return": played.episode_return,
        "length": played.length.astype(np.int32),
        "won": played.won,
    }


def _classes(
    model: TrainedModel, replay: ReplayBuffer, slots: np.ndarray, found: ClassPredictions | None
) -> dict[str, Any]:
    """Columns of the classes of episodes; null for what the model does not have."""
    columns = _repeated(
        dict.fromkeys(("class", "entropy", "agreement", "centroid_distance")), len(slots)
    )
    if found is not None:
        columns["class"] = found.most_frequent.astype(np.int32)
        columns |= {"entropy": found.entropy, "agreement": found.agreement}
    if model.representation is not None:
        columns["centroid_distance"] = model.representation.embed(replay, slots)[1]
    return columns


def _steps(where: dict[str, Any], found: ClassPredictions) -> dict[str, Any]:
    """Rows of a task: at each step each class's probability and share, entropy and agreement."""
    n_steps, n_classes = found.step_share.shape
    values = np.column_stack(
        [found.step_probability, found.step_share, found.step_entropy, found.step_agreement]
    )
    metrics = ["class_probability"] * n_classes + ["class_share"] * n_classes
    metrics += ["entropy", "agreement"]
    return {
        **_repeated(where, values.size),
        "step": np.repeat(np.arange(n_steps, dtype=np.int32), len(metrics)),
        "metric": metrics * n_steps,
        "class": [*range(n_classes), *range(n_classes), None, None] * n_steps,
        "value": values.ravel(),
        "episodes": np.repeat(found.n_running.astype(np.int32), len(metrics)),
    }
