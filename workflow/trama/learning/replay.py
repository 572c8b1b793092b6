"""Replay buffer of whole episodes, and packed batches drawn from it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from trama.environments.base import EnvSpec, Observation
from trama.networks.packing import Packing

NO_LABEL = -1
OBS_DTYPE = np.float16
"""What observations are rounded to, before agents act on them and in the buffer."""
EPISODES_AT_ONCE = 256
"""Episodes that `in_parts` reads at a time; bounds the memory, changes no result."""
_EPISODE_FIELDS = ("terminated", "won", "length", "label", "task")
_ROW_FIELDS = ("obs", "state", "available_actions", "action", "classes", "reward")


@dataclass(frozen=True)
class Batch:
    """B episodes as packed rows; an episode of T steps has T + 1 rows (the last observation too).

    Shapes: R rows, A agents, U actions. `packing.current` are the rows in which the agents acted.
    """

    packing: Packing
    obs: Tensor  # [R, A, O] float32
    state: Tensor  # [R, S] float32, as the environment gave it
    available_actions: Tensor  # [R, A, U] bool
    last_action: Tensor  # [R, A] int64, -1 in the first row
    action: Tensor  # [R, A] int64, 0 in the final row
    classes: Tensor  # [R, A] int64: the trajectory class that the agent used
    reward: Tensor  # [R] float32, of the step that starts in the row
    terminated: Tensor  # [R] bool, whether that step ended the episode for good
    label: Tensor  # [B] int64: pseudo-label of the episode, NO_LABEL before there is one
    labelled: bool  # whether any of them has one; known without asking the device
    slots: np.ndarray  # [B] int64: where the episodes lie in the buffer


@dataclass(frozen=True)
class StateBatch:
    """The states of B episodes as packed rows, for whoever needs nothing else."""

    packing: Packing
    state: Tensor  # [R, S] float32, as the environment gave it
    slots: np.ndarray  # [B] int64


AnyBatch = TypeVar("AnyBatch", Batch, StateBatch)


class ReplayBuffer:
    """The newest `capacity` episodes, next to those that are still being played.

    Episodes are written in place, one row per step, into a slot of their own. Memory is reserved
    for the longest possible episode but touched only where rows were written. Observations, four
    fifths of a row, are kept in half precision; `Rollout` rounds them before the agents see them,
    so an episode is replayed as it was played.

    Finished episodes are numbered in the order of their ends.

    Args:
        spec: sizes of the environment.
        capacity: finished episodes that are kept.
        n_running: episodes that are written at the same time.
        copy_on: device that keeps a copy of the finished episodes, which batches are then drawn
            from without passing through the host; None for no copy.
    """

    def __init__(
        self, spec: EnvSpec, capacity: int, n_running: int, copy_on: torch.device | None = None
    ):
        slots, rows = capacity + n_running, spec.episode_limit + 1
        self.capacity = capacity
        self.rows = rows
        self.obs = np.zeros((slots, rows, spec.n_agents, spec.obs_size), OBS_DTYPE)
        self.state = np.zeros((slots, rows, spec.state_size), np.float32)
        self.available_actions = np.zeros((slots, rows, spec.n_agents, spec.n_actions), np.bool_)
        self.action = np.zeros((slots, rows, spec.n_agents), np.int16)
        self.classes = np.zeros((slots, rows, spec.n_agents), np.int16)
        self.reward = np.zeros((slots, rows), np.float32)
        self.terminated = np.zeros(slots, np.bool_)
        self.won = np.zeros(slots, np.bool_)
        self.length = np.zeros(slots, np.int64)
        self.label = np.full(slots, NO_LABEL, np.int64)
        self.task = np.zeros(slots, np.int64)  # for measuring only; no batch carries it
        self._free = list(range(slots - 1, -1, -1))
        self._finished: list[int] = []  # oldest first
        self.n_finished = 0
        self._running = np.array([self._free.pop() for _ in range(n_running)])
        self._rows = {name: torch.from_numpy(getattr(self, name)) for name in _ROW_FIELDS}
        self._copies = copy_on is not None
        # What batches are drawn from; on the host, the arrays themselves.
        self._drawn_from = self._rows
        if copy_on is not None:
            self._drawn_from = {
                name: torch.zeros_like(field, device=copy_on) for name, field in self._rows.items()
            }

    def __len__(self) -> int:
        return len(self._finished)

    @property
    def finished(self) -> np.ndarray:
        """Slots of the finished episodes, oldest first."""
        return np.array(self._finished, dtype=np.int64)

    @property
    def running(self) -> np.ndarray:
        """Slot of each environment's unfinished episode, [N]."""
        return self._running

    def write(
        self,
        seen: Observation,
        action: np.ndarray,
        classes: np.ndarray,
        reward: np.ndarray,
    ) -> None:
        """Add one step of every running episode: what was seen, what was done, what it brought."""
        slot, step = self._running, self.length[self._running]
        self.obs[slot, step] = seen.obs
        self.state[slot, step] = seen.state
        self.available_actions[slot, step] = seen.available_actions
        self.action[slot, step] = action
        self.classes[slot, step] = classes
        self.reward[slot, step] = reward
        self.length[slot] += 1

    def finish(
        self,
        envs: np.ndarray,
        last: Observation,
        terminated: np.ndarray,
        won: np.ndarray,
        task: np.ndarray,
    ) -> np.ndarray:
        """Close the episodes of the environments `envs` and open new ones; return their slots.

        Args:
            envs: indices [M] of the environments whose episode ended.
            last: last observations of all environments.
            terminated, won, task: of all environments, [N].
        """
        slots = self._running[envs]
        step = self.length[slots]
        self.obs[slots, step] = last.obs[envs]
        self.state[slots, step] = last.state[envs]
        self.available_actions[slots, step] = last.available_actions[envs]
        self.action[slots, step] = 0
        # No class is drawn for an observation that nobody acts on: the last one stands.
        self.classes[slots, step] = self.classes[slots, step - 1]
        self.reward[slots, step] = 0.0
        self.terminated[slots] = terminated[envs]
        self.won[slots] = won[envs]
        self.task[slots] = task[envs]
        self._copy(slots)
        self._finished.extend(slots.tolist())
        self.n_finished += len(slots)
        while len(self._finished) > self.capacity:
            self._free.append(self._finished.pop(0))
        for env in envs:
            self._running[env] = slot = self._free.pop()
            self.length[slot] = 0
            self.label[slot] = NO_LABEL
        return slots

    def insert(
        self,
        rows: Mapping[str, np.ndarray],
        n_rows: np.ndarray,
        terminated: np.ndarray,
        won: np.ndarray,
        task: np.ndarray,
    ) -> np.ndarray:
        """Add M finished episodes that were played elsewhere, and return their slots.

        Args:
            rows: fields of all rows, episode after episode, as `write` and `finish` take them; the
                last observation of each is a row.
            n_rows: [M] rows of each; M is at most what the buffer has room for.
            terminated, won, task: [M].
        """
        slots = np.array([self._free.pop() for _ in n_rows])
        fields = self._rows.items()
        given = {name: torch.from_numpy(rows[name]).to(field.dtype) for name, field in fields}
        self._set_rows(slots, n_rows, given)
        self.length[slots], self.label[slots] = n_rows - 1, NO_LABEL
        self.terminated[slots], self.won[slots], self.task[slots] = terminated, won, task
        self._copy(slots)
        self._finished.extend(slots.tolist())
        self.n_finished += len(slots)
        return slots

    def tell_labels(self, slots: np.ndarray) -> None:
        """Let agents replay labelled episodes [M] as if they had been told the label as class."""
        slots = slots[self.label[slots] != NO_LABEL]
        self.classes[slots] = self.label[slots, None, None]
        self._copy(slots)

    def drop(self, slot: int) -> None:
        """Forget one finished episode."""
        self._finished.remove(slot)
        self._free.append(slot)

    def discard_running(self, envs: np.ndarray | None = None) -> None:
        """Forget unfinished episodes, of all environments or of `envs` [M]: others begin there."""
        self.length[self._running if envs is None else self._running[envs]] = 0

    def state_dict(self) -> dict[str, Any]:
        """All but the rows of finished episodes, as tensors and plain values."""
        return {
            **{name: torch.tensor(getattr(self, name)) for name in _EPISODE_FIELDS},
            "free": list(self._free),
            "finished": list(self._finished),
            "n_finished": self.n_finished,
            "running": self._running.tolist(),
            "running_rows": self._rows_of(self._running, self.length[self._running]),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Become what `state_dict` saved; the finished episodes' rows follow by `load_episodes`."""
        for name in _EPISODE_FIELDS:
            getattr(self, name)[:] = state[name].numpy()
        self._free, self._finished = list(state["free"]), list(state["finished"])
        self.n_finished = state["n_finished"]
        self._running = np.array(state["running"])
        self._set_rows(self._running, self.length[self._running], state["running_rows"])

    def episodes(self, first: int) -> dict[str, Any]:
        """Rows of the finished episodes from number `first` on, one after the other."""
        slots = self.finished[first - self.n_finished + len(self) :]
        return self._rows_of(slots, self.length[slots] + 1)

    def load_episodes(self, first: int, episodes: Mapping[str, Any]) -> None:
        """Take back what `episodes(first)` gave, as far as the buffer still holds it."""
        n_rows = episodes["n_rows"].numpy()
        gone = max(self.n_finished - len(self) - first, 0)
        rows = {
            name: field[int(n_rows[:gone].sum()) :]
            for name, field in episodes.items()
            if name != "n_rows"
        }
        start = first + gone - self.n_finished + len(self)
        slots = self.finished[start : start + len(n_rows) - gone]
        self._set_rows(slots, n_rows[gone:], rows)
        self._copy(slots)

    def places(self, slots: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Slot and step of every row of the finished episodes `slots`, one after the other."""
        return _places(slots, self.length[slots] + 1)

    def _rows_of(self, slots: np.ndarray, n_rows: np.ndarray) -> dict[str, Any]:
        where = tuple(map(torch.from_numpy, _places(slots, n_rows)))
        fields = {name: field[where] for name, field in self._rows.items()}
        return {"n_rows": torch.from_numpy(n_rows.copy()), **fields}

    def _set_rows(self, slots: np.ndarray, n_rows: np.ndarray, rows: Mapping[str, Any]) -> None:
        where = tuple(map(torch.from_numpy, _places(slots, n_rows)))
        for name, field in self._rows.items():
            field[where] = rows[name]

    def _copy(self, slots: np.ndarray) -> None:
        """Bring the copy of these episodes up to date."""
        if self._copies:
            where = torch.from_numpy(slots)
            for name, field in self._rows.items():
                copy = self._drawn_from[name]
                copy[where.to(copy.device)] = field[where].to(copy.device)

    def sample(self, batch_size: int, rng: np.random.Generator, device: torch.device) -> Batch:
        """Draw `batch_size` different finished episodes uniformly."""
        return self.batch(rng.choice(self.finished, batch_size, replace=False), device)

    def state_batch(self, slots: np.ndarray, device: torch.device) -> StateBatch:
        """The states of the episodes in `slots` [B], longest first."""
        slots, packing, row = self._pack(slots)
        return StateBatch(packing.to(device), self._take("state", row).to(device), slots)

    def batch(self, slots: np.ndarray, device: torch.device) -> Batch:
        """The episodes in `slots` [B] as one packed batch, longest first."""
        slots, packing, row = self._pack(slots)
        packing = packing.to(device)
        episode, step = packing.episode, packing.step
        length = torch.from_numpy(self.length[slots]).to(device)
        terminated = torch.from_numpy(self.terminated[slots]).to(device)
        action = self._take("action", row).to(device).long()
        # Of the first row it is replaced.
        last_action = self._take("action", (row - 1).clamp(min=0)).to(device).long()
        return Batch(
            packing=packing,
            obs=self._take("obs", row).to(device).float(),
            state=self._take("state", row).to(device),
            available_actions=self._take("available_actions", row).to(device),
            last_action=last_action.masked_fill((step == 0).unsqueeze(1), -1),
            action=action,
            classes=self._take("classes", row).to(device).long(),
            reward=self._take("reward", row).to(device),
            terminated=terminated[episode] & (step == length[episode] - 1),
            label=torch.from_numpy(self.label[slots]).to(device),
            labelled=bool((self.label[slots] != NO_LABEL).any()),
            slots=slots,
        )

    def _pack(self, slots: np.ndarray) -> tuple[np.ndarray, Packing, Tensor]:
        """Slots sorted by length, their packing, and the packed rows' places in the buffer."""
        slots = slots[np.argsort(-self.length[slots], kind="stable")]
        packing = Packing(self.length[slots] + 1)
        row = torch.from_numpy(slots)[packing.episode] * self.rows + packing.step
        return slots, packing, row.to(self._drawn_from["state"].device)

    def _take(self, name: str, row: Tensor) -> Tensor:
        """Rows [R] of a field, where batches are drawn from."""
        return self._drawn_from[name].flatten(0, 1).index_select(0, row)


def _places(slots: np.ndarray, n_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slot and step of the first `n_rows` [M] rows of each of the slots [M]."""
    step = np.arange(n_rows.sum()) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
    return np.repeat(slots, n_rows), step


def in_parts(
    slots: np.ndarray, read: Callable[[np.ndarray], AnyBatch]
) -> Iterator[tuple[np.ndarray, AnyBatch]]:
    """Read episodes a part at a time.

    Args:
        slots: [M] of the episodes.
        read: makes the batch of some slots, as `ReplayBuffer.batch` does.

    Yields:
        Where the episodes of a batch [B] stand in `slots`, and the batch.
    """
    position = {int(slot): i for i, slot in enumerate(slots)}
    for first in range(0, len(slots), EPISODES_AT_ONCE):
        batch = read(slots[first : first + EPISODES_AT_ONCE])
        yield np.array([position[int(slot)] for slot in batch.slots]), batch
