"""Networks that one agent runs on its own history: action values and trajectory class."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trama.networks.gru import PackedGRU


class RecurrentNetwork(nn.Module):
    """fc, ReLU, GRU, linear: shared by the agents (METHOD: policy and class predictor, section 5).

    Args:
        input_size: size of one agent's input.
        hidden_size: width of the first layer and of the GRU.
        output_size: action values (policy) or classes (predictor).
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int):
        super().__init__()
        self.encoder = nn.Linear(input_size, hidden_size)
        self.recurrence = PackedGRU(hidden_size, hidden_size)
        self.head = nn.Linear(hidden_size, output_size)
        self.hidden_size = hidden_size

    def forward(self, inputs: Tensor, batch_sizes: list[int], told: Tensor | None = None) -> Tensor:
        """Whole histories.

        Args:
            inputs: [R, A, input_size], packed rows of episodes.
            batch_sizes: episodes that run at each step.
            told: [R, A, H], added before the first ReLU: the part of the first layer whose inputs
                are not in `inputs`.

        Returns:
            Outputs [R, A, output_size].
        """
        n_agents = inputs.shape[1]
        encoded = self._encode(inputs, told)
        hidden = self.recurrence(encoded, [m * n_agents for m in batch_sizes])
        return self.head(hidden).unflatten(0, inputs.shape[:2])

    def step(
        self, inputs: Tensor, hidden: Tensor, told: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step of [N, A, input_size] from hidden [N, A, H]; returns outputs and new hidden."""
        encoded = self._encode(inputs, told)
        new_hidden = self.recurrence.step(encoded, hidden.flatten(0, 1))
        return self.head(new_hidden).unflatten(0, inputs.shape[:2]), new_hidden.view_as(hidden)

    def _encode(self, inputs: Tensor, told: Tensor | None) -> Tensor:
        """First layer, [R * A, H]."""
        encoded = self.encoder(inputs.flatten(0, 1))
        return F.relu(encoded if told is None else encoded + told.flatten(0, 1))


def history_inputs(obs: Tensor, last_action: Tensor, n_actions: int) -> Tensor:
    """What an agent sees at a step: its observation, its last action, and which agent it is.

    Args:
        obs: [R, A, O].
        last_action: [R, A] int64, -1 where there was none.
        n_actions: U.

    Returns:
        [R, A, O + U + A].
    """
    n_rows, n_agents, obs_size = obs.shape
    inputs = obs.new_zeros(n_rows, n_agents, obs_size + n_actions + n_agents)
    inputs[..., :obs_size] = obs
    acted = (last_action >= 0).to(obs.dtype).unsqueeze(-1)
    index = obs_size + last_action.clamp(min=0).unsqueeze(-1)
    inputs.scatter_(2, index, acted)
    inputs[..., obs_size + n_actions :] = torch.eye(n_agents, device=obs.device)
    return inputs


class ClassRepresentation(nn.Module):
    """f_g: what the policy is told about the trajectory class (paper section 4, METHOD section 5).

    `learned` is one-hot -> hidden -> size with ReLU, trained by the TD loss alone; `one_hot` is the
    class itself. It enters the agent's first layer beside the history's inputs; as the layer is
    linear, its part is a sum of its own, which needs K rows instead of thousands.
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

    def forward(self, classes: Tensor) -> Tensor:
        """What classes [..., A] int64 add to the agent's first layer, [..., A, H]."""
        return F.embedding(classes, self.into_agent(self.table()))
