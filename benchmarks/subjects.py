"""What is measured: learners, replays and environments of the sizes that the figures name."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.harness import ROOT, THREADS
from trama.config.backends import Env
from trama.config.model import Cluster, MixerName, Pretrain, Representation, Train
from trama.config.problems import UnitProblem
from trama.environments import EnvSpec, Observation, VectorEnv, make_env
from trama.learning.build import build_learner
from trama.learning.embedding import TrajectoryEmbedding
from trama.learning.labels import ClusterLabels
from trama.learning.learner import Learner
from trama.learning.replay import ReplayBuffer
from trama.learning.scaling import StateScaler, StateStatistics
from trama.networks.classifier import Classifier
from trama.networks.vqvae import VQVAE
from trama.runtime import torch_device

CONFIG: dict[str, Any] = yaml.safe_load((ROOT / "config/config.yaml").read_text())
N_CLASSES = 3
MIXERS: dict[str, MixerName] = {"vdn": "vdn", "qmix": "qmix", "qplex": "qplex", "trama": "qplex"}
"""Mixer of each algorithm; trama alone has a predictor, a VQ-VAE and classes."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the networks' inputs, and the lengths that episodes are drawn from."""

    n_agents: int = 5
    obs_size: int = 100
    n_actions: int = 10
    shortest: int = 30
    longest: int = 101

    @property
    def spec(self) -> EnvSpec:
        """A state of 18 entries per agent, as in SMAX with 5 against 5."""
        own = 9
        state_size = 18 * self.n_agents
        features = np.arange(self.n_agents * own).reshape(self.n_agents, own)
        names = tuple(f"feature {number}" for number in range(state_size))
        return EnvSpec(
            self.n_agents,
            self.obs_size,
            state_size,
            self.n_actions,
            self.longest,
            ("task",),
            names,
            features,
            tuple(f"action {number}" for number in range(self.n_actions)),
            tuple(f"entry {number}" for number in range(self.obs_size)),
        )


def device() -> torch.device:
    """The CPU, with PyTorch settled as in every stage."""
    return torch_device("cpu")


def representation() -> Representation:
    """The representation of the variant trama."""
    return Representation.model_validate(CONFIG["representations"]["vqvae"])


def make_learner(algorithm: str, spec: EnvSpec, config: Train) -> Learner:
    """A learner with fresh networks, the same every time."""
    torch.manual_seed(0)
    n_classes = N_CLASSES if algorithm == "trama" else None
    return build_learner(
        spec,
        MIXERS[algorithm],
        config,
        StateStatistics.identity(spec.state_size),
        device(),
        n_classes,
    )


def make_labels(spec: EnvSpec, config: Train) -> ClusterLabels:
    """Labels of the variant trama with an untrained VQ-VAE and classifier."""
    torch.manual_seed(0)
    given, cluster = representation(), Cluster()
    vqvae = VQVAE(spec.state_size, given, Pretrain())
    embedding = TrajectoryEmbedding(StateScaler(StateStatistics.identity(spec.state_size)), vqvae)
    classifier = Classifier(embedding.size, given.n_classes, cluster.classifier)
    centroids = np.zeros((given.n_classes, embedding.size))
    return ClusterLabels(embedding, classifier, centroids, 1.0, given, cluster, config, seed=0)


def random_replay(sizes: Sizes, n_episodes: int, seed: int = 0) -> ReplayBuffer:
    """A full buffer of random episodes whose lengths are uniform between the shortest and longest.

    They are written as a rollout writes them, 32 at a time.
    """
    spec, rng = sizes.spec, np.random.default_rng(seed)
    n_envs = 32
    replay = ReplayBuffer(spec, n_episodes, n_envs)

    def seen() -> Observation:
        available = rng.random((n_envs, spec.n_agents, spec.n_actions)) < 0.6
        available[:, :, 0] = True
        return Observation(
            rng.random((n_envs, spec.n_agents, spec.obs_size), np.float32),
            rng.random((n_envs, spec.state_size), np.float32),
            available,
        )

    left = rng.integers(sizes.shortest, sizes.longest + 1, n_envs)
    while len(replay) < n_episodes:
        observation = seen()
        actions = (rng.random(observation.available_actions.shape)
                   * observation.available_actions).argmax(2)  # fmt: skip
        classes = rng.integers(N_CLASSES, size=actions.shape)
        replay.write(observation, actions, classes, rng.random(n_envs).astype(np.float32))
        left -= 1
        ended = np.flatnonzero(left == 0)
        if len(ended):
            left[ended] = rng.integers(sizes.shortest, sizes.longest + 1, len(ended))
            flags = rng.random(n_envs) < 0.5
            nothing = np.zeros(n_envs, np.int64)
            slots = replay.finish(ended, seen(), flags, flags, nothing)
            replay.label[slots] = rng.integers(N_CLASSES, size=len(slots))
    return replay


def smax(n_envs: int, n_agents: int = 5) -> VectorEnv:
    """SurComb3 with N environments, or its combinations scaled to another number of agents."""
    problem = dict(CONFIG["problems"]["SurComb3"])
    if n_agents != 5:
        each = n_agents // 5
        problem["units"] = [
            "".join(f"{int(unit[0]) * each}{unit[1]}" for unit in (units[:2], units[2:]))
            for units in problem["units"]
        ]
    return make_env(
        UnitProblem.model_validate(problem, strict=False),
        Env.model_validate(CONFIG["env"], strict=False),
        n_envs,
        THREADS,
    )
