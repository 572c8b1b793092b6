"""Test measurements of trajectory classes, and warnings in plain words when they look wrong."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from trama.learning.clustering import LOW_SILHOUETTE
from trama.learning.history import History
from trama.learning.policy import Policy, greedy
from trama.learning.replay import Batch
from trama.networks.agent import AgentHistory

UNUSED_CLASS = 0.01
"""Below this relative change of the action values, the policy ignores its class."""


@dataclass(frozen=True)
class PredictorAccuracy:
    """How often the class that agents used was the episode's label.

    `by_step` [T] averages over the agents and the episodes that were still running at a step.
    """

    overall: float
    balanced: float
    by_step: np.ndarray


def predictor_accuracy(batch: Batch) -> PredictorAccuracy:
    """Compare `batch.classes` with `batch.label` at every real step of every agent.

    `balanced` is the mean over the classes that occur of the accuracy on that class.
    """
    packing = batch.packing
    current = packing.current
    label = batch.label[packing.episode[current]]
    right = (batch.classes[current] == label.unsqueeze(1)).float().mean(1)  # over agents
    step = packing.step[current]
    per_step = torch.zeros(packing.n_steps - 1, device=right.device).index_add_(0, step, right)
    per_step /= torch.bincount(step, minlength=packing.n_steps - 1)
    per_class = [right[label == k].mean() for k in torch.unique(label)]
    return PredictorAccuracy(
        overall=float(right.mean()),
        balanced=float(torch.stack(per_class).mean()),
        by_step=per_step.cpu().numpy(),
    )


@torch.no_grad()
def class_swap(policy: Policy, batch: Batch, n_classes: int) -> tuple[float, float]:
    """What the class tells the policy: replace each used class by the next one.

    Returns:
        Mean absolute change of the available action values over their standard deviation, and the
        share of greedy actions that change. Agents with one available action do not count; both
        are 0 where nobody has a choice.
    """
    current = batch.packing.current
    history = AgentHistory.of(batch.obs, batch.last_action)
    sizes = batch.packing.batch_sizes
    available = batch.available_actions[current]
    own = policy.action_values(history, batch.classes, sizes)[current]
    swapped = policy.action_values(history, (batch.classes + 1) % n_classes, sizes)[current]
    free = available.sum(2) > 1
    if not free.any():
        return 0.0, 0.0
    counted = available & free.unsqueeze(2)
    change = (own - swapped)[counted].abs().mean() / own[counted].std().clamp(min=1e-6)
    changed = (greedy(own, available) != greedy(swapped, available))[free].float().mean()
    return float(change), float(changed)


def training_warnings(history: History, n_classes: int) -> dict[str, str]:
    """What looks wrong with the classes so far: kind of warning -> message."""
    found: dict[str, str] = {}
    loss = history.values("predictor_loss")
    if len(loss) >= 4 and loss[-1] > 0.9 * loss[0] and loss[-1] > 0.5 * math.log(n_classes):
        found["predictor"] = (
            f"the class predictor's loss does not fall ({loss[0]:.2f} at first, {loss[-1]:.2f} "
            f"now; guessing gives {math.log(n_classes):.2f}): the observations may not show the "
            "class, or the labels change too often"
        )
    silhouette = history.values("silhouette")
    if len(silhouette) >= 2 and max(silhouette[-2:]) < LOW_SILHOUETTE:
        found["silhouette"] = (
            f"the silhouette of the trajectory clusters stays low ({silhouette[-1]:.2f}): the "
            "classes overlap; try another n_classes, longer pretraining, or mean_state"
        )
    effect = history.values("class_swap_effect")
    if len(effect) >= 3 and max(effect[-3:]) < UNUSED_CLASS:
        changed = history.values("class_swap_actions")[-1]
        found["class"] = (
            "swapping the trajectory class leaves the action values unchanged (by "
            f"{100 * effect[-1]:.1f} % of their spread, with {100 * changed:.1f} % of the greedy "
            "actions): the policy does not use its class"
        )
    return found
