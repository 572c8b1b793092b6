"""Stage collect: random episodes, then a short baseline training whose episodes are all kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from trama.config.params import CollectParams, RunSettings
from trama.data.parquet import Provenance, TableWriter, write_table
from trama.environments import EnvSpec, make_env
from trama.errors import TramaError
from trama.learning.build import build_learner
from trama.learning.history import History
from trama.learning.replay import ReplayBuffer
from trama.learning.rollout import Episodes
from trama.learning.scaling import StateStatistics, StatisticsAccumulator, summed_features
from trama.learning.trainer import Trainer
from trama.progress import Progress
from trama.runtime import torch_device
from trama.seeds import derive_seed
from trama.stages.timing import write_timing

RECORDS = 20
"""Points of the history over a run."""


def collect(
    params: CollectParams,
    provenance: Provenance,
    *,
    trajectories: Path,
    state_statistics: Path,
    learner: Path,
    history: Path,
    timing: Path,
    run_settings: RunSettings,
    threads: int,
) -> None:
    """Write every finished episode, and the statistics of the states.

    A training may go on from the learner as it is at the end (`train.start`).
    The warm-up's random episodes are part of the data and of the replay, and their steps count.
    Episodes that are still running when `collect.env_steps` are reached are left out.
    """
    device = torch_device(params.device)
    config = params.collect

    def seed(purpose: str) -> int:
        return derive_seed(params.study_seed, "collect", params.problem_name, params.seed, purpose)

    torch.manual_seed(seed("networks"))
    with make_env(params.problem, run_settings.of(params.env), config.n_envs, threads) as env:
        spec = env.spec
        unscaled = StateStatistics.identity(spec.state_size)
        collecting = build_learner(spec, config.mixer, config, unscaled, device)
        trainer = Trainer(
            env,
            collecting,
            config,
            None,
            seed("policy"),
            seed("env"),
            device,
            run_settings.replay_on_device,
        )
        statistics = _Statistics(spec, config.std_floor)
        log = History()
        with (
            TableWriter(trajectories, "trajectories", provenance) as writer,
            Progress(f"collect {params.problem_name}", config.env_steps, "env steps") as progress,
        ):
            n_written = 0

            def keep(slots: np.ndarray) -> None:
                nonlocal n_written
                if len(slots):
                    _append(writer, trainer.replay, slots, n_written, spec)
                    statistics.add(trainer.replay, slots)
                    n_written += len(slots)

            while n_written < config.random_episodes and trainer.env_steps < config.env_steps:
                keep(trainer.play_random())
                progress.update(trainer.env_steps)
            if n_written == 0:
                raise TramaError(
                    f"config key collect.env_steps: no episode ended within {config.env_steps} env "
                    f"steps of {config.n_envs} environments. Raise it, or lower collect.n_envs."
                )
            random_rows = statistics.rows("random")
            collecting.set_state_statistics(statistics.standardised())
            recent: list[Episodes] = []
            win_rate = 0.0
            interval = max(config.env_steps // RECORDS, 1)
            next_record = trainer.env_steps + interval
            while trainer.env_steps < config.env_steps:
                finished = trainer.step()
                keep(finished)
                if len(finished):
                    recent.append(Episodes.of(trainer.replay, finished))
                if trainer.env_steps >= next_record and recent:
                    next_record += interval
                    played = Episodes.concatenate(recent)
                    recent.clear()
                    log.at(trainer.env_steps, trainer.updates, trainer.episodes)
                    log.add("epsilon", trainer.epsilon)
                    if env.lost_episodes:
                        log.add("lost_episodes", env.lost_episodes)
                    log.add_episodes("train", played, spec.tasks)
                    for name, value in trainer.losses.pop().items():
                        log.add(name, value)
                    win_rate = float(played.won.mean())
                lost = {"lost_episodes": env.lost_episodes} if env.lost_episodes else {}
                progress.update(trainer.env_steps, win_rate=win_rate, **lost)
        if not len(log):
            log.at(trainer.env_steps, trainer.updates, trainer.episodes)
            log.add("epsilon", trainer.epsilon)
    rows = [*random_rows, *statistics.rows("all")]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    write_table(state_statistics, "state_statistics", columns, provenance)
    torch.save(collecting.begun(), learner)
    log.write(history, provenance)
    write_timing(timing, trainer.timed.phases, provenance)


class _Statistics:
    """Of the states so far: of their entries, and of the sums of entries over like units."""

    def __init__(self, spec: EnvSpec, std_floor: float):
        names, self._sums = summed_features(spec.state_features)
        self._features = {"standardised": [*spec.state_features], "summed": names}
        self._found = {
            states: StatisticsAccumulator(len(features), std_floor)
            for states, features in self._features.items()
        }

    def add(self, replay: ReplayBuffer, slots: np.ndarray) -> None:
        """Add the states of finished episodes."""
        state, length = replay.state[replay.places(slots)], replay.length[slots] + 1
        self._found["standardised"].add(state, length)
        self._found["summed"].add(state @ self._sums, length)

    def standardised(self) -> StateStatistics:
        """Those of the entries themselves."""
        return self._found["standardised"].result()

    def rows(self, source: str) -> list[dict[str, Any]]:
        """Rows of the file, of everything that was added."""
        rows = []
        for states, found in self._found.items():
            result, ratios = found.result(), found.correlation_ratio()
            for feature, mean, std, ratio in zip(
                self._features[states], result.mean, result.std, ratios, strict=True
            ):
                row = {"feature": feature, "states": states, "mean": mean, "std": std}
                rows.append({**row, "correlation_ratio": ratio, "source": source})
        return rows


def _append(
    writer: TableWriter, replay: ReplayBuffer, slots: np.ndarray, first: int, spec: EnvSpec
) -> None:
    """Append whole episodes, numbered from `first`."""
    slot, step = replay.places(slots)
    length = replay.length[slot]
    final, last = step == length, step == length - 1
    n_rows, episode_rows = len(slot), replay.length[slots] + 1
    writer.append(
        {
            "episode": first + np.repeat(np.arange(len(slots), dtype=np.int32), episode_rows),
            "step": step.astype(np.int16),
            "task": pa.array(spec.tasks).take(pa.array(replay.task[slot])),
            "obs": replay.obs[slot, step].reshape(n_rows, -1),
            "state": replay.state[slot, step],
            "available_actions": replay.available_actions[slot, step].reshape(n_rows, -1),
            "actions": np.where(final[:, None], -1, replay.action[slot, step]).astype(np.int8),
            "reward": replay.reward[slot, step],
            "terminated": last & replay.terminated[slot],
            "truncated": last & ~replay.terminated[slot],
            "won": last & replay.won[slot],
        }
    )
