"""Stage train: a variant (TRAMA or a baseline) on a problem, tested while it learns."""

import copy
import logging
from pathlib import Path

import numpy as np
import torch

from trama.config.model import Pretrain
from trama.config.params import TrainParams
from trama.data.parquet import Provenance, TableWriter
from trama.environments import VectorEnv, make_env
from trama.learning.build import (
    build_learner,
    load_classifier,
    load_embedding,
    read_centroids,
    read_statistics,
)
from trama.learning.clustering import majority_rate
from trama.learning.diagnosis import class_swap, predictor_accuracy, training_warnings
from trama.learning.history import History
from trama.learning.labels import Clustering, ClusterLabels, Labels, TrueTaskLabels
from trama.learning.rollout import Episodes, play_episodes
from trama.learning.scaling import StateStatistics
from trama.learning.trainer import Trainer
from trama.progress import Progress
from trama.runtime import torch_device
from trama.seeds import derive_seed
from trama.stages.timing import write_timing

logger = logging.getLogger("trama")


def train(
    params: TrainParams,
    provenance: Provenance,
    *,
    state_statistics: Path,
    vqvae: Path | None,
    centroids: Path | None,
    classifier: Path | None,
    policy_last: Path,
    policy_best: Path,
    history: Path,
    embeddings: Path | None,
    timing: Path,
    threads: int,
) -> None:
    """Train to `train.env_steps` and write the last policy, the best tested one, and the history.

    The seeds of environments and tests depend on the run's seed alone, not on the variant. Env
    steps in the history start at those of collect where the variant learns from the collected
    trajectories (its classes); others take only the scale of each state feature from them.

    Args:
        vqvae, centroids, classifier, embeddings: None for a variant that does not use them.
    """
    device = torch_device(params.device)
    config = params.train

    def seed(purpose: str) -> int:
        return derive_seed(params.study_seed, "train", params.problem_name, params.seed, purpose)

    torch.manual_seed(seed("labels"))
    statistics = read_statistics(state_statistics)
    with (
        make_env(params.problem, params.env, config.n_envs, threads) as env,
        make_env(params.problem, params.env, config.n_envs, threads) as test_env,
    ):
        labels = _labels(
            params, statistics, vqvae, centroids, classifier, env, seed("labels"), device
        )
        torch.manual_seed(seed("networks"))
        learner = build_learner(
            env.spec,
            params.variant.mixer,
            config,
            statistics,
            device,
            None if labels is None else labels.n_classes,
        )
        trainer = Trainer(env, learner, config, labels, seed("policy"), seed("env"), device)
        run = _Run(params, trainer, test_env, seed("test"))
        run.test()
        description = f"train {params.variant_name} {params.problem_name} seed {params.seed}"
        clusterings: list[Clustering] = []
        with Progress(description, config.env_steps, "env steps") as progress:
            while trainer.env_steps < config.env_steps:
                finished = trainer.step()
                if len(finished):
                    run.recent.append(Episodes.of(trainer.replay, finished))
                if labels is not None:
                    clustering = run.recluster(labels)
                    if clustering is not None:
                        clusterings.append(clustering)
                if trainer.env_steps >= run.next_test:
                    run.test()
                progress.update(trainer.env_steps, test_win_rate=run.win_rate)
        if trainer.env_steps != run.tested_at:
            run.test()
        learner.policy.save(policy_last, test_win_rate=run.win_rate)
        learner.policy.load_state_dict(run.best_weights)
        learner.policy.save(policy_best, test_win_rate=run.best[0])
        if embeddings is not None:
            _write_embeddings(embeddings, clusterings, env.spec.tasks, run.offset, provenance)
    run.history.write(history, provenance)
    write_timing(timing, trainer.timing, provenance)


def _labels(
    params: TrainParams,
    statistics: StateStatistics,
    vqvae: Path | None,
    centroids: Path | None,
    classifier: Path | None,
    env: VectorEnv,
    seed: int,
    device: torch.device,
) -> Labels | None:
    if params.variant.labels == "true_task":
        return TrueTaskLabels(len(env.spec.tasks))
    if params.representation is None:
        return None
    assert params.cluster is not None and centroids is not None and classifier is not None
    embedding = load_embedding(
        statistics, params.representation, params.pretrain or Pretrain(), vqvae, device
    )
    return ClusterLabels(
        embedding,
        load_classifier(
            embedding.size, params.representation.n_classes, params.cluster, classifier, device
        ),
        read_centroids(centroids),
        params.representation,
        params.cluster,
        params.train,
        seed,
    )


class _Run:
    """What a training measures on its way."""

    def __init__(self, params: TrainParams, trainer: Trainer, test_env: VectorEnv, seed: int):
        self.config, self.trainer, self.test_env, self.seed = params.train, trainer, test_env, seed
        self.offset = params.collect_env_steps or 0
        self.history = History()
        self.recent: list[Episodes] = []
        self.next_test = 0
        self.tested_at = -1
        self.win_rate = 0.0
        self.best = (-1.0, -np.inf)
        self.best_weights: dict[str, torch.Tensor] = {}
        self._warned: set[str] = set()

    def test(self) -> None:
        """Play the test episodes, log what is measured, and keep the policy if it is the best."""
        trainer, history = self.trainer, self.history
        policy = trainer.learner.policy
        while self.next_test <= trainer.env_steps:
            self.next_test += self.config.test_interval
        self.tested_at = trainer.env_steps
        tasks = self.test_env.spec.tasks
        with trainer.timed("test"):
            replay, slots = play_episodes(
                self.test_env, policy, self.config.test_episodes, self.seed, trainer.device
            )
            played = Episodes.of(replay, slots)
            self._now()
            history.add("epsilon", trainer.epsilon)
            history.add_episodes("test", played, tasks)
            if self.recent:
                trained = Episodes.concatenate(self.recent)
                history.add_episodes("train", trained, tasks)
                self.recent.clear()
            for name, value in trainer.losses.pop().items():
                history.add(name, value)
            if trainer.labels is not None:
                trainer.labels.label(replay, slots, trainer.device)
                batch = replay.batch(slots, trainer.device)
                accuracy = predictor_accuracy(batch)
                history.add("predictor_accuracy", accuracy.overall)
                history.add("predictor_balanced_accuracy", accuracy.balanced)
                history.add("majority_rate", majority_rate(replay.label[slots]))
                for step, value in enumerate(accuracy.by_step):
                    history.add("predictor_accuracy", value, step=step)
                effect, changed = class_swap(policy, batch, trainer.labels.n_classes)
                history.add("class_swap_effect", effect)
                history.add("class_swap_actions", changed)
        self.win_rate = float(played.won.mean())
        score = (self.win_rate, float(played.episode_return.mean()))
        if score > self.best:
            self.best = score
            self.best_weights = copy.deepcopy(policy.state_dict())
        self._warn()

    def recluster(self, labels: Labels) -> Clustering | None:
        """Cluster anew where that is due, and log it."""
        trainer = self.trainer
        with trainer.timed("cluster"):
            clustering = labels.recluster(
                trainer.replay, trainer.env_steps, trainer.episodes, trainer.device
            )
        if clustering is not None:
            self._now()
            for name, value in clustering.metrics.items():
                self.history.add(name, value)
            for number, share in enumerate(clustering.class_share):
                self.history.add("class_share", share, f"class {number}")
        return clustering

    def _now(self) -> None:
        trainer = self.trainer
        self.history.at(self.offset + trainer.env_steps, trainer.updates, trainer.episodes)

    def _warn(self) -> None:
        if self.trainer.labels is None:
            return
        found = training_warnings(self.history, self.trainer.labels.n_classes)
        for kind, message in found.items():
            if kind not in self._warned:
                self._warned.add(kind)
                logger.warning("after %d env steps: %s", self.trainer.env_steps, message)


def _write_embeddings(
    path: Path,
    clusterings: list[Clustering],
    tasks: tuple[str, ...],
    offset: int,
    provenance: Provenance,
) -> None:
    """One row per trajectory and clustering; no rows where none was due."""
    with TableWriter(path, "embeddings", provenance) as writer:
        for clustering in clusterings:
            n_rows = len(clustering.episode)
            writer.append(
                {
                    "env_steps": np.full(n_rows, offset + clustering.env_steps),
                    "episode": clustering.episode.astype(np.int32),
                    "task": [tasks[number] for number in clustering.task],
                    "label": clustering.clusters.labels.astype(np.int32),
                    "embedding": clustering.embedding,
                }
            )
