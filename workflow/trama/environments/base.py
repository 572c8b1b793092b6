"""The one interface that collect, train and evaluate know: environments stepped as a batch."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from trama.errors import TramaError

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]
Int = NDArray[np.int32]
Chances = NDArray[np.float64]


class Observation(NamedTuple):
    """What N environments show. The arrays may be read-only: copy before writing.

    Attributes:
        obs: [N, A, O] each agent's own observation. Agents get it rounded to half precision
            (11 significant bits, at most 65504): scale large values down.
        state: [N, S] the global state, for centralised training only.
        available_actions: [N, A, U]; a dead or missing agent has exactly one, others have more.
    """

    obs: Float
    state: Float
    available_actions: Bool


class Step(NamedTuple):
    """The result of one joint action in each of N environments.

    Attributes:
        observation: what the next action is chosen from; where the episode ended, the first
            observation of the next episode.
        last: what followed the action, before any reset. This is the one to store. It equals
            `observation` where the episode goes on.
        reward: [N] the team's reward, scaled.
        terminated: [N] the episode was decided, as by the death of a team: no bootstrapping.
        truncated: [N] the time limit ended an undecided episode: bootstrap from `last`.
        won: [N] the episode ended in what the backend calls success: in SMAX, the enemies are dead
            and at least one agent lives.
        task: [N] true task id of the episode that this step belongs to. For measuring only.
    """

    observation: Observation
    last: Observation
    reward: Float
    terminated: Bool
    truncated: Bool
    won: Bool
    task: Int


@dataclass(frozen=True)
class EnvSpec:
    """Sizes and names of an environment.

    Attributes:
        n_agents: A.
        obs_size: O, entries of one agent's observation.
        state_size: S, entries of the state.
        n_actions: U, actions of each agent.
        episode_limit: the most steps that an episode can have.
        tasks: name of each task; the position is the task id.
        state_features: name of each entry of the state. What is drawn of an episode goes by them.
            In battles, agent i is `ally_<i>` and its enemies `enemy_<i>`, of which the state has
            `ally_<i>_health` (share of full health), `_x`, `_y` and, for each type of unit,
            `_is_<type>`; all of them are 0 of the dead. Else agent i is `agent_<i>`, beside
            `prey_<i>` and `landmark_<i>`, with `_radius`, `_x` and `_y`, 0 of what is missing.
        agent_features: [A, F] where the state holds each agent's own features.
        actions: name of each action; `attack_<unit>` is one on that unit of the state.
        obs_features: name of each entry of an agent's observation. Entities that it describes are
            told apart by their numbers, as `enemy_<i>_x`, where enemy i is that of the state; it
            sees itself as `own_...` and its fellows as `other_<j>_...`.
    """

    n_agents: int
    obs_size: int
    state_size: int
    n_actions: int
    episode_limit: int
    tasks: tuple[str, ...]
    state_features: tuple[str, ...]
    agent_features: NDArray[np.int64]
    actions: tuple[str, ...]
    obs_features: tuple[str, ...]


class VectorEnv(ABC):
    """N environments that step together and restart by themselves when an episode ends.

    Environment e's random stream depends on (seed, e) alone: not on N, nor on the others.

    Attributes:
        lost_episodes: that were thrown away so far, since their game failed.
    """

    spec: EnvSpec
    n_envs: int
    lost_episodes: int = 0

    @abstractmethod
    def reset(self, seed: int) -> Observation:
        """Start a new episode in every environment.

        Args:
            seed: non-negative, below 2**63. The same seed and actions give the same bytes.
        """

    @abstractmethod
    def step(self, actions: NDArray[np.integer]) -> Step:
        """Take one joint action in every environment.

        Args:
            actions: [N, A] action indices, each one available to its agent.

        Raises:
            TramaError: before the first reset, on a wrong shape, or on an unavailable action.
        """

    @property
    @abstractmethod
    def task(self) -> Int:
        """[N] true task id of the running episodes. For measuring only."""

    @abstractmethod
    def set_task_chances(self, chances: NDArray[np.floating]) -> None:
        """Draw the tasks of episodes that begin from now on with other chances than equal ones.

        Running episodes go on. Chances outlast a reset, and are part of a snapshot.

        Args:
            chances: [tasks] of `spec.tasks`, of sum 1.

        Raises:
            TramaError: they are no chances, or not as many as there are tasks.
        """

    @property
    def lost(self) -> Bool:
        """[N] whether the last step lost an environment's episode, since its game failed.

        Neither that step nor those before it count: they are no part of a finished episode. What
        the step shows of the environment is the first observation of its next episode.
        """
        return np.zeros(self.n_envs, np.bool_)

    @abstractmethod
    def snapshot(self) -> dict[str, NDArray[Any]]:
        """All that the running episodes and the random streams consist of, as named arrays.

        Raises:
            TramaError: before the first reset.
        """

    @abstractmethod
    def restore(self, snapshot: Mapping[str, NDArray[Any]]) -> Observation | None:
        """Go on from a snapshot of environments that were made alike: the same bytes follow.

        Returns:
            None; or, of games that cannot be saved, the first observations of new episodes: those
            that ran at the snapshot are lost.
        """

    def save_replays(self, stem: Path) -> list[Path]:
        """Write the games' own recordings since the last reset, where games have some.

        Args:
            stem: what the files' paths begin with.

        Returns:
            The files, of environment 0 first; none where games have no recordings.

        Raises:
            TramaError: one cannot be written.
        """
        return []

    @abstractmethod
    def close(self) -> None:
        """Free what the environments hold. They cannot step until the next reset."""

    def __enter__(self) -> Self:
        """Return the environment itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the environment."""
        self.close()


def equal_chances(n_tasks: int) -> Chances:
    """Return the chances [n_tasks] of tasks that are equally probable."""
    return np.full(n_tasks, 1 / n_tasks)


def checked_chances(chances: NDArray[np.floating], n_tasks: int) -> Chances:
    """Return the chances of `VectorEnv.set_task_chances` in full precision, of sum 1.

    Raises:
        TramaError: on a wrong shape, or on what are no chances.
    """
    given = np.array(chances, np.float64)
    if given.shape != (n_tasks,):
        raise TramaError(f"chances must be of shape {(n_tasks,)}, not {given.shape}.")
    total = given.sum()
    if not (given >= 0).all() or not np.isclose(total, 1, atol=1e-6):
        raise TramaError(f"chances must be at least 0, and of sum 1: {given.tolist()} are not.")
    return given / total


def checked_actions(actions: NDArray[np.integer], available: Bool) -> Int:
    """Return the joint actions [N, A] of `VectorEnv.step`, of one integer type whatever comes.

    Args:
        actions: as they were given.
        available: [N, A, U] which may be chosen.

    Raises:
        TramaError: on a wrong shape, or on an unavailable action.
    """
    *shape, n_actions = available.shape
    if actions.shape != tuple(shape) or not np.issubdtype(actions.dtype, np.integer):
        raise TramaError(
            f"actions must be integers of shape {tuple(shape)}, not {actions.dtype} of shape "
            f"{actions.shape}."
        )
    outside = (actions < 0) | (actions >= n_actions)
    index = np.where(outside, 0, actions)[..., None]
    allowed = np.take_along_axis(available, index, axis=-1)[..., 0] & ~outside
    if not allowed.all():
        env, agent = np.argwhere(~allowed)[0]
        raise TramaError(
            f"Action {actions[env, agent]} of agent {agent} in environment {env} is not "
            f"available; it may choose from {np.flatnonzero(available[env, agent]).tolist()}."
        )
    return actions.astype(np.int32)
