"""Memory that a piece of work needs beyond what the process holds already."""

import ctypes
from pathlib import Path
from typing import Protocol

import torch

MEGABYTE = 2**20


class Memory(Protocol):
    """A memory whose peak can be watched."""

    def start(self) -> int:
        """Forget the peak; returns the bytes that are held now."""

    def peak(self) -> int:
        """The most bytes that were held since `start`."""


class HostMemory:
    """Resident memory of this process, as Linux counts it."""

    _STATUS = Path("/proc/self/status")
    _CLEAR = Path("/proc/self/clear_refs")
    _PEAK = "5"

    @classmethod
    def known(cls) -> bool:
        """Whether the system counts it and lets its peak be forgotten."""
        try:
            cls._CLEAR.write_text(cls._PEAK)
        except OSError:
            return False
        return hasattr(ctypes.CDLL(None), "malloc_trim")

    def start(self) -> int:
        # What was freed before may still be held, and would hide what is asked for anew.
        ctypes.CDLL(None).malloc_trim(0)
        self._CLEAR.write_text(self._PEAK)
        return self._read("VmRSS")

    def peak(self) -> int:
        return self._read("VmHWM")

    def _read(self, name: str) -> int:
        for line in self._STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise OSError(f"{self._STATUS} has no {name}")


class GpuMemory:
    """Tensors on the current GPU, as PyTorch counts them."""

    @classmethod
    def known(cls) -> bool:
        """Whether this process computes on a GPU."""
        return torch.cuda.is_initialized()

    def start(self) -> int:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated()


def known_memories() -> dict[str, Memory]:
    """The memories of this process that can be watched, by their column in a `timing` file."""
    found: dict[str, Memory] = {}
    if HostMemory.known():
        found["memory_mb"] = HostMemory()
    if GpuMemory.known():
        found["gpu_memory_mb"] = GpuMemory()
    return found
