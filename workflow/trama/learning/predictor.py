"""The class predictor by itself: its loss, which the learner shares, training and measuring it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trama.config.model import Predict
from trama.learning.replay import NO_LABEL, Batch, ReplayBuffer, in_parts
from trama.networks.agent import AgentHistory, RecurrentNetwork


def predictor_loss(predictor: Callable[[AgentHistory, list[int]], Tensor], batch: Batch) -> Tensor:
    """Cross-entropy over every agent at every real step of the episodes that have a label.

    Args:
        predictor: gives the logits [R, A, K] of whole episodes.
        batch: of episodes, some with a label.
    """
    packing = batch.packing
    history = AgentHistory.of(batch.obs, batch.last_action)
    logits = predictor(history, packing.batch_sizes)
    label = batch.label[packing.episode[packing.current]]
    per_agent = label.unsqueeze(1).expand(-1, logits.shape[1])
    return F.cross_entropy(
        logits[packing.current].flatten(0, 1), per_agent.flatten(), ignore_index=NO_LABEL
    )


def fit_predictor(
    predictor: RecurrentNetwork,
    replay: ReplayBuffer,
    slots: np.ndarray,
    config: Predict,
    rng: np.random.Generator,
    device: torch.device,
    report: Callable[[int], None],
) -> None:
    """Train a predictor on the labels of the finished episodes `slots` [M].

    Args:
        predictor: learns; on `device`.
        replay: holds the episodes and their labels.
        slots: where.
        config: section predict.
        rng: draws the batches.
        device: of the predictor.
        report: is told the number of updates after each.
    """
    optimiser = torch.optim.Adam(predictor.parameters(), lr=config.learning_rate)
    size = min(config.batch_size, len(slots))
    for update in range(1, config.updates + 1):
        batch = replay.batch(rng.choice(slots, size, replace=False), device)
        optimiser.zero_grad()
        predictor_loss(predictor, batch).backward()
        optimiser.step()
        report(update)


@dataclass(frozen=True)
class Accuracy:
    """Of a predictor on M episodes, of at most T steps: first over all steps, then at each.

    Attributes:
        accuracy: [1 + T] share of right predictions, over all agents of the episodes that run.
        balanced: [1 + T] mean of this share over the labels that these episodes have.
        majority: [1 + T] accuracy of always naming the most frequent of their labels.
        episodes: [1 + T] how many episodes run.
        predictions: [1 + T] how many predictions were counted.
    """

    accuracy: np.ndarray
    balanced: np.ndarray
    majority: np.ndarray
    episodes: np.ndarray
    predictions: np.ndarray


@torch.no_grad()
def measure_predictor(
    predictor: RecurrentNetwork,
    replay: ReplayBuffer,
    slots: np.ndarray,
    n_classes: int,
    device: torch.device,
) -> Accuracy:
    """Compare a predictor with the labels of the finished episodes `slots` [M], which have some."""
    n_steps = int(replay.length[slots].max())
    right, n_agents = np.zeros((n_steps, n_classes), np.int64), replay.action.shape[2]
    running = np.zeros_like(right)
    for _, batch in in_parts(slots, lambda part: replay.batch(part, device)):
        packing, history = batch.packing, AgentHistory.of(batch.obs, batch.last_action)
        predicted = predictor(history, packing.batch_sizes)[packing.current].argmax(2)
        label = batch.label[packing.episode[packing.current]]
        agents = (predicted == label.unsqueeze(1)).sum(1)
        where = packing.step[packing.current].cpu().numpy(), label.cpu().numpy()
        np.add.at(right, where, agents.cpu().numpy())
        np.add.at(running, where, 1)
    right, running = (np.concatenate([x.sum(0, keepdims=True), x]) for x in (right, running))
    rows = running.sum(1)
    of_class = right / np.maximum(running, 1) / n_agents  # 0 of labels that no episode has
    return Accuracy(
        accuracy=right.sum(1) / rows / n_agents,
        balanced=of_class.sum(1) / (running > 0).sum(1),
        majority=running.max(1) / rows,
        episodes=np.concatenate([[len(slots)], rows[1:]]),
        predictions=rows * n_agents,
    )
