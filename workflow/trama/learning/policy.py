"""The decentralised policy: what is executed and tested."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trama.learning.novelty import Fallback
from trama.networks.agent import AgentHistory, ClassRepresentation, RecurrentNetwork, Told
from trama.networks.entities import Grouping, group_entities


@dataclass(frozen=True)
class PolicySizes:
    """All that is needed to build a policy again from its file.

    `n_classes`, that there is room for, is None for a policy without trajectory classes; the fields
    after it, up to `class_dropout`, then do not matter. `obs_features` and `actions` are names, as
    in `EnvSpec`, where like entities share weights, and empty where the observation is one vector.
    """

    obs_size: int
    n_agents: int
    n_actions: int
    hidden_size: int
    n_classes: int | None = None
    predictor_hidden_size: int = 64
    representation_kind: str = "learned"
    representation_hidden_size: int = 32
    representation_size: int = 32
    conditioning: str = "input"
    class_dropout: float = 0.0
    obs_features: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()

    @property
    def grouping(self) -> Grouping | None:
        """Entities of the observation; None where it is one vector."""
        return group_entities(self.obs_features, self.actions) if self.obs_features else None


@dataclass
class PolicyState:
    """Hidden states of N running episodes, [N, A, H]; the predictor's is None without classes.

    `class_free` episodes are played without a class. `step` and `novelty` are counted where there
    is a fallback.
    """

    agent: Tensor
    predictor: Tensor | None
    last_action: Tensor  # [N, A] int64, -1 before the first action
    class_free: Tensor  # [N] bool
    step: Tensor  # [N] int64
    novelty: Tensor  # [N, A], sum of an agent's scores of novelty so far

    def restart(self, envs: Tensor) -> None:
        """Begin new episodes in the environments `envs` [M] int64."""
        self.agent[envs] = 0.0
        self.last_action[envs] = -1
        self.class_free[envs] = False
        self.step[envs] = 0
        self.novelty[envs] = 0.0
        if self.predictor is not None:
            self.predictor[envs] = 0.0


def make_predictor(sizes: PolicySizes) -> RecurrentNetwork:
    """The class predictor of a policy of these sizes, which has classes."""
    assert sizes.n_classes is not None
    inputs = (sizes.obs_size, sizes.n_actions, sizes.n_agents)
    return RecurrentNetwork(*inputs, sizes.predictor_hidden_size, sizes.n_classes, sizes.grouping)


class Policy(nn.Module):
    """Action values of each agent, conditioned on the class that it predicts.

    Args:
        sizes: of its networks.
        some_classes: whether some of the classes that they have room for may be out of use. A
            buffer of the policy then has what is in use, at first all.
    """

    in_use: Tensor | None

    def __init__(self, sizes: PolicySizes, some_classes: bool = False):
        super().__init__()
        self.sizes = sizes
        self.register_buffer(
            "in_use", torch.ones(sizes.n_classes or 0, dtype=torch.bool) if some_classes else None
        )
        inputs = (sizes.obs_size, sizes.n_actions, sizes.n_agents)
        self.predictor: RecurrentNetwork | None = None
        self.class_representation: ClassRepresentation | None = None
        if sizes.n_classes is not None:
            self.predictor = make_predictor(sizes)
            self.class_representation = ClassRepresentation(
                sizes.n_classes,
                sizes.representation_kind,
                sizes.representation_hidden_size,
                sizes.representation_size,
                sizes.conditioning,
                sum(inputs),
                sizes.hidden_size,
                sizes.n_actions,
            )
        self.agent = RecurrentNetwork(*inputs, sizes.hidden_size, grouping=sizes.grouping)

    @property
    def classes(self) -> Tensor:
        """Numbers of the classes in use, [K] int64, ascending."""
        if self.in_use is not None:
            return self.in_use.nonzero().squeeze(1)
        return torch.arange(self.sizes.n_classes or 0, device=next(self.parameters()).device)

    def use_classes(self, classes: np.ndarray) -> None:
        """Predict none but these classes from now on, [K] of those that there is room for."""
        if self.in_use is not None:
            self.in_use.zero_()
            self.in_use[torch.from_numpy(classes).to(self.in_use.device)] = True

    def predict(self, history: AgentHistory, batch_sizes: list[int]) -> tuple[Tensor, Tensor]:
        """What agents of a policy with classes predict over whole episodes.

        Returns:
            Logits [R, A, K], and the hidden states [R, A, H] that they come from.
        """
        assert self.predictor is not None
        logits, hidden = self.predictor.unroll(history, batch_sizes)
        return self._masked(logits), hidden

    def class_logits(self, history: AgentHistory, batch_sizes: list[int]) -> Tensor:
        """The logits of `predict`."""
        return self.predict(history, batch_sizes)[0]

    def _masked(self, logits: Tensor) -> Tensor:
        """Logits [..., K] in which classes that are not in use are impossible."""
        return logits if self.in_use is None else logits.masked_fill(~self.in_use, -torch.inf)

    @property
    def no_class(self) -> int | None:
        """The number that stands for no class; None for a policy that never learnt without one."""
        return self.sizes.n_classes if self.sizes.class_dropout > 0 else None

    def told(self) -> Told | None:
        """What the agents are told of each class, and of `no_class`; None without classes."""
        if self.class_representation is None:
            return None
        told: Told = self.class_representation()
        return told if self.no_class is None else told.with_none()

    def action_values(
        self, history: AgentHistory, classes: Tensor, batch_sizes: list[int]
    ) -> Tensor:
        """Q_i [R, A, U] over whole episodes, of agents that used `classes` [R, A]."""
        return self.agent(history, batch_sizes, classes, self.told())

    def initial_state(self, n_envs: int, device: torch.device) -> PolicyState:
        """State at the start of N episodes."""
        agents = self.sizes.n_agents

        def zeros(size: int) -> Tensor:
            return torch.zeros(n_envs, agents, size, device=device)

        return PolicyState(
            agent=zeros(self.agent.hidden_size),
            predictor=None if self.predictor is None else zeros(self.predictor.hidden_size),
            last_action=torch.full((n_envs, agents), -1, device=device),
            class_free=torch.zeros(n_envs, dtype=torch.bool, device=device),
            step=torch.zeros(n_envs, dtype=torch.int64, device=device),
            novelty=torch.zeros(n_envs, agents, device=device),
        )

    @torch.no_grad()
    def act(
        self,
        obs: Tensor,
        available: Tensor,
        state: PolicyState,
        epsilon: float,
        generator: torch.Generator | None,
        given: Tensor | None = None,
        fallback: Fallback | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Choose actions and update `state`.

        Args:
            obs: [N, A, O].
            available: [N, A, U] bool.
            state: of the running episodes; changed in place.
            epsilon: share of uniformly random available actions.
            generator: source of exploration; None means greedy: argmax of class and of action.
            given: [N] int64, class that all agents of an environment use instead of a predicted
                one, or `no_class`; the predictor then rests.
            fallback: tells agents when to use no class; of a policy that learnt without one.

        Returns:
            Actions [N, A] and classes used [N, A], both int64 (classes are 0 without a predictor).
        """
        history = AgentHistory.of(obs, state.last_action)
        classes = torch.zeros_like(state.last_action)
        if given is not None:
            classes = given.unsqueeze(1).expand_as(classes)
        elif self.predictor is not None and state.predictor is not None:
            logits, state.predictor = self.predictor.step(history, state.predictor)
            logits = self._masked(logits)
            if generator is None:
                classes = logits.argmax(2)
            else:
                classes = _sample(logits.softmax(2), generator)
            if self.no_class is not None:
                without = state.class_free.unsqueeze(1)
                if fallback is not None:
                    state.step += 1
                    state.novelty += fallback.scores(logits, state.predictor)
                    without = without | fallback.applies(state.novelty, state.step)
                classes = classes.masked_fill(without, self.no_class)
        values, state.agent = self.agent.step(history, state.agent, classes, self.told())
        actions = greedy(values, available)
        if generator is not None:
            explore = torch.rand(actions.shape, generator=generator, device=obs.device) < epsilon
            actions = torch.where(explore, _sample(available.float(), generator), actions)
        state.last_action = actions.clone()  # `restart` writes into it
        return actions, classes


def greedy(values: Tensor, available: Tensor) -> Tensor:
    """Best available action [..., A] of values [..., A, U]."""
    return values.masked_fill(~available, -torch.inf).argmax(-1)


def _sample(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an index from each row of non-negative weights [N, A, K]."""
    flat = weights.flatten(0, 1)
    return torch.multinomial(flat, 1, generator=generator).view(weights.shape[:2])
