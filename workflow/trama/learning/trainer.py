"""The reinforcement-learning loop: play, learn, relabel; shared by the stages collect and train."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from trama.config.model import RL
from trama.environments.base import VectorEnv
from trama.learning.history import RunningMeans
from trama.learning.labels import Clustering, Labels
from trama.learning.learner import Learner
from trama.learning.replay import ReplayBuffer
from trama.learning.rollout import Rollout

_COUNTERS = (
    "env_steps",
    "episodes",
    "updates",
    "unlearnt",
    "_episodes_since_update",
    "_episodes_since_target",
)


class Trainer:
    """Plays with the learner's policy and updates the learner at the configured ratio.

    Args:
        env: training environments.
        learner: networks, targets and optimiser.
        config: section `train` or `collect`.
        labels: trajectory classes; None for a policy without them.
        seed: of exploration and of the replay's draws.
        env_seed: of the environments.
        device: of the networks.
        replay_on_device: keep a copy of the replay buffer there, unless it is the CPU.
        collect_env_steps: of stage collect, from which the training goes on: exploration and the
            dense updates of the VQ-VAE count them.

    Attributes:
        env_steps: steps of all environments so far, those of lost episodes included.
        episodes: finished episodes so far.
        updates: learner updates so far.
        unlearnt: collected episodes whose updates the learner has not made yet.
        losses: means of what the learner reported since they were last read.
        timed: has what the phases of the work took.
    """

    def __init__(
        self,
        env: VectorEnv,
        learner: Learner,
        config: RL,
        labels: Labels | None,
        seed: int,
        env_seed: int,
        device: torch.device,
        replay_on_device: bool = False,
        collect_env_steps: int = 0,
    ):
        self.learner, self.config, self.labels, self.device = learner, config, labels, device
        if labels is not None:
            learner.use_classes(labels.classes)
        copied = replay_on_device and device.type != "cpu"
        self.replay = ReplayBuffer(
            env.spec, config.buffer_size, env.n_envs, copy_on=device if copied else None
        )
        generator = torch.Generator(device).manual_seed(seed)
        self.timed = learner.timed
        self.rollout = Rollout(env, learner.policy, self.replay, device, generator, self.timed)
        self.rollout.reset(env_seed)
        self.env_steps = self.episodes = self.updates = self.unlearnt = 0
        self._collect_env_steps = collect_env_steps
        self.losses = RunningMeans()
        self._rng = np.random.default_rng(seed)
        self._episodes_since_update = 0
        self._episodes_since_target = 0

    @property
    def epsilon(self) -> float:
        """Exploration rate, falling linearly with env steps."""
        config = self.config
        done = min(1.0, self._all_env_steps / config.epsilon_anneal_steps)
        return config.epsilon_start + done * (config.epsilon_finish - config.epsilon_start)

    @property
    def _all_env_steps(self) -> int:
        """Env steps behind what is learnt from, those of stage collect included."""
        return self._collect_env_steps + self.env_steps

    def play_random(self) -> np.ndarray:
        """One step of all environments with random actions, no learning; returns finished slots."""
        return self._play(epsilon=1.0)

    def step(self) -> np.ndarray:
        """One step of all environments and the updates that fall due; returns finished slots."""
        finished = self._play(self.epsilon)
        if len(finished) == 0:
            return finished
        if self.labels is not None:
            with self.timed("label"):
                self.labels.label(self.replay, finished, self.device)
        self._learn(len(finished))
        return finished

    def learn_collected(self) -> None:
        """The updates that fall due after one of the collected episodes; none of the VQ-VAE.

        Stage pretrain has learnt from them.
        """
        self._learn(n_episodes=1)
        self.unlearnt -= 1

    def _learn(self, n_episodes: int) -> None:
        """The updates, of the targets too, that fall due after so many episodes."""
        self._episodes_since_update += n_episodes
        self._episodes_since_target += n_episodes
        if len(self.replay) < self.config.batch_size:
            self._episodes_since_update = 0
        while self._episodes_since_update >= self.config.episodes_per_update:
            self._episodes_since_update -= self.config.episodes_per_update
            self._update()
        if self._episodes_since_target >= self.config.target_update_episodes:
            self._episodes_since_target %= self.config.target_update_episodes
            self.learner.update_target()

    def _play(self, epsilon: float) -> np.ndarray:
        with self.timed("play"):
            finished = self.rollout.step(epsilon)
        self.env_steps += self.rollout.env.n_envs
        self.episodes += len(finished)
        return finished

    def _update(self) -> None:
        with self.timed("update"):
            batch = self.replay.sample(self.config.batch_size, self._rng, self.device)
            self.losses.add(self.learner.update(batch))
        self.updates += 1
        if self.labels is None or self.unlearnt:
            return
        if self.labels.learning_due(self._all_env_steps, self.episodes):
            with self.timed("vqvae"):
                self.losses.add(self.labels.learn(batch, self.episodes))

    def state_dict(self) -> dict[str, Any]:
        """All that the future depends on, but for the finished episodes' rows."""
        return {
            "learner": self.learner.state_dict(),
            "labels": None if self.labels is None else self.labels.state_dict(),
            "rollout": self.rollout.state_dict(),
            "replay": self.replay.state_dict(),
            "losses": self.losses.state_dict(),
            "timing": self.timed.state_dict(),
            "rng": self._rng.bit_generator.state,
            **{name: getattr(self, name) for name in _COUNTERS},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` saved."""
        self.learner.load_state_dict(state["learner"])
        if self.labels is not None:
            self.labels.load_state_dict(state["labels"])
        self.replay.load_state_dict(state["replay"])
        self.rollout.load_state_dict(state["rollout"])
        self.losses.load_state_dict(state["losses"], self.device)
        self.timed.load_state_dict(state["timing"])
        self._rng.bit_generator.state = state["rng"]
        for name in _COUNTERS:
            setattr(self, name, state[name])

    def recluster(self) -> Clustering | None:
        """Cluster the trajectories anew if that is due; the policy predicts what comes of it."""
        when = self.replay, self.env_steps, self.episodes
        if self.labels is None or not self.labels.clustering_due(*when):
            return None
        with self.timed("cluster"):
            clustering = self.labels.recluster(*when, self.device)
        if clustering is not None:
            self.learner.use_classes(self.labels.classes)
        return clustering
