"""Playing episodes with a policy: many environments in lockstep, written straight into replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from trama.environments.base import Observation, VectorEnv
from trama.learning.novelty import Fallback
from trama.learning.policy import Policy
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
        generator: exploration on `device`, and which episodes are played without a class; None
            plays greedily, with classes.
        timed: to which the phase `environment` is added: the environments' steps.
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

    def reset(
        self, seed: int, given: np.ndarray | None = None, fallback: Fallback | None = None
    ) -> None:
        """Start all environments anew; unfinished episodes are dropped.

        Args:
            seed: of the environments.
            given: [N] class that all agents of an environment use instead of a predicted one.
            fallback: tells agents when to use no class.
        """
        self._given = None if given is None else torch.from_numpy(given).to(self.device)
        self._fallback = fallback
        self._begin(self.env.reset(seed))

    def _begin(self, seen: Observation) -> None:
        self._seen = seen
        self._state = self.policy.initial_state(self.env.n_envs, self.device)
        self.replay.discard_running()
        self._drop_classes(np.arange(self.env.n_envs))

    def _restart(self, envs: np.ndarray) -> None:
        """Let the policy begin new episodes in the environments `envs` [M]."""
        self._state.restart(torch.from_numpy(envs).to(self.device))
        self._drop_classes(envs)

    def _drop_classes(self, envs: np.ndarray) -> None:
        """Draw which of the new episodes of the environments `envs` [M] are without a class."""
        if self.generator is not None and self.policy.no_class is not None:
            drawn = torch.rand(len(envs), generator=self.generator, device=self.device)
            dropped = drawn < self.policy.sizes.class_dropout
            self._state.class_free[torch.from_numpy(envs).to(self.device)] = dropped

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
            self._fallback,
        )
        chosen = actions.cpu().numpy()
        with self.timed("environment"):
            outcome = self.env.step(chosen)
        self.replay.write(seen, chosen, classes.cpu().numpy(), outcome.reward)
        self._seen = outcome.observation
        lost = np.flatnonzero(self.env.lost)
        if len(lost):
            self._restart(lost)
            self.replay.discard_running(lost)
        ended = np.flatnonzero(outcome.terminated | outcome.truncated)
        if len(ended) == 0:
            return ended
        self._restart(ended)
        return self.replay.finish(
            ended, outcome.last, outcome.terminated, outcome.won, outcome.task
        )

    def state_dict(self) -> dict[str, Any]:
        """The running episodes: environments, what they show, hidden states, and exploration."""
        state = self._state
        generator = None if self.generator is None else self.generator.get_state()
        return {
            "env": {name: torch.tensor(part) for name, part in self.env.snapshot().items()},
            "seen": [torch.tensor(part) for part in self._seen],
            "policy": [state.agent, state.predictor, state.last_action, state.class_free],
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
        agent, predictor, last_action, class_free = state["policy"]
        self._state = replace(
            self.policy.initial_state(self.env.n_envs, self.device),
            agent=agent.to(self.device),
            predictor=None if predictor is None else predictor.to(self.device),
            last_action=last_action.to(self.device),
            class_free=class_free.to(self.device),
        )


def play_episodes(
    env: VectorEnv,
    policy: Policy,
    n_episodes: int,
    seed: int,
    device: torch.device,
    given: np.ndarray | None = None,
    fallback: Fallback | None = None,
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
        fallback: tells agents when to use no class; it does not alter that, either.

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
        of_round = None if given_by_round is None else given_by_round[number]
        rollout.reset(seed + number, of_round, fallback)
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
