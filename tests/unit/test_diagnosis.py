"""Measurements of the trajectory classes by hand, and the warnings."""

import math

import numpy as np
import pytest
import torch

from fakes import CPU, make_spec, played_replay, random_env
from trama.learning.diagnosis import (
    class_predictions,
    class_swap,
    predictor_accuracy,
    training_warnings,
)
from trama.learning.history import History, RunningMeans
from trama.learning.policy import Policy, PolicySizes
from trama.learning.replay import ReplayBuffer
from trama.networks.agent import AgentHistory


def test_predictor_accuracy_by_hand() -> None:
    replay = ReplayBuffer(make_spec(2, 1, 1, 2, episode_limit=3, n_tasks=1), 2, 1)
    # Episode 0, label 1: right by both agents, one, none. Episode 1, label 0: right by one.
    replay.length[:2], replay.label[:2] = [3, 1], [1, 0]
    replay.classes[0, :4] = [[1, 1], [1, 0], [2, 0], [1, 1]]  # the last row is nobody's
    replay.classes[1, :2] = [[0, 2], [0, 0]]
    found = predictor_accuracy(replay.batch(np.array([0, 1]), CPU))
    assert found.overall == pytest.approx((1 + 0.5 + 0 + 0.5) / 4)
    assert found.balanced == pytest.approx((0.5 + 0.5) / 2)
    assert found.by_step.tolist() == pytest.approx([0.75, 0.5, 0.0])
    replay.label[0] = 2
    found = predictor_accuracy(replay.batch(np.array([1, 0]), CPU))
    assert found.overall == pytest.approx((0 + 0 + 0.5 + 0.5) / 4)
    assert found.balanced == pytest.approx((1 / 6 + 0.5) / 2)


def _policy(kind: str = "learned") -> Policy:
    torch.manual_seed(0)
    return Policy(PolicySizes(4, 3, 4, 8, 3, 7, kind, 6, 5))


def test_class_swap_of_a_policy_that_ignores_its_class() -> None:
    replay = played_replay(random_env(4), 12, seed=0, n_classes=3)
    policy = _policy()
    swap = class_swap(policy, replay, replay.finished, CPU)
    assert swap.overall_effect > 0 and swap.overall_actions >= 0
    with torch.no_grad():
        assert policy.class_representation is not None
        assert policy.class_representation.into_agent is not None
        policy.class_representation.into_agent.weight.zero_()
    swap = class_swap(policy, replay, replay.finished, CPU)
    assert (swap.overall_effect, swap.overall_actions) == (0.0, 0.0)
    assert not swap.effect.any() and not swap.actions.any()


@pytest.mark.parametrize("at_once", [1, 256])
def test_class_swap_by_hand(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trama.learning.replay.EPISODES_AT_ONCE", at_once)
    replay = ReplayBuffer(make_spec(2, 1, 1, 3, episode_limit=3, n_tasks=1), 3, 1)
    replay.length[:3] = [1, 2, 1]
    replay.available_actions[:3] = True
    # Slot 1: agent 0 uses classes 0 and 1; agent 1 has no choice at the first step.
    replay.classes[1, :3] = [[0, 0], [1, 1], [1, 1]]
    replay.available_actions[1, 0, 1] = [True, False, False]
    replay.available_actions[1, 1, 1] = [False, True, True]
    # Slot 0: class 2. Slot 2: nobody has a choice.
    replay.classes[0, :2] = 2
    replay.available_actions[2, :, :, 1:] = False
    torch.manual_seed(0)
    policy = Policy(PolicySizes(1, 2, 3, 4, 3))
    table = torch.tensor([[3.0, 0.0, 1.0], [2.0, 6.0, 5.0], [1.0, 4.0, 5.0]])
    policy.action_values = lambda history, classes, batch_sizes: table[classes]  # type: ignore[method-assign]
    swap = class_swap(policy, replay, np.array([1, 0, 2]), CPU)
    # Slot 1, first step, from class 0 to 1: |3-2|, |0-6|, |1-5|; to 2: |3-1|, |0-4|, |1-5|. Second
    # step, from 1 to 2: |2-1|, |6-4|, |5-5|; to 0: |2-3|, |6-0|, |5-1|; agent 1 without action 0.
    own = np.array([3.0, 0, 1, 2, 6, 5, 6, 5, *[1, 4, 5] * 2])
    changes = np.array([(1 + 6 + 4) + (1 + 2 + 0) + (2 + 0), (2 + 4 + 4) + (1 + 6 + 4) + (6 + 4)])
    # Slot 0, from class 2 to 0: |1-3|, |4-0|, |5-1|; to 1: |1-2|, |4-6|, |5-5|; of two agents.
    others = 2 * np.array([2 + 4 + 4, 1 + 2 + 0])
    expected = [changes.mean() / 8, others.mean() / 6, 0.0] / own.std(ddof=1)
    assert swap.effect.tolist() == pytest.approx(expected.tolist())
    together = (changes + others).mean() / 14 / own.std(ddof=1)
    assert swap.overall_effect == pytest.approx(together)
    # The best action is that of the class, whichever that is; in slot 1, of agent 1 too.
    assert swap.actions.tolist() == [1.0, 1.0, 0.0] and swap.overall_actions == 1.0
    table[2] = torch.tensor([1.0, 9.0, 5.0])  # classes 1 and 2 then have one best action
    swap = class_swap(policy, replay, np.array([1, 0, 2]), CPU)
    assert swap.actions.tolist() == pytest.approx([(1 / 3 + 1) / 2, 1 / 2, 0.0])
    assert swap.overall_actions == pytest.approx((1 + 1 / 2 * 2 + 1 / 2 * 2) / 5)


def test_one_class_has_no_other_to_swap_it_for() -> None:
    replay = played_replay(random_env(4), 12, seed=0)
    torch.manual_seed(0)
    swap = class_swap(Policy(PolicySizes(4, 3, 4, 8, 1)), replay, replay.finished, CPU)
    assert (swap.overall_effect, swap.overall_actions) == (0.0, 0.0)


def test_only_classes_in_use_are_swapped_and_measured() -> None:
    """As a policy that has room for no others would be."""
    replay = played_replay(random_env(4), 12, seed=0, n_classes=3)
    in_use = np.array([0, 2, 3])
    torch.manual_seed(0)
    policy = Policy(PolicySizes(4, 3, 4, 8, 5, 7, "one_hot"), some_classes=True)
    policy.use_classes(in_use)
    small = Policy(PolicySizes(4, 3, 4, 8, 3, 7, "one_hot"))
    weights = {name: w.clone() for name, w in policy.state_dict().items() if name != "in_use"}
    for name in ("predictor.head.weight", "predictor.head.bias"):
        weights[name] = weights[name][in_use]
    name = "class_representation.into_agent.weight"
    weights[name] = weights[name][:, in_use]
    small.load_state_dict(weights)
    expected = class_swap(small, replay, replay.finished, CPU)
    predicted = class_predictions(small, None, replay, replay.finished, CPU)
    replay.classes[:] = in_use[replay.classes]
    swap = class_swap(policy, replay, replay.finished, CPU)
    np.testing.assert_allclose(swap.effect, expected.effect, rtol=1e-5)
    np.testing.assert_allclose(swap.actions, expected.actions)
    found = class_predictions(policy, None, replay, replay.finished, CPU)
    np.testing.assert_allclose(found.step_probability[:, in_use], predicted.step_probability)
    assert not found.step_probability[:, [1, 4]].any()
    np.testing.assert_allclose(found.entropy, predicted.entropy)
    assert np.array_equal(found.most_frequent, in_use[predicted.most_frequent])


def _step_by_step(policy: Policy, replay: ReplayBuffer, slot: int) -> list[np.ndarray]:
    """Probabilities [A, K] that the agents of an episode predict, at each of its steps."""
    assert policy.predictor is not None
    hidden, last = torch.zeros(1, 3, 7), torch.full((1, 3), -1)
    found = []
    for step in range(replay.length[slot]):
        obs = torch.from_numpy(replay.obs[slot, step]).float()[None]
        logits, hidden = policy.predictor.step(AgentHistory.of(obs, last), hidden)
        found.append(logits.softmax(2)[0].detach().numpy())
        last = torch.from_numpy(replay.action[slot, step]).long()[None]
    return found


@pytest.mark.parametrize("at_once", [5, 256])
def test_class_predictions_are_those_of_the_living_agents(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trama.learning.replay.EPISODES_AT_ONCE", at_once)
    replay = played_replay(random_env(4), 12, seed=0, n_classes=3)
    policy = _policy()
    assert policy.predictor is not None
    with torch.no_grad():
        assert isinstance(policy.predictor.head, torch.nn.Linear)
        policy.predictor.head.weight *= 20  # distributions of all kinds
    slots = replay.finished[[7, 2, 9, 0, 11, 4, 5]]
    found = class_predictions(policy, None, replay, slots, CPU)
    steps: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(7)]
    for i, slot in enumerate(slots):
        seen = []
        for step, probability in enumerate(_step_by_step(policy, replay, slot)):
            living = replay.available_actions[slot, step].sum(1) > 1
            classes = np.eye(3)[replay.classes[slot, step][living]]
            entropy = -(probability * np.log(probability)).sum(1)[living] / np.log(3)
            seen.append((probability[living], classes, entropy, classes.sum(0).max() / sum(living)))
            steps[step].append(seen[-1])
        _, classes, entropy, agreement = zip(*seen, strict=True)
        assert found.most_frequent[i] == np.concatenate(classes).sum(0).argmax()
        assert found.entropy[i] == pytest.approx(np.concatenate(entropy).mean(), rel=1e-4)
        assert found.agreement[i] == pytest.approx(np.mean(agreement))
    longest = replay.length[slots].max()
    assert found.n_running.tolist() == [len(steps[t]) for t in range(longest)]
    for t in range(longest):
        *of_agents, agreement = zip(*steps[t], strict=True)
        probability, classes, entropy = (np.concatenate(part).mean(0) for part in of_agents)
        np.testing.assert_allclose(found.step_probability[t], probability, rtol=1e-4)
        np.testing.assert_allclose(found.step_share[t], classes)
        assert found.step_entropy[t] == pytest.approx(entropy, rel=1e-4)
        assert found.step_agreement[t] == pytest.approx(np.mean(agreement))


def test_agents_are_sure_of_a_single_class() -> None:
    """As those of an oracle on a problem with one task."""
    replay = played_replay(random_env(4), 6, seed=0, n_classes=1)
    policy = Policy(PolicySizes(4, 3, 4, 8, 1, 7, "learned", 6, 5))
    found = class_predictions(policy, None, replay, replay.finished, CPU)
    assert not found.entropy.any() and not found.step_entropy.any()
    assert (found.agreement == 1).all()


# --- warnings ------------------------------------------------------------------------------------

GOOD = {
    "predictor_loss": [1.1, 0.9, 0.5, 0.2],
    "silhouette": [0.1, 0.4],
    "class_swap_actions": [0.0, 0.0, 0.3],
}


def _warnings(n_classes: int = 3, **metrics: list[float]) -> dict[str, str]:
    history = History()
    for name, values in (GOOD | metrics).items():
        for value in values:
            history.add(name, value)
            history.add(name, 0.5, task="class 0")  # parts of a metric do not count
    return training_warnings(history, n_classes)


def test_a_good_training_has_no_warning() -> None:
    assert _warnings() == {}
    assert training_warnings(History(), 3) == {}


def test_predictor_that_does_not_learn() -> None:
    found = _warnings(predictor_loss=[1.1, 1.2, 1.1, 1.05])
    assert set(found) == {"predictor"}
    assert "1.10 at first, 1.05 now; guessing gives 1.10" in found["predictor"]
    assert _warnings(predictor_loss=[1.1, 1.1, 1.1]) == {}  # too early to tell
    low = 0.4 * math.log(3)
    assert _warnings(predictor_loss=[low] * 5) == {}  # it was good from the first


def test_overlapping_clusters() -> None:
    found = _warnings(silhouette=[0.5, 0.1, 0.19])
    assert set(found) == {"silhouette"} and "0.19" in found["silhouette"]
    assert _warnings(silhouette=[0.1]) == {}
    assert _warnings(silhouette=[0.1, 0.1, 0.21]) == {}


def test_class_that_changes_nothing() -> None:
    found = _warnings(
        class_swap_effect=[0.2, 0.0, 0.001, 0.004], class_swap_actions=[0.2, 0.0, 0.0, 0.003]
    )
    assert set(found) == {"class"}
    assert "0.4 % of their spread" in found["class"] and "0.3 %" in found["class"]
    assert _warnings(class_swap_effect=[0.0] * 2, class_swap_actions=[0.0] * 2) == {}
    assert _warnings(class_swap_effect=[0.0, 0.02, 0.0], class_swap_actions=[0.0] * 3) == {}


def test_all_at_once() -> None:
    found = _warnings(
        4,
        predictor_loss=[1.4] * 4,
        silhouette=[0.0, 0.0],
        class_swap_effect=[0.0] * 3,
        class_swap_actions=[0.0] * 3,
    )
    assert set(found) == {"predictor", "silhouette", "class"}


# --- the history ---------------------------------------------------------------------------------


def test_history_values_are_overall_and_in_order() -> None:
    history = History()
    history.at(10, 1, 2)
    history.add("q_mean", 1)
    history.add("q_mean", 2, task="a")
    history.add("q_mean", 3, step=0)
    history.at(20, 2, 4)
    history.add("q_mean", 4)
    history.add("td_loss", 5)
    assert history.values("q_mean") == [1.0, 4.0] and len(history) == 5
    assert history.values("epsilon") == []


def test_running_means() -> None:
    means = RunningMeans()
    first = torch.tensor(1.0)
    means.add({"a": first, "b": torch.tensor(10.0)})
    means.add({"a": torch.tensor(2.0)})
    means.add({"a": torch.tensor(6.0)})
    assert means.pop() == {"a": 3.0, "b": 10.0}
    assert float(first) == 1.0 and means.pop() == {}
