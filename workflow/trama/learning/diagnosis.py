"""Test measurements of trajectory classes, and warnings in plain words when they look wrong."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from trama.learning.clustering import LOW_SILHOUETTE
from trama.learning.history import History
from trama.learning.novelty import SCORES, Novelty, predicted
from trama.learning.policy import Policy, greedy
from trama.learning.replay import Batch, ReplayBuffer, in_parts
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


@dataclass(frozen=True)
class ClassSwap:
    """What the class tells the policy: what swapping it changes in M episodes.

    Each of the K - 1 classes that an agent did not use takes the place of the one that it used,
    through the whole episode; values are means over these classes, as their numbers mean nothing.
    Agents with one available action do not count; all values are 0 where nobody has a choice, and
    where there is no other class.

    Attributes:
        effect: [M] mean absolute change of the available action values, over the standard deviation
            of those of all M episodes.
        actions: [M] share of the greedy actions that change.
        overall_effect, overall_actions: the same of all M episodes together.
    """

    effect: np.ndarray
    actions: np.ndarray
    overall_effect: float
    overall_actions: float


def class_swap(
    policy: Policy, replay: ReplayBuffer, slots: np.ndarray, device: torch.device
) -> ClassSwap:
    """Swap the classes of a policy that has some in the finished episodes `slots` [M]."""
    sums = np.zeros((len(slots), len(_SWAP_SUMS)))
    for number, batch in in_parts(slots, lambda part: replay.batch(part, device)):
        sums[number] = _swap_sums(policy, batch).cpu().numpy()
    n_values, total, squares, change, n_agents, n_changed = sums.T
    n = max(n_values.sum(), 2.0)
    spread = max(math.sqrt(max(squares.sum() - total.sum() ** 2 / n, 0.0) / (n - 1)), 1e-6)
    return ClassSwap(
        effect=change / np.maximum(n_values, 1) / spread,
        actions=n_changed / np.maximum(n_agents, 1),
        overall_effect=float(change.sum() / n / spread),
        overall_actions=float(n_changed.sum() / max(n_agents.sum(), 1)),
    )


_SWAP_SUMS = ("values", "their sum", "their squares", "change", "agents", "changed actions")


@torch.no_grad()
def _swap_sums(policy: Policy, batch: Batch) -> Tensor:
    """Columns of `_SWAP_SUMS` for each episode, over its steps and agents that have a choice."""
    classes = policy.classes
    n_classes = len(classes)
    packing = batch.packing
    current = packing.current
    history = AgentHistory.of(batch.obs, batch.last_action)
    available = batch.available_actions[current]
    free = available.sum(2) > 1
    counted = available & free.unsqueeze(2)

    def values(classes: Tensor) -> Tensor:
        return policy.action_values(history, classes, packing.batch_sizes)[current].double()

    def summed(of_values: Tensor) -> Tensor:
        return of_values.masked_fill(~counted, 0.0).sum((1, 2))

    own, number = values(batch.classes), torch.searchsorted(classes, batch.classes)
    change, changed = torch.zeros_like(own), torch.zeros_like(free, dtype=torch.float64)
    for step in range(1, n_classes):
        swapped = values(classes[(number + step) % n_classes])
        change += (own - swapped).abs() / (n_classes - 1)
        changed += (greedy(own, available) != greedy(swapped, available)) / (n_classes - 1)
    columns = [
        *(counted.sum((1, 2)), summed(own), summed(own.square()), summed(change)),
        *(free.sum(1), (changed * free).sum(1)),
    ]
    rows = torch.stack([column.double() for column in columns], 1)
    sums = torch.zeros(len(batch.slots), len(columns), dtype=torch.float64, device=rows.device)
    return sums.index_add_(0, packing.episode[current], rows)


@dataclass(frozen=True)
class ClassPredictions:
    """What the living agents predicted in M episodes, of which the longest has T steps.

    Entropies are over log K, from 0 to 1; agreement is the share of the living agents that have
    their step's most frequent class. Steps count for the episodes that run then.

    Attributes:
        most_frequent: [M] class, over the steps and living agents of an episode.
        entropy, agreement: [M] means over the steps of an episode.
        n_running: [T] episodes that run at a step.
        step_probability, step_share: [T, K] mean predicted probability, and share of the choices.
        step_entropy, step_agreement: [T].
        novelty: [M] the `SCORES` by name, means over the steps of an episode; empty where they
            are unknown.
        step_novelty: [T] the same of each step.
    """

    most_frequent: np.ndarray
    entropy: np.ndarray
    agreement: np.ndarray
    n_running: np.ndarray
    step_probability: np.ndarray
    step_share: np.ndarray
    step_entropy: np.ndarray
    step_agreement: np.ndarray
    novelty: dict[str, np.ndarray]
    step_novelty: dict[str, np.ndarray]


def class_predictions(
    policy: Policy,
    novelty: Novelty | None,
    replay: ReplayBuffer,
    slots: np.ndarray,
    device: torch.device,
) -> ClassPredictions:
    """What agents of a policy with classes predicted in the finished episodes `slots` [M].

    Args:
        policy: has a predictor.
        novelty: scores of that predictor; None where they are unknown.
        replay: holds the episodes.
        slots: where.
        device: of the policy.
    """
    episodes, steps, sums = [], [], []
    for number, batch in in_parts(slots, lambda part: replay.batch(part, device)):
        packing = batch.packing
        episodes.append(number[packing.episode[packing.current].cpu().numpy()])
        steps.append(packing.step[packing.current].cpu().numpy())
        sums.append(_sums_over_agents(policy, novelty, batch).cpu().numpy())
    rows = np.concatenate(sums)
    n_scores = 0 if novelty is None else len(SCORES)
    # Of each episode and of each step: sums over its rows.
    of_episode, of_step = (
        _Sums(np.array([rows[group == i].sum(0) for i in range(group.max() + 1)]), n_scores)
        for group in (np.concatenate(episodes), np.concatenate(steps))
    )
    return ClassPredictions(
        most_frequent=of_episode.chosen.argmax(1),
        entropy=of_episode.entropy / of_episode.living,
        agreement=of_episode.agreement / of_episode.rows,
        n_running=of_step.rows.astype(np.int64),
        step_probability=of_step.probability / of_step.living[:, None],
        step_share=of_step.chosen / of_step.living[:, None],
        step_entropy=of_step.entropy / of_step.living,
        step_agreement=of_step.agreement / of_step.rows,
        novelty=of_episode.novelty,
        step_novelty=of_step.novelty,
    )


def log_probabilities(policy: Policy, batch: Batch) -> Tensor:
    """What agents of a policy with classes predict in the current rows: [R - B, A, K] float64."""
    return predicted(policy, batch).logits.log_softmax(2)


def _sums_over_agents(policy: Policy, novelty: Novelty | None, batch: Batch) -> Tensor:
    """Columns of `_Sums` for each current row, over its living agents."""
    found = predicted(policy, batch)
    living, logs = found.living, found.logits.log_softmax(2)
    n_classes = logs.shape[2]
    probability = logs.exp()
    if policy.in_use is not None:
        logs = logs.masked_fill(~policy.in_use, 0.0)  # 0 log 0
    largest = math.log(max(len(policy.classes), 2))  # of a single class it is 0
    entropy = -(probability * logs).sum(2, keepdim=True) / largest
    chosen = one_hot(batch.classes[batch.packing.current], n_classes)
    parts = torch.cat([living, entropy * living, chosen * living, probability * living], 2).sum(1)
    agreement = parts[:, 2 : 2 + n_classes].amax(1) / parts[:, 0]
    columns = [torch.ones_like(agreement)[:, None], agreement[:, None], parts]
    if novelty is not None:
        scores = novelty.of_team(found)
        columns.append(torch.stack([scores[name] for name in SCORES], 1))
    return torch.cat(columns, 1)


class _Sums:
    """Sums over rows [G, 4 + 2K + n_scores], by column; of the scores of novelty, means."""

    def __init__(self, sums: np.ndarray, n_scores: int):
        self.rows, self.agreement, self.living, self.entropy = sums[:, :4].T
        of_classes, of_scores = np.split(sums[:, 4:], [sums.shape[1] - 4 - n_scores], axis=1)
        self.chosen, self.probability = np.split(of_classes, 2, axis=1)
        means = of_scores / self.rows[:, None]
        self.novelty = dict(zip(SCORES, means.T, strict=False))


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
