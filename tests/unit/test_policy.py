"""The policy: inputs, stepping, and exploration."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fakes import CPU, played_replay, random_env
from trama.learning.policy import Policy, PolicySizes, greedy
from trama.networks.agent import AgentHistory, ClassRepresentation, RecurrentNetwork, Told

PLAIN = PolicySizes(4, 3, 4, 8)
CLASSES = PolicySizes(4, 3, 4, 8, 3, 7, "learned", 6, 5)
ONE_HOT = PolicySizes(4, 3, 4, 8, 3, 7, "one_hot", 6, 5)
FILM, HYPERNETWORK = (replace(CLASSES, conditioning=c) for c in ("film", "hypernetwork"))
NAMES: dict[str, Any] = {
    "obs_features": ("enemy_0_x", "own_x", "enemy_1_x", "fog"),
    "actions": ("stop", "attack_enemy_1", "wait", "attack_enemy_0"),
}
ENTITIES, ENTITIES_WITH_CLASSES = replace(PLAIN, **NAMES), replace(HYPERNETWORK, **NAMES)


def _policy(sizes: PolicySizes, seed: int = 0) -> Policy:
    torch.manual_seed(seed)
    return Policy(sizes)


def test_classes_that_are_not_in_use_are_never_predicted() -> None:
    torch.manual_seed(0)
    policy = Policy(CLASSES, some_classes=True)
    assert policy.classes.tolist() == [0, 1, 2]  # all, before anybody says which
    assert policy.predictor is not None
    assert isinstance(policy.predictor.head, torch.nn.Linear)
    with torch.no_grad():
        policy.predictor.head.bias[1] = 9.0  # its favourite

    def predicted(policy: Policy, generator: torch.Generator | None) -> set[int]:
        state = policy.initial_state(50, CPU)
        obs, available = torch.randn(50, 3, 4), torch.ones(50, 3, 4, dtype=torch.bool)
        return set(policy.act(obs, available, state, 0.5, generator)[1].flatten().tolist())

    assert predicted(policy, None) == {1}
    policy.use_classes(np.array([0, 2]))
    assert policy.classes.tolist() == [0, 2]
    assert predicted(policy, None) <= {0, 2}
    assert predicted(policy, torch.Generator().manual_seed(0)) == {0, 2}
    history = AgentHistory.of(torch.randn(5, 3, 4), torch.full((5, 3), -1))
    probability = policy.class_logits(history, [3, 2]).softmax(2)
    assert (probability[..., 1] == 0).all()
    torch.testing.assert_close(probability.sum(2), torch.ones(5, 3))
    # What is in use goes with the weights.
    other = Policy(CLASSES, some_classes=True)
    other.load_state_dict(policy.state_dict())
    assert other.classes.tolist() == [0, 2]


def test_a_policy_with_a_fixed_number_of_classes_uses_them_all() -> None:
    policy = _policy(CLASSES)
    policy.use_classes(np.array([0, 1, 2]))
    assert policy.classes.tolist() == [0, 1, 2]
    assert "in_use" not in policy.state_dict()
    assert _policy(PLAIN).classes.tolist() == []


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
    classes = torch.tensor([[1, 0], [2, 1]])
    shift, scale, head = torch.randn(3, 8), torch.randn(3, 8), torch.randn(3, 4, 9)
    no_head = torch.zeros(3, 4, 9)
    for told, added, factor, more in [
        (None, torch.zeros(3, 8), torch.ones(3, 8), no_head),
        (Told(shift), shift, torch.ones(3, 8), no_head),
        (Told(shift, scale), shift, 1 + scale, no_head),
        (Told(head=head), torch.zeros(3, 8), torch.ones(3, 8), head),
    ]:
        hidden = torch.randn(2, 2, 8)
        first = torch.relu(network.encoder(inputs) * factor[classes] + added[classes])
        expected = network.recurrence.step(first.flatten(0, 1), hidden.flatten(0, 1))
        outputs, after = network.step(history, hidden, classes, told)
        torch.testing.assert_close(after.flatten(0, 1), expected)
        weight, bias = more[classes][..., :-1], more[classes][..., -1]
        by_class = torch.einsum("nauh,nah->nau", weight, expected.view(2, 2, 8)) + bias
        torch.testing.assert_close(outputs, network.head(expected).view(2, 2, 4) + by_class)


def test_class_representation_is_a_network_on_the_one_hot_class() -> None:
    torch.manual_seed(0)
    inputs: dict[str, Any] = {
        "conditioning": "input",
        "history_size": 7,
        "agent_hidden_size": 4,
        "n_actions": 2,
    }
    learned = ClassRepresentation(3, "learned", 6, 5, **inputs)
    classes = torch.tensor([[2, 0], [1, 1]])
    expected = learned.layers(torch.nn.functional.one_hot(classes, 3).float())
    assert learned.table().shape == (3, 5)
    told = learned()
    assert told.shift is not None and learned.into_agent is not None
    torch.testing.assert_close(told.shift[classes], learned.into_agent(expected))
    assert told.scale is None and told.head is None
    one_hot = ClassRepresentation(3, "one_hot", 6, 5, **inputs)
    assert one_hot.table().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert one_hot.into_agent is not None
    torch.testing.assert_close(one_hot().shift, one_hot.into_agent.weight.t())


def test_other_conditionings_begin_without_a_class_and_learn_it() -> None:
    torch.manual_seed(0)
    film, hypernetwork = _policy(FILM), _policy(HYPERNETWORK)
    told = film.told()
    assert told is not None and told.scale is not None and not told.scale.any()
    told = hypernetwork.told()
    assert told is not None and told.head is not None and not told.head.any()
    assert told.shift is None and told.scale is None
    batch = played_replay(random_env(4), 8, seed=2, n_classes=3).batch(np.arange(4, 8), CPU)
    history = AgentHistory.of(batch.obs, batch.last_action)
    for policy in (film, hypernetwork):
        optimiser = torch.optim.Adam(policy.parameters(), lr=1e-2)
        losses = []
        for _ in range(200):  # only the class tells what the values should be
            values = policy.action_values(history, batch.classes, batch.packing.batch_sizes)
            loss = (values.mean(2) - batch.classes).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.1 * losses[0]


@pytest.mark.parametrize(
    "sizes",
    [PLAIN, CLASSES, ONE_HOT, FILM, HYPERNETWORK, ENTITIES, ENTITIES_WITH_CLASSES],
)
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
        assert isinstance(policy.predictor.head, torch.nn.Linear)
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


def test_given_classes_take_the_place_of_predicted_ones() -> None:
    policy = _policy(CLASSES)
    state = policy.initial_state(6, CPU)
    given = torch.tensor([0, 1, 2, 2, 1, 0])
    last, agent = torch.full((6, 3), -1), torch.zeros(6, 3, 8)
    classes = given.unsqueeze(1).expand(6, 3)
    for step in range(3):
        obs, available = _seen(step)
        values, agent = policy.agent.step(AgentHistory.of(obs, last), agent, classes, policy.told())
        last = greedy(values, available)
        actions, found = policy.act(obs, available, state, 0.0, None, given)
        assert torch.equal(actions, last) and torch.equal(found, classes)
    assert state.predictor is not None and not state.predictor.any()


@pytest.mark.parametrize("sizes", [CLASSES, ONE_HOT, FILM, HYPERNETWORK, ENTITIES_WITH_CLASSES])
def test_no_class_is_as_if_there_were_no_classes(sizes: PolicySizes) -> None:
    """Its agents are told nothing, and learn nothing about how to tell a class."""
    assert _policy(sizes).no_class is None
    policy = _policy(replace(sizes, class_dropout=0.1))
    assert policy.no_class == 3 and policy.class_representation is not None
    with torch.no_grad():
        for weight in policy.class_representation.parameters():
            weight.normal_()  # of film and hypernetwork, they begin as zeros
    replay = played_replay(random_env(4), 8, seed=2, n_classes=3)
    batch = replay.batch(np.arange(4, 8), CPU)
    history, running = AgentHistory.of(batch.obs, batch.last_action), batch.packing.batch_sizes
    without = policy.action_values(history, torch.full_like(batch.classes, 3), running)
    torch.testing.assert_close(without, policy.agent(history, running))
    policy.zero_grad()
    without.square().mean().backward()
    assert not any(
        weight.grad is not None and weight.grad.any()
        for weight in policy.class_representation.parameters()
    )
    own = policy.action_values(history, batch.classes, running)
    assert not torch.allclose(without, own)
    torch.testing.assert_close(
        own, policy.agent(history, running, batch.classes, policy.class_representation())
    )


def test_given_no_class_and_class_free_episodes_are_played_alike() -> None:
    policy = _policy(replace(CLASSES, class_dropout=0.1))
    states = [policy.initial_state(6, CPU) for _ in range(2)]
    states[1].class_free[:3] = True
    for step in range(3):
        seen = _seen(step)
        actions, classes = policy.act(*seen, states[0], 0.0, None, torch.full((6,), 3))
        others, mixed = policy.act(*seen, states[1], 0.0, None)
        assert (classes == 3).all() and torch.equal(actions[:3], others[:3])
        assert (mixed[:3] == 3).all() and (mixed[3:] < 3).all()
    assert torch.equal(states[0].agent[:3], states[1].agent[:3])
    states[1].restart(torch.tensor([0, 5]))
    assert states[1].class_free.tolist() == [False, True, True, False, False, False]


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
