"""Games that run in processes of their own, one per environment, as a `VectorEnv`.

For games that cannot be stepped as a batch, and that crash or hang now and then. A process whose
game failed, or did not answer in time, is killed with all that it started, and replaced; the
episode that it played is thrown away.

A worker is not started by `multiprocessing`: that would run the main script again in each of them,
and the scripts of a Snakemake rule train as soon as they are run.
"""

import contextlib
import logging
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trama.config.backends import GamePatience
from trama.environments.base import (
    Bool,
    Chances,
    EnvSpec,
    Float,
    Int,
    Observation,
    Step,
    VectorEnv,
    checked_actions,
    checked_chances,
)
from trama.errors import TramaError

logger = logging.getLogger("trama")

_LOG_LINES = 15
"""Last lines of what a failed process wrote that a warning shows."""


class Sight(NamedTuple):
    """What one game shows: obs [A, O], state [S], available actions [A, U]."""

    obs: Float
    state: Float
    available_actions: Bool


class Moment(NamedTuple):
    """What followed a joint action in one game; the fields are those of `Step`."""

    sight: Sight
    reward: float
    terminated: bool
    truncated: bool
    won: bool


class Game(ABC):
    """One environment, as its process holds it.

    Whatever a method raises costs the episode, and the game's process is replaced; but a
    `TramaError` is final: it reaches the user, since trying again would not help.
    """

    @abstractmethod
    def start(self, seed: int) -> None:
        """Start the game, or start it anew; the same seed is to give the same game.

        Args:
            seed: non-negative, below 2**31.
        """

    @abstractmethod
    def begin(self, task: int, seed: Sequence[int]) -> Sight:
        """Begin an episode.

        Args:
            task: id of the task to play.
            seed: of all that is random in the episode; numbers that `numpy.random` takes.
        """

    @abstractmethod
    def act(self, actions: Int) -> Moment:
        """Take the agents' actions [A]."""

    def version(self) -> str:
        """Which version of it runs; empty where it does not say."""
        return ""

    def save_replay(self, path: Path) -> None:
        """Write the game's own recording of all that was played since its start.

        Raises:
            TramaError: it has none.
        """
        raise TramaError("This game keeps no recording of itself.")


class GameFailed(Exception):
    """A game's process died, failed or did not answer; the message says which."""


class Worker:
    """A process that holds one game, seen from the process that plays.

    Args:
        make_game: is pickled and called there.
        name: for messages.
    """

    def __init__(self, make_game: Callable[[], Game], name: str):
        self.name = name
        self.folder = Path(tempfile.mkdtemp(prefix="trama-game-"))
        ours, theirs = socket.socketpair()
        command = [sys.executable, "-P", "-m", "trama.environments.worker"]
        command += [str(theirs.fileno()), str(self.folder)]
        single = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        places = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TMPDIR": str(self.folder)}
        with (self.folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | single | places,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a process group of its own, to be killed as one
            )
        theirs.close()
        self.connection = Connection(ours.detach())
        self.send(pickle.dumps(make_game))

    @property
    def pid(self) -> int:
        """Its process id, which is that of its process group too."""
        return self._process.pid

    def send(self, *message: Any) -> None:
        """Ask for something; a process that is gone is noticed at `receive`."""
        with contextlib.suppress(OSError):
            self.connection.send(message)

    def receive(self) -> Any:
        """What it answers, for which it is waited.

        Raises:
            GameFailed: it died, or its game failed.
            TramaError: as it raised one.
        """
        try:
            kind, content = self.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            # A process closes its end a moment before it has ended.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1.0)
            code = self._process.poll()
            raise GameFailed(
                "the process died" + ("" if code is None else f" (exit status {code})")
            ) from None
        if kind == "final":
            raise TramaError(content)
        if kind == "failed":
            raise GameFailed(content)
        return content

    def output(self) -> str:
        """The last lines that it and its game wrote."""
        try:
            text = (self.folder / "output").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-_LOG_LINES:])

    def kill(self) -> None:
        """End the process and all that it started; its files go too."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class ProcessVectorEnv(VectorEnv):
    """N games that step together, each in its process.

    Seeds of an episode follow from the seed of the reset, the number of its environment and its own
    number there, thrown-away episodes included; its task, from these and the chances of tasks.
    Processes start at the first reset, and live until `close`.

    Args:
        spec: of the games; each episode's task is drawn from its tasks.
        n_envs: N.
        make_game: makes a game in its process; pickled, so a function of a module, or
            `functools.partial` of one.
        patience: how long to wait for them.
    """

    def __init__(
        self, spec: EnvSpec, n_envs: int, make_game: Callable[[], Game], patience: GamePatience
    ):
        self.spec, self.n_envs = spec, n_envs
        self._make_game, self._patience = make_game, patience
        self._workers: dict[int, Worker] = {}
        self._seed = 0
        self._number = np.zeros(n_envs, np.int64)  # of the running episodes
        self._task = np.zeros(n_envs, np.int32)
        self._failures = np.zeros(n_envs, np.int64)
        self._lost = np.zeros(n_envs, np.bool_)
        self._chances: Chances | None = None  # of tasks; None: equal ones
        self._seen = Observation(
            np.zeros((n_envs, spec.n_agents, spec.obs_size), np.float32),
            np.zeros((n_envs, spec.state_size), np.float32),
            np.zeros((n_envs, spec.n_agents, spec.n_actions), np.bool_),
        )
        self._running = False

    @property
    def lost(self) -> Bool:
        """See `VectorEnv.lost`."""
        return self._lost

    @property
    def pids(self) -> list[int]:
        """Process ids of the games' processes, of environment 0 first."""
        return [self._workers[e].pid for e in sorted(self._workers)]

    @property
    def task(self) -> Int:
        """See `VectorEnv.task`."""
        if not self._running:
            raise TramaError("No episode is running: call reset(seed) first.")
        return self._task.copy()

    def set_task_chances(self, chances: NDArray[np.floating]) -> None:
        """See `VectorEnv.set_task_chances`."""
        self._chances = checked_chances(chances, len(self.spec.tasks))

    def reset(self, seed: int) -> Observation:
        """See `VectorEnv.reset`.

        Raises:
            TramaError: a game does not start.
        """
        self._seed = seed
        self._number[:] = 0
        with self._ended_by_errors():
            return self._start_all()

    def step(self, actions: NDArray[np.integer]) -> Step:
        """See `VectorEnv.step`.

        Raises:
            TramaError: see there; or games keep failing.
        """
        if not self._running:
            raise TramaError("The environment was stepped before it was reset: call reset(seed).")
        chosen = checked_actions(actions, self._seen.available_actions)
        with self._ended_by_errors():
            return self._advance(chosen)

    def _advance(self, actions: Int) -> Step:
        everyone = range(self.n_envs)
        for e in everyone:
            self._workers[e].send("act", actions[e])
        moments, failed = self._collect(everyone, self._patience.step_seconds)
        played = np.array([e in moments for e in everyone])
        shown = {e: moment.sight for e, moment in moments.items()}
        last = self._show(self._seen, shown)
        outcome = {
            name: np.array([getattr(moments[e], name) if e in moments else 0 for e in everyone])
            for name in ("reward", "terminated", "truncated", "won")
        }
        task = self._task.copy()
        ended = (outcome["terminated"] + outcome["truncated"]).astype(np.bool_)
        self._failures[ended] = 0
        observation = last
        restarted = np.flatnonzero(ended | ~played).tolist()
        if restarted:
            self._number[restarted] += 1
            for e, reason in failed.items():
                self._note(e, reason)
            fresh = self._begin([e for e in restarted if played[e]])
            missing = [e for e in restarted if e not in fresh]
            observation = self._show(last, fresh | self._bring_up(missing))
        # Of an episode that is lost there is no last observation: the next one's first stands in.
        self._lost = ~played
        last = self._show(last, {e: _one(observation, e) for e in failed})
        self._seen = observation
        return Step(
            observation,
            last,
            outcome["reward"].astype(np.float32),
            outcome["terminated"].astype(np.bool_),
            outcome["truncated"].astype(np.bool_),
            outcome["won"].astype(np.bool_),
            task,
        )

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Which episodes are running, and how many were thrown away; the games cannot be saved."""
        if not self._running:
            raise TramaError("No episode is running: call reset(seed) first.")
        chances = {} if self._chances is None else {"task_chances": self._chances}
        return {
            "seed": np.array(self._seed),
            "number": self._number.copy(),
            "lost_episodes": np.array(self.lost_episodes),
            **chances,
        }

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> Observation | None:
        """Drop the episodes that ran at the snapshot, and begin those that come after them."""
        self._seed = int(snapshot["seed"])
        self._number = snapshot["number"] + 1
        self.lost_episodes = int(snapshot["lost_episodes"])
        self._chances = snapshot.get("task_chances")
        with self._ended_by_errors():
            return self._start_all()

    def version(self) -> str:
        """Which version of the game runs in environment 0.

        Raises:
            TramaError: it does not answer.
        """
        if not self._running:
            raise TramaError("No game is running: call reset(seed) first.")
        self._workers[0].send("version")
        answers, failed = self._collect([0], self._patience.step_seconds)
        for reason in failed.values():
            raise TramaError(f"The game does not tell its version: {reason}.")
        found: str = answers[0]
        return found

    def save_replays(self, stem: Path) -> list[Path]:
        """See `VectorEnv.save_replays`; the files are `<stem>_<e>.SC2Replay`."""
        if not self._running:
            raise TramaError("No game is running: call reset(seed) first.")
        paths = [stem.with_name(f"{stem.name}_{e}.SC2Replay") for e in range(self.n_envs)]
        for e, path in enumerate(paths):
            self._workers[e].send("save_replay", path.resolve())
        _, failed = self._collect(range(self.n_envs), self._patience.step_seconds)
        for e, reason in failed.items():
            raise TramaError(f"{paths[e]}: the recording cannot be written: {reason}.")
        return paths

    def close(self) -> None:
        """See `VectorEnv.close`."""
        self._running = False
        for worker in self._workers.values():
            worker.kill()
        self._workers.clear()

    @contextlib.contextmanager
    def _ended_by_errors(self) -> Iterator[None]:
        """Let no game go on once the block has raised."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _start_all(self) -> Observation:
        """Start every game anew, and show the first observations of their next episodes."""
        self._failures[:] = 0
        shown = dict[int, Sight]()
        if self._workers:
            for e, worker in self._workers.items():
                worker.send("start", self._game_seed(e))
                worker.send("begin", *self._episode(e))
            started, failed = self._collect(self._workers, self._patience.start_seconds)
            shown, again = self._collect(started, self._patience.start_seconds)
            for e, reason in (failed | again).items():
                self._note(e, reason, lost=False)
        shown |= self._bring_up([e for e in range(self.n_envs) if e not in shown])
        self._seen = self._show(self._seen, shown)
        self._lost = np.zeros(self.n_envs, np.bool_)
        self._running = True
        return self._seen

    def _begin(self, envs: Sequence[int]) -> dict[int, Sight]:
        """Begin the next episode in games that run; those that fail are not among the result."""
        for e in envs:
            self._workers[e].send("begin", *self._episode(e))
        shown, failed = self._collect(envs, self._patience.step_seconds)
        for e, reason in failed.items():
            self._note(e, reason)
            self._number[e] += 1
        return shown

    def _bring_up(self, envs: Sequence[int]) -> dict[int, Sight]:
        """Start processes one after the other, until each shows its environment's next episode.

        Raises:
            TramaError: one fails too often.
        """
        patience, shown = self._patience, dict[int, Sight]()
        queue, deadlines, started = deque(envs), dict[int, float](), set[int]()
        next_start = time.monotonic()
        while queue or deadlines:
            now = time.monotonic()
            if queue and now >= next_start:
                e = queue.popleft()
                worker = self._workers[e] = Worker(self._make_game, f"environment {e}")
                worker.send("start", self._game_seed(e))
                worker.send("begin", *self._episode(e))
                deadlines[e] = now + patience.start_seconds
                next_start = now + patience.interval_seconds
            until = min([*deadlines.values(), *([next_start] if queue else [])])
            ready = wait([self._workers[e].connection for e in deadlines], max(until - now, 0))
            for e in list(deadlines):
                try:
                    if self._workers[e].connection in ready:
                        answer = self._workers[e].receive()
                        if e not in started:
                            started.add(e)  # its episode begins
                            continue
                        shown[e] = answer
                    elif time.monotonic() >= deadlines[e]:
                        raise GameFailed(f"no start within {patience.start_seconds:g} s")
                    else:
                        continue
                except GameFailed as failure:
                    self._note(e, str(failure), lost=False)
                    # What started, but not with this episode, had better try the next one.
                    self._number[e] += e in started
                    started.discard(e)
                    queue.append(e)
                    # What makes starts fail, such as a busy disk, may need some time to pass.
                    pause = patience.interval_seconds * 2 ** int(self._failures[e])
                    next_start = time.monotonic() + pause
                del deadlines[e]
        return shown

    def _collect(
        self, envs: Sequence[int] | Mapping[int, Any], seconds: float
    ) -> tuple[dict[int, Any], dict[int, str]]:
        """What the processes answer within that time; and why they don't."""
        answers, failed = dict[int, Any](), dict[int, str]()
        by_connection = {self._workers[e].connection: e for e in envs}
        deadline = time.monotonic() + seconds
        while by_connection:
            ready = wait(list(by_connection), max(deadline - time.monotonic(), 0))
            if not ready:
                failed |= dict.fromkeys(by_connection.values(), f"no answer within {seconds:g} s")
                break
            for connection in ready:
                assert isinstance(connection, Connection)
                e = by_connection.pop(connection)
                try:
                    answers[e] = self._workers[e].receive()
                except GameFailed as failure:
                    failed[e] = str(failure)
        return answers, failed

    def _note(self, e: int, reason: str, *, lost: bool = True) -> None:
        """Kill a game that failed, tell the user, and count.

        Raises:
            TramaError: it failed too often in a row.
        """
        worker = self._workers.pop(e)
        output = worker.output()
        worker.kill()
        self._failures[e] += 1
        self.lost_episodes += lost
        said = f"; it wrote last:\n{output}" if output else ""
        if self._failures[e] >= self._patience.attempts:
            raise TramaError(
                f"The game of environment {e} failed {self._failures[e]} times in a row, with no "
                f"episode finished between them: {reason}{said}"
            )
        logger.warning(
            "the game of environment %d failed and is started anew (%s): %s%s",
            e,
            f"episodes thrown away so far: {self.lost_episodes}" if lost else "no episode is lost",
            reason,
            said,
        )

    def _episode(self, e: int) -> tuple[int, tuple[int, ...]]:
        """Draw the task of an environment's next episode; with the seeds of all else in it."""
        number = int(self._number[e])
        rng = np.random.default_rng([self._seed, e, number])
        n_tasks = len(self.spec.tasks)
        equal = self._chances is None
        self._task[e] = rng.integers(n_tasks) if equal else rng.choice(n_tasks, p=self._chances)
        return int(self._task[e]), (self._seed, e, number, 1)

    def _game_seed(self, e: int) -> int:
        rng = np.random.default_rng([self._seed, e, int(self._number[e]), 2])
        return int(rng.integers(2**31))

    def _show(self, before: Observation, shown: Mapping[int, Sight]) -> Observation:
        """`before`, with what some environments show now."""
        after = Observation(before.obs.copy(), before.state.copy(), before.available_actions.copy())
        for e, sight in shown.items():
            after.obs[e] = sight.obs
            after.state[e] = sight.state
            after.available_actions[e] = sight.available_actions
        return after


def _one(observation: Observation, e: int) -> Sight:
    return Sight(observation.obs[e], observation.state[e], observation.available_actions[e])
