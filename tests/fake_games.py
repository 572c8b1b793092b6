"""Games for the pool of processes: small, seeded, and failing where they are told to."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trama.environments.base import EnvSpec, Int
from trama.environments.processes import Game, Moment, Sight
from trama.errors import TramaError

# No module of networks is imported here: each game's process would wait for it.
SPEC = EnvSpec(
    n_agents=3,
    obs_size=4,
    state_size=5,
    n_actions=4,
    episode_limit=9,
    tasks=("task 0", "task 1", "task 2"),
    state_features=("done", "b", "c", "d", "e"),
    agent_features=np.array([[0, 1], [1, 2], [2, 3]]),
    actions=("a", "b", "c", "d"),
    obs_features=("time", "x", "y", "z"),
)


@dataclass(frozen=True)
class Fault:
    """What goes wrong, once, in one environment.

    Attributes:
        how: crash, raise, hang, slow, final.
        at: start, or number of a step of an episode; -1 for its begin.
        environment: its number.
        episode: its number there.
        times: how often.
    """

    how: str
    at: int | str
    environment: int = 0
    episode: int = 0
    times: int = 1


class WalkGame(Game):
    """Episodes of 3 to 9 steps of random sights that remember what was done.

    Args:
        folder: where it leaves the ids of its processes, and counts its faults.
        faults: that it is to have.
        seconds: that a step takes.
    """

    def __init__(self, folder: Path, faults: Sequence[Fault] = (), seconds: float = 0.0):
        self.folder, self.faults, self.seconds = folder, faults, seconds
        self.environment = self.episode = 0
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, seed: int) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        child = subprocess.Popen(["sleep", "600"])
        self.children = [child]
        (self.folder / f"game_{child.pid}").touch()
        (self.folder / f"worker_{os.getpid()}").touch()
        self._maybe_fail("start")

    def begin(self, task: int, seed: Sequence[int]) -> Sight:
        _, self.environment, self.episode, _ = seed
        self.rng, self.task, self.t = np.random.default_rng(seed), task, 0
        self.length = int(self.rng.integers(3, 10))
        self.time_out = self.length == 9
        self.done: float = 0.0
        self._maybe_fail(-1)
        return self._look()

    def act(self, actions: Int) -> Moment:
        time.sleep(self.seconds)
        self._maybe_fail(self.t)
        self.t += 1
        self.done = self.done * 0.5 + float(actions.sum())
        over = self.t == self.length
        won = over and self.done > 4
        return Moment(
            self._look(),
            self.done + self.task,
            over and not self.time_out,
            over & self.time_out,
            won,
        )

    def _look(self) -> Sight:
        obs = self.rng.normal(size=(SPEC.n_agents, SPEC.obs_size)).astype(np.float32)
        state = self.rng.normal(size=SPEC.state_size).astype(np.float32)
        obs[:, 0], state[0] = self.t, self.done
        available = self.rng.random((SPEC.n_agents, SPEC.n_actions)) < 0.5
        available[:, 0] = True
        return Sight(obs, state, available)

    def _maybe_fail(self, at: int | str) -> None:
        for fault in self.faults:
            where = fault.environment, fault.episode
            if fault.at != at or (at != "start" and where != (self.environment, self.episode)):
                continue
            marks = list(self.folder.glob(f"fault_{fault.how}_*"))
            if len(marks) >= fault.times:
                continue
            (self.folder / f"fault_{fault.how}_{os.getpid()}_{time.monotonic_ns()}").touch()
            print(f"about to {fault.how}", flush=True)
            if fault.how == "crash":
                os._exit(7)
            if fault.how == "raise":
                raise ConnectionResetError("the game is gone")
            if fault.how == "final":
                raise TramaError("nothing can be done about it")
            time.sleep(600 if fault.how == "hang" else 1.0)
