"""Replay buffer: slots, rows and flags, against episodes written by hand."""

from dataclasses import fields

import numpy as np
import pytest
import torch

from fakes import CPU, RANDOM_SPEC, make_spec, played_replay, random_env
from trama.environments.base import Observation
from trama.learning.replay import NO_LABEL, ReplayBuffer

SPEC = make_spec(2, 1, 1, 3, episode_limit=4, n_tasks=2)


class _Writer:
    """Writes numbered rows into a buffer: each one's observation is its running number."""

    def __init__(self, capacity: int, n_envs: int) -> None:
        self.replay = ReplayBuffer(SPEC, capacity, n_envs)
        self.n_envs, self.number = n_envs, 0

    def observation(self) -> Observation:
        numbers = self.number + np.arange(self.n_envs, dtype=np.float32)
        self.number += self.n_envs
        return Observation(
            np.repeat(numbers, 2).reshape(-1, 2, 1),
            numbers[:, None] * 10,
            np.ones((self.n_envs, 2, 3), bool),
        )

    def step(self, *ended: int, terminated: bool = True, task: int = 0) -> list[int]:
        """One step of all environments; those in `ended` finish. Actions are the step's number."""
        seen = self.observation()
        action = np.stack([self.replay.length[self.replay.running] % 3] * 2, 1)
        reward = seen.state[:, 0] / 100
        self.replay.write(seen, action, (action + 1) % 3, reward)
        flags = np.full(self.n_envs, terminated)
        if not ended:
            return []
        tasks = np.full(self.n_envs, task)
        slots = self.replay.finish(np.array(ended), self.observation(), flags, flags, tasks)
        return slots.tolist()


def test_rows_of_an_episode() -> None:
    writer = _Writer(capacity=3, n_envs=1)
    writer.step()  # row 0
    writer.step()  # row 1
    (slot,) = writer.step(0, task=1)  # row 2, last observation row 3
    batch = writer.replay.batch(np.array([slot]), CPU)
    assert batch.obs[:, :, 0].tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert batch.state.tolist() == [[0], [10], [20], [30]]
    assert batch.last_action.tolist() == [[-1, -1], [0, 0], [1, 1], [2, 2]]
    assert batch.action.tolist() == [[0, 0], [1, 1], [2, 2], [0, 0]]
    assert batch.classes.tolist() == [[1, 1], [2, 2], [0, 0], [0, 0]]
    np.testing.assert_allclose(batch.reward, [0, 0.1, 0.2, 0])
    assert batch.terminated.tolist() == [False, False, True, False]
    assert batch.label.tolist() == [NO_LABEL]
    assert (writer.replay.length[slot], writer.replay.task[slot]) == (3, 1)
    assert batch.last_action.dtype == batch.action.dtype == batch.classes.dtype == torch.int64


def test_a_truncated_episode_is_not_terminated() -> None:
    writer = _Writer(capacity=3, n_envs=1)
    writer.step()
    (slot,) = writer.step(0, terminated=False)
    assert not writer.replay.batch(np.array([slot]), CPU).terminated.any()


def test_the_newest_episodes_stay_and_running_ones_are_never_drawn() -> None:
    writer = _Writer(capacity=3, n_envs=2)
    order: list[int] = []
    firsts: dict[int, float] = {}
    for number in range(40):
        ended = [e for e in range(2) if (number + 2 * e) % (2 + e) == 0]
        order += writer.step(*ended, task=number % 2)
        replay = writer.replay
        newest = replay.finished.tolist()
        assert newest == order[-3:]
        assert len(set(newest) | set(replay.running.tolist())) == len(newest) + 2
        for slot in newest[-len(ended) :] if ended else []:
            firsts[slot] = float(replay.state[slot, 0, 0])
        for slot in newest:
            assert replay.state[slot, 0, 0] == firsts[slot]  # not written over
        if len(newest) == 3:
            drawn = replay.sample(3, np.random.default_rng(number), CPU).slots
            assert sorted(drawn) == sorted(newest)
    assert max(order) < 5  # capacity and running: no slot beyond


def test_a_reused_slot_forgets_its_episode() -> None:
    writer = _Writer(capacity=1, n_envs=1)
    writer.step()
    writer.step()
    (old,) = writer.step(0, terminated=True)
    writer.replay.label[old] = 2
    (other,) = writer.step(0, terminated=False)
    (new,) = writer.step(0, terminated=False)
    assert new == old != other
    batch = writer.replay.batch(np.array([new]), CPU)
    assert batch.label.tolist() == [NO_LABEL]
    assert not batch.terminated.any() and not writer.replay.won[new]
    assert len(batch.packing) == 2


def test_uniform_draws_without_repetition() -> None:
    replay = played_replay(random_env(4), 20, seed=0, capacity=10)
    rng = np.random.default_rng(0)
    counts = np.zeros(14)
    for _ in range(800):
        slots = replay.sample(4, rng, CPU).slots
        assert len(set(slots.tolist())) == 4
        counts[slots] += 1
    assert set(np.flatnonzero(counts)) == set(replay.finished.tolist())
    assert np.abs(counts[replay.finished] - 320).max() < 60  # 4.3 standard deviations


def test_batch_is_longest_first_and_says_where_its_episodes_lie() -> None:
    replay = played_replay(random_env(4), 30, seed=1)
    slots = replay.finished[[5, 2, 9, 0, 7, 11]]
    replay.label[slots] = np.arange(6)
    batch = replay.batch(slots, CPU)
    assert sorted(batch.slots) == sorted(slots)
    assert np.array_equal(replay.label[batch.slots], batch.label.numpy())
    lengths = replay.length[batch.slots]
    assert (np.diff(lengths) <= 0).all() and len(set(lengths.tolist())) > 2
    for row in range(len(batch.packing)):
        slot = int(batch.slots[batch.packing.episode[row]])
        step = int(batch.packing.step[row])
        for name in ("obs", "state", "available_actions", "action", "classes", "reward"):
            stored = getattr(replay, name)[slot, step]
            np.testing.assert_array_equal(getattr(batch, name)[row].numpy(), stored)
        if step:
            before = replay.action[slot, step - 1]
            np.testing.assert_array_equal(batch.last_action[row].numpy(), before)
        last = step == replay.length[slot] - 1
        assert bool(batch.terminated[row]) == (last and bool(replay.terminated[slot]))
    assert len(batch.packing.current) == lengths.sum()


def test_state_batch_holds_the_same_states() -> None:
    replay = played_replay(random_env(3), 12, seed=2)
    slots = replay.finished[:7]
    batch, states = replay.batch(slots, CPU), replay.state_batch(slots, CPU)
    assert np.array_equal(batch.slots, states.slots)
    assert torch.equal(batch.state, states.state)
    assert torch.equal(batch.packing.episode, states.packing.episode)


def test_batches_from_the_copy_are_those_of_the_buffer() -> None:
    buffers = [
        played_replay(random_env(4), 40, seed=3, capacity=12, n_classes=2, copy_on=device)
        for device in (None, CPU)
    ]
    for replay in buffers:
        replay.label[replay.finished[::2]] = 1
    own, copied = (replay.batch(replay.finished, CPU) for replay in buffers)
    for field in fields(own):
        expected, found = getattr(own, field.name), getattr(copied, field.name)
        if isinstance(expected, torch.Tensor):
            assert torch.equal(expected, found), field.name
    buffers[1].obs[:] = 0  # drawn from the copy, not from here
    assert torch.equal(buffers[1].batch(copied.slots, CPU).obs, own.obs)


@pytest.mark.parametrize("copy_on", [None, CPU], ids=["host", "copy"])
@pytest.mark.parametrize("first", [0, 3])
def test_saved_in_parts_and_loaded(copy_on: torch.device | None, first: int) -> None:
    """The first parts hold episodes that have left the buffer since."""
    replay = played_replay(random_env(4), 40, seed=3, capacity=12, copy_on=copy_on)
    total = replay.n_finished
    cut = total - 7
    parts = [(total - 12, replay.episodes(total - 12)), (cut, replay.episodes(cut))]
    parts[0] = (parts[0][0] - first, _with_gone_episodes(parts[0][1], first, total - 12, cut))
    other = ReplayBuffer(RANDOM_SPEC, 12, 4, copy_on)
    other.load_state_dict(replay.state_dict())
    for number, episodes in parts:
        other.load_episodes(number, episodes)
    expected, found = (buffer.batch(replay.finished, CPU) for buffer in (replay, other))
    for field in fields(expected):
        one, two = getattr(expected, field.name), getattr(found, field.name)
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, two), field.name
    for name in ("obs", "state", "action", "reward"):  # those under way go on
        for slot in replay.running:
            rows = slice(int(replay.length[slot]))
            assert np.array_equal(
                getattr(replay, name)[slot, rows], getattr(other, name)[slot, rows]
            )
    assert other._free == replay._free and other.n_finished == total


def _with_gone_episodes(
    episodes: dict[str, torch.Tensor], gone: int, first: int, stop: int
) -> dict[str, torch.Tensor]:
    """The first `stop - first` episodes of a part, behind as many older ones of two rows each."""
    kept = episodes["n_rows"][: stop - first]
    rows = int(kept.sum())
    parts = {"n_rows": torch.cat([torch.full((gone,), 2), kept])}
    for name, field in episodes.items():
        if name != "n_rows":
            parts[name] = torch.cat([torch.ones_like(field[: 2 * gone]), field[:rows]])
    return parts


def test_discarding_the_running_episodes() -> None:
    writer = _Writer(capacity=3, n_envs=2)
    writer.step(1)
    writer.step()
    writer.replay.discard_running()
    kept = writer.replay.finished.tolist()
    slots = writer.step(0, 1)
    assert writer.replay.length[slots].tolist() == [1, 1]
    assert writer.replay.finished.tolist() == kept + slots


def test_dropped_episodes_free_their_slot() -> None:
    writer = _Writer(capacity=2, n_envs=1)
    for _ in range(20):
        (slot,) = writer.step(0)
        writer.replay.drop(slot)
        assert len(writer.replay) == 0
    with pytest.raises(ValueError, match="not in list"):
        writer.replay.drop(slot)


def test_rows_beyond_an_episode_are_never_read() -> None:
    replay = played_replay(random_env(4), 20, seed=3)
    slots = replay.finished[:8]
    before = replay.batch(slots, CPU)
    for slot in range(len(replay.length)):
        beyond = slice(int(replay.length[slot]) + 1, None)
        for field in (replay.obs, replay.state, replay.reward):
            field[slot, beyond] = np.nan
        for choices in (replay.action, replay.classes):
            choices[slot, beyond] = 77
    after = replay.batch(slots, CPU)
    for name in ("obs", "state", "action", "last_action", "classes", "reward"):
        assert torch.equal(getattr(before, name), getattr(after, name))
