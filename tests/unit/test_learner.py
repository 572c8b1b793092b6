"""The learner against a plain reference: padded, masked, one time step after the other."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fakes import CPU, RANDOM_SPEC, make_spec, played_replay, random_env, small_train
from trama.config.model import MixerName, Train
from trama.learning.build import build_learner
from trama.learning.learner import Learner, td_lambda_returns
from trama.learning.policy import Policy
from trama.learning.replay import NO_LABEL, Batch, ReplayBuffer
from trama.learning.scaling import StateStatistics
from trama.networks.agent import RecurrentNetwork
from trama.networks.packing import Packing

N_CLASSES = 3


@pytest.fixture
def double() -> Iterator[None]:
    """Networks and sums in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _statistics() -> StateStatistics:
    mean = np.linspace(-1, 1, RANDOM_SPEC.state_size, dtype=np.float32)
    return StateStatistics(mean, (mean + 1.5).astype(np.float32))


def _learner(mixer: MixerName, config: Train, classes: bool, seed: int = 0) -> Learner:
    """A learner whose targets differ from its networks."""
    n_classes = N_CLASSES if classes else None
    torch.manual_seed(seed + 100)
    other = build_learner(RANDOM_SPEC, mixer, config, _statistics(), CPU, n_classes)
    torch.manual_seed(seed)
    learner = build_learner(RANDOM_SPEC, mixer, config, _statistics(), CPU, n_classes)
    learner.target_policy.load_state_dict(other.policy.state_dict())
    learner.target_mixer.load_state_dict(other.mixer.state_dict())
    learner.scaler.to(torch.get_default_dtype())
    return learner


def _cast(batch: Batch) -> Batch:
    kind = torch.get_default_dtype()
    return replace(
        batch, obs=batch.obs.to(kind), state=batch.state.to(kind), reward=batch.reward.to(kind)
    )


def _replay(n_episodes: int = 12, labelled: bool = True) -> ReplayBuffer:
    replay = played_replay(random_env(4), n_episodes, seed=5, n_classes=N_CLASSES)
    if labelled:
        replay.label[replay.finished] = np.arange(len(replay)) % N_CLASSES
        replay.label[replay.finished[::5]] = NO_LABEL
    return replay


def _losses(learner: Learner, batch: Batch) -> dict[str, Tensor]:
    """Losses of the learner and of its predictor; `loss` is what an update follows."""
    found, of_predictor = learner.losses(batch), learner.predictor_losses(batch)
    return {**found, **of_predictor, "loss": found["loss"] + of_predictor.get("loss", 0.0)}


def _gradients(learner: Learner, loss: Tensor) -> dict[str, Tensor]:
    """Gradient of every weight, zeros where there is none."""
    named = {
        **{f"policy.{n}": p for n, p in learner.policy.named_parameters()},
        **{f"mixer.{n}": p for n, p in learner.mixer.named_parameters()},
    }
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, retain_graph=True)
    return {
        name: torch.zeros_like(weight) if g is None else g
        for (name, weight), g in zip(named.items(), found, strict=True)
    }


# --- the reference -------------------------------------------------------------------------------


@dataclass
class _Padded:
    """Episodes [B, T + 1, ...], padded with whatever is given; `acted` [B, T] masks real steps."""

    obs: Tensor
    state: Tensor
    available: Tensor
    action: Tensor
    classes: Tensor
    reward: Tensor
    terminated: Tensor
    acted: Tensor
    label: Tensor


def _padded(replay: ReplayBuffer, slots: np.ndarray, filler: float) -> _Padded:
    length = replay.length[slots]
    rows = int(length.max()) + 1
    real = torch.from_numpy(np.arange(rows)[None, :] <= length[:, None])
    kind = torch.get_default_dtype()

    def take(field: np.ndarray, value: float) -> Tensor:
        content = torch.from_numpy(field[slots, :rows])
        mask = real.view(*real.shape, *[1] * (content.dim() - 2))
        return torch.where(mask, content, torch.full_like(content, value))

    steps = torch.arange(rows - 1)[None, :]
    last = steps == torch.from_numpy(length)[:, None] - 1
    return _Padded(
        obs=take(replay.obs, filler).to(kind),
        state=take(replay.state, filler).to(kind),
        available=take(replay.available_actions, True),
        action=take(replay.action, 1).long(),
        classes=take(replay.classes, 2).long(),
        reward=take(replay.reward, filler).to(kind),
        terminated=last & torch.from_numpy(replay.terminated[slots])[:, None],
        acted=steps < torch.from_numpy(length)[:, None],
        label=torch.from_numpy(replay.label[slots]),
    )


def _unroll(network: RecurrentNetwork, inputs: Tensor, first: Tensor) -> Tensor:
    """Outputs [B, T + 1, A, .] of inputs [B, T + 1, A, .] under first weight, step by step."""
    by_input, by_hidden, input_bias, hidden_bias = network.recurrence.gru.parameters()
    n_episodes, rows, n_agents, _ = inputs.shape
    hidden = torch.zeros(n_episodes * n_agents, network.hidden_size)
    outputs = []
    for t in range(rows):
        rows_t = inputs[:, t].reshape(n_episodes * n_agents, -1)
        x = F.relu(F.linear(rows_t, first, network.encoder.bias))
        from_x = F.linear(x, by_input, input_bias).chunk(3, 1)
        from_h = F.linear(hidden, by_hidden, hidden_bias).chunk(3, 1)
        reset = torch.sigmoid(from_x[0] + from_h[0])
        update = torch.sigmoid(from_x[1] + from_h[1])
        new = torch.tanh(from_x[2] + reset * from_h[2])
        hidden = (1 - update) * new + update * hidden
        outputs.append(network.head(hidden).view(n_episodes, n_agents, -1))
    return torch.stack(outputs, 1)


def _inputs(data: _Padded, n_actions: int) -> Tensor:
    n_episodes, rows, n_agents, _ = data.obs.shape
    last = F.one_hot(data.action, n_actions).to(data.obs.dtype)
    last = torch.cat([torch.zeros_like(last[:, :1]), last[:, :-1]], 1)
    identity = torch.eye(n_agents).expand(n_episodes, rows, -1, -1)
    return torch.cat([data.obs, last, identity], 3)


def _values(policy: Policy, data: _Padded) -> Tensor:
    inputs, first = _inputs(data, policy.sizes.n_actions), policy.agent.encoder.weight
    representation = policy.class_representation
    if representation is not None:  # as published: g is an input like the others
        one_hot = F.one_hot(data.classes, N_CLASSES).to(inputs.dtype)
        inputs = torch.cat([inputs, representation.layers(one_hot)], 3)
        assert representation.into_agent is not None
        first = torch.cat([first, representation.into_agent.weight], 1)
    return _unroll(policy.agent, inputs, first)


def _reference(learner: Learner, data: _Padded) -> dict[str, Tensor]:
    config = learner.config
    n_episodes, steps = data.acted.shape
    values, target_values = _values(learner.policy, data), _values(learner.target_policy, data)
    state = (data.state - learner.scaler.mean) / learner.scaler.std
    masked = values.masked_fill(~data.available, -torch.inf)
    greedy = masked.argmax(3)
    target_masked = target_values.masked_fill(~data.available, -torch.inf)
    count = data.acted.sum()
    squares, regulariser = torch.zeros(()), torch.zeros(())
    for b in range(n_episodes):
        future = torch.zeros(())  # return of the step after
        for t in reversed(range(steps)):
            if not data.acted[b, t]:
                continue
            with torch.no_grad():
                chosen = target_values[b, t + 1].gather(1, greedy[b, t + 1, :, None])[:, 0]
                after = learner.target_mixer(
                    chosen[None],
                    target_masked[b, t + 1].amax(1)[None],
                    state[b, t + 1][None],
                    greedy[b, t + 1][None],
                )[0][0]
                ends = t == steps - 1 or not data.acted[b, t + 1]
                mixed = after
                if not ends:
                    mixed = (1 - config.td_lambda) * after + config.td_lambda * future
                goes_on = 0.0 if data.terminated[b, t] else 1.0
                future = data.reward[b, t] + config.gamma * goes_on * mixed
            chosen = values[b, t].gather(1, data.action[b, t, :, None])[:, 0]
            total, term = learner.mixer(
                chosen[None], masked[b, t].amax(1)[None], state[b, t][None], data.action[b, t][None]
            )
            squares = squares + (total[0] - future) ** 2
            regulariser = regulariser + term
    losses = {"td_loss": squares / count}
    losses["loss"] = losses["td_loss"] + regulariser / count
    if learner.policy.predictor is not None:
        predictor = learner.policy.predictor
        inputs = _inputs(data, learner.policy.sizes.n_actions)
        logits = _unroll(predictor, inputs, predictor.encoder.weight)
        log_p = logits.log_softmax(3)[:, :-1]
        known = data.acted & (data.label != NO_LABEL)[:, None]
        label = data.label.clamp(min=0)[:, None, None, None].expand(*log_p.shape[:3], 1)
        entropy = -log_p.gather(3, label)[..., 0].mean(2)
        losses["predictor_loss"] = torch.where(known, entropy, 0.0).sum() / known.sum()
        losses["loss"] = losses["loss"] + learner.predictor_weight * losses["predictor_loss"]
    return losses


CASES = [("vdn", False), ("qmix", False), ("qplex", False), ("qplex", True), ("qmix", True)]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("td_lambda", [0.0, 0.6])
@pytest.mark.parametrize(("mixer", "classes"), CASES)
def test_packed_equals_padded(mixer: MixerName, classes: bool, td_lambda: float) -> None:
    learner = _learner(mixer, small_train(td_lambda=td_lambda, gamma=0.9), classes)
    replay = _replay()
    batch = replay.batch(replay.finished[:8], CPU)
    lengths = replay.length[batch.slots]
    assert lengths.min() < lengths.max() and batch.terminated.any()
    assert not replay.terminated[batch.slots].all()
    found = _losses(learner, _cast(batch))
    expected = _reference(learner, _padded(replay, batch.slots, filler=3.3))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-12)
    own, theirs = _gradients(learner, found["loss"]), _gradients(learner, expected["loss"])
    for name, gradient in own.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-8, atol=1e-11, msg=name)
    assert sum(bool(gradient.any()) for gradient in own.values()) >= len(own) - 2


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("mixer", "classes"), CASES)
def test_an_episode_counts_the_same_in_any_batch(mixer: MixerName, classes: bool) -> None:
    learner = _learner(mixer, small_train(td_lambda=0.4), classes)
    replay = _replay()
    if classes:
        replay.label[replay.finished] = np.arange(len(replay)) % N_CLASSES
    slots = replay.finished[:8]
    together = _gradients(learner, _losses(learner, _cast(replay.batch(slots, CPU)))["loss"])
    steps = replay.length[slots].sum()
    alone: dict[str, Tensor] = {}
    for slot in slots:
        loss = _losses(learner, _cast(replay.batch(np.array([slot]), CPU)))["loss"]
        for name, gradient in _gradients(learner, loss).items():
            part = gradient * replay.length[slot] / steps
            alone[name] = alone[name] + part if name in alone else part
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, alone[name], rtol=1e-8, atol=1e-11, msg=name)


# --- targets -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("td_lambda", "expected"),
    [
        (0.0, [6.0, 24.0, 12.0, 5.0, 18.0]),  # one step: r + V / 2
        (0.5, [6.375, 15.25, 11.5, 5.0, 18.0]),
        (1.0, [6.5, 6.5, 11.0, 5.0, 18.0]),  # Monte Carlo, and V at the truncation
    ],
)
def test_td_lambda_by_hand(td_lambda: float, expected: list[float]) -> None:
    # Episode 0: rewards 1, 2, 3, values after them 10, 20, 30, truncated.
    # Episode 1: rewards 4, 5, values 40, 50, terminated.
    returns = td_lambda_returns(
        Packing(np.array([4, 3])),
        torch.tensor([1.0, 4.0, 2.0, 5.0, 3.0]),
        torch.tensor([10.0, 40.0, 20.0, 50.0, 30.0]),
        torch.tensor([False, False, False, True, False]),
        gamma=0.5,
        td_lambda=td_lambda,
    )
    assert returns.tolist() == pytest.approx(expected)


def test_double_q_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec(1, 1, 1, 3, episode_limit=2, n_tasks=1)
    replay = ReplayBuffer(spec, 1, 1)
    replay.length[0], replay.reward[0, :2] = 2, [1.0, 2.0]
    replay.available_actions[0, :3] = [[[1, 1, 1]], [[1, 0, 1]], [[1, 1, 1]]]
    statistics = StateStatistics(np.zeros(1, np.float32), np.ones(1, np.float32))
    learner = build_learner(spec, "vdn", small_train(gamma=0.5), statistics, CPU)
    # Online the best available action is 2 after the first step and 0 after the second.
    online = torch.tensor([[[0.0, 0.0, 0.0]], [[1.0, 5.0, 3.0]], [[9.0, 8.0, 7.0]]])
    target = torch.tensor([[[0.0, 0.0, 0.0]], [[7.0, 100.0, 2.0]], [[4.0, 50.0, 60.0]]])
    monkeypatch.setattr(learner.policy, "action_values", lambda *_: online)
    monkeypatch.setattr(learner.target_policy, "action_values", lambda *_: target)
    logged = _losses(learner, replay.batch(np.array([0]), CPU))
    # actions 0, 0: values 0 and 1; targets 1 + 2 / 2 and, truncated, 2 + 4 / 2
    assert float(logged["td_loss"]) == pytest.approx(((0 - 2) ** 2 + (1 - 4) ** 2) / 2)
    assert float(logged["q_mean"]) == pytest.approx(0.5)
    replay.terminated[0] = True
    logged = _losses(learner, replay.batch(np.array([0]), CPU))
    assert float(logged["td_loss"]) == pytest.approx(((0 - 2) ** 2 + (1 - 2) ** 2) / 2)


# --- who learns from what ------------------------------------------------------------------------


def _trama(**changes: object) -> tuple[Learner, ReplayBuffer, Batch]:
    learner = _learner("qplex", small_train(**changes), classes=True)
    replay = _replay()
    return learner, replay, replay.batch(replay.finished[:8], CPU)


def _moved(gradients: dict[str, Tensor], part: str) -> list[bool]:
    return [bool(g.any()) for name, g in gradients.items() if part in name]


def test_the_class_representation_learns_from_the_td_error_and_the_predictor_does_not() -> None:
    learner, _, batch = _trama()
    gradients = _gradients(learner, _losses(learner, batch)["td_loss"])
    assert all(_moved(gradients, "class_representation")) and _moved(gradients, "class_rep")
    assert all(_moved(gradients, "policy.agent"))
    assert not any(_moved(gradients, "policy.predictor"))


def test_the_predictor_learns_from_its_cross_entropy_alone() -> None:
    learner, _, batch = _trama()
    logged = _losses(learner, batch)
    gradients = _gradients(learner, logged["predictor_loss"])
    assert all(_moved(gradients, "policy.predictor"))
    for part in ("agent", "class_representation", "mixer"):
        assert not any(_moved(gradients, part))
    weighted = _gradients(learner, logged["loss"])
    for name, gradient in gradients.items():
        if "predictor" in name:
            torch.testing.assert_close(weighted[name], learner.predictor_weight * gradient)


def test_no_gradient_reaches_the_targets() -> None:
    learner, _, batch = _trama()
    _losses(learner, batch)["loss"].backward()
    targets = [*learner.target_policy.parameters(), *learner.target_mixer.parameters()]
    assert all(p.grad is None and not p.requires_grad for p in targets)


def test_episodes_without_a_label_do_not_train_the_predictor() -> None:
    learner, replay, _ = _trama()
    slots = replay.finished[:8]
    known = slots[replay.label[slots] != NO_LABEL]
    assert 0 < len(known) < len(slots)
    first = _losses(learner, replay.batch(slots, CPU))["predictor_loss"]
    alone = _losses(learner, replay.batch(known, CPU))["predictor_loss"]
    torch.testing.assert_close(first, alone)
    replay.label[slots] = NO_LABEL
    logged = _losses(learner, replay.batch(slots, CPU))
    assert "predictor_loss" not in logged
    assert not any(_moved(_gradients(learner, logged["loss"]), "predictor"))
    before = [p.clone() for p in learner.policy.predictor.parameters()]  # type: ignore[union-attr]
    learner.update(replay.batch(slots, CPU))
    after = learner.policy.predictor.parameters()  # type: ignore[union-attr]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_class_that_was_used_is_replayed() -> None:
    learner, replay, batch = _trama()
    before = _losses(learner, batch)["td_loss"]
    with torch.no_grad():
        for weight in learner.policy.predictor.parameters():  # type: ignore[union-attr]
            weight += 1.0
    assert torch.equal(_losses(learner, batch)["td_loss"], before)
    replay.classes[batch.slots] = (replay.classes[batch.slots] + 1) % N_CLASSES
    other = _losses(learner, replay.batch(batch.slots, CPU))["td_loss"]
    assert not torch.equal(other, before)


def test_what_lies_beyond_an_episode_changes_no_bit() -> None:
    learner, replay, batch = _trama(td_lambda=0.5)
    before = _losses(learner, batch)
    gradients = _gradients(learner, before["loss"])
    for slot, length in enumerate(replay.length):
        for field in (replay.obs, replay.state, replay.reward):
            field[slot, length + 1 :] = np.nan
        replay.available_actions[slot, length + 1 :] = False
    after = _losses(learner, replay.batch(batch.slots, CPU))
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = _gradients(learner, after["loss"])
    assert all(torch.equal(gradients[name], again[name]) for name in gradients)


@pytest.mark.parametrize("mixer", get_args(MixerName))
def test_unavailable_actions_do_not_count(
    mixer: MixerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = _learner(mixer, small_train(), classes=False)
    replay = _replay()
    batch = replay.batch(replay.finished[:8], CPU)
    before = _losses(learner, batch)["td_loss"]

    def tempting(values: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *args: values(*args) + 1e6 * ~batch.available_actions

    for policy in (learner.policy, learner.target_policy):
        monkeypatch.setattr(policy, "action_values", tempting(policy.action_values))
    torch.testing.assert_close(_losses(learner, batch)["td_loss"], before)


# --- the update ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", ["rmsprop", "adam"])
def test_update_follows_the_clipped_gradient(optimiser: str) -> None:
    config = small_train(
        optimiser=optimiser,
        grad_clip=1e-3,
        learning_rate=0.01,
        rmsprop_alpha=0.96,
        rmsprop_eps=1e-4,
    )
    learner = _learner("qmix", config, classes=True)
    replay = _replay()
    batch = replay.batch(replay.finished[:8], CPU)
    gradients = _gradients(learner, _losses(learner, batch)["loss"])
    td, own = (
        torch.stack([g.norm() for n, g in gradients.items() if ("predictor" in n) == chosen]).norm()
        for chosen in (False, True)
    )
    before = [p.detach().clone() for p in learner.policy.parameters()]
    logged = learner.update(batch)
    torch.testing.assert_close(logged["grad_norm"], td)
    assert "loss" not in logged and not any(v.requires_grad for v in logged.values())
    names = [f"policy.{n}" for n, _ in learner.policy.named_parameters()]
    for name, old, weight in zip(names, before, learner.policy.parameters(), strict=True):
        norm = own if "predictor" in name else td
        clipped = gradients[name] * 1e-3 / (norm + 1e-6)
        if optimiser == "adam":  # first step: lr g / (|g| + eps)
            step = clipped / (clipped.abs() + 1e-8)
        else:  # square average 0.04 g^2
            step = clipped / (0.2 * clipped.abs() + 1e-4)
        torch.testing.assert_close(weight, old - 0.01 * step, rtol=1e-4, atol=1e-5)


def test_the_tested_policy_is_a_moving_average_of_the_weights() -> None:
    learner = _learner("qplex", small_train(weight_average_decay=0.75), classes=True)
    replay = _replay()
    batch = replay.batch(replay.finished[:8], CPU)
    average: dict[str, Tensor] = {}
    for _ in range(3):
        learner.update(batch)
        for name, weight in learner.policy.state_dict().items():
            before = average.get(name, weight)
            average[name] = 0.75 * before + 0.25 * weight
    for name, weight in learner.tested_policy.state_dict().items():
        torch.testing.assert_close(weight, average[name])
        assert not torch.equal(weight, learner.policy.state_dict()[name])
    plain = _learner("qplex", small_train(), classes=True)
    assert plain.tested_policy is plain.policy


def test_target_is_copied_only_on_request() -> None:
    learner, _, batch = _trama()
    learner.update_target()
    targets = [*learner.target_policy.parameters(), *learner.target_mixer.parameters()]
    online = [*learner.policy.parameters(), *learner.mixer.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(targets, online, strict=True))
    before = [p.clone() for p in targets]
    learner.update(batch)
    assert all(torch.equal(a, b) for a, b in zip(targets, before, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(targets, online, strict=True))


def test_other_state_statistics_reach_the_mixer() -> None:
    learner, replay, batch = _trama()
    before = _losses(learner, batch)["td_loss"]
    moved = StateStatistics(_statistics().mean + 2, _statistics().std * 3)
    learner.set_state_statistics(moved)
    assert not torch.equal(_losses(learner, batch)["td_loss"], before)
    replay.state[:] = (replay.state - _statistics().mean) / _statistics().std
    replay.state[:] = replay.state * moved.std + moved.mean
    same = _losses(learner, replay.batch(batch.slots, CPU))["td_loss"]
    torch.testing.assert_close(same, before, rtol=1e-4, atol=1e-5)


def test_learning_a_batch_by_heart() -> None:
    config = small_train(gamma=0.0, learning_rate=0.01, hidden_size=24)
    for mixer, classes in itertools.product(get_args(MixerName), (False, True)):
        learner = _learner(mixer, config, classes)
        replay = _replay()
        batch = replay.batch(replay.finished[:4], CPU)
        losses = [float(learner.update(batch)["td_loss"]) for _ in range(80)]
        assert losses[-1] < 0.1 * losses[0]
