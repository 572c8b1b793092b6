"""Wall time of the parts of a training."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up the wall time of named phases; one within another counts for itself alone.

    Nothing waits for a GPU, which would slow it down: what has been started there counts where the
    host next waits for it.

    Attributes:
        phases: phase -> [seconds, calls].
    """

    def __init__(self) -> None:
        self.phases: dict[str, list[float]] = {}
        self._within = 0.0

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Add the wall time of the block to a phase, without that of phases within the block."""
        around, self._within = self._within, 0.0
        start = time.perf_counter()
        try:
            yield
        finally:
            elapsed = time.perf_counter() - start
            entry = self.phases.setdefault(phase, [0.0, 0])
            entry[0] += elapsed - self._within
            entry[1] += 1
            self._within = around + elapsed
