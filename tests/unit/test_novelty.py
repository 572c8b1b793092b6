"""How novel episodes look, and agents that then use no class."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

from fakes import CPU, played_replay, random_env
from trama.learning import novelty as novelty_module
from trama.learning.diagnosis import class_predictions
from trama.learning.novelty import (
    RIDGE,
    SCORES,
    Fallback,
    Novelty,
    fit_novelty,
    fit_temperature,
    fit_thresholds,
    running_scores,
)
from trama.learning.policy import Policy, PolicySizes
from trama.learning.replay import ReplayBuffer
from trama.learning.rollout import play_episodes
from trama.networks.agent import AgentHistory, RecurrentNetwork

CLASSES = PolicySizes(4, 3, 4, 8, 3, 7, "learned", 6, 5)


def _predictor(policy: Policy) -> RecurrentNetwork:
    assert policy.predictor is not None
    return policy.predictor


def _policy(dropout: float = 0.0) -> Policy:
    """One whose predictor says different things."""
    torch.manual_seed(0)
    policy = Policy(replace(CLASSES, class_dropout=dropout))
    head = _predictor(policy).head
    with torch.no_grad():
        assert isinstance(head, torch.nn.Linear)
        head.weight *= 20
    return policy


def _replay(n_episodes: int = 40, seed: int = 0) -> ReplayBuffer:
    """Of episodes whose label is their task; of the first ones, nothing is known."""
    replay = played_replay(random_env(4), n_episodes, seed=seed, n_classes=3)
    replay.label[replay.finished[6:]] = replay.task[replay.finished[6:]]
    return replay


def _step_by_step(
    policy: Policy, replay: ReplayBuffer, slot: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits [T, A, K] and hidden states [T, A, H] in an episode, and who has a choice [T, A]."""
    predictor = _predictor(policy)
    hidden, last = torch.zeros(1, 3, predictor.hidden_size), torch.full((1, 3), -1)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for step in range(replay.length[slot]):
        obs = torch.from_numpy(replay.obs[slot, step]).float()[None]
        with torch.no_grad():
            logits, hidden = predictor.step(AgentHistory.of(obs, last), hidden)
        found.append((logits[0].double().numpy(), hidden[0].double().numpy()))
        last = torch.from_numpy(replay.action[slot, step]).long()[None]
    logits_of, hidden_of = (np.stack(part) for part in zip(*found, strict=True))
    living = replay.available_actions[slot, : replay.length[slot]].sum(2) > 1
    return logits_of, hidden_of, living


def test_the_temperature_is_the_one_that_made_the_labels() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40_000, 3)) * 4
    for temperature in (0.5, 2.5):
        cumulated = softmax(logits / temperature, axis=1).cumsum(1)
        label = (rng.random((len(logits), 1)) > cumulated).sum(1)
        assert fit_temperature(logits, label) == pytest.approx(temperature, rel=0.03)


def test_classes_that_are_out_of_use_have_no_part_in_the_scores() -> None:
    policy = Policy(CLASSES, some_classes=True)
    policy.use_classes(np.array([0, 2]))
    replay = played_replay(random_env(4), 12, seed=0, n_classes=3)
    replay.label[replay.finished] = 2 * (replay.task[replay.finished] > 0)
    novelty = fit_novelty(policy, replay, CPU)
    assert novelty is not None and len(novelty.means) == 2
    found = class_predictions(policy, novelty, replay, replay.finished, CPU)
    assert set(found.novelty) == {"confidence", "energy", "disagreement", "distance"}
    assert all(np.isfinite(scores).all() for scores in found.novelty.values())
    assert (found.novelty["confidence"] <= 0.5).all()  # of two classes


def test_scores_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a fit on the newest 25 labelled episodes, in others."""
    monkeypatch.setattr(novelty_module, "FITTED_EPISODES", 25)
    policy, replay = _policy(), _replay()
    novelty = fit_novelty(policy, replay, CPU)
    assert novelty is not None
    hidden, labels = [], []
    for slot in replay.finished[-25:]:
        _, of_episode, living = _step_by_step(policy, replay, slot)
        hidden.append(of_episode[living])
        labels += [replay.label[slot]] * living.sum()
    states, label = np.concatenate(hidden), np.array(labels)
    means = np.stack([states[label == k].mean(0) for k in range(3)])
    spread = states - means[label]
    covariance = spread.T @ spread / len(states)
    covariance += RIDGE * np.diag(covariance).mean() * np.eye(7)
    precision = np.linalg.inv(covariance)

    others = _replay(12, seed=1)
    slots = others.finished[[3, 9, 0, 7]]
    found = class_predictions(policy, novelty, others, slots, CPU)
    steps: dict[str, list[list[float]]] = {name: [[] for _ in range(7)] for name in SCORES}
    for i, slot in enumerate(slots):
        logits, hidden_of, living = _step_by_step(policy, others, slot)
        probability = softmax(logits / novelty.temperature, axis=2)
        gap = hidden_of[:, :, None] - means
        distance = np.sqrt(np.einsum("takh,hg,takg->tak", gap, precision, gap)).min(2)
        of_agents = {
            "confidence": 1 - probability.max(2),
            "energy": -logsumexp(logits, axis=2),
            "distance": distance,
        }
        for name in SCORES:
            of_steps = []
            for t, counts in enumerate(living):
                if name == "disagreement":
                    p = probability[t, counts]
                    entropies = -(p * np.log(p)).sum(1)
                    value = -(p.mean(0) * np.log(p.mean(0))).sum() - entropies.mean()
                else:
                    value = of_agents[name][t, counts].mean()
                of_steps.append(float(value))
                steps[name][t].append(of_steps[-1])
            assert found.novelty[name][i] == pytest.approx(np.mean(of_steps), rel=1e-4, abs=1e-6)
    for name in SCORES:
        expected = [np.mean(values) for values in steps[name] if values]
        np.testing.assert_allclose(found.step_novelty[name], expected, rtol=1e-4, atol=1e-6)
    assert class_predictions(policy, None, others, slots, CPU).novelty == {}


def test_without_a_label_there_are_no_scores() -> None:
    policy = _policy()
    empty = ReplayBuffer(random_env(4).spec, 8, 4)
    unlabelled = played_replay(random_env(4), 12, seed=0)
    for replay in (empty, unlabelled):
        assert fit_novelty(policy, replay, CPU) is None


def test_a_class_that_never_occurred_is_near_to_nothing() -> None:
    policy, replay = _policy(), _replay()
    replay.label[replay.label == 1] = 2
    novelty = fit_novelty(policy, replay, CPU)
    assert novelty is not None and novelty.means.shape == (2, 7)


def test_running_scores_are_means_of_what_an_agent_has_seen() -> None:
    policy, replay = _policy(), _replay()
    novelty = fit_novelty(policy, replay, CPU)
    assert novelty is not None
    slots = replay.finished[[8, 2, 5]]
    found = running_scores(novelty, policy, "energy", replay, slots, CPU)
    assert found.shape == (3, replay.rows, 3)
    for i, slot in enumerate(slots):
        logits, _, living = _step_by_step(policy, replay, slot)
        n_steps = len(logits)
        means = -logsumexp(logits, axis=2).cumsum(0) / np.arange(1, n_steps + 1)[:, None]
        np.testing.assert_allclose(found[i, :n_steps], np.where(living, means, np.nan), rtol=1e-4)
        assert np.isnan(found[i, n_steps:]).all()


def test_thresholds_are_quantiles_at_each_step_that_enough_agents_see() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(50, 4, 2)) + np.arange(4)[:, None]
    scores[:, 1, 0] = np.nan  # agent 0 has no choice at step 1
    scores[4:, 3] = np.nan  # 8 of 100 agents are left
    parts = [scores[:20], scores[20:]]
    assert fit_thresholds(parts, 0.9).tolist() == pytest.approx(
        [np.quantile(values[np.isfinite(values)], 0.9) for values in scores.swapaxes(0, 1)[:3]]
    )
    scores[:, 1] = np.nan
    assert len(fit_thresholds([scores], 0.5)) == 1


@pytest.mark.parametrize("score", ["confidence", "energy", "distance"])
def test_agents_use_no_class_at_the_steps_at_which_their_score_is_high(score: str) -> None:
    """As many as the quantile says where the thresholds come from such episodes."""
    policy = _policy(dropout=0.3)
    novelty = fit_novelty(policy, _replay(), CPU)
    assert novelty is not None
    of = (novelty, policy, score)
    calibration = play_episodes(random_env(8), policy, 80, 50, CPU)
    thresholds = fit_thresholds([running_scores(*of, *calibration, CPU)], 0.8)
    fallback = Fallback(novelty, score, torch.from_numpy(thresholds[:3]))
    replay, slots = play_episodes(random_env(8), policy, 80, 0, CPU, fallback=fallback)
    scores = running_scores(*of, replay, slots, CPU)
    steps = np.minimum(np.arange(replay.rows), 2)  # the last threshold stands for later steps
    novel = scores > thresholds[steps][:, None]
    counts = np.isfinite(scores)
    without = replay.classes[slots] == policy.no_class
    assert np.array_equal(without[counts], novel[counts])
    assert without[:, :3][counts[:, :3]].mean() == pytest.approx(0.2, abs=0.06)
    # The others use what they predict, and episodes start as without a fallback.
    free, same = play_episodes(random_env(8), policy, 80, 0, CPU)
    first = ~without[:, 0]
    assert np.array_equal(replay.classes[slots, 0][first], free.classes[same, 0][first])
    assert np.array_equal(replay.obs[slots, 0], free.obs[same, 0])
    assert replay.length[slots].tolist() == free.length[same].tolist()


def test_content_round_trip() -> None:
    novelty = fit_novelty(_policy(), _replay(), CPU)
    assert novelty is not None
    other = Novelty.of(novelty.content(), CPU)
    assert other.temperature == novelty.temperature
    assert torch.equal(other.whitening, novelty.whitening)
    assert torch.equal(other.means, novelty.means)
