"""The collected states as one matrix: all that pretrain and cluster need of the trajectories."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from trama.data.parquet import column_matrix, iter_batches
from trama.errors import TramaError
from trama.learning.embedding import TrajectoryEmbedding
from trama.networks.packing import Packing


@dataclass(frozen=True)
class TrajectoryStates:
    """Raw states of M trajectories; the last observations, on which nobody acts, are left out.

    Attributes:
        state: [rows, S] float32, trajectory by trajectory.
        reward: of each row's step, [rows] float32.
        start: first row of each trajectory, [M].
        length: steps of each trajectory, [M].
        task: true task of each trajectory, [M] names; for measuring only.
    """

    state: Tensor
    reward: np.ndarray
    start: np.ndarray
    length: np.ndarray
    task: np.ndarray

    def __len__(self) -> int:
        return len(self.length)

    def rows(self, trajectories: np.ndarray) -> tuple[Tensor, Packing, np.ndarray]:
        """States [R, S] of some trajectories as packed rows with one more row each, their last.

        Returns:
            States, packing, and the trajectories in the packing's order (longest first).
        """
        order = trajectories[np.argsort(-self.length[trajectories], kind="stable")]
        packing = Packing(self.length[order] + 1)
        # A trajectory's extra row repeats its last state: the packing counts T + 1 rows.
        step = np.minimum(packing.step.numpy(), self.length[order][packing.episode.numpy()] - 1)
        row = self.start[order][packing.episode.numpy()] + step
        return self.state[torch.from_numpy(row)], packing, order


def read_states(trajectories: Path, n_classes: int) -> TrajectoryStates:
    """Read the states of a trajectory file.

    Raises:
        TramaError: the file is missing or broken, holds no trajectory or fewer than `n_classes`, or
            a state that is not a finite number.
    """
    states, rewards, episodes, tasks = [], [], [], []
    for table in iter_batches(
        trajectories, "trajectories", ["episode", "state", "actions", "reward", "task"]
    ):
        acted = column_matrix(table, "actions")[:, 0] >= 0
        state = column_matrix(table, "state")
        if not np.isfinite(state).all():
            raise TramaError(
                f"{trajectories}: column state holds values that are not finite numbers. "
                "Delete the file and run the target `collect` again."
            )
        states.append(state[acted])
        rewards.append(table["reward"].to_numpy()[acted])
        episodes.append(table["episode"].to_numpy()[acted])
        tasks.append(table["task"].to_numpy()[acted])
    if not states:
        raise TramaError(f"{trajectories}: holds no trajectory. Raise collect.env_steps.")
    _, start, length = np.unique(np.concatenate(episodes), return_index=True, return_counts=True)
    if len(start) < n_classes:
        raise TramaError(
            f"{trajectories}: holds {len(start)} trajectories, which cannot fill {n_classes} "
            "classes. Raise collect.env_steps, or lower n_classes of the representation."
        )
    return TrajectoryStates(
        torch.from_numpy(np.concatenate(states)),
        np.concatenate(rewards),
        start,
        length,
        np.concatenate(tasks)[start].astype(str),
    )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the name of the file that is to blame before the message of a `TramaError`."""
    try:
        yield
    except TramaError as error:
        raise TramaError(f"{path}: {error}") from error


def embed_trajectories(
    data: TrajectoryStates,
    embedding: TrajectoryEmbedding,
    trajectories: np.ndarray,
    device: torch.device,
    batch_size: int = 256,
) -> np.ndarray:
    """Embeddings [M, d] float32 of the given trajectories [M], in their order."""
    result = np.empty((len(trajectories), embedding.size), np.float32)
    for start in range(0, len(trajectories), batch_size):
        part = trajectories[start : start + batch_size]
        state, packing, order = data.rows(part)
        sorter = np.argsort(part, kind="stable")
        place = sorter[np.searchsorted(part, order, sorter=sorter)]
        embedded = embedding(state.to(device), packing.to(device))
        result[start + place] = embedded.cpu().numpy()
    return result
