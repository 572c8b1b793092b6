"""Games that JAX steps: N of them in one compiled program, behind the interface of `VectorEnv`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from trama.environments.base import (
    Chances,
    EnvSpec,
    Int,
    Observation,
    Step,
    VectorEnv,
    checked_actions,
    checked_chances,
    equal_chances,
)
from trama.errors import TramaError

Mixture = TypeVar("Mixture")
"""A named tuple of arrays: the tasks, and all else that may change without compiling anew.

`log_probability` [tasks] is that of drawing each task.
"""
Game = TypeVar("Game")
"""A tree of arrays: all that an episode under way consists of, but for its task."""


class Running(NamedTuple):
    """N episodes under way: [N] random keys, states of the game, and task ids."""

    keys: Array
    game: Any
    task: Array


class Start(NamedTuple):
    """Where random streams begin.

    Attributes:
        seed: [2] low and high 32 bits.
        stream: [N] number of each environment's stream.
        now: whether all episodes start anew, from these streams.
    """

    seed: Array | NDArray[np.uint32]
    stream: Array | NDArray[np.int32]
    now: Array | NDArray[np.bool_]


class Seen(NamedTuple):
    """An `Observation` on JAX's device."""

    obs: Array
    state: Array
    available_actions: Array


class Outcome(NamedTuple):
    """The fields of the same names of `Step`, on JAX's device."""

    reward: Array
    terminated: Array
    truncated: Array
    won: Array


class Simulation(ABC, Generic[Mixture, Game]):
    """The compiled program of games of one size; any N, any mixture.

    Half of the time to a first step went into tracing. Episodes therefore start in the program that
    also steps, and what it uses twice is a program of its own within it, which is traced once.
    """

    def __init__(self) -> None:
        """Set up the program; it is compiled at the first call for each N."""
        self.advance = jax.jit(self._advance)
        self._start = jax.jit(jax.vmap(self.start_one, (None, 0)))
        self._observe = jax.jit(jax.vmap(self.observe_one, (None, 0, 0)))

    @abstractmethod
    def start_one(self, mixture: Mixture, key: Array) -> tuple[Game, Array]:
        """Draw an episode; return its first state, and its task id as int32."""

    @abstractmethod
    def step_one(
        self, mixture: Mixture, key: Array, game: Game, task: Array, actions: Array
    ) -> tuple[Game, Outcome]:
        """Take the joint action [A] in an episode of a task."""

    @abstractmethod
    def observe_one(self, mixture: Mixture, game: Game, task: Array) -> Seen:
        """Return what the agents see of an episode of a task."""

    def blank(self, mixture: Mixture, n_envs: int) -> Running:
        """Return zeros to start from: what `advance` takes and ignores at the start."""
        keys: Any = jax.ShapeDtypeStruct((n_envs, 2), np.uint32)
        running = Running(keys, *jax.eval_shape(self._start, mixture, keys))
        zeros: Running = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), running)
        return zeros

    def _advance(
        self, mixture: Mixture, running: Running, actions: Array | NDArray[np.int32], start: Start
    ) -> tuple[Running, Seen, Seen, Outcome]:
        """Take the joint actions [N, A]; return episodes, next and last observation, outcome.

        Where all episodes `start` anew, only the episodes and the next observation have a meaning.
        """
        root = jax.random.fold_in(jax.random.PRNGKey(start.seed[0]), start.seed[1])
        streams = jax.vmap(jax.random.fold_in, (None, 0))(root, start.stream)
        step_keys, two, three = _split(jnp.where(start.now, streams, running.keys), 3)
        start_keys = jnp.where(start.now, step_keys, two)  # nothing is stepped then
        keys = jnp.where(start.now, two, three)
        game, outcome = jax.vmap(self.step_one, (None, 0, 0, 0, 0))(
            mixture, step_keys, running.game, running.task, jnp.asarray(actions)
        )
        last = self._observe(mixture, game, running.task)
        ended = outcome.terminated | outcome.truncated | start.now

        def restart() -> tuple[Game, Array, Seen]:
            fresh, task = self._start(mixture, start_keys)
            seen = self._observe(mixture, fresh, task)

            def choose(new: Array, old: Array) -> Array:
                return jnp.where(ended.reshape(-1, *[1] * (old.ndim - 1)), new, old)

            chosen: tuple[Game, Array, Seen] = jax.tree.map(
                choose, (fresh, task, seen), (game, running.task, last)
            )
            return chosen

        # Most steps end no episode: skip drawing N new ones then.
        game, task, observation = jax.lax.cond(
            ended.any(), restart, lambda: (game, running.task, last)
        )
        return Running(keys, game, task), observation, last, outcome


class JaxVectorEnv(VectorEnv, Generic[Mixture, Game]):
    """N games, simulated as one batch on JAX's default device.

    Args:
        simulation: of the games.
        mixture: what is played.
        spec: sizes and names.
        n_envs: N.

    Attributes:
        running: the episodes under way; None before the first reset and after `close`.
    """

    running: Running | None

    def __init__(
        self, simulation: Simulation[Mixture, Game], mixture: Mixture, spec: EnvSpec, n_envs: int
    ) -> None:
        self._simulation, self._mixture = simulation, mixture
        self.spec, self.n_envs = spec, n_envs
        self._go_on = _start(0, n_envs, now=False)
        self._chances: Chances | None = None
        self.running = None

    def reset(self, seed: int) -> Observation:
        """See `VectorEnv.reset`."""
        nothing = np.zeros((self.n_envs, self.spec.n_agents), np.int32)
        blank = self._simulation.blank(self._mixture, self.n_envs)
        self.running, seen, _, _ = self._simulation.advance(
            self._mixture, blank, nothing, _start(seed, self.n_envs, now=True)
        )
        observation = _observation(seen)
        self._available = observation.available_actions
        return observation

    def step(self, actions: NDArray[np.integer]) -> Step:
        """See `VectorEnv.step`."""
        if self.running is None:
            raise TramaError("The environment was stepped before it was reset: call reset(seed).")
        task = self.task
        self.running, seen, seen_last, outcome = self._simulation.advance(
            self._mixture, self.running, checked_actions(actions, self._available), self._go_on
        )
        reward, terminated, truncated, won = map(np.asarray, outcome)
        last = _observation(seen_last)
        observation = _observation(seen) if (terminated | truncated).any() else last
        self._available = observation.available_actions
        return Step(observation, last, reward, terminated, truncated, won, task)

    def set_task_chances(self, chances: NDArray[np.floating]) -> None:
        """See `VectorEnv.set_task_chances`."""
        self._draw_with(checked_chances(chances, len(self.spec.tasks)))

    def _draw_with(self, chances: Chances | None) -> None:
        """Draw tasks with these chances; None: with equal ones."""
        self._chances = chances
        n_tasks = len(self.spec.tasks)
        mixture: Any = self._mixture
        log_probability = log_chances(equal_chances(n_tasks) if chances is None else chances)
        self._mixture = mixture._replace(log_probability=log_probability)

    @property
    def task(self) -> Int:
        """See `VectorEnv.task`."""
        if self.running is None:
            raise TramaError("No episode is running: call reset(seed) first.")
        return np.asarray(self.running.task)

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """See `VectorEnv.snapshot`."""
        if self.running is None:
            raise TramaError("No episode is running: call reset(seed) first.")
        leaves, _ = jax.tree_util.tree_flatten_with_path(self.running)
        parts = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
        chances = {} if self._chances is None else {"task_chances": self._chances}
        return {**parts, **chances, "available_actions": self._available}

    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> None:
        """See `VectorEnv.restore`."""
        blank = self._simulation.blank(self._mixture, self.n_envs)
        leaves, tree = jax.tree_util.tree_flatten_with_path(blank)
        parts = [snapshot[jax.tree_util.keystr(path)] for path, _ in leaves]
        self.running = jax.tree_util.tree_unflatten(tree, parts)
        self._available = snapshot["available_actions"]
        self._draw_with(snapshot.get("task_chances"))

    def close(self) -> None:
        """See `VectorEnv.close`."""
        self.running = None


def log_chances(chances: Chances) -> NDArray[np.float32]:
    """Return the logarithms of chances, as a mixture draws its tasks with; of 0, minus infinity."""
    with np.errstate(divide="ignore"):
        return np.log(chances, dtype=np.float32)


def strongly_typed(tree: Any) -> Any:
    """Return the tree with strong types: JaxMARL's constants are weakly typed before a step only.

    One type, one program.
    """
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), tree)


def _start(seed: int, n_envs: int, *, now: bool) -> Start:
    words = np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint32)
    return Start(words, np.arange(n_envs, dtype=np.int32), np.array(now))


def _split(keys: Array, parts: int) -> tuple[Array, ...]:
    split = jax.vmap(lambda key: jax.random.split(key, parts))(keys)
    return tuple(split[:, part] for part in range(parts))


def _observation(seen: Seen) -> Observation:
    return Observation(*map(np.asarray, seen))
