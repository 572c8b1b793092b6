"""The learner to compare with: padded batches and a loop over time steps, as in PyMARL.

It computes the same losses with the same networks as `trama.learning.learner`; a test compares
losses and gradients. Each agent network is called step by step under autograd, on every episode of
the batch up to the longest one, and the mixers see padding, which masks keep out of the losses.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trama.config.model import RL
from trama.learning.learner import Learner
from trama.learning.policy import Policy, greedy
from trama.learning.replay import NO_LABEL, Batch
from trama.networks.agent import RecurrentNetwork
from trama.networks.mixers import Mixer
from trama.networks.vqvae import VQVAE, class_coverage_range, coverage_range


@dataclass(frozen=True)
class PaddedBatch:
    """B episodes of up to T steps; row t of an episode exists for t <= its length.

    Shapes: obs [B, T+1, A, O], state [B, T+1, S], available_actions [B, T+1, A, U], last_action,
    action and classes [B, T+1, A], reward, terminated and acted [B, T+1], label [B].
    """

    obs: Tensor
    state: Tensor
    available_actions: Tensor
    last_action: Tensor
    action: Tensor
    classes: Tensor
    reward: Tensor
    terminated: Tensor
    acted: Tensor  # whether the agents acted in the row: the mask of the losses
    label: Tensor

    @classmethod
    def of(cls, batch: Batch) -> "PaddedBatch":
        """The same episodes as a packed batch."""
        packing = batch.packing

        def pad(rows: Tensor, fill: bool | int = 0) -> Tensor:
            padded = rows.new_full((packing.n_episodes, packing.n_steps, *rows.shape[1:]), fill)
            padded[packing.episode, packing.step] = rows
            return padded

        acted = torch.zeros(len(packing), dtype=torch.bool, device=batch.state.device)
        acted[packing.current] = True
        return cls(
            obs=pad(batch.obs.float()),
            state=pad(batch.state.float()),
            available_actions=pad(batch.available_actions, True),
            last_action=pad(batch.last_action, -1),
            action=pad(batch.action),
            classes=pad(batch.classes),
            reward=pad(batch.reward),
            terminated=pad(batch.terminated),
            acted=pad(acted),
            label=batch.label,
        )


class PaddedReplay:
    """Finished episodes as float32 arrays of full length, from which padded batches are drawn."""

    def __init__(self, episodes: PaddedBatch):
        self.episodes = episodes
        self.length = episodes.acted.sum(1)

    def sample(self, batch_size: int, rng: np.random.Generator) -> PaddedBatch:
        """Draw different episodes uniformly, cut at the longest of them."""
        drawn = torch.from_numpy(rng.choice(len(self.length), batch_size, replace=False))
        rows = int(self.length[drawn].max()) + 1
        parts = {
            name: values[drawn, :rows] if values.ndim > 1 else values[drawn]
            for name, values in vars(self.episodes).items()
        }
        return PaddedBatch(**parts)


class ReferenceLearner:
    """Takes the place of a `Learner`, and begins with a copy of its networks."""

    def __init__(self, learner: Learner):
        self.policy, self.mixer = copy.deepcopy(learner.policy), copy.deepcopy(learner.mixer)
        self.scaler, self.config = learner.scaler, learner.config
        self.predictor_weight, self.timed = learner.predictor_weight, learner.timed
        self.target_policy = copy.deepcopy(learner.target_policy)
        self.target_mixer = copy.deepcopy(learner.target_mixer)
        predictor = self.policy.predictor
        self.predictor_parameters = [] if predictor is None else list(predictor.parameters())
        skip = {id(parameter) for parameter in self.predictor_parameters}
        everything = [*self.policy.parameters(), *self.mixer.parameters()]
        self.td_parameters = [p for p in everything if id(p) not in skip]
        self.optimiser = _optimiser([*self.td_parameters, *self.predictor_parameters], self.config)

    def losses(self, batch: PaddedBatch) -> dict[str, Tensor]:
        """As `Learner.losses`."""
        policy = self.policy
        inputs = _inputs(batch, policy.sizes.n_actions)
        values = _unroll(policy.agent, inputs, _told(policy, batch.classes))
        with torch.no_grad():
            target_values = _unroll(
                self.target_policy.agent, inputs, _told(self.target_policy, batch.classes)
            )
            best_action = greedy(values, batch.available_actions)
            # zero where there is no row: then its attention logits are zero too
            exists = torch.cat([batch.acted[:, :1], batch.acted[:, :-1]], 1)
            state = self.scaler(batch.state) * exists.unsqueeze(2)
            next_value = _mix(
                self.target_mixer,
                target_values[:, 1:],
                batch.available_actions[:, 1:],
                state[:, 1:],
                best_action[:, 1:],
            )[0]
            target = self._returns(batch, next_value)
        mask = batch.acted[:, :-1]
        acting = state[:, :-1] * mask.unsqueeze(2)
        joint, regulariser = _mix(
            self.mixer,
            values[:, :-1],
            batch.available_actions[:, :-1],
            acting,
            batch.action[:, :-1],
        )
        td_loss = (((joint - target) ** 2) * mask).sum() / mask.sum()
        # the mixer's mean is over padding too, where it adds nothing
        loss = td_loss + regulariser * mask.numel() / mask.sum()
        logged = {"td_loss": td_loss, "q_mean": (joint * mask).sum() / mask.sum()}
        if policy.predictor is not None and bool((batch.label != NO_LABEL).any()):
            logits = _unroll(policy.predictor, inputs, None)[:, :-1]
            label = batch.label.view(-1, 1, 1).expand(logits.shape[:3])
            label = label.masked_fill(~mask.unsqueeze(2), NO_LABEL)
            logged["predictor_loss"] = F.cross_entropy(
                logits.flatten(0, 2), label.flatten(), ignore_index=NO_LABEL
            )
            loss = loss + self.predictor_weight * logged["predictor_loss"]
        return {"loss": loss, **logged}

    def update(self, batch: Batch | PaddedBatch) -> dict[str, Tensor]:
        """As `Learner.update`."""
        logged = self.losses(PaddedBatch.of(batch) if isinstance(batch, Batch) else batch)
        self.optimiser.zero_grad()
        logged.pop("loss").backward()
        norm = nn.utils.clip_grad_norm_(self.td_parameters, self.config.grad_clip)
        if self.predictor_parameters:
            nn.utils.clip_grad_norm_(self.predictor_parameters, self.config.grad_clip)
        self.optimiser.step()
        return {name: value.detach() for name, value in logged.items()} | {"grad_norm": norm}

    def update_target(self) -> None:
        """As `Learner.update_target`."""
        self.target_policy.load_state_dict(self.policy.state_dict())
        self.target_mixer.load_state_dict(self.mixer.state_dict())

    def _returns(self, batch: PaddedBatch, next_value: Tensor) -> Tensor:
        """Targets of Q(lambda), [B, T]."""
        gamma, td_lambda = self.config.gamma, self.config.td_lambda
        reward, ends = batch.reward[:, :-1], batch.terminated[:, :-1]
        returns = reward + gamma * next_value * ~ends
        for t in range(returns.shape[1] - 2, -1, -1):
            correction = gamma * td_lambda * (returns[:, t + 1] - next_value[:, t])
            returns[:, t] += correction * batch.acted[:, t + 1]
        return returns


def padded_vqvae_loss(vqvae: VQVAE, state: Tensor, mask: Tensor, classes: Tensor) -> Tensor:
    """The total of `VQVAE.loss` on padded states [B, T, S] with a mask [B, T] and classes [B]."""
    n_episodes, n_steps = mask.shape
    step = torch.arange(n_steps).expand(n_episodes, -1).flatten()
    x, index = vqvae.quantise(state.flatten(0, 1))
    code = vqvae.codebook[index]
    decoded = vqvae.decoder(x + (code - x).detach())
    if vqvae.coverage == "time_class":
        per_row = classes.unsqueeze(1).expand(-1, n_steps).flatten()
        start, stop = class_coverage_range(step, n_steps, vqvae.n_codes, per_row, vqvae.n_classes)
    else:
        start, stop = coverage_range(step, n_steps, vqvae.n_codes)
    inside = start.unsqueeze(1) + torch.arange(int((stop - start).max()))
    counted = inside < stop.unsqueeze(1)
    codes = vqvae.codebook[inside.clamp(max=vqvae.n_codes - 1)]
    distance = ((x.detach().unsqueeze(1) - codes) ** 2).sum(2)
    config = vqvae.config
    terms = (
        ((decoded - state.flatten(0, 1)) ** 2).mean(1)
        + config.vq_weight * ((x.detach() - code) ** 2).sum(1)
        + config.commitment_weight * ((x - code.detach()) ** 2).sum(1)
        + config.coverage_weight * (distance * counted).sum(1) / counted.sum(1)
    )
    return (terms * mask.flatten()).sum() / mask.sum()


def _inputs(batch: PaddedBatch, n_actions: int) -> Tensor:
    """Observation, last action and agent, the last two one-hot, [B, T+1, A, F]."""
    acted = (batch.last_action >= 0).unsqueeze(3)
    last_action = F.one_hot(batch.last_action.clamp(min=0), n_actions) * acted
    agent = torch.eye(batch.obs.shape[2]).expand(*batch.obs.shape[:2], -1, -1)
    return torch.cat([batch.obs, last_action.to(batch.obs.dtype), agent], 3)


def _told(policy: Policy, classes: Tensor) -> Tensor | None:
    """What the classes [B, T+1, A] add to the agent's first layer; None without classes."""
    told = policy.told()
    return None if told is None or told.shift is None else F.embedding(classes, told.shift)


def _unroll(network: RecurrentNetwork, inputs: Tensor, told: Tensor | None) -> Tensor:
    """Outputs [B, T+1, A, ...] of a network, step by step."""
    gru = network.recurrence.gru
    w_ih, w_hh, b_ih, b_hh = gru.all_weights[0]
    n_episodes, n_steps, n_agents, _ = inputs.shape
    hidden = inputs.new_zeros(n_episodes * n_agents, network.hidden_size)
    outputs = []
    for t in range(n_steps):
        encoded = network.encoder(inputs[:, t].flatten(0, 1))
        if told is not None:
            encoded = encoded + told[:, t].flatten(0, 1)
        hidden = torch.gru_cell(F.relu(encoded), hidden, w_ih, w_hh, b_ih, b_hh)
        outputs.append(network.head(hidden).view(n_episodes, n_agents, -1))
    return torch.stack(outputs, 1)


def _mix(
    mixer: Mixer, values: Tensor, available: Tensor, state: Tensor, actions: Tensor
) -> tuple[Tensor, Tensor]:
    """Q_tot [B, T] and the regulariser, from tensors [B, T, ...]."""
    chosen = values.gather(3, actions.unsqueeze(3)).squeeze(3)
    best = values.masked_fill(~available, -torch.inf).amax(3)
    joint, regulariser = mixer(
        chosen.flatten(0, 1), best.flatten(0, 1), state.flatten(0, 1), actions.flatten(0, 1)
    )
    return joint.view(values.shape[:2]), regulariser


def _optimiser(parameters: list[nn.Parameter], config: RL) -> torch.optim.Optimizer:
    if config.optimiser == "adam":
        return torch.optim.Adam(parameters, lr=config.learning_rate)
    return torch.optim.RMSprop(
        parameters, lr=config.learning_rate, alpha=config.rmsprop_alpha, eps=config.rmsprop_eps
    )
