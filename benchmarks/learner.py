"""Learner updates per second beside a learner that loops over time steps."""

from dataclasses import replace

import numpy as np

from benchmarks.harness import Effort, Figure, paired, seconds_of
from benchmarks.reference_learner import (
    PaddedBatch,
    PaddedReplay,
    ReferenceLearner,
    padded_vqvae_loss,
)
from benchmarks.subjects import MIXERS, Sizes, device, make_labels, make_learner, random_replay
from trama.config.model import Train

TARGET_SECONDS = {"qplex": 0.045, "trama": 0.070}
EPISODES = 256
"""Episodes in the replay that batches are drawn from."""
REFERENCE = "loop over time steps on the padded batch"


def compare(
    algorithm: str, sizes: Sizes, batch_size: int, effort: Effort, target: float | None
) -> Figure:
    """Updates per second, drawing the batch included.

    TRAMA's VQ-VAE learns once per `vqvae_updates.interval_episodes` episodes, its learner once per
    `episodes_per_update`: so much of a VQ-VAE update is added to each update.
    """
    config = Train(batch_size=batch_size)
    replay = random_replay(sizes, EPISODES)
    learner = make_learner(algorithm, sizes.spec, config)
    reference = ReferenceLearner(learner)
    padded = PaddedReplay(PaddedBatch.of(replay.batch(replay.finished, device())))
    rng = np.random.default_rng(0)
    share = config.episodes_per_update / config.vqvae_updates.interval_episodes
    labels = make_labels(sizes.spec, config) if algorithm == "trama" else None
    reference_labels = make_labels(sizes.spec, config) if algorithm == "trama" else None
    episodes = 0

    def fast() -> float:
        nonlocal episodes
        seconds = seconds_of(lambda: learner.update(replay.sample(batch_size, rng, device())))
        if labels is not None:
            batch = replay.sample(batch_size, rng, device())
            episodes += config.vqvae_updates.interval_episodes
            seconds += share * seconds_of(lambda: labels.learn(batch, episodes))
        return seconds

    def slow() -> float:
        seconds = seconds_of(lambda: reference.update(padded.sample(batch_size, rng)))
        if reference_labels is not None:
            batch, scaler = padded.sample(batch_size, rng), reference_labels.embedding.scaler
            vqvae, optimiser = reference_labels.embedding.vqvae, reference_labels._optimiser
            assert vqvae is not None and optimiser is not None

            def learn() -> None:
                loss = padded_vqvae_loss(
                    vqvae, scaler(batch.state[:, :-1]), batch.acted[:, :-1], batch.label
                )
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()

            seconds += share * seconds_of(learn)
        return seconds

    fast(), slow()  # first calls allocate
    few = max(effort.updates // 5, 1)
    name = f"{algorithm}, {sizes.n_agents} agents, batch {batch_size}"
    return paired(
        "learner",
        name,
        "updates/s",
        lambda: effort.updates / sum(fast() for _ in range(effort.updates)),
        effort,
        reference=(REFERENCE, lambda: few / sum(slow() for _ in range(few))),
        target=target,
    )


def measure(effort: Effort) -> list[Figure]:
    """All four algorithms at batch 32, then how qplex and trama grow."""
    figures = [
        compare(
            algorithm,
            Sizes(),
            32,
            effort,
            1 / TARGET_SECONDS[algorithm] if algorithm in TARGET_SECONDS else None,
        )
        for algorithm in MIXERS
    ]
    grown = [(Sizes(), 16), (Sizes(), 64), (Sizes(n_agents=10), 32)]
    if effort.large:
        grown.append((Sizes(n_agents=20), 32))
    less = replace(effort, updates=max(effort.updates // 2, 1))
    for algorithm in ("qplex", "trama"):
        figures += [compare(algorithm, sizes, batch, less, None) for sizes, batch in grown]
    return figures
