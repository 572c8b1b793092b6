"""Trajectory classes during training: labels of episodes, and how they are kept up to date."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trama.config.model import Cluster, Representation, Train
from trama.learning.class_number import (
    FEWEST_PER_CLASS,
    Trajectories,
    compare_class_numbers,
    read_trajectories,
    spread_steps,
)
from trama.learning.clustering import (
    Clusters,
    cluster_quality,
    count_different,
    fit_clusters,
    label_consistency,
    match_labels,
)
from trama.learning.embedding import CodeUse, TrajectoryEmbedding
from trama.learning.replay import NO_LABEL, Batch, ReplayBuffer
from trama.learning.representation import TrainedRepresentation
from trama.networks.classifier import Classifier
from trama.seeds import derive_seed

logger = logging.getLogger("trama")

COUNTED_EPISODES = 256
"""Newest episodes whose codes are counted at a re-clustering."""
_COUNTERS = ("next_env_steps", "last_episodes", "last_vqvae_episodes", "number")


@dataclass(frozen=True)
class Clustering:
    """One clustering of M episodes of the replay buffer, and what was measured of it.

    `episode` numbers the episodes that the buffer was given, in their order. `task` is for
    measuring only. `codes` counts the codes of the newest `COUNTED_EPISODES` of them.
    """

    env_steps: int
    episode: np.ndarray
    task: np.ndarray
    embedding: np.ndarray
    clusters: Clusters
    metrics: dict[str, float]
    class_share: np.ndarray
    codes: CodeUse


class Labels(ABC):
    """Gives each episode of the replay buffer its class.

    Attributes:
        n_classes: that networks have room for.
        classes: those in use, [K] int64, ascending.
    """

    n_classes: int
    classes: np.ndarray

    @property
    @abstractmethod
    def representation(self) -> TrainedRepresentation | None:
        """What the classes are clusters of, as it is now; None where they are no clusters."""

    @abstractmethod
    def label(self, replay: ReplayBuffer, slots: np.ndarray, device: torch.device) -> None:
        """Write the class of the finished episodes `slots` into the buffer."""

    @abstractmethod
    def learning_due(self, env_steps: int, episodes: int) -> bool:
        """Whether to `learn` after a learner update, so many of each into the training."""

    @abstractmethod
    def learn(self, batch: Batch, episodes: int) -> dict[str, Tensor]:
        """Follow a learner update on `batch`; returns the losses of what was learnt."""

    @abstractmethod
    def clustering_due(self, replay: ReplayBuffer, env_steps: int, episodes: int) -> bool:
        """Whether to `recluster`, so many of each into the training."""

    @abstractmethod
    def recluster(
        self, replay: ReplayBuffer, env_steps: int, episodes: int, device: torch.device
    ) -> Clustering | None:
        """Cluster anew; None where the clustering was not accepted."""

    @abstractmethod
    def class_of_task(self, replay: ReplayBuffer, tasks: Sequence[str]) -> dict[str, int | None]:
        """The class that stands for each true task, None where it is unknown; for measuring only.

        Args:
            replay: the buffer whose episodes were labelled.
            tasks: names of the true tasks, in the order of their ids.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """What it has learnt and counted."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` saved."""


class TrueTaskLabels(Labels):
    """The oracle: true task ids as classes. The only place where training reads them."""

    def __init__(self, n_tasks: int):
        self.n_classes = n_tasks
        self.classes = np.arange(n_tasks)

    @property
    def representation(self) -> None:
        return None

    def label(self, replay: ReplayBuffer, slots: np.ndarray, device: torch.device) -> None:
        replay.label[slots] = replay.task[slots]

    def learning_due(self, env_steps: int, episodes: int) -> bool:
        return False

    def learn(self, batch: Batch, episodes: int) -> dict[str, Tensor]:
        return {}

    def clustering_due(self, replay: ReplayBuffer, env_steps: int, episodes: int) -> bool:
        return False

    def recluster(
        self, replay: ReplayBuffer, env_steps: int, episodes: int, device: torch.device
    ) -> Clustering | None:
        return None

    def class_of_task(self, replay: ReplayBuffer, tasks: Sequence[str]) -> dict[str, int | None]:
        return {name: number for number, name in enumerate(tasks)}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


class ClusterLabels(Labels):
    """Pseudo-labels: clusters of trajectory embeddings, carried on by the classifier.

    Args:
        embedding: of trajectories, from stage pretrain, or with an untrained VQ-VAE.
        classifier: from stage cluster, or untrained; labels the episodes that come after a
            clustering.
        centroids: [K, d] from stage cluster; None where there are no classes yet.
        mean_distance: mean distance of the trajectories that it clustered to their own centroid.
        representation, cluster, config: sections of the config.
        seed: of K-means, of the classifier's batches, and of random classes.
    """

    def __init__(
        self,
        embedding: TrajectoryEmbedding,
        classifier: Classifier,
        centroids: np.ndarray | None,
        mean_distance: float,
        representation: Representation,
        cluster: Cluster,
        config: Train,
        seed: int,
    ):
        self.n_classes = representation.most_classes
        self.classes = np.arange(self.n_classes if centroids is None else len(centroids))
        self.definition = representation
        self.embedding, self.classifier = embedding, classifier
        self.centroids, self.mean_distance = centroids, mean_distance
        self.cluster, self.config, self.seed = cluster, config, seed
        self._optimiser: torch.optim.Optimizer | None = None
        if embedding.vqvae is not None:
            self._optimiser = torch.optim.Adam(
                embedding.vqvae.parameters(), lr=config.vqvae_updates.learning_rate
            )
        self._next_env_steps = config.clustering.first_env_steps
        self._last_episodes = 0
        self._last_vqvae_episodes = 0
        self._number = 0
        self._rng = np.random.default_rng(derive_seed(seed, "random classes"))

    @property
    def representation(self) -> TrainedRepresentation | None:
        if self.centroids is None:
            return None
        return TrainedRepresentation(
            self.definition, self.embedding, self.centroids, self.mean_distance
        )

    def label(self, replay: ReplayBuffer, slots: np.ndarray, device: torch.device) -> None:
        if self.centroids is None:
            return
        points = self.embedding.of_episodes(replay, slots)
        classes = torch.from_numpy(self.classes).to(points.device)
        replay.label[slots] = self.classifier.classify(points, classes).cpu().numpy()

    def learning_due(self, env_steps: int, episodes: int) -> bool:
        """Whether to update the VQ-VAE: always while env steps are few, then every so many
        episodes.
        """
        when = self.config.vqvae_updates
        waited = episodes - self._last_vqvae_episodes
        due = env_steps <= when.dense_env_steps or waited >= when.interval_episodes
        return due and self.embedding.vqvae is not None

    def learn(self, batch: Batch, episodes: int) -> dict[str, Tensor]:
        """Update the VQ-VAE.

        Episodes without a class have a random one in J(t,k).
        """
        vqvae = self.embedding.vqvae
        assert vqvae is not None and self._optimiser is not None
        self._last_vqvae_episodes = episodes
        packing = batch.packing
        current = packing.current
        label = batch.label
        if self.centroids is None:
            drawn = self._rng.integers(self.n_classes, size=len(label))
            label = torch.from_numpy(drawn).to(label.device)
        loss = vqvae.loss(
            self.embedding.scaler(batch.state[current]),
            packing.step[current],
            packing.n_steps - 1,
            label[packing.episode[current]],
        )
        self._optimiser.zero_grad()
        loss.total.backward()
        self._optimiser.step()
        terms = {f"vqvae_{f.name}": getattr(loss, f.name).detach() for f in fields(loss)}
        return {"vqvae_loss": terms.pop("vqvae_total"), **terms}

    def clustering_due(self, replay: ReplayBuffer, env_steps: int, episodes: int) -> bool:
        waited = episodes - self._last_episodes
        due = env_steps >= self._next_env_steps or (
            self._number > 0 and waited >= self.config.clustering.interval_episodes
        )
        return due and len(replay) >= self.cluster.min_trajectories

    def recluster(
        self, replay: ReplayBuffer, env_steps: int, episodes: int, device: torch.device
    ) -> Clustering | None:
        """Cluster the newest episodes of the buffer.

        From the previous centroids, or afresh, then with or without the names of the labels that
        the episodes had.
        """
        older, slots = np.split(replay.finished, [-self.cluster.max_trajectories])
        self._next_env_steps = env_steps + self.config.clustering.interval_env_steps
        self._last_episodes = episodes
        self._number += 1
        seed = derive_seed(self.seed, "recluster", self._number)
        embedding = self.embedding.of_episodes(replay, slots)
        points = embedding.cpu().numpy()
        chosen = self.definition.class_number
        fewest = self.n_classes if chosen is None else 2 * FEWEST_PER_CLASS
        if count_different(points) < fewest:
            logger.warning(
                "after %d env steps: the trajectory embeddings have collapsed to fewer than %d "
                "different ones; the classes stay as they are",
                env_steps,
                fewest,
            )
            return None
        before = replay.label[slots]
        clusters = self._cluster(replay, slots, points, seed)
        n_classes = len(clusters.centroids)
        if not clusters.accepted(self.cluster.min_clusters):
            logger.warning(
                "after %d env steps: only %d of %d clusters are used; the classes stay as they are",
                env_steps,
                clusters.n_used,
                n_classes,
            )
            return None
        known = before != NO_LABEL
        metrics: dict[str, float] = {}
        if chosen is not None:
            metrics["n_classes"] = n_classes
            if n_classes != len(self.classes) or self.centroids is None:
                logger.info(
                    "after %d env steps: %s chooses %d classes, numbers %s",
                    env_steps,
                    chosen.criterion,
                    n_classes,
                    clusters.classes,
                )
        if known.any():
            kept, chance = label_consistency(before[known], clusters.labels[known])
            metrics |= {"label_consistency": kept, "label_consistency_chance": chance}
        self.centroids = clusters.centroids
        self.classes = clusters.classes
        self.mean_distance = float(clusters.distances(points).mean())
        replay.label[slots] = clusters.labels
        generator = torch.Generator().manual_seed(seed)
        accuracy = self.classifier.fit(
            embedding,
            torch.from_numpy(clusters.labels).to(device),
            torch.from_numpy(self.classes).to(device),
            generator,
        )
        if len(older):
            self.label(replay, older, device)
        newest = replay.state_batch(slots[-COUNTED_EPISODES:], device)
        current = newest.packing.current
        codes = self.embedding.code_use(
            newest.state[current],
            newest.packing.episode[current].cpu().numpy(),
            replay.task[newest.slots],
            replay.label[newest.slots],
        )
        metrics |= {
            **cluster_quality(points, clusters.labels, replay.task[slots], seed),
            "classifier_accuracy": accuracy,
            "codes_in_use": codes.n_codes,
        }
        share = np.bincount(clusters.labels, minlength=self.n_classes) / len(slots)
        return Clustering(
            env_steps=env_steps,
            episode=np.arange(replay.n_finished - len(slots), replay.n_finished),
            task=replay.task[slots].copy(),
            embedding=points,
            clusters=clusters,
            metrics=metrics,
            class_share=share,
            codes=codes,
        )

    def _cluster(
        self, replay: ReplayBuffer, slots: np.ndarray, points: np.ndarray, seed: int
    ) -> Clusters:
        """Cluster the embeddings `points` [M, d] of the episodes `slots` [M].

        Labels keep their meaning where clusters start from the previous centroids. Clusters that
        are fitted afresh, as where another number of classes is chosen, take the numbers of the
        classes that they share most episodes with, and new ones a number that is free, unless the
        initialisation is random.
        """
        initialisation = self.config.clustering.initialisation
        previous = self.centroids if initialisation == "centroids" else None
        n_classes, chosen = self.n_classes, self.definition.class_number
        if chosen is not None:
            n_classes = compare_class_numbers(
                chosen.criterion,
                points,
                chosen.most,
                seed,
                lambda: self._trajectories(replay, slots),
            ).chosen
        if previous is not None and n_classes == len(previous):
            clusters = fit_clusters(points, n_classes, seed, self.cluster.n_init, previous)
            return clusters.renamed(self.classes)
        clusters = fit_clusters(points, n_classes, seed, self.cluster.n_init)
        names = np.arange(self.n_classes)
        if initialisation != "random":
            # Without any label every permutation is as good, and the names stay as they are.
            before = replay.label[slots]
            known = before != NO_LABEL
            names = match_labels(before[known], clusters.labels[known], self.n_classes)
        return clusters.renamed(names[:n_classes])

    def _trajectories(self, replay: ReplayBuffer, slots: np.ndarray) -> Trajectories:
        """What criteria read of the episodes `slots`, in their order."""
        length = replay.length[slots]
        trajectory, step = spread_steps(length)
        reward = replay.reward[slots][np.arange(replay.rows) < length[:, None]]
        scaler = self.embedding.scaler
        first, state = (
            scaler(torch.from_numpy(rows).to(scaler.mean.device)).cpu().numpy()
            for rows in (replay.state[slots, 0], replay.state[slots[trajectory], step])
        )
        return read_trajectories(first, trajectory, step, state, reward, length)

    def class_of_task(self, replay: ReplayBuffer, tasks: Sequence[str]) -> dict[str, int | None]:
        """The most frequent class of a task's labelled episodes in the buffer."""
        finished = replay.finished
        labelled = finished[replay.label[finished] != NO_LABEL]
        counts = np.zeros((len(tasks), self.n_classes), np.int64)
        np.add.at(counts, (replay.task[labelled], replay.label[labelled]), 1)
        return {
            name: int(of_task.argmax()) if of_task.any() else None
            for name, of_task in zip(tasks, counts, strict=True)
        }

    def state_dict(self) -> dict[str, Any]:
        optimiser = None if self._optimiser is None else self._optimiser.state_dict()
        return {
            "embedding": self.embedding.state_dict(),
            "classifier": self.classifier.state_dict(),
            "centroids": None if self.centroids is None else torch.tensor(self.centroids),
            "classes": torch.tensor(self.classes),
            "mean_distance": self.mean_distance,
            "optimiser": optimiser,
            "rng": self._rng.bit_generator.state,
            **{name: getattr(self, f"_{name}") for name in _COUNTERS},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.embedding.load_state_dict(state["embedding"])
        self.classifier.load_state_dict(state["classifier"])
        centroids = state["centroids"]
        self.centroids = None if centroids is None else centroids.numpy()
        self.classes = state["classes"].numpy()
        self.mean_distance = state["mean_distance"]
        if self._optimiser is not None:
            self._optimiser.load_state_dict(state["optimiser"])
        self._rng.bit_generator.state = state["rng"]
        for name in _COUNTERS:
            setattr(self, f"_{name}", state[name])
