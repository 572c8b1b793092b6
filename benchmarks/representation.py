"""VQ-VAE pretraining and K-means, by the number of trajectories."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.cluster.vq import kmeans, vq

from benchmarks.harness import Effort, Figure, paired, seconds_of
from benchmarks.reference_learner import padded_vqvae_loss
from benchmarks.subjects import device, representation
from trama.config.model import Cluster, Pretrain
from trama.learning.clustering import fit_clusters
from trama.networks.vqvae import VQVAE
from trama.stages.trajectory_states import TrajectoryStates

STATE_SIZE = 90
BATCH = Pretrain().batch_size
SIZES = (10_000, 100_000)
LARGE = 1_000_000


def random_states(n_trajectories: int) -> TrajectoryStates:
    """Standardised states of trajectories of 30 to 101 steps."""
    rng = np.random.default_rng(0)
    length = rng.integers(30, 102, n_trajectories)
    start = np.cumsum(length) - length
    state = torch.from_numpy(rng.random((int(length.sum()), STATE_SIZE), np.float32))
    reward = np.zeros(len(state), np.float32)
    return TrajectoryStates(state, reward, start, length, np.array(["task"] * n_trajectories))


def pretraining(n_trajectories: int, effort: Effort) -> Figure:
    """Updates per second, drawing the batch included."""
    device()
    data, given = random_states(n_trajectories), representation()
    rng = np.random.default_rng(0)
    classes = rng.integers(given.n_classes, size=n_trajectories)

    def learner() -> tuple[VQVAE, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = VQVAE(STATE_SIZE, given, Pretrain())
        return network, torch.optim.Adam(network.parameters(), lr=1e-3)

    (fast, fast_optimiser), (slow, slow_optimiser) = learner(), learner()

    def learn(optimiser: torch.optim.Optimizer, loss: torch.Tensor) -> None:
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    def packed() -> None:
        state, packing, order = data.rows(rng.choice(n_trajectories, BATCH, replace=False))
        current = packing.current
        label = torch.from_numpy(classes[order])[packing.episode[current]]
        loss = fast.loss(state[current], packing.step[current], packing.n_steps - 1, label)
        learn(fast_optimiser, loss.total)

    def padded() -> None:
        drawn = rng.choice(n_trajectories, BATCH, replace=False)
        length = torch.from_numpy(data.length[drawn])
        mask = torch.arange(int(length.max())) < length.unsqueeze(1)
        state = torch.zeros(*mask.shape, STATE_SIZE)
        for row, (first, steps) in enumerate(zip(data.start[drawn], length, strict=True)):
            state[row, :steps] = data.state[first : first + steps]
        learn(
            slow_optimiser, padded_vqvae_loss(slow, state, mask, torch.from_numpy(classes[drawn]))
        )

    def rate(update: Callable[[], None]) -> float:
        def several() -> None:
            for _ in range(effort.updates):
                update()

        return effort.updates / seconds_of(several)

    packed()
    padded()
    return paired(
        "representation",
        f"VQ-VAE pretraining on {n_trajectories:,} trajectories",
        "updates/s",
        lambda: rate(packed),
        effort,
        reference=("the same loss on the padded batch", lambda: rate(padded)),
    )


def clustering(n_trajectories: int, effort: Effort) -> Figure:
    """K-means with the restarts of stage cluster; the reference is another implementation of it."""
    config, given = Cluster(), representation()
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(given.n_classes, given.code_dim or 1))
    points = centres[rng.integers(given.n_classes, size=n_trajectories)]
    points = (points + 0.3 * rng.normal(size=points.shape)).astype(np.float32)

    def ours(data: np.ndarray) -> None:
        fit_clusters(data, given.n_classes, 0, config.n_init)

    def scipy_kmeans() -> None:
        centroids, _ = kmeans(points, given.n_classes, iter=config.n_init, rng=0)
        vq(points, centroids)

    ours(points[:100])  # imports scikit-learn
    return paired(
        "representation",
        f"K-means on {n_trajectories:,} trajectories",
        "s",
        lambda: seconds_of(lambda: ours(points)),
        effort,
        reference=(
            "scipy.cluster.vq.kmeans, as many restarts",
            lambda: seconds_of(scipy_kmeans),
        ),
    )


def measure(effort: Effort, sizes: tuple[int, ...] = SIZES) -> list[Figure]:
    """Both, for each size."""
    many = (*sizes, LARGE) if effort.large else sizes
    figures = [pretraining(size, effort) for size in sizes]
    return figures + [clustering(size, effort) for size in many]
