"""The memory of a process, against arrays of a known size."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from trama.learning import memory
from trama.learning.memory import MEGABYTE, HostMemory, known_memories

linux = pytest.mark.skipif(sys.platform != "linux", reason="counted by Linux")


def _touch(megabytes: int) -> np.ndarray:
    return np.ones(megabytes * MEGABYTE, np.uint8)


@linux
def test_the_peak_of_the_host_counts_what_was_freed_again() -> None:
    host = HostMemory()
    kept = _touch(20)
    held = host.start()
    assert len(_touch(60)) > 0
    assert host.peak() - held == pytest.approx(60 * MEGABYTE, abs=4 * MEGABYTE)
    assert host.start() == pytest.approx(held, abs=4 * MEGABYTE)
    assert host.peak() - held < 4 * MEGABYTE
    assert len(kept) > 0


@linux
def test_small_pieces_that_were_freed_do_not_hide_new_ones() -> None:
    """An allocator keeps them for itself, so that new ones would not show."""
    host = HostMemory()
    pieces = [torch.ones(10_000) for _ in range(1000)]
    del pieces
    held = host.start()
    pieces = [torch.ones(10_000) for _ in range(1000)]
    assert host.peak() - held == pytest.approx(40e6, rel=0.2)
    assert len(pieces) == 1000


@linux
def test_without_a_gpu_only_the_host_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    (watched,) = known_memories().items()
    assert watched[0] == "memory_mb" and isinstance(watched[1], HostMemory)


def test_with_a_gpu_its_tensors_are_watched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PyTorch's counters say; there is no GPU to ask."""
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        reset_peak_memory_stats=lambda: None,
        memory_allocated=lambda: 100,
        max_memory_allocated=lambda: 130,
    )
    monkeypatch.setattr(memory, "torch", SimpleNamespace(cuda=cuda))
    gpu = known_memories()["gpu_memory_mb"]
    assert (gpu.start(), gpu.peak()) == (100, 130)


def test_where_the_system_does_not_count_nothing_is_watched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(HostMemory, "_CLEAR", tmp_path / "proc" / "clear_refs")
    assert "memory_mb" not in known_memories()
