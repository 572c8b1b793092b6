"""Standardised states (METHOD section 2): the statistics travel with the networks that use them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class StateStatistics:
    """Mean and floored standard deviation of each state feature, [S] float32."""

    mean: np.ndarray
    std: np.ndarray


class StatisticsAccumulator:
    """Mean and standard deviation over rows that arrive in pieces.

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
        self._shift: np.ndarray | None = None

    def add(self, states: np.ndarray) -> None:
        """Add rows [M, S]."""
        if self._shift is None:
            self._shift = states[0].astype(np.float64)
        centred = states - self._shift  # keeps the sum of squares free of cancellation
        self.count += len(states)
        self._sum += centred.sum(0)
        self._squares += (centred**2).sum(0)

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


class StateScaler(nn.Module):
    """(s - mean) / std, as buffers, so that a saved network carries its own scaling."""

    mean: Tensor
    std: Tensor

    def __init__(self, statistics: StateStatistics):
        super().__init__()
        self.register_buffer("mean", torch.tensor(statistics.mean))
        self.register_buffer("std", torch.tensor(statistics.std))

    def forward(self, state: Tensor) -> Tensor:
        return (state - self.mean) / self.std
