"""TD learning of the factorised action values, and of the class predictor beside it."""

import copy
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trama.config.model import RL
from trama.learning.memory import known_memories
from trama.learning.policy import Policy, greedy
from trama.learning.predictor import predictor_loss
from trama.learning.replay import Batch
from trama.learning.scaling import StateScaler, StateStatistics
from trama.learning.stopwatch import Stopwatch
from trama.networks.agent import AgentHistory
from trama.networks.mixers import Mixer
from trama.networks.packing import Packing


class Learner:
    """Double Q-learning on packed episodes.

    Args:
        policy: the networks of the agents, already on their device.
        mixer: joint action value.
        scaler: standardises the state that the mixer reads.
        config: `train` or `collect` section.
        predictor_weight: weight of the predictor's cross-entropy (0.1 in the paper).
        average_decay: of the moving average of the policy's weights; 0 for none.

    Attributes:
        timed: has what the phase `predictor` took: its loss and gradient.
    """

    def __init__(
        self,
        policy: Policy,
        mixer: Mixer,
        scaler: StateScaler,
        config: RL,
        predictor_weight: float,
        average_decay: float = 0.0,
    ):
        self.policy, self.mixer, self.scaler, self.config = policy, mixer, scaler, config
        self.predictor_weight = predictor_weight
        self.timed = Stopwatch(known_memories())
        self.target_policy = copy.deepcopy(policy).requires_grad_(False)
        self.target_mixer = copy.deepcopy(mixer).requires_grad_(False)
        self._average: AveragedModel | None = None
        if average_decay:
            average = get_ema_multi_avg_fn(average_decay)
            self._average = AveragedModel(policy, multi_avg_fn=average).requires_grad_(False)
        for module in [*self.target_policy.modules(), *self.tested_policy.modules()]:
            if isinstance(module, nn.GRU):
                module.flatten_parameters()  # a copy's are scattered, which cuDNN repairs each call
        predictor = policy.predictor
        self._predictor_parameters = [] if predictor is None else list(predictor.parameters())
        skip = {id(p) for p in self._predictor_parameters}
        self._td_parameters = [
            p for p in [*policy.parameters(), *mixer.parameters()] if id(p) not in skip
        ]
        self.optimiser = _make_optimiser(
            [*self._td_parameters, *self._predictor_parameters], config
        )

    @property
    def tested_policy(self) -> Policy:
        """What is tested and kept: the average where there is one, else what is learning."""
        return self.policy if self._average is None else cast(Policy, self._average.module)

    @property
    def _networks(self) -> nn.ModuleDict:
        """All that a learner with classes shares with one without."""
        return nn.ModuleDict(
            {"agent": self.policy.agent, "mixer": self.mixer, "scaler": self.scaler}
        )

    def begun(self) -> dict[str, Any]:
        """What another learner can `go_on` from: networks, and the optimiser's moments by name."""
        found = {name: self.optimiser.state.get(p) for name, p in self._networks.named_parameters()}
        return {
            "networks": self._networks.state_dict(),
            "optimiser": self.config.optimiser,
            "moments": {name: moments for name, moments in found.items() if moments},
        }

    def go_on(self, begun: Mapping[str, Any]) -> None:
        """Go on from what another learner has `begun`; agents are told nothing of classes yet.

        Another optimiser starts afresh.
        """
        self._networks.load_state_dict(begun["networks"])
        if begun["optimiser"] == self.config.optimiser:
            number = {p: n for n, p in enumerate(self.optimiser.param_groups[0]["params"])}
            parameters = dict(self._networks.named_parameters())
            moments = {number[parameters[name]]: own for name, own in begun["moments"].items()}
            # It knows which of them belong on the device.
            self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        if self.policy.class_representation is not None:
            self.policy.class_representation.silence()
        self.update_target()
        self.tested_policy.load_state_dict(self.policy.state_dict())

    def use_classes(self, classes: np.ndarray) -> None:
        """See `Policy.use_classes`."""
        self.policy.use_classes(classes)
        self.tested_policy.use_classes(classes)

    def set_state_statistics(self, statistics: StateStatistics) -> None:
        """Standardise the mixer's states by other statistics from now on."""
        device = self.scaler.mean.device
        self.scaler = StateScaler(statistics).to(device)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of agents and mixer and what is logged beside them, all scalars.

        `loss` is the sum of TD error and regulariser of the mixer.
        """
        packing = batch.packing
        current, following = packing.current, packing.following
        history = AgentHistory.of(batch.obs, batch.last_action)
        values = self.policy.action_values(history, batch.classes, packing.batch_sizes)
        with torch.no_grad():
            target_values = self.target_policy.action_values(
                history, batch.classes, packing.batch_sizes
            )
            best_action = greedy(values, batch.available_actions)
            state = self.scaler(batch.state)
            target_value = self._mix(
                self.target_mixer,
                target_values[following],
                batch.available_actions[following],
                state[following],
                best_action[following],
            )[0]
            target = td_lambda_returns(
                packing,
                batch.reward[current],
                target_value,
                batch.terminated[current],
                self.config.gamma,
                self.config.td_lambda,
            )
        joint_value, regulariser = self._mix(
            self.mixer,
            values[current],
            batch.available_actions[current],
            state[current],
            batch.action[current],
        )
        td_loss = F.mse_loss(joint_value, target)
        return {"loss": td_loss + regulariser, "td_loss": td_loss, "q_mean": joint_value.mean()}

    def predictor_losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of the predictor: `loss` is weighted; none without a predictor or any label."""
        if self.policy.predictor is None or not batch.labelled:
            return {}
        loss = predictor_loss(self.policy.class_logits, batch)
        return {"loss": self.predictor_weight * loss, "predictor_loss": loss}

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """One gradient step; returns the scalars that are logged, the TD gradient's norm too.

        The predictor shares no weight with the rest, so that its gradient is computed by itself.
        """
        self.optimiser.zero_grad()
        logged = self.losses(batch)
        logged.pop("loss").backward()
        norm = nn.utils.clip_grad_norm_(self._td_parameters, self.config.grad_clip)
        if self._predictor_parameters:
            with self.timed("predictor"):
                of_predictor = self.predictor_losses(batch)
                if of_predictor:
                    of_predictor.pop("loss").backward()
                nn.utils.clip_grad_norm_(self._predictor_parameters, self.config.grad_clip)
                logged |= of_predictor
        self.optimiser.step()
        if self._average is not None:
            self._average.update_parameters(self.policy)
        return {name: value.detach() for name, value in logged.items()} | {"grad_norm": norm}

    def update_target(self) -> None:
        """Copy the networks into their targets."""
        self.target_policy.load_state_dict(self.policy.state_dict())
        self.target_mixer.load_state_dict(self.mixer.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Networks, targets, optimiser and state scaling."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` saved."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        parts = {
            "policy": self.policy,
            "mixer": self.mixer,
            "target_policy": self.target_policy,
            "target_mixer": self.target_mixer,
            "scaler": self.scaler,
            "optimiser": self.optimiser,
        }
        return parts if self._average is None else {**parts, "average": self._average}

    def _mix(
        self, mixer: Mixer, values: Tensor, available: Tensor, state: Tensor, actions: Tensor
    ) -> tuple[Tensor, Tensor]:
        chosen = values.gather(2, actions.unsqueeze(2)).squeeze(2)
        best = values.masked_fill(~available, -torch.inf).amax(2)
        return mixer(chosen, best, state, actions)


def td_lambda_returns(
    packing: Packing,
    reward: Tensor,
    next_value: Tensor,
    terminated: Tensor,
    gamma: float,
    td_lambda: float,
) -> Tensor:
    """Targets of Q(lambda): G_t = r_t + gamma ((1 - lambda) V_{t+1} + lambda G_{t+1}).

    A truncated episode bootstraps from the value of its last observation, a terminated one does
    not. All inputs and the result are rows of `packing.current`, [R - B].
    """
    bootstrap = reward + gamma * next_value * ~terminated
    if td_lambda == 0.0:
        return bootstrap
    # Row i of step t is episode i, so later steps are prefixes of earlier ones.
    sizes = packing.batch_sizes[1:]
    values, returns = next_value.split(sizes), list(bootstrap.split(sizes))
    for t in range(len(sizes) - 2, -1, -1):
        goes_on = sizes[t + 1]
        correction = gamma * td_lambda * (returns[t + 1] - values[t][:goes_on])
        returns[t] = returns[t].clone()
        returns[t][:goes_on] += correction
    return torch.cat(returns)


def _make_optimiser(parameters: list[nn.Parameter], config: RL) -> torch.optim.Optimizer:
    if config.optimiser == "rmsprop":
        return torch.optim.RMSprop(
            parameters,
            lr=config.learning_rate,
            alpha=config.rmsprop_alpha,
            eps=config.rmsprop_eps,
        )
    return torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
