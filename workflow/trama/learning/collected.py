"""The episodes of stage collect as the beginning of a replay buffer."""

from pathlib import Path

import numpy as np

from trama.data.parquet import column_matrix, iter_batches
from trama.environments.base import EnvSpec
from trama.errors import TramaError
from trama.learning.replay import ReplayBuffer

_FLAGS = ("terminated", "won")


def insert_collected(replay: ReplayBuffer, trajectories: Path, spec: EnvSpec) -> np.ndarray:
    """Add the newest collected episodes, as many as the buffer holds; return their slots.

    The class that their agents used is 0: nobody told them any, see `ReplayBuffer.tell_labels`.

    Raises:
        TramaError: the file is missing or broken, holds no episode, or another problem's.
    """
    n_episodes = count_collected(trajectories)
    oldest = n_episodes - replay.capacity
    parts: dict[str, list[np.ndarray]] = {}
    for table in iter_batches(trajectories, "trajectories"):
        kept = table["episode"].to_numpy() >= oldest
        if not kept.any():
            continue
        table = table.filter(kept)
        n_rows, action = len(table), column_matrix(table, "actions")
        rows = {
            "episode": table["episode"].to_numpy(),
            "task": table["task"].to_numpy(zero_copy_only=False).astype(str),
            "obs": column_matrix(table, "obs").reshape(n_rows, spec.n_agents, -1),
            "state": column_matrix(table, "state"),
            "available_actions": column_matrix(table, "available_actions").reshape(
                n_rows, spec.n_agents, -1
            ),
            "action": np.maximum(action, 0),
            "classes": np.zeros_like(action),
            "reward": table["reward"].to_numpy(),
            **{name: table[name].to_numpy() for name in _FLAGS},
        }
        for name, values in rows.items():
            parts.setdefault(name, []).append(values)
    rows = {name: np.concatenate(values) for name, values in parts.items()}
    _check(trajectories, rows, spec)
    _, start, n_rows_of = np.unique(rows.pop("episode"), return_index=True, return_counts=True)
    task_of = {name: number for number, name in enumerate(spec.tasks)}
    task = np.array([task_of[name] for name in rows.pop("task")[start]])
    # The step that ends an episode is its last but one row.
    ended = start + n_rows_of - 2
    terminated, won = (rows.pop(name)[ended] for name in _FLAGS)
    return replay.insert(rows, n_rows_of, terminated, won, task)


def count_collected(trajectories: Path) -> int:
    """The number of collected episodes.

    Raises:
        TramaError: the file is missing or broken, or holds no episode.
    """
    last = -1
    for table in iter_batches(trajectories, "trajectories", ["episode"]):
        last = table["episode"][-1].as_py()
    if last < 0:
        raise TramaError(f"{trajectories}: holds no trajectory. Raise collect.env_steps.")
    return int(last) + 1


def _check(trajectories: Path, rows: dict[str, np.ndarray], spec: EnvSpec) -> None:
    """Sizes and tasks are those of the environment."""
    expected = {
        "obs": (spec.n_agents, spec.obs_size),
        "state": (spec.state_size,),
        "available_actions": (spec.n_agents, spec.n_actions),
        "action": (spec.n_agents,),
    }
    found = {name: rows[name].shape[1:] for name in expected}
    unknown = sorted(set(rows["task"]) - set(spec.tasks))
    if found != expected or unknown:
        what = f"tasks {unknown}" if unknown else f"sizes {found}, expected {expected}"
        raise TramaError(
            f"{trajectories}: the episodes are of another problem ({what}). "
            "Delete the file and run the target `collect` again."
        )
