"""How novel an episode looks to those who play it, and when they had better use no class.

Scores of novelty are larger for what looks less like the tasks of training. All that they need is
fitted on episodes of these; an agent computes them from its own history alone, but for the
disagreement, which takes a whole team.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from trama.learning.replay import NO_LABEL, Batch, ReplayBuffer, in_parts
from trama.networks.agent import AgentHistory

if TYPE_CHECKING:
    from trama.learning.policy import Policy

OF_AGENTS = ("confidence", "energy", "distance")
"""Scores of an agent."""

SCORES = ("confidence", "energy", "disagreement", "distance")
"""Scores of a team: means over its living agents, and how far these disagree."""

FITTED_EPISODES = 256
"""Newest labelled episodes of the replay buffer that the scores are fitted on."""
RIDGE = 1e-3
"""Added to each hidden unit's variance, as a share of their mean: some units hardly move."""
_TEMPERATURES = (0.05, 20.0)
# Later steps, which fewer agents see, have too few scores for a quantile.
_FEWEST = 0.1


@dataclass(frozen=True)
class Novelty:
    """The scores of novelty of a class predictor.

    Attributes:
        temperature: that logits are divided by, so that probabilities are as often right as they
            say.
        whitening: [H, H] hidden states times it have the unit matrix as their covariance within a
            class.
        means: [C, H] mean of the classes that occurred, of hidden states times `whitening`.
    """

    temperature: float
    whitening: Tensor
    means: Tensor

    def of_agents(self, logits: Tensor, hidden: Tensor) -> dict[str, Tensor]:
        """The scores `OF_AGENTS` [..., A] of logits [..., A, K] and hidden states [..., A, H].

        `confidence` is 1 - the largest calibrated probability, `energy` is -logsumexp of the
        logits, and `distance` is the hidden state's Mahalanobis distance to the nearest class mean.
        """
        points = (hidden.to(self.whitening.dtype) @ self.whitening).flatten(0, -2)
        exact = "donot_use_mm_for_euclid_dist"
        nearest = torch.cdist(points, self.means, compute_mode=exact).amin(1)
        return {
            "confidence": 1 - self.probabilities(logits).amax(-1),
            "energy": -logits.logsumexp(-1),
            "distance": nearest.view(hidden.shape[:-1]),
        }

    def of_team(self, found: "Predicted") -> dict[str, Tensor]:
        """The scores `SCORES` [R] of a team at each of R steps.

        `disagreement` is the Jensen-Shannon divergence of the living agents' calibrated
        probabilities, in nats: the entropy of their mean minus the mean of their entropies.
        """
        share = found.living / found.living.sum(1, keepdim=True)
        of_agents = self.of_agents(found.logits, found.hidden)
        probability = self.probabilities(found.logits)
        mean = (probability * share).sum(1)
        entropies = -torch.xlogy(probability, probability).sum(2, keepdim=True)
        divergence = -torch.xlogy(mean, mean).sum(1) - (entropies * share).sum((1, 2))
        return {
            **{name: (scores * share.squeeze(2)).sum(1) for name, scores in of_agents.items()},
            "disagreement": divergence.clamp(min=0),  # of rounding
        }

    def probabilities(self, logits: Tensor) -> Tensor:
        """Calibrated probabilities [..., K] of the classes."""
        return (logits / self.temperature).softmax(-1)

    def content(self) -> dict[str, Any]:
        """All of it as plain data and tensors on the CPU."""
        return {
            "temperature": self.temperature,
            "whitening": self.whitening.cpu(),
            "means": self.means.cpu(),
        }

    @classmethod
    def of(cls, content: Mapping[str, Any], device: torch.device) -> Self:
        """The scores whose `content` that is."""
        tensors = {name: content[name].to(device) for name in ("whitening", "means")}
        return cls(temperature=content["temperature"], **tensors)


@dataclass(frozen=True)
class Fallback:
    """When an agent uses no class: while the mean of its scores so far is above a threshold.

    Attributes:
        novelty: gives the scores.
        score: one of `OF_AGENTS`.
        thresholds: [T] by time step; the last one also stands for all later steps.
    """

    novelty: Novelty
    score: str
    thresholds: Tensor

    def scores(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """Scores [N, A] of one step; see `Novelty.of_agents`."""
        return self.novelty.of_agents(logits, hidden)[self.score]

    def applies(self, total: Tensor, steps: Tensor) -> Tensor:
        """Whether agents use no class now: [N, A] from their scores' sums over the `steps` [N]."""
        now = self.thresholds[(steps - 1).clamp(max=len(self.thresholds) - 1)]
        return total > (now * steps).unsqueeze(1)


@dataclass(frozen=True)
class Predicted:
    """What a class predictor makes of episodes, by rows in which agents acted.

    Attributes:
        logits: [R, A, K] float64.
        hidden: [R, A, H] float64.
        living: [R, A, 1] float64: 1 for agents that have a choice, else 0.
    """

    logits: Tensor
    hidden: Tensor
    living: Tensor


@torch.no_grad()
def predicted(policy: "Policy", batch: Batch) -> Predicted:
    """What the agents of a policy with classes make of the episodes of a batch."""
    current = batch.packing.current
    history = AgentHistory.of(batch.obs, batch.last_action)
    logits, hidden = policy.predict(history, batch.packing.batch_sizes)
    living = batch.available_actions[current].sum(2, keepdim=True) > 1
    return Predicted(logits[current].double(), hidden[current].double(), living.double())


def fit_novelty(policy: "Policy", replay: ReplayBuffer, device: torch.device) -> Novelty | None:
    """Fit the scores of a policy with classes on the newest labelled episodes of training.

    The temperature is the one with the least cross-entropy; the class means and their shared
    covariance are those of all steps. Agents without a choice do not count.

    Returns:
        The scores; None where no episode has a label.
    """
    finished = replay.finished
    slots = finished[replay.label[finished] != NO_LABEL][-FITTED_EPISODES:]
    assert policy.predictor is not None and policy.sizes.n_classes is not None
    size, n_classes = policy.predictor.hidden_size, policy.sizes.n_classes
    logits, labels = [], []
    counts, sums = np.zeros(n_classes), np.zeros((n_classes, size))
    products = np.zeros((size, size))
    for _, batch in in_parts(slots, lambda part: replay.batch(part, device)):
        found = predicted(policy, batch)
        counted = found.living.squeeze(2) > 0
        of_rows = batch.label[batch.packing.episode[batch.packing.current]]
        label = of_rows.unsqueeze(1).expand_as(counted)[counted].cpu().numpy()
        hidden = found.hidden[counted].cpu().numpy()
        member = np.eye(n_classes)[label]
        counts += member.sum(0)
        sums += member.T @ hidden
        products += hidden.T @ hidden
        logits.append(found.logits[counted].cpu().numpy())
        labels.append(label)
    if not counts.any():
        return None
    occurred = counts > 0
    means = sums[occurred] / counts[occurred, None]
    covariance = (products - sums[occurred].T @ means) / counts.sum()
    ridge = max(RIDGE * np.trace(covariance) / size, 1e-12)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance + ridge * np.eye(size)))
    return Novelty(
        fit_temperature(np.concatenate(logits), np.concatenate(labels)),
        torch.from_numpy(whitening).to(device),
        torch.from_numpy(means @ whitening).to(device),
    )


def fit_temperature(logits: np.ndarray, label: np.ndarray) -> float:
    """The temperature with the least cross-entropy of logits [n, K] and labels [n]."""
    from scipy.optimize import minimize_scalar  # slow to import, for those that fit nothing

    of_label, labelled = torch.from_numpy(label), torch.from_numpy(logits)

    def cross_entropy(log_temperature: float) -> float:
        scaled = labelled / math.exp(log_temperature)
        return float(torch.nn.functional.cross_entropy(scaled, of_label))

    bounds = tuple(map(math.log, _TEMPERATURES))
    fitted = minimize_scalar(cross_entropy, bounds=bounds, method="bounded")
    return math.exp(fitted.x)


def running_scores(
    novelty: Novelty,
    policy: "Policy",
    score: str,
    replay: ReplayBuffer,
    slots: np.ndarray,
    device: torch.device,
) -> np.ndarray:
    """What agents that play the episodes `slots` [M] know of their novelty.

    Returns:
        At each step the mean of an agent's scores so far, [M, L, A] for the replay buffer's longest
        episode L; NaN for agents without a choice, and after the end.
    """
    n_agents = replay.classes.shape[2]
    found = np.full((len(slots), replay.rows, n_agents), np.nan)
    for number, batch in in_parts(slots, lambda part: replay.batch(part, device)):
        of_batch = predicted(policy, batch)
        scores = novelty.of_agents(of_batch.logits, of_batch.hidden)[score].cpu().numpy()
        current = batch.packing.current
        step = batch.packing.step[current].cpu().numpy()
        where = number[batch.packing.episode[current].cpu().numpy()], step
        found[where] = scores
        means = found.cumsum(1)[where] / (step + 1)[:, None]
        found[where] = np.where(of_batch.living.squeeze(2).cpu().numpy() > 0, means, np.nan)
    return found


def fit_thresholds(scores: Sequence[np.ndarray], quantile: float) -> np.ndarray:
    """The quantile of the running scores of all agents of some episodes, at each step.

    Args:
        scores: as `running_scores` returns them, of several sets of episodes.
        quantile: from 0 to 1.

    Returns:
        Thresholds [T]: up to the first step at which less than a tenth of the agents that the
        first steps had still play.
    """
    by_agent = [of_set.transpose(0, 2, 1) for of_set in scores]
    by_step = np.concatenate([of_set.reshape(-1, of_set.shape[2]) for of_set in by_agent])
    counts = np.isfinite(by_step).sum(0)
    enough = counts >= max(_FEWEST * counts.max(), 1)
    last = len(enough) if enough.all() else max(int(enough.argmin()), 1)
    thresholds: np.ndarray = np.nanquantile(by_step[:, :last], quantile, axis=0)
    return thresholds
