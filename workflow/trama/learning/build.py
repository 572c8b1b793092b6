"""Build and read the networks of a run from its params and files."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from trama.config.model import RL, MixerName, Pretrain, Representation, Train
from trama.data.parquet import column_matrix, read_table
from trama.environments.base import EnvSpec
from trama.errors import TramaError
from trama.learning.embedding import TrajectoryEmbedding
from trama.learning.learner import Learner
from trama.learning.policy import Policy, PolicySizes, make_predictor
from trama.learning.scaling import StateScaler, StateStatistics, summed_features
from trama.networks.agent import RecurrentNetwork
from trama.networks.mixers import make_mixer
from trama.networks.vqvae import VQVAE


def build_learner(
    spec: EnvSpec,
    mixer: MixerName,
    config: RL,
    statistics: StateStatistics,
    device: torch.device,
    n_classes: int | None = None,
    some_classes: bool = False,
) -> Learner:
    """A learner with fresh networks; with `n_classes` its policy has predictor and representation.

    Some of the classes may be out of use where `some_classes` says so.

    The networks' initial weights come from torch's global generator: seed it before.
    """
    sizes = _sizes(spec, config.network, config.hidden_size)
    predictor_weight = average_decay = 0.0
    if isinstance(config, Train):
        average_decay = config.weight_average_decay
    if n_classes is not None:
        assert isinstance(config, Train)
        told = config.class_representation
        sizes = replace(
            sizes,
            n_classes=n_classes,
            predictor_hidden_size=config.predictor.hidden_size,
            representation_kind=told.kind,
            representation_hidden_size=told.hidden_size,
            representation_size=told.size,
            conditioning=told.conditioning,
            class_dropout=told.dropout,
        )
        predictor_weight = config.predictor.loss_weight
    agent_features = torch.from_numpy(spec.agent_features)
    network = make_mixer(
        mixer, spec.state_size, spec.n_actions, agent_features, config.qmix, config.qplex
    )
    return Learner(
        Policy(sizes, some_classes).to(device),
        network.to(device),
        StateScaler(statistics).to(device),
        config,
        predictor_weight,
        average_decay,
    )


def build_predictor(
    spec: EnvSpec,
    network: Literal["flat", "entities"],
    hidden_size: int,
    n_classes: int,
    device: torch.device,
) -> RecurrentNetwork:
    """A fresh class predictor, as a policy with `n_classes` has one; weights as `build_learner`."""
    sizes = _sizes(spec, network, hidden_size)
    sizes = replace(sizes, n_classes=n_classes, predictor_hidden_size=hidden_size)
    return make_predictor(sizes).to(device)


def _sizes(spec: EnvSpec, network: Literal["flat", "entities"], hidden_size: int) -> PolicySizes:
    """Of a policy without classes."""
    sizes = PolicySizes(spec.obs_size, spec.n_agents, spec.n_actions, hidden_size)
    if network == "entities":
        sizes = replace(sizes, obs_features=spec.obs_features, actions=spec.actions)
    return sizes


def read_statistics(
    path: Path, states: Literal["raw", "standardised", "summed", "weighted"] = "standardised"
) -> StateStatistics:
    """State statistics over the full data set of stage collect.

    Args:
        path: file of stage collect.
        states: key of a representation; `raw` leaves states as they are.

    Raises:
        TramaError: the file is missing or broken, or holds a value that is not finite.
    """
    table = read_table(path, "state_statistics")
    is_all = np.array(table["source"].to_pylist()) == "all"
    of_states = np.array(table["states"].to_pylist())
    features = np.array(table["feature"].to_pylist())[is_all & (of_states == "standardised")]
    if states == "raw":
        return StateStatistics.identity(len(features))
    are_summed = states in ("summed", "weighted")
    chosen = is_all & (of_states == ("summed" if are_summed else states))
    mean, std, ratio = (
        _finite(table[name].to_numpy(), name, path, "collect")[chosen]
        for name in ("mean", "std", "correlation_ratio")
    )
    sums = summed_features(features.tolist())[1] if are_summed else None
    statistics = StateStatistics(mean.copy(), std.copy(), sums)
    return statistics.weighted(ratio) if states == "weighted" else statistics


def _finite(values: np.ndarray, column: str, path: Path, stage: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise TramaError(
            f"{path}: column {column} holds values that are not finite numbers. "
            f"Run the target `{stage}` again."
        )
    return values


def save_weights(module: nn.Module, path: Path) -> None:
    """Write a module's weights and buffers."""
    torch.save(module.state_dict(), path)


def load_weights(module: nn.Module, path: Path, stage: str, device: torch.device) -> None:
    """Read what `save_weights` wrote; nothing is unpickled but tensors.

    Raises:
        TramaError: the file is missing, damaged, or of a network of another shape.
    """
    try:
        weights: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        module.load_state_dict(weights)
    except Exception as error:
        raise TramaError(
            f"{path}: cannot be read as weights of {type(module).__name__} ({error}). "
            f"Run the target `{stage}` again."
        ) from error


def load_learner(learner: Learner, path: Path) -> None:
    """Let a learner go on from what stage collect wrote of its own (`Learner.begun`).

    Raises:
        TramaError: the file is missing, damaged, or of networks of another shape.
    """
    try:
        learner.go_on(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise TramaError(
            f"{path}: no learner can go on from it ({type(error).__name__}: {error}). Delete the "
            "file and run the target `collect` again."
        ) from error


def make_embedding(
    statistics: StateStatistics,
    representation: Representation,
    pretrain: Pretrain,
    device: torch.device,
) -> TrajectoryEmbedding:
    """A trajectory embedding, whose VQ-VAE, if it has one, is untrained.

    The VQ-VAE's initial weights come from torch's global generator: seed it before.
    """
    scaler = StateScaler(statistics)
    vqvae = VQVAE(scaler.size, representation, pretrain) if representation.has_codebook else None
    return TrajectoryEmbedding(scaler, vqvae).to(device)


def read_centroids(path: Path) -> tuple[np.ndarray, float]:
    """Centroids [K, d] of stage cluster, and its trajectories' mean distance to their own one.

    Errors as `read_statistics`.
    """
    table = read_table(path, "centroids")
    centroids = _finite(column_matrix(table, "centroid"), "centroid", path, "cluster")
    distance = _finite(table["mean_distance"].to_numpy(), "mean_distance", path, "cluster")
    mean_distance = np.average(distance, weights=table["trajectories"].to_numpy())
    return centroids.astype(np.float64), float(mean_distance)
