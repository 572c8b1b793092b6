"""Playing episodes: what is stored, and that short episodes do not count more."""

import numpy as np
import pytest
import torch

from fakes import CPU, RANDOM_SPEC, FakeEnv, RandomGame, random_env
from trama.learning.policy import Policy, PolicySizes
from trama.learning.replay import OBS_DTYPE, ReplayBuffer
from trama.learning.rollout import Episodes, Rollout, play_episodes
from trama.networks.agent import AgentHistory


def _policy(n_classes: int | None = 3, seed: int = 0, dropout: float = 0.0) -> Policy:
    torch.manual_seed(seed)
    return Policy(PolicySizes(4, 3, 4, 8, n_classes, 7, class_dropout=dropout))


class _Recorder(FakeEnv):
    """Keeps every whole episode of every environment, in order of ending."""

    def __init__(self, n_envs: int) -> None:
        super().__init__(RANDOM_SPEC, n_envs, RandomGame)
        self.resets: list[int] = []

    def reset(self, seed: int):  # type: ignore[no-untyped-def]
        self.resets.append(seed)
        self.open: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(self.n_envs)]
        self.ended: list[tuple[int, list[tuple[np.ndarray, ...]], float, bool, bool, int]] = []
        return super().reset(seed)

    def step(self, actions: np.ndarray):  # type: ignore[no-untyped-def]
        seen = self._observe()
        step = super().step(actions)
        for e in range(self.n_envs):
            self.open[e].append((seen.obs[e], seen.state[e], actions[e].copy(), step.reward[e]))
            if step.terminated[e] or step.truncated[e]:
                self.open[e].append((step.last.obs[e], step.last.state[e]))
                rewards = sum(float(row[3]) for row in self.open[e][:-1])
                flags = bool(step.won[e]), bool(step.terminated[e]), int(step.task[e])
                self.ended.append((e, self.open[e], rewards, *flags))
                self.open[e] = []
        return step


def test_what_happened_is_what_is_stored() -> None:
    env = _Recorder(3)
    replay = ReplayBuffer(env.spec, 50, 3)
    rollout = Rollout(env, _policy(), replay, CPU, torch.Generator().manual_seed(0))
    rollout.reset(7)
    slots: list[int] = []
    while len(slots) < 25:
        slots += rollout.step(epsilon=0.5).tolist()
    played = Episodes.of(replay, np.array(slots))
    for i, (_, rows, total, won, terminated, task) in enumerate(env.ended):
        slot, length = slots[i], len(rows) - 1
        assert (played.length[i], played.won[i], played.task[i]) == (length, won, task)
        assert played.episode_return[i] == pytest.approx(total)
        assert replay.terminated[slot] == terminated
        for step, row in enumerate(rows):
            np.testing.assert_array_equal(replay.obs[slot, step], row[0].astype(OBS_DTYPE))
            np.testing.assert_array_equal(replay.state[slot, step], row[1])
            if step < length:
                np.testing.assert_array_equal(replay.action[slot, step], row[2])


def test_the_policy_forgets_at_the_end_of_an_episode() -> None:
    """Replaying the stored episodes from a fresh state gives the actions that were taken."""
    env, policy = random_env(3), _policy(None)
    replay = ReplayBuffer(env.spec, 50, 3)
    rollout = Rollout(env, policy, replay, CPU, None)
    rollout.reset(1)
    while len(replay) < 20:
        rollout.step()
    batch = replay.batch(replay.finished, CPU)
    history = AgentHistory.of(batch.obs, batch.last_action)
    values = policy.action_values(history, batch.classes, batch.packing.batch_sizes)
    best = values.masked_fill(~batch.available_actions, -torch.inf).argmax(2)
    current = batch.packing.current
    assert torch.equal(best[current], batch.action[current])


@pytest.mark.parametrize(("n_envs", "n_episodes"), [(4, 4), (4, 10), (3, 1), (5, 12)])
def test_each_environment_plays_its_first_whole_episode_of_every_round(
    n_envs: int, n_episodes: int
) -> None:
    rounds = -(-n_episodes // n_envs)
    expected: list[tuple[int, int]] = []
    for number in range(rounds):
        for e in range(n_envs):
            game = RandomGame(np.random.default_rng([40 + number, e]))
            expected.append((game.length, game.task))
    env = _Recorder(n_envs)
    replay, slots = play_episodes(env, _policy(), n_episodes, 40, CPU)
    played = Episodes.of(replay, slots)
    assert len(set(slots.tolist())) == n_episodes
    assert list(zip(played.length, played.task, strict=True)) == expected[:n_episodes]
    assert env.resets == [40 + number for number in range(rounds)]


def test_episodes_are_not_biased_to_short_ones() -> None:
    replay, slots = play_episodes(random_env(50), _policy(), 400, 0, CPU)
    counts = np.bincount(replay.length[slots], minlength=8)[1:]
    assert np.abs(counts - 400 / 7).max() < 3.5 * np.sqrt(400 / 7)


def test_same_seed_same_episodes() -> None:
    def play(seed: int) -> list[bytes]:
        torch.manual_seed(np.random.default_rng().integers(1000))  # of no effect
        replay, slots = play_episodes(random_env(4), policy, 10, seed, CPU)
        batch = replay.batch(slots, CPU)
        fields = (batch.obs, batch.action, batch.classes, batch.reward)
        return [field.numpy().tobytes() for field in fields]

    policy = _policy()
    assert play(3) == play(3) != play(4)


def test_tests_use_the_argmax_class() -> None:
    policy = _policy()
    assert policy.predictor is not None
    replay, slots = play_episodes(random_env(4), policy, 8, 0, CPU)
    batch = replay.batch(slots, CPU)
    history = AgentHistory.of(batch.obs, batch.last_action)
    logits = policy.predictor(history, batch.packing.batch_sizes)
    current = batch.packing.current
    assert torch.equal(logits.argmax(2)[current], batch.classes[current])


def test_training_plays_a_share_of_the_episodes_without_a_class() -> None:
    """Whole episodes of all agents; tests play none so."""
    env, policy = random_env(8), _policy(dropout=0.3)
    replay = ReplayBuffer(env.spec, 700, 8)
    rollout = Rollout(env, policy, replay, CPU, torch.Generator().manual_seed(0))
    rollout.reset(1)
    while len(replay) < 600:
        rollout.step(epsilon=0.5)
    slots = replay.finished
    rows = np.arange(replay.rows) <= replay.length[slots][:, None]
    without = (replay.classes[slots] == policy.no_class)[rows]
    of_episode = np.repeat(replay.classes[slots, 0, 0] == 3, rows.sum(1))
    assert np.array_equal(without, np.repeat(of_episode[:, None], 3, axis=1))
    share = (replay.classes[slots, 0, 0] == 3).mean()
    assert share == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / 600))
    tested, played = play_episodes(random_env(8), policy, 40, 0, CPU)
    assert (tested.classes[played] < 3).all()


def test_episodes_of_given_classes_start_alike() -> None:
    """In rounds of four, of which the last is not whole; rows of an episode have its class."""
    policy = _policy()
    given = np.array([0, 1, 2, 2, 1, 0, 2, 1, 1, 0])
    replay, slots = play_episodes(random_env(4), policy, 10, 3, CPU, given)
    other, free = play_episodes(random_env(4), policy, 10, 3, CPU)
    for slot, number in zip(slots, given, strict=True):
        assert (replay.classes[slot, : replay.length[slot] + 1] == number).all()
    for name in ("obs", "state", "available_actions"):
        assert np.array_equal(getattr(replay, name)[slots, 0], getattr(other, name)[free, 0])
    # What is seen then does not depend on what the agents do.
    assert replay.length[slots].tolist() == other.length[free].tolist()
    again, same = play_episodes(random_env(4), policy, 10, 3, CPU, given)
    assert np.array_equal(replay.action[slots], again.action[same])
