"""Small deterministic environments, and what tests of the learning need around them."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from trama.config.model import Classifier as ClassifierConfig
from trama.config.model import Cluster, MixerName, Pretrain, QMix, QPlex, Representation, Train
from trama.environments.base import (
    EnvSpec,
    Int,
    Observation,
    Step,
    VectorEnv,
    checked_chances,
)
from trama.learning.build import build_learner
from trama.learning.clustering import fit_clusters
from trama.learning.embedding import TrajectoryEmbedding
from trama.learning.labels import ClusterLabels, Labels
from trama.learning.replay import ReplayBuffer
from trama.learning.scaling import StateScaler, StateStatistics, StatisticsAccumulator
from trama.learning.trainer import Trainer
from trama.networks.classifier import Classifier
from trama.networks.vqvae import VQVAE
from trama.seeds import derive_seed

CPU = torch.device("cpu")


def make_spec(
    n_agents: int, obs_size: int, state_size: int, n_actions: int, episode_limit: int, n_tasks: int
) -> EnvSpec:
    """A spec in which agent i is described by two neighbouring entries of the state."""
    features = [[i % state_size, (i + 1) % state_size] for i in range(n_agents)]
    return EnvSpec(
        n_agents,
        obs_size,
        state_size,
        n_actions,
        episode_limit,
        tuple(f"task {number}" for number in range(n_tasks)),
        tuple(f"unit_{number // 2}_{'xy'[number % 2]}" for number in range(state_size)),
        np.array(features, dtype=np.int64),
        tuple(f"action {number}" for number in range(n_actions)),
        tuple(f"entry {number}" for number in range(obs_size)),
    )


class Game(ABC):
    """One episode of one environment."""

    task = 0

    @abstractmethod
    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Observations [A, O], state [S], available actions [A, U]."""

    @abstractmethod
    def act(self, actions: np.ndarray) -> tuple[float, bool, bool, bool]:
        """Take actions [A]; returns reward, terminated, truncated, won."""


_SNAPSHOTS: list[Any] = []


class FakeEnv(VectorEnv):
    """N games at a time; environment e draws its games from a stream of (seed, e) alone.

    Args:
        report: maps the number of a game in its environment, and its task, to the task id that
            is reported; the games themselves do not depend on it.
    """

    def __init__(
        self,
        spec: EnvSpec,
        n_envs: int,
        new_game: Callable[[np.random.Generator], Game],
        report: Callable[[int, int], int] = lambda number, task: task,
    ):
        self.spec, self.n_envs = spec, n_envs
        self._new_game, self._report = new_game, report
        self._chances: np.ndarray | None = None

    def set_task_chances(self, chances: np.ndarray) -> None:
        self._chances = checked_chances(chances, len(self.spec.tasks))

    def _draw(self, rng: np.random.Generator) -> Game:
        """A game; with chances of tasks, the first one of the task that these draw."""
        game = self._new_game(rng)
        if self._chances is not None:
            task = rng.choice(len(self._chances), p=self._chances)
            while game.task != task:
                game = self._new_game(rng)
        return game

    def reset(self, seed: int) -> Observation:
        self._rngs = [np.random.default_rng([seed, e]) for e in range(self.n_envs)]
        self._games = [self._draw(rng) for rng in self._rngs]
        self._number = 0
        return self._observe()

    def _observe(self) -> Observation:
        obs, state, available = zip(*(game.observe() for game in self._games), strict=True)
        return Observation(
            np.array(obs, np.float32), np.array(state, np.float32), np.array(available, np.bool_)
        )

    def step(self, actions: np.ndarray) -> Step:
        rows = np.arange(self.spec.n_agents)
        for game, joint in zip(self._games, actions, strict=True):
            assert game.observe()[2][rows, joint].all(), "an unavailable action was taken"
        results = [game.act(a) for game, a in zip(self._games, actions, strict=True)]
        reward, terminated, truncated, won = zip(*results, strict=True)
        task = self.task
        last = self._observe()
        for e, (_, over, out_of_time, _) in enumerate(results):
            if over or out_of_time:
                self._games[e] = self._draw(self._rngs[e])
                self._number += 1
        return Step(
            self._observe(),
            last,
            np.array(reward, np.float32),
            np.array(terminated),
            np.array(truncated),
            np.array(won),
            task,
        )

    @property
    def task(self) -> Int:
        tasks = [self._report(self._number + e, game.task) for e, game in enumerate(self._games)]
        return np.array(tasks, np.int32)

    def snapshot(self) -> dict[str, np.ndarray]:
        state = self._rngs, self._games, self._number, self._chances
        _SNAPSHOTS.append(copy.deepcopy(state))
        return {"number": np.array(len(_SNAPSHOTS) - 1)}

    def restore(self, snapshot: Mapping[str, np.ndarray]) -> None:
        state = copy.deepcopy(_SNAPSHOTS[int(snapshot["number"])])
        self._rngs, self._games, self._number, self._chances = state

    def close(self) -> None:
        pass


RANDOM_SPEC = make_spec(3, 4, 5, 4, episode_limit=7, n_tasks=3)


class RandomGame(Game):
    """Random sights; the state tells the task; length 1 to 7; half of the longer games time out."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.task = int(rng.integers(3))
        self.length = int(rng.integers(1, 8))
        self.time_out = self.length >= 4 and bool(rng.integers(2))
        self.t = 0
        self._draw()

    def _draw(self) -> None:
        spec = RANDOM_SPEC
        obs = self.rng.normal(size=(spec.n_agents, spec.obs_size))
        obs[:, 0] = self.task
        state = self.rng.normal(size=spec.state_size) * 0.3
        state[self.task] += 3.0
        available = self.rng.random((spec.n_agents, spec.n_actions)) < 0.6
        available[np.arange(spec.n_agents), self.rng.integers(spec.n_actions, size=3)] = True
        self.seen = obs, state, available

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.seen

    def act(self, actions: np.ndarray) -> tuple[float, bool, bool, bool]:
        self.t += 1
        reward = float((actions == self.task).mean() + 0.1 * self.rng.normal())
        self._draw()
        over = self.t == self.length
        return reward, over and not self.time_out, over and self.time_out, over and reward > 0.5


TWO_STEP_SPEC = make_spec(2, 3, 3, 2, episode_limit=2, n_tasks=1)


class TwoStepGame(Game):
    """The two-step game of the QMIX paper: agent 0 chooses the game of the second step.

    One game pays 7 whatever happens, the other [[0, 1], [1, 8]]; the best return is 8, and an
    additive Q_tot that sees uniform play settles for 7.
    """

    payoff = ((7.0, 7.0, 7.0), (0.0, 1.0, 8.0))

    def __init__(self, rng: np.random.Generator):
        self.at = 0

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        state = np.eye(3)[min(self.at, 2)]
        return np.tile(state, (2, 1)), state, np.ones((2, 2), bool)

    def act(self, actions: np.ndarray) -> tuple[float, bool, bool, bool]:
        if self.at == 0:
            self.at = 1 + int(actions[0])
            return 0.0, False, False, False
        reward = self.payoff[self.at - 1][int(actions.sum())]
        return reward, True, False, reward == 8.0


CLASS_SPEC = make_spec(2, 3, 4, 3, episode_limit=3, n_tasks=2)


class ClassGame(Game):
    """A hidden class is seen once, at the first step; an action pays if both choose its number.

    Action 2 always pays a little, so that blind play prefers it. The best return is 3.
    """

    def __init__(self, rng: np.random.Generator):
        self.task = int(rng.integers(2))
        self.t = 0
        self.right = True

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        seen = np.array([self.t / 3, 0.0, 0.0])
        if self.t == 0:
            seen[1 + self.task] = 1.0
        state = np.array([self.t / 3, float(self.task), 1.0 - self.task, 1.0])
        return np.tile(seen, (2, 1)), state, np.ones((2, 3), bool)

    def act(self, actions: np.ndarray) -> tuple[float, bool, bool, bool]:
        self.t += 1
        right = bool((actions == self.task).all())
        self.right &= right
        reward = 1.0 if right else 0.6 if (actions == 2).all() else 0.0
        return reward, self.t == 3, False, self.t == 3 and self.right


def random_env(n_envs: int, report: Callable[[int, int], int] | None = None) -> FakeEnv:
    """Environments of `RandomGame`."""
    if report is None:
        return FakeEnv(RANDOM_SPEC, n_envs, RandomGame)
    return FakeEnv(RANDOM_SPEC, n_envs, RandomGame, report)


def small_train(**changes: object) -> Train:
    """Section train with networks of a few units; keys may be replaced."""
    settings: dict[str, object] = {
        "n_envs": 4,
        "batch_size": 8,
        "buffer_size": 64,
        "episodes_per_update": 2,
        "optimiser": "adam",
        "learning_rate": 2e-3,
        "hidden_size": 12,
        "target_update_episodes": 20,
        "epsilon_anneal_steps": 200,
        "env_steps": 400,
        "test_interval": 100,
        "test_episodes": 6,
        "qmix": QMix(mixing_size=6, hypernet_size=8),
        "qplex": QPlex(heads=2, mixing_size=4, hypernet_size=6, kernels=2),
        "predictor": {"hidden_size": 10, "loss_weight": 0.1},
        "class_representation": {"hidden_size": 6, "size": 5},
        "vqvae_updates": {"interval_episodes": 4, "dense_env_steps": 100},
        "clustering": {
            "first_env_steps": 120,
            "interval_episodes": 1000,
            "interval_env_steps": 100,
        },
    }
    return Train.model_validate(settings | changes)


def small_cluster(**changes: object) -> Cluster:
    """Section cluster for tens of episodes."""
    settings: dict[str, object] = {
        "max_trajectories": 60,
        "min_trajectories": 10,
        "n_init": 3,
        "classifier": {"hidden_sizes": (8,), "epochs": 30, "batch_size": 16, "learning_rate": 0.02},
    }
    return Cluster.model_validate(settings | changes)


def random_actions(available: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uniform available actions [N, A] of masks [N, A, U]."""
    return (rng.random(available.shape) * available).argmax(2)


def played_replay(
    env: FakeEnv,
    n_episodes: int,
    seed: int,
    capacity: int | None = None,
    n_classes: int = 1,
    copy_on: torch.device | None = None,
) -> ReplayBuffer:
    """A buffer with at least that many random episodes, their classes drawn at random."""
    rng = np.random.default_rng(seed)
    replay = ReplayBuffer(env.spec, capacity or n_episodes + env.n_envs, env.n_envs, copy_on)
    seen = env.reset(seed)
    finished = 0
    while finished < n_episodes:
        actions = random_actions(seen.available_actions, rng)
        step = env.step(actions)
        replay.write(seen, actions, rng.integers(n_classes, size=actions.shape), step.reward)
        seen = step.observation
        ended = np.flatnonzero(step.terminated | step.truncated)
        replay.finish(ended, step.last, step.terminated, step.won, step.task)
        finished += len(ended)
    return replay


def replay_statistics(replay: ReplayBuffer) -> StateStatistics:
    """Statistics of the states of all finished episodes."""
    accumulator = StatisticsAccumulator(replay.state.shape[2], 0.01)
    for slot in replay.finished:
        n_states = replay.length[slot] + 1
        accumulator.add(replay.state[slot, :n_states], np.array([n_states]))
    return accumulator.result()


def cluster_labels(
    replay: ReplayBuffer,
    representation: Representation,
    config: Train,
    cluster: Cluster,
    seed: int,
    n_classes: int | None = None,
) -> ClusterLabels:
    """Labels as the stages pretrain (for a moment) and cluster would begin them.

    `n_classes` are those that were chosen; None for a representation that has its number.
    """
    n_classes = n_classes or representation.n_classes
    torch.manual_seed(seed)
    statistics = replay_statistics(replay)
    vqvae = None
    if representation.has_codebook:
        vqvae = VQVAE(len(statistics.mean), representation, Pretrain(hidden_size=8))
    embedding = TrajectoryEmbedding(StateScaler(statistics), vqvae)
    classifier = Classifier(embedding.size, representation.most_classes, cluster.classifier)
    labels = ClusterLabels(
        embedding,
        classifier,
        np.zeros((n_classes, embedding.size)),
        0.0,
        representation,
        cluster,
        config,
        seed,
    )
    if vqvae is not None:
        _pretrain(vqvae, embedding, replay)
    points = embedding.of_episodes(replay, replay.finished)
    clusters = fit_clusters(points.numpy(), n_classes, seed, cluster.n_init)
    labels.centroids = clusters.centroids
    labels.mean_distance = float(clusters.distances(points.numpy()).mean())
    classifier.fit(
        points,
        torch.from_numpy(clusters.labels),
        torch.arange(n_classes),
        torch.Generator().manual_seed(seed),
    )
    return labels


def _pretrain(vqvae: VQVAE, embedding: TrajectoryEmbedding, replay: ReplayBuffer) -> None:
    """A hundred updates, so that embeddings differ."""
    batch = replay.state_batch(replay.finished, CPU)
    state, step = embedding.scaler(batch.state), batch.packing.step
    classes = torch.arange(len(replay))[batch.packing.episode] % vqvae.n_classes
    optimiser = torch.optim.Adam(vqvae.parameters(), lr=1e-2)
    for _ in range(100):
        loss = vqvae.loss(state, step, batch.packing.n_steps, classes)
        optimiser.zero_grad()
        loss.total.backward()
        optimiser.step()


def make_trainer(
    env: VectorEnv,
    mixer: MixerName,
    config: Train,
    labels: Labels | None,
    seed: int,
    statistics: StateStatistics | None = None,
    collect_env_steps: int = 0,
) -> Trainer:
    """A trainer with fresh networks that depend on the seed alone."""
    torch.manual_seed(seed)
    learner = build_learner(
        env.spec,
        mixer,
        config,
        statistics or StateStatistics.identity(env.spec.state_size),
        CPU,
        None if labels is None else labels.n_classes,
        isinstance(labels, ClusterLabels) and labels.definition.class_number is not None,
    )
    env_seed = derive_seed(seed, "env")
    return Trainer(
        env, learner, config, labels, seed, env_seed, CPU, collect_env_steps=collect_env_steps
    )


SMALL_CLASSIFIER = ClassifierConfig(
    hidden_sizes=(16,), epochs=60, batch_size=32, learning_rate=0.01
)
