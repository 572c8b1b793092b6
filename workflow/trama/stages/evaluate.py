"""Stage evaluate: greedy episodes of a trained variant on its problem's tasks, and on others."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from trama.config.model import Env
from trama.config.params import EvaluateParams
from trama.data.parquet import Provenance, TableWriter
from trama.environments import EnvSpec, make_env
from trama.learning.diagnosis import ClassPredictions, class_predictions
from trama.learning.model import TrainedModel
from trama.learning.replay import ReplayBuffer
from trama.learning.rollout import Episodes, play_episodes
from trama.progress import Progress
from trama.runtime import torch_device
from trama.seeds import derive_seed
from trama.tasks import Task, evaluation_tasks, likeness

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
    n_episodes = params.evaluate.episodes
    paths = {"last": policy_last, "best": policy_best}
    named = {name: params.task_sets[name] for name in params.evaluate.task_sets}
    sets = evaluation_tasks(params.problem, named)
    tasks = [(task_set, task) for task_set, members in sets.items() for task in members]
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
                played = play(model, task, n_episodes, params.env, threads, device)
                where = {
                    "problem": params.problem_name,
                    "variant": params.variant_name,
                    "seed": params.seed,
                    "policy": which,
                    "task_set": task_set,
                    "task": task.name,
                }
                if played.predictions is not None:
                    prediction_writer.append(_steps(where, played.predictions))
                episode_writer.append(_repeated(where, n_episodes) | measure(model, task, played))
                done += n_episodes
                progress.update(done, win_rate=float(played.replay.won[played.slots].mean()))


class Played(NamedTuple):
    """Greedy episodes of a model on a task.

    Attributes:
        spec: of the environment.
        replay: holds the episodes.
        slots: [M] where.
        predictions: of the classes; None for a policy without classes.
    """

    spec: EnvSpec
    replay: ReplayBuffer
    slots: np.ndarray
    predictions: ClassPredictions | None


def play(
    model: TrainedModel,
    task: Task,
    n_episodes: int,
    env: Env,
    threads: int,
    device: torch.device,
    seed: int | None = None,
) -> Played:
    """Play episodes of a task, which the model need not have been trained on.

    Args:
        model: lives on `device`.
        task: of teams that are no larger than those of the model's problem.
        n_episodes: how many.
        env: settings of the environment; but for the device that steps it, those of the model.
        threads: of the simulation.
        device: that the policy runs on.
        seed: of the episodes; None for those of the evaluation, which start alike for all models
            of a study on this problem.

    Raises:
        TramaError: on an unknown unit, or on a team that is too large.
    """
    if seed is None:
        seed = derive_seed(model.study_seed, "evaluate", model.problem_name, task.name)
    rounds = -(-n_episodes // MOST_ENVS)
    n_envs = -(-n_episodes // rounds)
    with make_env(model.problem, env, n_envs, threads, [task]) as made:
        replay, slots = play_episodes(made, model.policy, n_episodes, seed, device)
    predictions = None
    if model.policy.predictor is not None:
        predictions = class_predictions(model.policy, replay, slots, device)
    return Played(made.spec, replay, slots, predictions)


def measure(model: TrainedModel, task: Task, played: Played) -> dict[str, Any]:
    """Columns of `episodes` that are measured, [M] each; null for what the model does not have."""
    replay, slots, found = played.replay, played.slots, played.predictions
    episodes = Episodes.of(replay, slots)
    nulls = dict.fromkeys(("class", "entropy", "agreement", "centroid_distance"))
    columns = {
        **_repeated(likeness(task, model.problem)._asdict() | nulls, len(slots)),
        "episode": np.arange(len(slots), dtype=np.int32),
        "episode_return": episodes.episode_return,
        "length": episodes.length.astype(np.int32),
        "won": episodes.won,
    }
    if found is not None:
        columns["class"] = found.most_frequent.astype(np.int32)
        columns |= {"entropy": found.entropy, "agreement": found.agreement}
    if model.representation is not None:
        columns["centroid_distance"] = model.representation.embed(replay, slots)[1]
    return columns


def _repeated(values: dict[str, Any], n_rows: int) -> dict[str, Any]:
    return {name: [value] * n_rows for name, value in values.items()}


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
