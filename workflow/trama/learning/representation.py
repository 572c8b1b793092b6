"""The representation of a trained policy: what its trajectory classes are clusters of."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from trama.config.model import Pretrain, Representation
from trama.config.sections import Section
from trama.learning.clustering import grain
from trama.learning.embedding import TrajectoryEmbedding
from trama.learning.replay import ReplayBuffer
from trama.learning.scaling import StateScaler, StateStatistics
from trama.networks.vqvae import VQVAE


@dataclass(frozen=True)
class TrainedRepresentation:
    """A representation with all that training made of it.

    Attributes:
        definition: section of the config.
        embedding: of trajectories; holds the state statistics, and the VQ-VAE if there is one.
        centroids: [K, d] of the last accepted clustering.
        mean_distance: of the trajectories of that clustering to their own centroid.
    """

    definition: Representation
    embedding: TrajectoryEmbedding
    centroids: np.ndarray
    mean_distance: float

    def embed(self, replay: ReplayBuffer, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Say where the episodes `slots` [M] of a replay buffer lie among the classes.

        Returns:
            Their embeddings [M, d] float32, and their distances [M] to the nearest centroid, in
            units of `mean_distance`: around 1 for what looks like the clustered trajectories.
        """
        points: np.ndarray = self.embedding.of_episodes(replay, slots).cpu().numpy()
        nearest = np.linalg.norm(points[:, None] - self.centroids, axis=2).min(1)
        # Embeddings that are all equal within their class have no spread but rounding.
        return points, nearest / max(self.mean_distance, grain(self.centroids))

    def content(self) -> dict[str, Any]:
        """All of it as plain data and tensors on the CPU."""
        scaler, vqvae = self.embedding.scaler, self.embedding.vqvae
        quantiser = None
        if vqvae is not None:
            quantiser = {"hidden_size": vqvae.config.hidden_size, "weights": weights_of(vqvae)}
        return {
            "definition": plain(self.definition, exclude=self.definition.unused_keys),
            "mean": scaler.mean.cpu(),
            "std": scaler.std.cpu(),
            "sums": None if scaler.sums is None else scaler.sums.cpu(),
            "vqvae": quantiser,
            "centroids": torch.tensor(self.centroids),
            "mean_distance": self.mean_distance,
        }

    @classmethod
    def of(cls, content: Mapping[str, Any], device: torch.device) -> Self:
        """The representation whose `content` that is."""
        definition = Representation.model_validate(content["definition"])
        sums = content["sums"]
        statistics = StateStatistics(
            content["mean"].cpu().numpy(),
            content["std"].cpu().numpy(),
            None if sums is None else sums.cpu().numpy(),
        )
        vqvae, quantiser = None, content["vqvae"]
        if quantiser is not None:
            sizes = Pretrain(hidden_size=quantiser["hidden_size"])
            vqvae = VQVAE(len(statistics.mean), definition, sizes)
            vqvae.load_state_dict(quantiser["weights"])
        return cls(
            definition,
            TrajectoryEmbedding(StateScaler(statistics), vqvae).to(device),
            content["centroids"].cpu().numpy(),
            content["mean_distance"],
        )


def plain(section: Section, exclude: Collection[str] = ()) -> dict[str, Any]:
    """A section as plain data whose texts are objects of their own, without the keys `exclude`.

    Pickle writes a text that is one object with another one only once: equal data would not always
    give equal bytes.
    """
    data: dict[str, Any] = json.loads(section.model_dump_json(exclude=set(exclude)))
    return data


def own_texts(data: dict[str, Any]) -> dict[str, Any]:
    """A copy of plain data whose texts are objects of their own; see `plain`."""
    copy: dict[str, Any] = json.loads(json.dumps(data))
    return copy


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers on the CPU, by name."""
    return {name: tensor.cpu() for name, tensor in module.state_dict().items()}
