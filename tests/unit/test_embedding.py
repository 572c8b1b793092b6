"""Trajectory embeddings by hand."""

import numpy as np
import pytest
import torch

from fakes import CPU, played_replay, random_env
from trama.config.model import Pretrain, Representation
from trama.learning.embedding import TrajectoryEmbedding
from trama.learning.scaling import StateScaler, StateStatistics
from trama.networks.packing import Packing
from trama.networks.vqvae import VQVAE

STATISTICS = StateStatistics(np.array([1.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))
# Two episodes, of two steps and of one; the last row of each is an observation without an action.
PACKING = Packing(np.array([3, 2]))
STATE = torch.tensor([[1.0, 4.0], [3.0, -2.0], [5.0, 0.0], [99.0, 99.0], [99.0, -99.0]])


def test_mean_state_leaves_the_last_observation_out() -> None:
    embedding = TrajectoryEmbedding(StateScaler(STATISTICS), None)
    # standardised: (0, 4), (2, 0) for the first, (1, -2) for the second
    assert embedding(STATE, PACKING).tolist() == [[1.0, 2.0], [1.0, -2.0]]
    assert (embedding.size, embedding.codes_in_use(STATE)) == (2, 0)


def _quantised() -> TrajectoryEmbedding:
    representation = Representation(n_codes=3, code_dim=2, coverage="none")
    vqvae = VQVAE(2, representation, Pretrain(hidden_size=4))
    vqvae.encoder = torch.nn.Sequential(torch.nn.Identity())
    vqvae.codebook = torch.nn.Parameter(torch.tensor([[0.0, 3.0], [2.0, 1.0], [0.0, -50.0]]))
    return TrajectoryEmbedding(StateScaler(STATISTICS), vqvae)


def test_mean_of_the_quantised_vectors() -> None:
    embedding = _quantised()
    # nearest codes: 0 and 1 for the first, 1 for the second
    assert embedding(STATE, PACKING).tolist() == [[1.0, 2.0], [2.0, 1.0]]
    assert embedding.size == 2
    assert not embedding(STATE, PACKING).requires_grad


def test_codes_in_use() -> None:
    embedding = _quantised()
    assert embedding.codes_in_use(STATE[:3]) == 2
    assert embedding.codes_in_use(STATE[1:2]) == 1
    assert embedding.codes_in_use(STATE) == 3  # the far row is nearest to the third


def test_codes_by_task_and_class() -> None:
    episode = np.array([0, 0, 1, 2, 2])
    use = _quantised().code_use(STATE, episode, np.array([5, 4, 5]), np.array([1, 0, 1]))
    # nearest codes of the rows: 0, 1, 1, 0, 2
    rows = np.stack([use.code, use.task, use.label, use.count], axis=1)
    assert rows.tolist() == [[0, 5, 1, 2], [1, 4, 0, 1], [1, 5, 1, 1], [2, 5, 1, 1]]
    assert use.n_codes == 3
    none = TrajectoryEmbedding(StateScaler(STATISTICS), None)
    unused = none.code_use(STATE, episode, np.zeros(3, int), np.zeros(3, int))
    assert (unused.n_codes, len(unused.count)) == (0, 0)


@pytest.mark.parametrize("quantised", [True, False])
def test_an_episode_has_the_same_embedding_in_any_batch(quantised: bool) -> None:
    torch.manual_seed(0)
    replay = played_replay(random_env(4), 12, seed=0)
    size = replay.state.shape[2]
    statistics = StateStatistics(np.zeros(size, np.float32), np.ones(size, np.float32))
    vqvae = VQVAE(size, Representation(n_codes=20), Pretrain()) if quantised else None
    embedding = TrajectoryEmbedding(StateScaler(statistics), vqvae)
    together = replay.state_batch(replay.finished, CPU)
    embedded = embedding(together.state, together.packing)
    for row, slot in enumerate(together.slots):
        alone = replay.state_batch(np.array([slot]), CPU)
        torch.testing.assert_close(embedding(alone.state, alone.packing)[0], embedded[row])
        states = torch.from_numpy(replay.state[slot, : replay.length[slot]])
        if vqvae is not None:
            states = vqvae.codebook.detach()[vqvae.quantise(states)[1]]
        torch.testing.assert_close(embedded[row], states.mean(0))
