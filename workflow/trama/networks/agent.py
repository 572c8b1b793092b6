"""Networks that one agent runs on its own history: action values and trajectory class."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trama.networks.entities import EntityEncoder, EntityHead, Grouping
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


class Told(NamedTuple):
    """What the policy is told about each of K classes; None for what is not in use.

    Attributes:
        shift: [K, H], is added to the first layer, before its ReLU.
        scale: [K, H], the first layer is multiplied by 1 + it, before the shift.
        head: [K, U, H + 1], is added to weight and bias of the last layer.
    """

    shift: Tensor | None = None
    scale: Tensor | None = None
    head: Tensor | None = None

    def with_none(self) -> "Told":
        """The same with one more class, the last, of which nothing is told: all zeros."""
        return Told(
            *(
                None if part is None else torch.cat([part, torch.zeros_like(part[:1])])
                for part in self
            )
        )


class RecurrentNetwork(nn.Module):
    """fc, ReLU, GRU, linear, shared by the agents: the policy, and the class predictor.

    The first layer reads an agent's observation, its last action and its number, both one-hot, in
    that order. With a grouping, like entities of the observation share their weights, in the first
    layer and for the actions on them.

    Args:
        obs_size: O.
        n_actions: U.
        n_agents: A.
        hidden_size: width of the first layer and of the GRU.
        output_size: classes of a predictor; None for the values of the actions.
        grouping: of observation and actions; None where the observation is one vector.
    """

    def __init__(
        self,
        obs_size: int,
        n_actions: int,
        n_agents: int,
        hidden_size: int,
        output_size: int | None = None,
        grouping: Grouping | None = None,
    ):
        super().__init__()
        plain_size = obs_size if grouping is None else len(grouping.others)
        self.entities = (
            None if grouping is None else EntityEncoder(grouping, hidden_size // 2, hidden_size)
        )
        self.encoder = nn.Linear(plain_size + n_actions + n_agents, hidden_size)
        self.recurrence = PackedGRU(hidden_size, hidden_size)
        self.head: nn.Linear | EntityHead
        if grouping is None or output_size is not None:
            self.head = nn.Linear(hidden_size, output_size or n_actions)
        else:
            self.head = EntityHead(grouping, hidden_size // 2, hidden_size)
        self.hidden_size = hidden_size
        self._inputs = [plain_size, n_actions, n_agents]

    def forward(
        self,
        history: AgentHistory,
        batch_sizes: list[int],
        classes: Tensor | None = None,
        told: Told | None = None,
    ) -> Tensor:
        """Whole histories.

        Args:
            history: packed rows of episodes.
            batch_sizes: episodes that run at each step.
            classes: [R, A] int64, where the network is told the class.
            told: what of each class.

        Returns:
            Outputs [R, A, output_size].
        """
        return self.unroll(history, batch_sizes, classes, told)[0]

    def unroll(
        self,
        history: AgentHistory,
        batch_sizes: list[int],
        classes: Tensor | None = None,
        told: Told | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Outputs as those of `forward`, and the hidden states [R, A, H] that they come from."""
        shape = history.action_and_agent.shape
        encoded, shown = self._encode(history, classes, told)
        hidden = self.recurrence(encoded, [m * shape[1] for m in batch_sizes])
        outputs = self._decode(hidden, shown, classes, told)
        return outputs.unflatten(0, shape), hidden.unflatten(0, shape)

    def step(
        self,
        history: AgentHistory,
        hidden: Tensor,
        classes: Tensor | None = None,
        told: Told | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One step of N episodes from hidden [N, A, H]; returns outputs and new hidden."""
        encoded, shown = self._encode(history, classes, told)
        new_hidden = self.recurrence.step(encoded, hidden.flatten(0, 1))
        outputs = self._decode(new_hidden, shown, classes, told)
        return outputs.unflatten(0, history.action_and_agent.shape), new_hidden.view_as(hidden)

    def _encode(
        self, history: AgentHistory, classes: Tensor | None, told: Told | None
    ) -> tuple[Tensor, list[Tensor]]:
        """First layer [R * A, H], and what each group's entities are to it, [R * A, n, H] each."""
        of_obs, of_action, of_agent = self.encoder.weight.t().split(self._inputs)
        first = torch.zeros_like(of_action[:1])  # no action yet
        by_action = torch.cat([first, of_action]) + self.encoder.bias
        sums = (by_action.unsqueeze(1) + of_agent).flatten(0, 1)  # [(U + 1) A, H]
        index, obs = history.action_and_agent, history.obs.flatten(0, 1)
        shift = scale = None
        if classes is not None and told is not None:
            shift, scale = told.shift, told.scale
        if classes is not None and shift is not None and scale is None:
            index = index + len(sums) * classes
            sums = (shift.unsqueeze(1) + sums).flatten(0, 1)
        encoded, shown = F.embedding(index.flatten(), sums), []
        if self.entities is not None:
            obs, total, shown = self.entities(obs)
            encoded = encoded.add_(total)
        encoded = encoded.addmm_(obs, of_obs)
        if classes is not None and shift is not None and scale is not None:
            each = classes.flatten()
            encoded = torch.addcmul(F.embedding(each, shift), encoded, F.embedding(each, 1 + scale))
        return encoded.relu_(), shown

    def _decode(
        self, hidden: Tensor, shown: list[Tensor], classes: Tensor | None, told: Told | None
    ) -> Tensor:
        """Last layer, [R * A, output_size]."""
        if isinstance(self.head, EntityHead):
            outputs = self.head(hidden, shown)
        else:
            outputs = self.head(hidden)
        if classes is None or told is None or told.head is None:
            return outputs
        weight, bias = told.head[..., :-1], told.head[..., -1]
        # Of all classes, and then the right one: K is small, and K products are one.
        of_all = (hidden @ weight.flatten(0, 1).t()).unflatten(1, bias.shape) + bias
        each = classes.flatten().view(-1, 1, 1).expand(-1, 1, outputs.shape[1])
        return outputs + of_all.gather(1, each).squeeze(1)


class ClassRepresentation(nn.Module):
    """f_g: what the policy is told about the trajectory class (the paper's representation model).

    `learned` is one-hot -> hidden -> size with ReLU, trained by the TD loss alone; `one_hot` is the
    class itself.

    Conditioning `input`, the published one, has it beside the inputs of the agent's first layer; as
    the layer is linear, its part is a sum of its own, which is looked up like that of the last
    action. `film` also scales that layer, feature by feature; `hypernetwork` leaves it alone and
    adds to the weights of the last layer. Both begin as if there were no class.
    """

    def __init__(
        self,
        n_classes: int,
        kind: str,
        hidden_size: int,
        size: int,
        conditioning: str,
        history_size: int,
        agent_hidden_size: int,
        n_actions: int,
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
        self.into_agent = self.into_scale = self.into_head = None
        if conditioning == "hypernetwork":
            self.into_head = nn.Linear(size, n_actions * (agent_hidden_size + 1), bias=False)
            nn.init.zeros_(self.into_head.weight)
            self._head_shape = (n_actions, agent_hidden_size + 1)
            return
        self.into_agent = nn.Linear(size, agent_hidden_size, bias=False)
        bound = (history_size + size) ** -0.5  # as in one layer on history and g together
        nn.init.uniform_(self.into_agent.weight, -bound, bound)
        if conditioning == "film":
            self.into_scale = nn.Linear(size, agent_hidden_size, bias=False)
            nn.init.zeros_(self.into_scale.weight)

    def silence(self) -> None:
        """Tell nothing of any class, until that is learned."""
        for layer in (self.into_agent, self.into_scale, self.into_head):
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def table(self) -> Tensor:
        """g of each class, [K, size]."""
        weight = next(self.parameters())
        return self.layers(torch.eye(self.n_classes, device=weight.device, dtype=weight.dtype))

    def forward(self) -> Told:
        """What the policy is told of each class."""
        table = self.table()
        return Told(
            shift=None if self.into_agent is None else self.into_agent(table),
            scale=None if self.into_scale is None else self.into_scale(table),
            head=(
                None
                if self.into_head is None
                else self.into_head(table).unflatten(1, self._head_shape)
            ),
        )
