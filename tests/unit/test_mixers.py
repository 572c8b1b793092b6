"""Mixers: individual-global-max by enumeration, monotonicity, and where gradients go."""

import itertools
from typing import get_args

import pytest
import torch
from torch import Tensor

from trama.config.model import MixerName, QMix, QPlex
from trama.networks.mixers import QMIX, QPLEX, VDN, Mixer, make_mixer

N_AGENTS, N_ACTIONS, STATE = 3, 4, 6
FEATURES = torch.tensor([[0, 1], [2, 3], [4, 5]])
MIXERS = get_args(MixerName)


def _mixer(name: MixerName, seed: int, spread: float = 1.0) -> Mixer:
    """A random mixer in double precision; `spread` scales its weights."""
    torch.manual_seed(seed)
    mixer = make_mixer(
        name,
        STATE,
        N_ACTIONS,
        FEATURES,
        QMix(mixing_size=8, hypernet_size=8),
        QPlex(heads=2, mixing_size=4, hypernet_size=8, kernels=3),
    ).double()
    with torch.no_grad():
        for weight in mixer.parameters():
            weight.mul_(spread)
    return mixer


def _choose(values: Tensor, actions: Tensor) -> Tensor:
    return values.gather(2, actions.unsqueeze(2)).squeeze(2)


@pytest.mark.parametrize("spread", [1.0, 3.0])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", MIXERS)
def test_individual_global_max(name: MixerName, seed: int, spread: float) -> None:
    mixer = _mixer(name, seed, spread)
    rows = 150
    values = torch.randn(rows, N_AGENTS, N_ACTIONS, dtype=torch.float64)
    state = torch.randn(rows, STATE, dtype=torch.float64)
    available = torch.rand(rows, N_AGENTS, N_ACTIONS) < 0.6
    available.scatter_(2, torch.randint(N_ACTIONS, (rows, N_AGENTS, 1)), True)
    masked = values.masked_fill(~available, -torch.inf)
    joints = torch.tensor(list(itertools.product(range(N_ACTIONS), repeat=N_AGENTS)))
    totals = torch.full((rows, len(joints)), -torch.inf, dtype=torch.float64)
    with torch.no_grad():
        for number, joint in enumerate(joints):
            actions = joint.expand(rows, -1)
            possible = available.gather(2, actions.unsqueeze(2)).squeeze(2).all(1)
            q_total, _ = mixer(_choose(values, actions), masked.amax(2), state, actions)
            totals[possible, number] = q_total[possible]
    assert (available.sum(2) < N_ACTIONS).any() and (totals > -torch.inf).any(1).all()
    assert torch.equal(joints[totals.argmax(1)], masked.argmax(2))


@pytest.mark.parametrize("name", ["vdn", "qmix"])
def test_monotone_in_each_agents_value(name: MixerName) -> None:
    mixer = _mixer(name, 2)
    chosen = torch.randn(200, N_AGENTS, dtype=torch.float64, requires_grad=True)
    state = torch.randn(200, STATE, dtype=torch.float64)
    actions = torch.zeros(200, N_AGENTS, dtype=torch.int64)
    total, regulariser = mixer(chosen, chosen, state, actions)
    (slope,) = torch.autograd.grad(total.sum(), chosen)
    assert (slope > 0).all()
    assert float(regulariser.detach()) == 0.0
    for agent in range(N_AGENTS):
        for size in (1e-3, 0.1, 5.0):
            raised = chosen.detach().clone()
            raised[:, agent] += size
            assert (mixer(raised, raised, state, actions)[0] > total).all()


def test_vdn_is_the_sum() -> None:
    chosen = torch.tensor([[1.0, 2.0, -4.0], [0.0, 0.5, 0.25]])
    none = torch.zeros(2, 0)
    total, _ = VDN()(chosen, chosen, none, torch.zeros(2, 3, dtype=torch.int64))
    assert total.tolist() == [-1.0, 0.75]


def test_qmix_by_hand() -> None:
    mixer = QMIX(1, 2, QMix(mixing_size=1, hypernet_size=1))
    with torch.no_grad():
        for weight in mixer.parameters():
            weight.zero_()
        for part, bias in (
            (mixer.first_weight, [-2.0, 3.0]),
            (mixer.first_bias, [-1.0]),
            (mixer.last_weight, [-0.5]),
            (mixer.last_bias, [10.0]),
        ):
            list(part.parameters())[-1].copy_(torch.tensor(bias))
    chosen = torch.tensor([[1.0, 2.0], [-1.0, -1.0]])
    total, _ = mixer(chosen, chosen, torch.zeros(2, 1), torch.zeros(2, 2, dtype=torch.int64))
    # |-2| 1 + 3 2 - 1 = 7, elu 7; -2 - 3 - 1 = -6, elu exp(-6) - 1; times |-0.5|, plus 10
    expected = torch.tensor([13.5, 10 + 0.5 * (torch.exp(torch.tensor(-6.0)) - 1)])
    torch.testing.assert_close(total, expected)


def _qplex_case(seed: int) -> tuple[QPLEX, Tensor, Tensor, Tensor, Tensor]:
    mixer = _mixer("qplex", seed)
    assert isinstance(mixer, QPLEX)
    best = torch.randn(50, N_AGENTS, dtype=torch.float64)
    chosen = (best - torch.rand(50, N_AGENTS, dtype=torch.float64)).requires_grad_()
    state = torch.randn(50, STATE, dtype=torch.float64)
    return mixer, chosen, best.requires_grad_(), state, torch.randint(N_ACTIONS, (50, N_AGENTS))


def test_qplex_advantage_is_detached() -> None:
    mixer, chosen, best, state, actions = _qplex_case(3)
    total, _ = mixer(chosen, best, state, actions)
    slope, *of_best = torch.autograd.grad(
        total.sum(), [chosen, best], allow_unused=True, retain_graph=True
    )
    weight = mixer._attention(state)[0]
    assert of_best == [None]
    assert (weight > 0).all()
    # softmax over the agents in each of the two heads
    torch.testing.assert_close(weight.sum(1), torch.full((50,), 2.0, dtype=torch.float64))
    torch.testing.assert_close(slope, weight)
    total.sum().backward()
    for part in (mixer.kernel_scale, mixer.kernel_state, mixer.kernel_action):
        assert part.weight.grad is not None and part.weight.grad.abs().sum() > 0
    # What the attention learns comes from sum_i w_i Q_i alone.
    total, _ = mixer(chosen, best, state, actions)
    (learnt,) = torch.autograd.grad(total.sum(), mixer.key)
    (alone,) = torch.autograd.grad((mixer._attention(state)[0] * chosen).sum(), mixer.key)
    torch.testing.assert_close(learnt, alone)


def test_qplex_greedy_actions_do_not_train_the_advantage_weights() -> None:
    mixer, _, best, state, actions = _qplex_case(4)
    total, _ = mixer(best, best, state, actions)
    total.sum().backward()
    for part in (mixer.kernel_scale, mixer.kernel_state, mixer.kernel_action):
        assert part.weight.grad is not None and part.weight.grad.abs().sum() == 0


def test_qplex_formula() -> None:
    mixer, chosen, best, state, actions = _qplex_case(5)
    total, _ = mixer(chosen, best, state, actions)
    weight = mixer._attention(state)[0]
    importance = mixer._advantage_weight(state, actions)
    assert (importance > 0).all()
    value = mixer.value(state).squeeze(1)
    # V + sum_i w_i max Q_i + sum_i lambda_i w_i (Q_i - max Q_i): the duplex dueling form
    expected = value + (weight * best + importance * weight * (chosen - best)).sum(1)
    torch.testing.assert_close(total, expected)


def test_qplex_advantage_weight_reads_the_joint_action() -> None:
    mixer, _, _, state, actions = _qplex_case(6)
    other = actions.clone()
    other[:, 0] = (other[:, 0] + 1) % N_ACTIONS
    changed = (
        mixer._advantage_weight(state, actions) - mixer._advantage_weight(state, other)
    ).abs()
    assert (changed > 0).all()  # of the other agents too


def test_qplex_attention_by_hand() -> None:
    config = QPlex(heads=2, mixing_size=4, hypernet_size=1, attention_regulariser=0.1, kernels=1)
    mixer = QPLEX(2, 2, 2, torch.tensor([[0], [1]]), config)
    with torch.no_grad():
        mixer.query_hidden.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        mixer.query_hidden.bias.zero_()
        mixer.query.zero_()
        mixer.query[:, 0, 0] = torch.tensor([2.0, 1.0])
        mixer.key.zero_()
        mixer.key[:, 0, 0] = torch.tensor([3.0, 1.0])
    # Head 0: query 2 relu(s_0), keys 3 s_i; head 1: query relu(s_1), keys s_i.
    weight, regulariser = mixer._attention(torch.tensor([[1.0, 2.0], [-1.0, 1.0]]))
    first = [torch.tensor([6.0, 12.0]), torch.tensor([0.0, 0.0])]
    second = [torch.tensor([2.0, 4.0]), torch.tensor([-1.0, 1.0])]
    expected = [
        torch.softmax(a / 2, 0) + torch.softmax(b / 2, 0)  # sqrt of mixing_size 4
        for a, b in zip(first, second, strict=True)
    ]
    torch.testing.assert_close(weight, torch.stack(expected))
    # 0.1 ((36 + 144 + 0 + 0) / 4 + (4 + 16 + 1 + 1) / 4): mean over rows and agents, sum of heads
    assert float(regulariser.detach()) == pytest.approx(0.1 * (45 + 5.5))


@pytest.mark.parametrize("name", MIXERS)
def test_rows_are_independent(name: MixerName) -> None:
    mixer = _mixer(name, 7)
    chosen, state = torch.randn(9, 3).double(), torch.randn(9, STATE).double()
    actions = torch.randint(N_ACTIONS, (9, 3))
    together = mixer(chosen, chosen + 1, state, actions)[0]
    for row in range(9):
        part = slice(row, row + 1)
        alone = mixer(chosen[part], chosen[part] + 1, state[part], actions[part])[0]
        torch.testing.assert_close(alone, together[part])
