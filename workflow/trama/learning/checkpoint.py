"""Checkpoints of a training on disk: a run that was killed goes on from the last one.

A checkpoint is a folder. `manifest.json` names its files with their sizes and hashes, and is
replaced in one step after all that it names lies on the disk: at whatever moment a process dies,
the manifest describes one whole checkpoint, the old or the new one. The replay buffer, by far the
largest part, is not rewritten: each checkpoint adds a file with the episodes since the one before,
and drops the files whose episodes have all left the buffer.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_type_hints

import numpy as np
import torch

from trama.errors import TramaError
from trama.learning.replay import ReplayBuffer

logger = logging.getLogger("trama")

FORMAT = 3
"""Raised when checkpoints of before can't be read any more."""
MANIFEST = "manifest.json"
LOCK = "lock"
Record = TypeVar("Record")
State = dict[str, Any]
"""Tensors, numbers, strings, None, and lists, tuples and dicts of these."""


def as_state(record: Any) -> State:
    """The fields of a dataclass of arrays and plain values, nested ones included."""
    return {field.name: _plain(getattr(record, field.name)) for field in fields(record)}


def from_state(kind: type[Record], state: State) -> Record:
    """A dataclass of that kind again from `as_state`."""
    hints = get_type_hints(kind)
    values = {
        name: from_state(hints[name], value)
        if is_dataclass(hints[name])
        else value.numpy()
        if isinstance(value, torch.Tensor)
        else value
        for name, value in state.items()
    }
    return kind(**values)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return as_state(value)
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


class Resumable(Protocol):
    """What can be saved and can go on from there."""

    @property
    def replay(self) -> ReplayBuffer:
        """Its replay buffer, whose finished episodes are saved apart."""

    def state_dict(self) -> State:
        """All that the future depends on, but for finished episodes."""

    def load_state_dict(self, state: State) -> None:
        """Become what was saved."""


class Checkpoint:
    """The checkpoint of one training.

    Args:
        folder: belongs to this training alone.
        key: tells the run apart from those with which it must not be continued.
        device: where it trains; a CPU cannot go on from a GPU's generators, nor the reverse.
    """

    def __init__(self, folder: Path, key: str, device: torch.device):
        self.folder, self.key, self.device = folder, key, device.type
        self._parts: list[dict[str, Any]] = []  # files of episodes: name, first, stop, size, hash
        self._number = 0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the folder as long as the block runs.

        Raises:
            TramaError: another process has it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / LOCK).open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise TramaError(
                    f"{self.folder}: another process runs this training ({lock.read().strip()}). "
                    "Wait for it, or stop it, before you start the training again."
                ) from error
            except OSError as error:
                logger.warning("%s: this file system has no locks (%s)", self.folder, error)
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            lock.flush()
            yield

    def save(self, run: Resumable) -> None:
        """Write the run's state; what was there before stays valid until the last step.

        Raises:
            OSError: it cannot be written; the checkpoint of before is whole.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        number = self._number + 1
        replay = run.replay
        needed, stop = replay.n_finished - len(replay), replay.n_finished
        parts = [part for part in self._parts if part["stop"] > needed]
        since = max([needed, *(part["stop"] for part in self._parts)])
        written: list[str] = []
        try:
            if stop > since:
                name = f"episodes_{number}.pt"
                written.append(name)
                parts.append(
                    {"first": since, "stop": stop, **self._write(name, replay.episodes(since))}
                )
            name = f"state_{number}.pt"
            written.append(name)
            manifest = {
                "format": FORMAT,
                "key": self.key,
                "device": self.device,
                "number": number,
                "state": self._write(name, run.state_dict()),
                "episodes": parts,
            }
            self._write_manifest(manifest)
        except OSError:
            for name in written:
                (self.folder / name).unlink(missing_ok=True)
            raise
        self._number, self._parts = number, parts
        self._tidy(manifest)

    def load(self, run: Resumable) -> bool:
        """Put the run where the checkpoint was written; False if there is none.

        Raises:
            TramaError: it is damaged, or belongs to another configuration or version.
        """
        manifest = self._read_manifest()
        if manifest is None:
            return False
        if manifest["device"] != self.device:
            raise TramaError(
                f"{self.folder}: the checkpoint was written on {manifest['device']}, and this job "
                f"runs on {self.device}. Set `device` in the configuration so that all jobs get "
                f"the same. {self._remedy}"
            )
        state = self._read(manifest["state"])
        try:
            run.load_state_dict(state)
            for part in manifest["episodes"]:
                run.replay.load_episodes(part["first"], self._read(part))
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise TramaError(
                f"{self.folder}: the checkpoint does not fit this training ({error!r}). "
                f"{self._remedy}"
            ) from error
        self._number, self._parts = manifest["number"], manifest["episodes"]
        self._tidy(manifest)
        return True

    def remove(self) -> None:
        """Delete it, the manifest first: without one there is no checkpoint."""
        (self.folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _remedy(self) -> str:
        return f"Remove the folder {self.folder} to train from the start."

    def _write(self, name: str, content: State) -> dict[str, Any]:
        """Write a file to the disk; returns its name, size and hash."""
        path = self.folder / name
        try:
            torch.save(content, path)
        except RuntimeError as error:  # what torch makes of a full disk
            raise OSError(f"{path}: cannot be written ({error})") from error
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        return {"name": name, "size": path.stat().st_size, "sha256": digest}

    def _read(self, entry: Mapping[str, Any]) -> State:
        path = self.folder / str(entry["name"])
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise TramaError(
                f"{path}: the checkpoint lacks this file ({error}). {self._remedy}"
            ) from error
        if path.stat().st_size != entry["size"] or digest != entry["sha256"]:
            raise TramaError(
                f"{path}: is damaged: it has not the content that {MANIFEST} states. {self._remedy}"
            )
        state: State = torch.load(path, map_location="cpu", weights_only=True)
        return state

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        partial = self.folder / f".{MANIFEST}.partial"
        with partial.open("w") as file:
            json.dump({**manifest, "sha256": _digest(manifest)}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / MANIFEST)
        # The manifest has its name already; some file systems do not sync folders.
        with contextlib.suppress(OSError):
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _read_manifest(self) -> dict[str, Any] | None:
        path = self.folder / MANIFEST
        if not path.exists():
            return None
        try:
            manifest: dict[str, Any] = json.loads(path.read_text())
            whole = manifest.pop("sha256") == _digest(manifest)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TramaError(
                f"{path}: is damaged: no manifest of a checkpoint ({error!r}). {self._remedy}"
            ) from error
        if not whole:
            raise TramaError(f"{path}: is damaged: its own hash does not fit. {self._remedy}")
        found = manifest["format"], manifest["key"]
        if found != (FORMAT, self.key):
            raise TramaError(
                f"{path}: belongs to another configuration or version: format and key are "
                f"{found}, expected {(FORMAT, self.key)}. {self._remedy}"
            )
        return manifest

    def _tidy(self, manifest: Mapping[str, Any]) -> None:
        """Delete what the manifest does not name: older files, and those of an unfinished write."""
        names = {entry["name"] for entry in [manifest["state"], *manifest["episodes"]]}
        for path in self.folder.iterdir():
            if path.name not in names | {MANIFEST, LOCK}:
                with contextlib.suppress(OSError):  # it is no part of the checkpoint, and may stay
                    path.unlink()


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
