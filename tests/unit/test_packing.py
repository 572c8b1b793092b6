"""Packed rows of episodes: hand-written index tables."""

import numpy as np
import pytest
import torch

from trama.networks.packing import Packing


def test_index_tables() -> None:
    packing = Packing(np.array([4, 2, 2, 1]))
    assert packing.batch_sizes == [4, 3, 1, 1]
    assert (packing.n_episodes, packing.n_steps, len(packing)) == (4, 4, 9)
    assert packing.step.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 3]
    assert packing.episode.tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 0]
    assert packing.current.tolist() == [0, 1, 2, 4, 7]
    assert packing.following.tolist() == [4, 5, 6, 7, 8]


def test_every_episode_can_be_followed_to_its_end() -> None:
    lengths = np.sort(np.random.default_rng(0).integers(1, 30, 20))[::-1]
    packing = Packing(lengths)
    after = dict(zip(packing.current.tolist(), packing.following.tolist(), strict=True))
    for episode, length in enumerate(lengths):
        row = episode  # of the first step
        for step in range(length):
            assert (int(packing.episode[row]), int(packing.step[row])) == (episode, step)
            row = after.pop(row, -1)
        assert row == -1
    assert not after


def test_same_layout_as_torch() -> None:
    lengths = np.array([5, 5, 3, 1])
    sequences = [torch.arange(length) * 10 + e for e, length in enumerate(lengths)]
    packed = torch.nn.utils.rnn.pack_sequence(sequences)
    packing = Packing(lengths)
    assert packed.batch_sizes.tolist() == packing.batch_sizes
    assert packed.data.tolist() == (packing.step * 10 + packing.episode).tolist()


def test_episodes_of_one_row_have_no_step_to_learn_from() -> None:
    packing = Packing(np.array([1, 1]))
    assert len(packing.current) == len(packing.following) == 0


@pytest.mark.parametrize("lengths", [[1, 2], [2, 0], [3, 2, 4]])
def test_wrong_order_and_empty_episodes_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="descending"):
        Packing(np.array(lengths))
