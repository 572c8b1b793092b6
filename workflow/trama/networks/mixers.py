"""Mixers: the joint action value from the agents' action values.

All mixers take packed rows and satisfy individual-global-max: the joint greedy action is the tuple
of each agent's greedy action among its available ones.
"""

import math
from abc import ABC, abstractmethod
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trama.config.model import MixerName, QMix, QPlex


class Mixer(nn.Module, ABC):
    """Q_tot of a joint action."""

    @abstractmethod
    def forward(
        self, chosen: Tensor, best: Tensor, state: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mix one joint action per row.

        Args:
            chosen: Q_i of the action that agent i takes, [R, A].
            best: max Q_i over agent i's available actions, [R, A].
            state: standardised state, [R, S].
            actions: the actions taken, [R, A] int64.

        Returns:
            Q_tot [R], and a regulariser to add to the loss (a scalar, zero for most mixers).
        """


class VDN(Mixer):
    """Q_tot is the sum of the agents' values (Sunehag et al., 2018)."""

    def forward(
        self, chosen: Tensor, best: Tensor, state: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        return chosen.sum(1), chosen.new_zeros(())


class QMIX(Mixer):
    """Monotone mixing network whose weights come from the state (Rashid et al., 2018)."""

    def __init__(self, state_size: int, n_agents: int, config: QMix):
        super().__init__()
        size, hidden = config.mixing_size, config.hypernet_size
        self.n_agents, self.size = n_agents, size
        self.first_weight = _hypernet(state_size, hidden, n_agents * size)
        self.first_bias = nn.Linear(state_size, size)
        self.last_weight = _hypernet(state_size, hidden, size)
        self.last_bias = _hypernet(state_size, size, 1)

    def forward(
        self, chosen: Tensor, best: Tensor, state: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        first = self.first_weight(state).abs().view(-1, self.n_agents, self.size)
        hidden = F.elu((chosen.unsqueeze(2) * first).sum(1) + self.first_bias(state))
        mixed = (hidden * self.last_weight(state).abs()).sum(1) + self.last_bias(state).squeeze(1)
        return mixed, chosen.new_zeros(())


class QPLEX(Mixer):
    """Duplex dueling mixer in its attention form (Wang et al., 2021), as the release has it.

    Q_tot = sum_i (w_i Q_i + V / A) + sum_i sg[w_i (Q_i - max Q_i)] (lambda_i - 1), with w_i > 0
    from attention over the agents' own features, and lambda_i > 0 from state and joint action. The
    advantages are detached: the second sum trains lambda alone.
    """

    agent_features: Tensor

    def __init__(
        self, state_size: int, n_agents: int, n_actions: int, agent_features: Tensor, config: QPlex
    ):
        """
        Args:
            agent_features: [A, F] int64, which entries of the state describe each agent.
        """
        super().__init__()
        heads, size, hidden = config.heads, config.mixing_size, config.hypernet_size
        self.n_agents, self.n_actions = n_agents, n_actions
        self.heads, self.size, self.kernels = heads, size, config.kernels
        self.regulariser = config.attention_regulariser
        self.register_buffer("agent_features", agent_features)
        self.query_hidden = nn.Linear(state_size, heads * hidden)
        self.query = nn.Parameter(_uniform(heads, hidden, size, fan_in=hidden))
        n_features = agent_features.shape[1]
        self.key = nn.Parameter(_uniform(heads, n_features, size, fan_in=n_features))
        self.value = _hypernet(state_size, size, 1)
        self.kernel_scale = nn.Linear(state_size, config.kernels)
        self.kernel_state = nn.Linear(state_size, config.kernels * n_agents)
        self.kernel_action = nn.Linear(state_size + n_agents * n_actions, config.kernels * n_agents)

    def forward(
        self, chosen: Tensor, best: Tensor, state: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        weight, regulariser = self._attention(state)
        value = self.value(state).squeeze(1)
        advantage = (weight * (chosen - best)).detach()
        importance = self._advantage_weight(state, actions)
        mixed = (weight * chosen).sum(1) + value + (advantage * (importance - 1)).sum(1)
        return mixed, regulariser

    def _attention(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Positive weights w [R, A] summed over heads, and the regulariser of the logits.

        Rows lie innermost: the other dimensions are short, and are not what a processor's vectors
        should run along.
        """
        hidden = F.relu(self.query_hidden(state))
        # (h W_q) . (f W_k) = (h W_q W_k^T) . f: vectors as short as the features are compared
        ask = torch.block_diag(*(self.query @ self.key.transpose(1, 2)))  # [heads hidden, heads F]
        asked = (ask.t() @ hidden.t()).unflatten(0, (self.heads, 1, -1))  # [heads, 1, F, R]
        shown = state.t()[self.agent_features]  # [A, F, R]
        logits = (asked * shown).sum(2)  # [heads, A, R]
        weight = torch.softmax(logits / math.sqrt(self.size), dim=1).sum(0).t()
        return weight + 1e-10, self.regulariser * (logits**2).mean((1, 2)).sum()

    def _advantage_weight(self, state: Tensor, actions: Tensor) -> Tensor:
        """lambda > 0, [R, A]."""
        scale = self.kernel_scale(state).abs().unsqueeze(2) + 1e-10
        by_state = torch.sigmoid(self.kernel_state(state)).view(-1, self.kernels, self.n_agents)
        # The joint action is a one-hot input: a sum of looked-up weights.
        layer = self.kernel_action
        of_state, of_action = layer.weight.split(
            [state.shape[1], self.n_agents * self.n_actions], 1
        )
        taken = actions + self.n_actions * torch.arange(self.n_agents, device=actions.device)
        by_action = torch.sigmoid(
            F.linear(state, of_state, layer.bias)
            + F.embedding_bag(taken, of_action.t(), mode="sum")
        )
        return (scale * by_state * by_action.view_as(by_state)).sum(1)


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """Initial weights of a bias-free linear layer with that many inputs."""
    return torch.empty(shape).uniform_(-1, 1) / math.sqrt(fan_in)


def _hypernet(state_size: int, hidden: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(state_size, hidden), nn.ReLU(), nn.Linear(hidden, size))


def make_mixer(
    name: MixerName,
    state_size: int,
    n_actions: int,
    agent_features: Tensor,
    qmix: QMix,
    qplex: QPlex,
) -> Mixer:
    """Build the mixer that a variant names; arguments as in `QPLEX`."""
    n_agents = len(agent_features)
    match name:
        case "vdn":
            return VDN()
        case "qmix":
            return QMIX(state_size, n_agents, qmix)
        case "qplex":
            return QPLEX(state_size, n_agents, n_actions, agent_features, qplex)
    assert_never(name)
