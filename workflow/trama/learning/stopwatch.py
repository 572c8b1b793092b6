"""Wall time and memory of the parts of a training."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from trama.learning.memory import Memory

_EACH_CALL_UP_TO = 16
"""Memory is watched in so many first calls of a phase, and then in every call of a power of two."""


@dataclass
class Phase:
    """What a phase took so far.

    Attributes:
        seconds: of wall time.
        count: its calls.
        peaks: memory -> the most bytes that a call took beyond what was held at its start.
    """

    seconds: float = 0.0
    count: int = 0
    peaks: dict[str, int] = field(default_factory=dict)


class Stopwatch:
    """Adds up the wall time of named phases, and watches their memory.

    A phase within another counts for itself alone. Nothing waits for a GPU, which would slow it
    down: what has been started there counts where the host next waits for it.

    Args:
        memories: that are watched, by name.

    Attributes:
        phases: what each took.
    """

    def __init__(self, memories: Mapping[str, Memory] | None = None) -> None:
        self.phases: dict[str, Phase] = {}
        self._memories = memories or {}
        self._within = 0.0
        self._watch: _Watch | None = None

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add what the block takes to a phase, without what phases within the block take."""
        phase = self.phases.setdefault(name, Phase())
        phase.count += 1
        watched = phase.count <= _EACH_CALL_UP_TO or phase.count & (phase.count - 1) == 0
        outer = self._watch
        if outer is not None:
            outer.pause()
        self._watch = _Watch(self._memories) if watched and self._memories else None
        around, self._within = self._within, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            phase.seconds += elapsed - self._within
            self._within = around + elapsed
            if self._watch is not None:
                for memory, peak in self._watch.stop().items():
                    phase.peaks[memory] = max(peak, phase.peaks.get(memory, 0))
            self._watch = outer
            if outer is not None:
                outer.resume()

    def state_dict(self) -> dict[str, dict[str, Any]]:
        """What the phases took so far."""
        return {name: asdict(phase) for name, phase in self.phases.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Go on from what `state_dict` saved."""
        self.phases = {name: Phase(**phase) for name, phase in state.items()}


class _Watch:
    """Peaks of memories over one call, without its pauses."""

    def __init__(self, memories: Mapping[str, Memory]) -> None:
        self._memories = memories
        self._peaks = dict.fromkeys(memories, 0)
        self._base = self._start()
        self._held: dict[str, int] = {}

    def pause(self) -> None:
        self.stop()
        self._held = self._start()

    def resume(self) -> None:
        """Go on; what was kept during the pause is not this call's."""
        for name, held in self._start().items():
            self._base[name] += held - self._held[name]

    def stop(self) -> dict[str, int]:
        """Return the peaks so far, in bytes beyond what was held at the start."""
        for name, memory in self._memories.items():
            self._peaks[name] = max(self._peaks[name], memory.peak() - self._base[name])
        return self._peaks

    def _start(self) -> dict[str, int]:
        return {name: memory.start() for name, memory in self._memories.items()}
