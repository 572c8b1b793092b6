"""Networks that one agent runs on its own history: action values and trajectory class."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trama.networks.gru import PackedGRU


class AgentHistory(NamedTuple):
    """What the agents saw and did, R rows; every agent's input to its networks.

    Its last action and its number would be one-hot inputs of the first layer. As the layer is
    linear, its part of them is one of (U + 1) A sums, which is looked up and never multiplied.
    """

    obs: Tensor  # [R, A, O]
    action_and_agent: Tensor  # [R, A] int64: (last action + 1) A + agent

    @classmethod
    def of(cls, obs: Tensor, last_action: Tensor) -> "AgentHistory":
        """From observations [R, A, O] and last actions [R, A] int64, -1 where there was none."""
        n_agents = obs.shape[1]
        agent = torch.arange(n_agents, device=obs.device)
        return cls(obs, (last_action + 1) * n_agents + agent)


class RecurrentNetwork(nn.Module):
    """fc, ReLU, GRU, linear: shared by the agents (METHOD: policy and class predictor, section 5).

    The first layer reads an agent's observation, its last action and its number, both one-hot, in
    that order.

    Args:
        obs_size: O.
        n_actions: U.
        n_agents: A.
        hidden_size: width of the first layer and of the GRU.
        output_size: action values (policy) or classes (predictor).
    """

    def __init__(
        self, obs_size: int, n_actions: int, n_agents: int, hidden_size: int, output_size: int
    ):
        super().__init__()
        self.encoder = nn.Linear(obs_size + n_actions + n_agents, hidden_size)
        self.recurrence = PackedGRU(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, output_size)
        self.hidden_size = hidden_size
        self._inputs = [obs_size, n_actions, n_agents]

    def forward(
        self,
        history: AgentHistory,
        batch_sizes: list[int],
        classes: Tensor | None = None,
        told: Tensor | None = None,
    ) -> Tensor:
        """Whole histories.

        Args:
            history: packed rows of episodes.
            batch_sizes: episodes that run at each step.
            classes: [R, A] int64, where the network is told the class.
            told: [K, H], what each class adds to the first layer.

        Returns:
            Outputs [R, A, output_size].
        """
        shape = history.action_and_agent.shape
        encoded = self._encode(history, classes, told)
        hidden = self.recurrence(encoded, [m * shape[1] for m in batch_sizes])
        return self.head(hidden).unflatten(0, shape)

    def step(
        self,
        history: AgentHistory,
        hidden: Tensor,
        classes: Tensor | None = None,
        told: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One step of N episodes from hidden [N, A, H]; returns outputs and new hidden."""
        encoded = self._encode(history, classes, told)
        new_hidden = self.recurrence.step(encoded, hidden.flatten(0, 1))
        shape = history.action_and_agent.shape
        return self.head(new_hidden).unflatten(0, shape), new_hidden.view_as(hidden)

    def _encode(self, history: AgentHistory, classes: Tensor | None, told: Tensor | None) -> Tensor:
        """First layer, [R * A, H]."""
        of_obs, of_action, of_agent = self.encoder.weight.t().split(self._inputs)
        first = torch.zeros_like(of_action[:1])  # no action yet
        by_action = torch.cat([first, of_action]) + self.encoder.bias
        sums = (by_action.unsqueeze(1) + of_agent).flatten(0, 1)  # [(U + 1) A, H]
        index = history.action_and_agent
        if classes is not None and told is not None:
            index = index + len(sums) * classes
            sums = (told.unsqueeze(1) + sums).flatten(0, 1)
        encoded = F.embedding(index.flatten(), sums)
        return encoded.addmm_(history.obs.flatten(0, 1), of_obs).relu_()


class ClassRepresentation(nn.Module):
    """f_g: what the policy is told about the trajectory class (paper section 4, METHOD section 5).

    `learned` is one-hot -> hidden -> size with ReLU, trained by the TD loss alone; `one_hot` is the
    class itself. It enters the agent's first layer beside the history's inputs; as the layer is
    linear, its part is a sum of its own, which is looked up like that of the last action.
    """

    def __init__(
        self,
        n_classes: int,
        kind: str,
        hidden_size: int,
        size: int,
        history_size: int,
        agent_hidden_size: int,
    ):
        super().__init__()
        self.n_classes = n_classes
        size = size if kind == "learned" else n_classes
        self.layers = (
            nn.Sequential(
                nn.Linear(n_classes, hidden_size),
                nn.ReLU(),
                nn.Linear(hidden_size, size),
                nn.ReLU(),
            )
            if kind == "learned"
            else nn.Identity()
        )

        self.into_agent = nn.Linear(size, agent_hidden_size, bias=False)
        bound = (history_size + size) ** -0.5  # as in one layer on history and g together
        nn.init.uniform_(self.into_agent.weight, -bound, bound)

    def table(self) -> Tensor:
        """g of each class, [K, size]."""
        weight = self.into_agent.weight
        return self.layers(torch.eye(self.n_classes, device=weight.device, dtype=weight.dtype))

    def forward(self) -> Tensor:
        """What each class adds to the agent's first layer, [K, H]."""
        return self.into_agent(self.table())
