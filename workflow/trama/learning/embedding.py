"""Trajectory embeddings: what a whole episode looks like to the clustering."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from trama.learning.replay import ReplayBuffer, in_parts
from trama.learning.scaling import StateScaler
from trama.networks.packing import Packing
from trama.networks.vqvae import VQVAE

ROWS_AT_ONCE = 65_536
"""States that are quantised at a time; bounds the memory, changes no result."""


@dataclass(frozen=True)
class CodeUse:
    """How many states each code stands for, by true task and class of their trajectory.

    Arrays [n], one row per combination that occurs, in the order of code, task, label. `task` is
    for measuring only.
    """

    code: np.ndarray
    task: np.ndarray
    label: np.ndarray
    count: np.ndarray

    @property
    def n_codes(self) -> int:
        """Different codes in use."""
        return len(np.unique(self.code))


class TrajectoryEmbedding(nn.Module):
    """Mean over an episode's real steps: of its quantised vectors, or of its standardised states.

    Args:
        scaler: standardises states.
        vqvae: the quantiser; None for the representation `mean_state`.
    """

    def __init__(self, scaler: StateScaler, vqvae: VQVAE | None):
        super().__init__()
        self.scaler, self.vqvae = scaler, vqvae

    @property
    def size(self) -> int:
        """Size d of an embedding."""
        return self.scaler.size if self.vqvae is None else self.vqvae.code_dim

    @torch.no_grad()
    def forward(self, state: Tensor, packing: Packing) -> Tensor:
        """Embeddings [B, d], in the order of the packing, of raw states [R, S]."""
        current = packing.current
        rows = self.scaler(state[current])
        if self.vqvae is not None:
            rows = self.vqvae.codebook[self.vqvae.quantise(rows)[1]]
        episode = packing.episode[current]
        total = rows.new_zeros(packing.n_episodes, rows.shape[1]).index_add_(0, episode, rows)
        return total / torch.bincount(episode, minlength=packing.n_episodes).unsqueeze(1)

    def of_episodes(self, replay: ReplayBuffer, slots: np.ndarray) -> Tensor:
        """Embeddings [M, d], in their order, of the episodes `slots` [M] of a replay buffer."""
        device = self.scaler.mean.device
        result = torch.empty(len(slots), self.size, device=device)
        for where, batch in in_parts(slots, lambda part: replay.state_batch(part, device)):
            result[torch.from_numpy(where).to(device)] = self(batch.state, batch.packing)
        return result

    @torch.no_grad()
    def codes_in_use(self, state: Tensor) -> int:
        """How many codes are nearest to some raw state of [R, S]; 0 without a codebook."""
        return 0 if self.vqvae is None else len(torch.unique(self._codes(self.vqvae, state)))

    @torch.no_grad()
    def code_use(
        self, state: Tensor, episode: np.ndarray, task: np.ndarray, label: np.ndarray
    ) -> CodeUse:
        """Count the codes that raw states are quantised to; no rows without a codebook.

        Args:
            state: [R, S].
            episode: that each state is of, [R] indices into the following.
            task: true task of each episode, [B] ids.
            label: class of each episode, [B].
        """
        if self.vqvae is None:
            code = np.zeros(0, np.int64)
            return CodeUse(code, code, code, code)
        code = self._codes(self.vqvae, state).cpu().numpy()
        of_states = np.stack([code, task[episode], label[episode]])
        (code, task, label), count = np.unique(of_states, axis=1, return_counts=True)
        return CodeUse(code, task, label, count)

    def _codes(self, vqvae: VQVAE, state: Tensor) -> Tensor:
        """Nearest code [R] of raw states [R, S]."""
        parts = [vqvae.quantise(self.scaler(part))[1] for part in state.split(ROWS_AT_ONCE)]
        return torch.cat(parts)
