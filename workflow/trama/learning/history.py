"""What a run logs: tidy rows, one measured number each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trama.data.parquet import Provenance, write_table
from trama.learning.rollout import Episodes


class History:
    """Rows (env steps, update, episode, metric, task, step, value) in the order of measuring."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, int, int, str, str | None, int | None, float]] = []
        self._now = (0, 0, 0)

    def __len__(self) -> int:
        return len(self._rows)

    def at(self, env_steps: int, update: int, episode: int) -> None:
        """Set the counters that the next rows carry."""
        self._now = (env_steps, update, episode)

    def add(
        self, metric: str, value: float, task: str | None = None, step: int | None = None
    ) -> None:
        """Log one number."""
        self._rows.append((*self._now, metric, task, step, float(value)))

    def add_episodes(self, prefix: str, episodes: Episodes, tasks: tuple[str, ...]) -> None:
        """Log return and win rate of episodes, all together and for each task that was played."""
        everything = np.ones(len(episodes.task), dtype=bool)
        groups: list[tuple[str | None, np.ndarray]] = [(None, everything)]
        groups += [(name, episodes.task == number) for number, name in enumerate(tasks)]
        for name, chosen in groups:
            if chosen.any():
                self.add(f"{prefix}_return", episodes.episode_return[chosen].mean(), name)
                self.add(f"{prefix}_win_rate", episodes.won[chosen].mean(), name)

    def values(self, metric: str) -> list[float]:
        """All values of a metric over all tasks and steps, oldest first."""
        return [row[-1] for row in self._rows if row[3:6] == (metric, None, None)]

    def state_dict(self) -> dict[str, Any]:
        """All rows so far."""
        return {"rows": list(self._rows), "now": self._now}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` saved."""
        self._rows, self._now = list(state["rows"]), state["now"]

    def write(self, path: Path, provenance: Provenance) -> None:
        """Write the rows as a `history` file."""
        names = ("env_steps", "update", "episode", "metric", "task", "step", "value")
        columns = dict(zip(names, map(list, zip(*self._rows, strict=True)), strict=True))
        write_table(path, "history", columns, provenance)


class RunningMeans:
    """Means of scalar tensors between two moments; the device is asked only when they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, scalars: dict[str, Tensor]) -> None:
        """Add one value of each named scalar."""
        for name, value in scalars.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value.clone()
            self._counts[name] = self._counts.get(name, 0) + 1

    def pop(self) -> dict[str, float]:
        """Return the means and start afresh."""
        with torch.no_grad():
            means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        self._sums.clear()
        self._counts.clear()
        return means

    def state_dict(self) -> dict[str, Any]:
        """The sums so far."""
        sums = {name: total.detach() for name, total in self._sums.items()}
        return {"sums": sums, "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Become what `state_dict` saved, on the device that the scalars come from."""
        self._sums = {name: total.to(device) for name, total in state["sums"].items()}
        self._counts = dict(state["counts"])
