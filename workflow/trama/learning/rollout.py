"""Playing episodes with a policy: many environments in lockstep, written straight into replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from trama.environments.base import Observation, VectorEnv
from trama.learning.policy import Policy, PolicyState
from trama.learning.replay import OBS_DTYPE, ReplayBuffer
from trama.learning.stopwatch import Stopwatch


@dataclass(frozen=True)
class Episodes:
    """Outcome of M episodes, arrays [M]."""

    episode_return: np.ndarray
    length: np.ndarray
    won: np.ndarray
    task: np.ndarray

    @classmethod
    def of(cls, replay: ReplayBuffer, slots: np.ndarray) -> "Episodes":
        """Read the outcome of finished episodes from their slots."""
        steps = np.arange(replay.rows)[None, :] < replay.length[slots][:, None]
        return cls(
            episode_return=(replay.reward[slots] * steps).sum(1, dtype=np.float64),
            length=replay.length[slots],
            won=replay.won[slots],
            task=replay.task[slots],
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Episodes"]) -> "Episodes":
        """All episodes of the parts, of which there is at least one, in their order."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class Rollout:
    """Steps the environments with a policy and fills a replay buffer.

    Args:
        env: the environments; reset by this class.
        policy: chooses the actions.
        replay: its `n_running` equals `env.n_envs`.
        device: where the policy lives.
        generator: exploration on `device`; None plays greedily.
        timed: where the wall time of the phase `environment` is added: the environments' steps.
    """

    def __init__(
        self,
        env: VectorEnv,
        policy: Policy,
        replay: ReplayBuffer,
        device: torch.device,
        generator: torch.Generator | None,
        timed: Stopwatch | None = None,
    ):
        self.env, self.policy, self.replay = env, policy, replay
        self.device, self.generator = device, generator
        self.timed = timed or Stopwatch()

    def reset(self, seed: int, given: np.ndarray | None = None) -> None:
        """Start all environments anew; unfinished episodes are dropped.

        Args:
            seed: of the environments.
            given: [N] class that all agents of an environment use instead of a predicted one.
        """
        self._given = None if given is None else torch.from_numpy(given).to(self.device)
        self._begin(self.env.reset(seed))

    def _begin(self, seen: Observation) -> None:
        self._seen = seen
        self._state = self.policy.initial_state(self.env.n_envs, self.device)
        self.replay.discard_running()

    def step(self, epsilon: float = 0.0) -> np.ndarray:
        """One step of every environment; returns the slots of the episodes that it finished."""
        seen = self._seen._replace(obs=self._seen.obs.astype(OBS_DTYPE))
        actions, classes = self.policy.act(
            torch.from_numpy(seen.obs).to(self.device).float(),
            torch.tensor(seen.available_actions, device=self.device),
            self._state,
            epsilon,
            self.generator,
            self._given,
        )
        chosen = actions.cpu().numpy()
        with self.timed("environment"):
            outcome = self.env.step(chosen)
        self.replay.write(seen, chosen, classes.cpu().numpy(), outcome.reward)
        self._seen = outcome.observation
        lost = np.flatnonzero(self.env.lost)
        if len(lost):
            self._state.restart(torch.from_numpy(lost).to(self.device))
            self.replay.discard_running(lost)
        ended = np.flatnonzero(outcome.terminated | outcome.truncated)
        if len(ended) == 0:
            return ended
        self._state.restart(torch.from_numpy(ended).to(self.device))
        return self.replay.finish(
            ended, outcome.last, outcome.terminated, outcome.won, outcome.task
        )

    def state_dict(self) -> dict[str, Any]:
        """The running episodes: environments, what they show, hidden states, and exploration."""
        generator = None if self.generator is None else self.generator.get_state()
        return {
            "env": {name: torch.tensor(part) for name, part in self.env.snapshot().items()},
            "seen": [torch.tensor(part) for part in self._seen],
            "policy": [self._state.agent, self._state.predictor, self._state.last_action],
            "generator": generator,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the episodes that `state_dict` saved; the replay buffer is as it was then.

        Where the environment cannot go on with them, they are dropped, and others begin.
        """
        fresh = self.env.restore({name: part.numpy() for name, part in state["env"].items()})
        if self.generator is not None:
            self.generator.set_state(state["generator"])
        if fresh is not None:
            self._begin(fresh)
            return
        self._seen = Observation(*(part.numpy() for part in state["seen"]))
        agent, predictor, last_action = state["policy"]
        self._state = PolicyState(
            agent.to(self.device),
            None if predictor is None else predictor.to(self.device),
            last_action.to(self.device),
        )


def play_episodes(
    env: VectorEnv,
    policy: Policy,
    n_episodes: int,
    seed: int,
    device: torch.device,
    given: np.ndarray | None = None,
) -> tuple[ReplayBuffer, np.ndarray]:
    """Play `n_episodes` greedy episodes; the same seed gives the same episodes.

    Each environment plays the same number of whole episodes from its reset, so that short episodes
    are not counted more often than long ones.

    Args:
        env: the environments.
        policy: plays.
        n_episodes: how many.
        seed: of the first reset; each further one adds one.
        device: where the policy lives.
        given: [n_episodes] class that all agents of an episode use instead of a predicted one; it
            does not alter how episodes start.

    Returns:
        A buffer that holds them, and their slots [n_episodes].
    """
    rounds = -(-n_episodes // env.n_envs)
    # Of the last round, what is too much is played and left out.
    given_by_round = None if given is None else np.resize(given, (rounds, env.n_envs))
    replay = ReplayBuffer(env.spec, (rounds + 1) * env.n_envs, env.n_envs)
    rollout = Rollout(env, policy, replay, device, generator=None)
    slots: list[int] = []
    for number in range(rounds):
        rollout.reset(seed + number, None if given_by_round is None else given_by_round[number])
        waiting = np.ones(env.n_envs, dtype=bool)
        first: dict[int, int] = {}
        while waiting.any():
            running = replay.running.copy()
            for slot in rollout.step():
                env_index = int(np.flatnonzero(running == slot)[0])
                if waiting[env_index]:
                    waiting[env_index] = False
                    first[env_index] = int(slot)
                else:
                    replay.drop(int(slot))
        slots += [first[index] for index in range(env.n_envs)]
    return replay, np.array(slots[:n_episodes])
