"""Standardised states: the statistics travel with the networks that use them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

NO_VARIANCE = 1e-12
"""A feature that varies less does not move: what is left of its variance is rounding."""
LEAST_RATIO = 1e-6
"""Features of a smaller correlation ratio are weighted by this one, which is as good as nothing."""


@dataclass(frozen=True)
class StateStatistics:
    """Mean and floored standard deviation of features of the state.

    Attributes:
        mean, std: [F] float32; where features are weighted, their standard deviations are divided
            by the weights.
        sums: [S, F] float32, one where an entry of the state adds to a feature; None where the
            features are the state's entries themselves.
    """

    mean: np.ndarray
    std: np.ndarray
    sums: np.ndarray | None = None

    @classmethod
    def identity(cls, state_size: int) -> "StateStatistics":
        """Statistics that leave states as they are."""
        return cls(np.zeros(state_size, np.float32), np.ones(state_size, np.float32))

    def weighted(self, correlation_ratio: np.ndarray) -> "StateStatistics":
        """Statistics that weight each feature by its correlation ratio [F].

        K-means follows whatever varies most. What changes during every trajectory, such as
        positions, says little of which kind a trajectory is, and counts for less then.
        """
        return replace(self, std=self.std / np.maximum(correlation_ratio, LEAST_RATIO))


def summed_features(features: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Features of a state that don't depend on the order of its units: sums over like units.

    Units are alike that differ in name by their number alone: `ally_0_x` and `ally_1_x` add to
    `ally_x`. Whatever has no number stays as it is.

    Args:
        features: names of the S entries of the state (`EnvSpec.state_features`).

    Returns:
        Names of the F sums, in the order of their first entries, and [S, F] float32 with a one
        where an entry adds to a sum.
    """
    names = [re.sub(r"_[0-9]+(?=_)", "", feature, count=1) for feature in features]
    sums = list(dict.fromkeys(names))
    return sums, np.array([[name == each for each in sums] for name in names], np.float32)


class StatisticsAccumulator:
    """Mean, standard deviation and correlation ratio over trajectories that arrive in pieces.

    Args:
        state_size: S.
        std_floor: smallest standard deviation of the result: a feature that (almost) never moves
            is not blown up.
    """

    def __init__(self, state_size: int, std_floor: float):
        self.count = 0
        self.std_floor = std_floor
        self._sum = np.zeros(state_size)
        self._squares = np.zeros(state_size)
        self._between = np.zeros(state_size)
        self._shift: np.ndarray | None = None

    def add(self, states: np.ndarray, length: np.ndarray) -> None:
        """Add rows [M, S]: trajectories one after the other, of `length` [B] rows each."""
        if self._shift is None:
            self._shift = states[0].astype(np.float64)
        centred = states - self._shift  # keeps the sum of squares free of cancellation
        self.count += len(states)
        self._sum += centred.sum(0)
        self._squares += (centred**2).sum(0)
        totals = np.add.reduceat(centred, np.cumsum(length) - length, axis=0)
        self._between += (totals**2 / length[:, None]).sum(0)

    def result(self) -> StateStatistics:
        """Statistics of all rows so far; at least one row must have been added."""
        if self._shift is None:
            raise ValueError("no states were added")
        mean = self._sum / self.count
        variance = np.maximum(self._squares / self.count - mean**2, 0.0)
        return StateStatistics(
            mean=(mean + self._shift).astype(np.float32),
            std=np.maximum(np.sqrt(variance), self.std_floor).astype(np.float32),
        )

    def correlation_ratio(self) -> np.ndarray:
        """Root of the share of each feature's variance that lies between trajectories, [S] float32.

        By the law of total variance: that of the trajectories' means, each weighted by its rows,
        over that of all rows. 1: a feature that stands still within every trajectory; 0: one of
        the same mean in all, or that never moves.
        """
        mean = self._sum / max(self.count, 1)
        total = self._squares / max(self.count, 1) - mean**2
        between = self._between / max(self.count, 1) - mean**2
        moves = total > NO_VARIANCE
        share = np.where(moves, between / np.where(moves, total, 1.0), 0.0)
        return np.sqrt(share.clip(0.0, 1.0)).astype(np.float32)


class StateScaler(nn.Module):
    """(x - mean) / std of the state, or of its sums, as buffers: a saved network carries them."""

    mean: Tensor
    std: Tensor
    sums: Tensor | None

    def __init__(self, statistics: StateStatistics):
        super().__init__()
        self.register_buffer("mean", torch.tensor(statistics.mean))
        self.register_buffer("std", torch.tensor(statistics.std))
        sums = statistics.sums
        self.register_buffer("sums", None if sums is None else torch.tensor(sums))

    @property
    def size(self) -> int:
        """Number F of features."""
        return len(self.mean)

    def forward(self, state: Tensor) -> Tensor:
        """Scale raw states [R, S] to [R, F]."""
        if self.sums is not None:
            state = state @ self.sums
        return (state - self.mean) / self.std
