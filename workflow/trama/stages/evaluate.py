"""Stage evaluate: greedy episodes of a trained variant on each task of its problem."""

from pathlib import Path

import numpy as np

from trama.config.params import EvaluateParams
from trama.data.parquet import Provenance, TableWriter
from trama.environments import make_env
from trama.learning.model import TrainedModel
from trama.learning.rollout import Episodes, play_episodes
from trama.progress import Progress
from trama.runtime import torch_device
from trama.seeds import derive_seed
from trama.tasks import tasks_of

N_ENVS = 32
"""Environments that play evaluation episodes together; each plays whole episodes from its reset."""


def evaluate(
    params: EvaluateParams,
    provenance: Provenance,
    *,
    policy_last: Path,
    policy_best: Path,
    episodes: Path,
    threads: int,
) -> None:
    """Write one row per episode; a task's episodes start alike for all variants and seeds."""
    device = torch_device(params.device)
    paths = {"last": policy_last, "best": policy_best}
    tasks = [task.name for task in tasks_of(params.problem)]
    n_episodes = params.evaluate.episodes
    total = len(params.evaluate.policies) * len(tasks) * n_episodes
    description = f"evaluate {params.variant_name} {params.problem_name} seed {params.seed}"
    done = 0
    with (
        TableWriter(episodes, "episodes", provenance) as writer,
        Progress(description, total, "episodes") as progress,
    ):
        for which in params.evaluate.policies:
            policy = TrainedModel.load(paths[which], device).policy
            for task in tasks:
                seed = derive_seed(params.study_seed, "evaluate", params.problem_name, task)
                with make_env(params.problem, params.env, N_ENVS, threads, task) as env:
                    played = Episodes.of(*play_episodes(env, policy, n_episodes, seed, device))
                writer.append(
                    {
                        "problem": [params.problem_name] * n_episodes,
                        "variant": [params.variant_name] * n_episodes,
                        "seed": np.full(n_episodes, params.seed, np.int32),
                        "policy": [which] * n_episodes,
                        "task_set": ["trained"] * n_episodes,
                        "task": [env.spec.tasks[number] for number in played.task],
                        "episode": np.arange(n_episodes, dtype=np.int32),
                        "episode_return": played.episode_return,
                        "length": played.length.astype(np.int32),
                        "won": played.won,
                    }
                )
                done += n_episodes
                progress.update(done, win_rate=float(played.won.mean()))
