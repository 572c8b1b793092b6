"""Packed episodes: the rows of a batch in time-major order, without any padding.

A batch of B episodes, longest first, is laid out as all first steps, then all second steps, and so
on; step t holds a row for each episode that is still running. Half of a padded batch would be
padding, so every network and loss of the learner works on packed rows. It is the layout of
`torch.nn.utils.rnn.PackedSequence`.
"""

import copy

import numpy as np
import torch


class Packing:
    """Index arithmetic between episodes and packed rows.

    Args:
        lengths: number of rows of each episode, [B], in descending order, all at least 1.
    """

    def __init__(self, lengths: np.ndarray):
        if np.any(np.diff(lengths) > 0) or lengths[-1] < 1:
            raise ValueError("lengths must be positive and in descending order")
        self.n_episodes = len(lengths)
        self.n_steps = int(lengths[0])
        running = np.arange(self.n_steps)[:, None] < lengths[None, :]  # [T, B]
        step, episode = np.nonzero(running)
        self.batch_sizes: list[int] = running.sum(1).tolist()
        self.step = torch.from_numpy(step)
        """Time step of each row, [R]."""
        self.episode = torch.from_numpy(episode)
        """Episode of each row, [R]."""
        row = np.full((self.n_steps + 1, self.n_episodes), -1)
        row[:-1][running] = np.arange(len(step))
        following = row[step + 1, episode]
        self.current = torch.from_numpy(np.flatnonzero(following >= 0))
        """Rows that an episode goes on from, [R - B]."""
        self.following = torch.from_numpy(following[following >= 0])
        """For each of `current`, the row of the same episode one step later, [R - B]."""

    def to(self, device: torch.device) -> "Packing":
        """The same packing with its index tensors on `device`."""
        moved = copy.copy(self)
        for name in ("step", "episode", "current", "following"):
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    def __len__(self) -> int:
        return len(self.step)
