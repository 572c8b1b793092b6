"""The policy: inputs, stepping, and exploration."""

import numpy as np
import pytest
import torch

from fakes import CPU, played_replay, random_env
from trama.learning.policy import Policy, PolicySizes, greedy
from trama.networks.agent import AgentHistory, ClassRepresentation, RecurrentNetwork

PLAIN = PolicySizes(4, 3, 4, 8)
CLASSES = PolicySizes(4, 3, 4, 8, 3, 7, "learned", 6, 5)
ONE_HOT = PolicySizes(4, 3, 4, 8, 3, 7, "one_hot", 6, 5)


def _policy(sizes: PolicySizes, seed: int = 0) -> Policy:
    torch.manual_seed(seed)
    return Policy(sizes)


def test_first_layer_reads_observation_last_action_and_agent() -> None:
    torch.manual_seed(0)
    network = RecurrentNetwork(obs_size=1, n_actions=3, n_agents=2, hidden_size=8, output_size=4)
    obs = torch.tensor([[[0.5], [0.25]], [[1.0], [2.0]]])
    inputs = torch.tensor(
        [
            [[0.5, 0, 0, 0, 1, 0], [0.25, 0, 0, 0, 0, 1]],
            [[1.0, 0, 0, 1, 1, 0], [2.0, 1, 0, 0, 0, 1]],
        ]
    )
    history = AgentHistory.of(obs, torch.tensor([[-1, -1], [2, 0]]))
    classes, told = torch.tensor([[1, 0], [2, 1]]), torch.randn(3, 8)
    for shift, arguments in [(torch.zeros(2, 2, 8), ()), (told[classes], (classes, told))]:
        hidden = torch.randn(2, 2, 8)
        first = torch.relu(network.encoder(inputs) + shift)
        expected = network.recurrence.step(first.flatten(0, 1), hidden.flatten(0, 1))
        outputs, after = network.step(history, hidden, *arguments)
        torch.testing.assert_close(after.flatten(0, 1), expected)
        torch.testing.assert_close(outputs.flatten(0, 1), network.head(expected))


def test_class_representation_is_a_network_on_the_one_hot_class() -> None:
    torch.manual_seed(0)
    learned = ClassRepresentation(3, "learned", 6, 5, history_size=7, agent_hidden_size=4)
    classes = torch.tensor([[2, 0], [1, 1]])
    expected = learned.layers(torch.nn.functional.one_hot(classes, 3).float())
    assert learned.table().shape == (3, 5)
    torch.testing.assert_close(learned()[classes], learned.into_agent(expected))
    one_hot = ClassRepresentation(3, "one_hot", 6, 5, history_size=7, agent_hidden_size=4)
    assert one_hot.table().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    torch.testing.assert_close(one_hot(), one_hot.into_agent.weight.t())


@pytest.mark.parametrize("sizes", [PLAIN, CLASSES, ONE_HOT])
def test_stepping_equals_replaying(sizes: PolicySizes) -> None:
    """What `act` computes step by step is what the learner computes from the buffer."""
    policy = _policy(sizes)
    replay = played_replay(random_env(4), 8, seed=2, n_classes=3)
    batch = replay.batch(replay.finished[:5], CPU)
    history = AgentHistory.of(batch.obs, batch.last_action)
    sizes_at = batch.packing.batch_sizes
    expected = policy.action_values(history, batch.classes, sizes_at)
    state = policy.initial_state(5, CPU)
    for t, running in enumerate(sizes_at):
        rows = torch.nonzero(batch.packing.step == t).flatten()
        values, hidden = policy.agent.step(
            AgentHistory.of(batch.obs[rows], batch.last_action[rows]),
            state.agent[:running],
            batch.classes[rows],
            policy.told(),
        )
        torch.testing.assert_close(values, expected[rows])
        state.agent = hidden


def _seen(seed: int, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    available = rng.random((n, 3, 4)) < 0.5
    available[..., 1] = True
    obs = torch.tensor(rng.normal(size=(n, 3, 4)), dtype=torch.float32)
    return obs, torch.from_numpy(available)


def test_greedy_play_takes_the_argmax_class_and_action() -> None:
    policy = _policy(CLASSES)
    assert policy.predictor is not None
    with torch.no_grad():
        policy.predictor.head.weight *= 10  # so that the history decides, not the bias
    state = policy.initial_state(6, CPU)
    last = torch.full((6, 3), -1)
    agent, predictor = torch.zeros(6, 3, 8), torch.zeros(6, 3, 7)
    used = set()
    for step in range(5):
        obs, available = _seen(step)
        history = AgentHistory.of(obs, last)
        logits, predictor = policy.predictor.step(history, predictor)
        classes = logits.argmax(2)
        values, agent = policy.agent.step(history, agent, classes, policy.told())
        last = values.masked_fill(~available, -torch.inf).argmax(2)
        actions, found = policy.act(obs, available, state, 1.0, None)  # epsilon has no effect
        assert torch.equal(actions, last) and torch.equal(found, classes)
        used |= set(found.flatten().tolist())
    assert len(used) > 1


def test_training_draws_the_class_from_the_predicted_distribution() -> None:
    policy = _policy(CLASSES)
    assert policy.predictor is not None
    n = 4000
    obs, available = (part[:1].expand(n, -1, -1) for part in _seen(0))
    state = policy.initial_state(n, CPU)
    history = AgentHistory.of(obs, state.last_action)
    expected = policy.predictor.step(history, torch.zeros(n, 3, 7))[0].softmax(2)[0]
    _, classes = policy.act(obs, available, state, 0.0, torch.Generator().manual_seed(0))
    share = torch.stack([(classes == k).float().mean(0) for k in range(3)], 1)
    assert (share - expected).abs().max() < 0.035  # 4.4 standard deviations


def test_exploration_rate_and_uniform_choice() -> None:
    policy = _policy(PLAIN)
    n = 4000
    obs = _seen(1)[0][:1].expand(n, -1, -1)
    available = torch.tensor([[True, True, False, True]]).expand(n, 3, -1)
    best, _ = policy.act(obs, available, policy.initial_state(n, CPU), 0.0, None)
    for epsilon in (0.0, 0.3, 1.0):
        generator = torch.Generator().manual_seed(3)
        actions, classes = policy.act(
            obs, available, policy.initial_state(n, CPU), epsilon, generator
        )
        assert (actions != 2).all() and (classes == 0).all()
        share = float((actions != best).float().mean())
        assert share == pytest.approx(epsilon * 2 / 3, abs=0.02)


def test_restart_forgets_one_environment() -> None:
    policy = _policy(CLASSES)
    state = policy.initial_state(6, CPU)
    policy.act(*_seen(0), state, 0.0, None)
    before = state.agent.clone()
    state.restart(torch.tensor([1, 4]))
    assert state.predictor is not None
    for part in (state.agent, state.predictor):
        assert not part[[1, 4]].any() and part[[0, 2, 3, 5]].any(2).all()
    assert torch.equal(state.agent[[0, 2, 3, 5]], before[[0, 2, 3, 5]])
    assert (state.last_action[[1, 4]] == -1).all() and (state.last_action[[0, 2]] >= 0).all()


def test_greedy_ignores_what_is_not_available() -> None:
    values = torch.tensor([[5.0, 1.0, 2.0], [-9.0, -8.0, 7.0]])
    available = torch.tensor([[False, True, True], [True, True, False]])
    assert greedy(values, available).tolist() == [2, 1]
