"""Stage evaluate: greedy episodes of a trained variant on its problem's tasks, and on others.

A policy with classes also plays the problem's tasks with classes that it is given.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from trama.config.backends import Env
from trama.config.model import Fallback as FallbackConfig
from trama.config.model import GivenClass
from trama.config.params import EvaluateParams, RunSettings
from trama.config.problems import TRAINED
from trama.data.parquet import Provenance, TableWriter
from trama.environments import EnvSpec, make_env
from trama.learning.diagnosis import ClassPredictions, ClassSwap, class_predictions, class_swap
from trama.learning.model import TrainedModel
from trama.learning.novelty import SCORES, Fallback, fit_thresholds, running_scores
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
    given_classes: Path,
    fallback: Path,
    run_settings: RunSettings,
    threads: int,
) -> None:
    """Write one row per episode, what agents predicted over time, and what was played otherwise.

    That is episodes of given classes, and with a fallback. A task's episodes start alike for all
    variants and seeds, and whatever class is used.
    """
    device = torch_device(params.device)
    env = run_settings.of(params.env)
    n_episodes = params.evaluate.episodes
    paths = {"last": policy_last, "best": policy_best}
    named = {name: params.task_sets[name] for name in params.evaluate.task_sets}
    sets = evaluation_tasks(params.problem, named)
    tasks = [(task_set, task) for task_set, members in sets.items() for task in members]
    models = {name: TrainedModel.load(paths[name], device) for name in params.evaluate.policies}
    kinds = params.evaluate.given_classes
    given = {
        (which, task): drawn_classes(model, task, kinds, n_episodes)
        for which, model in models.items()
        for task in sets[TRAINED]
    }
    fallbacks = {
        which: calibrated(
            model, sets[TRAINED], params.evaluate.fallback, n_episodes, env, threads, device
        )
        for which, model in models.items()
    }
    n_played = len(models) + sum(each is not None for each in fallbacks.values())
    total = (n_played * len(tasks) + sum(map(len, given.values()))) * n_episodes
    description = f"evaluate {params.variant_name} {params.problem_name} seed {params.seed}"
    done = 0
    with (
        TableWriter(episodes, "episodes", provenance) as episode_writer,
        TableWriter(predictions, "predictions", provenance) as prediction_writer,
        TableWriter(given_classes, "given_classes", provenance) as given_writer,
        TableWriter(fallback, "fallback", provenance) as fallback_writer,
        Progress(description, total, "episodes") as progress,
    ):
        for which, model in models.items():
            for task_set, task in tasks:
                played = play(model, task, n_episodes, env, threads, device)
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
                own = fallbacks[which]
                if own is not None:
                    again = play(model, task, n_episodes, env, threads, device, fallback=own)
                    share = {"class_free": _class_free(model, again)}
                    fallback_writer.append(_repeated(where, n_episodes) | _outcomes(again) | share)
                    done += n_episodes
                    progress.update(done)
                if task_set != TRAINED:
                    continue
                del where["task_set"]
                for kind, classes in given[which, task].items():
                    played = play(model, task, n_episodes, env, threads, device, given=classes)
                    same = {**where, "given": kind}
                    used = {"class": [None] * n_episodes if kind == "no_class" else classes}
                    given_writer.append(_repeated(same, n_episodes) | used | _outcomes(played))
                    done += n_episodes
                    progress.update(done)


class Played(NamedTuple):
    """Greedy episodes of a model on a task.

    Attributes:
        spec: of the environment.
        replay: holds the episodes.
        slots: [M] where.
        predictions: of the classes; None unless all agents always used the predicted ones.
        swap: of the predicted classes; None as well.
        recordings: of the games themselves, where they were wanted and there are such.
    """

    spec: EnvSpec
    replay: ReplayBuffer
    slots: np.ndarray
    predictions: ClassPredictions | None
    swap: ClassSwap | None
    recordings: list[Path]


def play(
    model: TrainedModel,
    task: Task,
    n_episodes: int,
    env: Env,
    threads: int,
    device: torch.device,
    seed: int | None = None,
    given: np.ndarray | None = None,
    fallback: Fallback | None = None,
    replays: Path | None = None,
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
        given: [n_episodes] class that all agents of an episode use instead of a predicted one.
        fallback: tells agents when to use no class.
        replays: what paths of the games' own recordings begin with, where they are wanted, and the
            environment has such.

    Raises:
        TramaError: on an unknown unit, or on a team that is too large.
    """
    if seed is None:
        seed = derive_seed(model.study_seed, "evaluate", model.problem_name, task.name)
    played = _play(model, task, n_episodes, env, threads, device, seed, given, fallback, replays)
    if model.policy.predictor is None or given is not None or fallback is not None:
        return played
    of_episodes = (played.replay, played.slots, device)
    return played._replace(
        predictions=class_predictions(model.policy, model.novelty, *of_episodes),
        swap=class_swap(model.policy, *of_episodes),
    )


def _play(
    model: TrainedModel,
    task: Task,
    n_episodes: int,
    env: Env,
    threads: int,
    device: torch.device,
    seed: int,
    given: np.ndarray | None = None,
    fallback: Fallback | None = None,
    replays: Path | None = None,
) -> Played:
    """Play as `play` does; nothing is measured."""
    rounds = -(-n_episodes // (env.settings.most_envs or MOST_ENVS))
    n_envs = -(-n_episodes // rounds)
    with make_env(model.problem, env, n_envs, threads, [task]) as made:
        replay, slots = play_episodes(made, model.policy, n_episodes, seed, device, given, fallback)
        recordings = [] if replays is None else made.save_replays(replays)
    return Played(made.spec, replay, slots, None, None, recordings)


def drawn_classes(
    model: TrainedModel, task: Task, kinds: Sequence[GivenClass], n_episodes: int
) -> dict[GivenClass, np.ndarray]:
    """Draw the class that all agents are given in each episode of one of the problem's tasks.

    Draws are independent, and the same for all policies of a training.

    Returns:
        Classes [n_episodes] int64 by kind: `true_class` is the one that stands for the task, of
        `random_class` each that is in use is as probable, of `wrong_class` each that stands for
        other tasks alone, and `no_class` is `Policy.no_class`. A kind that the policy cannot be
        given is left out: any of a policy without classes, those that need the true class where it
        is unknown, `wrong_class` where one class stands for all tasks, and `no_class` where it was
        not trained without.
    """
    classes, true = model.policy.classes.cpu().numpy(), model.class_of_task.get(task.name)
    n_classes = len(classes)
    standing = {number for number in model.class_of_task.values() if number is not None}
    wrong = np.array(sorted((standing & set(classes.tolist())) - {true}))
    drawn: dict[GivenClass, np.ndarray] = {}
    if n_classes == 0:
        return drawn
    for kind in kinds:
        where = (model.problem_name, task.name, model.variant_name, model.seed)
        rng = np.random.default_rng(derive_seed(model.study_seed, "given class", *where, kind))
        if kind == "random_class":
            drawn[kind] = classes[rng.integers(n_classes, size=n_episodes)]
        elif kind == "no_class":
            if model.policy.no_class is not None:
                drawn[kind] = np.full(n_episodes, model.policy.no_class, np.int64)
        elif true is not None and kind == "true_class":
            drawn[kind] = np.full(n_episodes, true, np.int64)
        elif true is not None and len(wrong):
            drawn[kind] = wrong[rng.integers(len(wrong), size=n_episodes)]
    return drawn


def calibrated(
    model: TrainedModel,
    tasks: Sequence[Task],
    config: FallbackConfig,
    n_episodes: int,
    env: Env,
    threads: int,
    device: torch.device,
) -> Fallback | None:
    """Find the thresholds of a fallback in episodes that are none of the evaluation's.

    Args:
        model: lives on `device`.
        tasks: of its problem.
        config: the score and its quantile.
        n_episodes: on each task.
        env: as in `play`.
        threads: of the simulation.
        device: that the policy runs on.

    Returns:
        The fallback; None where there is none, for a policy that was not trained without a class,
        and where its scores are unknown.
    """
    policy, novelty = model.policy, model.novelty
    if not config.used or policy.no_class is None or novelty is None:
        return None
    scores = []
    for task in tasks:
        seed = derive_seed(model.study_seed, "calibrate", model.problem_name, task.name)
        played = _play(model, task, n_episodes, env, threads, device, seed)
        scores.append(
            running_scores(novelty, policy, config.score, played.replay, played.slots, device)
        )
    thresholds = torch.from_numpy(fit_thresholds(scores, config.quantile)).to(device)
    return Fallback(novelty, config.score, thresholds)


def _class_free(model: TrainedModel, played: Played) -> np.ndarray:
    """Share [M] of the steps of agents with a choice at which they used no class."""
    replay, slots = played.replay, played.slots
    acted = np.arange(replay.rows) < replay.length[slots][:, None]
    living = (replay.available_actions[slots].sum(3) > 1) & acted[:, :, None]
    without = (replay.classes[slots] == model.policy.no_class) & living
    share: np.ndarray = without.sum((1, 2)) / np.maximum(living.sum((1, 2)), 1)
    return share


def measure(model: TrainedModel, task: Task, played: Played) -> dict[str, Any]:
    """Columns of `episodes` that are measured, [M] each; null for what the model does not have."""
    replay, slots, found = played.replay, played.slots, played.predictions
    nulls = dict.fromkeys(
        (
            *("class", "entropy", "agreement", *SCORES),
            *("swap_effect", "swap_actions", "centroid_distance"),
        )
    )
    columns = {
        **_repeated(likeness(task, model.problem)._asdict() | nulls, len(slots)),
        **_outcomes(played),
    }
    if found is not None:
        columns["class"] = found.most_frequent.astype(np.int32)
        columns |= {"entropy": found.entropy, "agreement": found.agreement, **found.novelty}
    if played.swap is not None:
        columns |= {"swap_effect": played.swap.effect, "swap_actions": played.swap.actions}
    if model.representation is not None:
        columns["centroid_distance"] = model.representation.embed(replay, slots)[1]
    return columns


def _outcomes(played: Played) -> dict[str, Any]:
    """Number of each episode, and how it ended."""
    episodes = Episodes.of(played.replay, played.slots)
    return {
        "episode": np.arange(len(played.slots), dtype=np.int32),
        "episode_return": episodes.episode_return,
        "length": episodes.length.astype(np.int32),
        "won": episodes.won,
    }


def _repeated(values: dict[str, Any], n_rows: int) -> dict[str, Any]:
    return {name: [value] * n_rows for name, value in values.items()}


def _steps(where: dict[str, Any], found: ClassPredictions) -> dict[str, Any]:
    """Rows of a task: at each step what `PREDICTION_METRICS` name."""
    n_steps, n_classes = found.step_share.shape
    of_team = {
        "entropy": found.step_entropy,
        "agreement": found.step_agreement,
        **found.step_novelty,
    }
    values = np.column_stack([found.step_probability, found.step_share, *of_team.values()])
    metrics = ["class_probability"] * n_classes + ["class_share"] * n_classes + [*of_team]
    return {
        **_repeated(where, values.size),
        "step": np.repeat(np.arange(n_steps, dtype=np.int32), len(metrics)),
        "metric": metrics * n_steps,
        "class": [*range(n_classes), *range(n_classes), *[None] * len(of_team)] * n_steps,
        "value": values.ravel(),
        "episodes": np.repeat(found.n_running.astype(np.int32), len(metrics)),
    }
