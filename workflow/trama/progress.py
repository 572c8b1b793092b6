"""Progress of long work: a bar on a terminal, plain lines in the log file."""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

logger = logging.getLogger("trama")

LOG_SECONDS = 30.0
"""Seconds between two lines in the log."""


class Progress:
    """Counts towards a known total; rate and time left come by themselves.

    Args:
        description: what is being done, for example ``train qplex SurComb3 seed 0``.
        total: in `unit`.
        unit: of the count, for example ``env steps``.
        done: where a resumed run begins.
    """

    def __init__(self, description: str, total: int, unit: str, done: int = 0):
        self.description, self.total, self.unit = description, total, unit
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=description,
            unit=f" {unit}",
            unit_scale=True,
            dynamic_ncols=True,
            leave=False,
            disable=not sys.stderr.isatty(),
        )
        self._start = self._last = time.monotonic()
        self._first = self._done = done
        logger.info("%s: %d of %d %s", description, done, total, unit)

    def update(self, done: int, **figures: float) -> None:
        """Show that `done` of the total is reached, with current figures such as a win rate."""
        if figures:
            self._bar.set_postfix(figures, refresh=False)
        self._bar.update(done - self._done)
        self._done = done
        now = time.monotonic()
        if now - self._last >= LOG_SECONDS or done >= self.total:
            self._last = now
            rate = (done - self._first) / max(now - self._start, 1e-9)
            shown = "".join(f", {name} {value:.3g}" for name, value in figures.items())
            logger.info(
                "%s: %d of %d %s, %.0f per second, %.0f s left%s",
                self.description,
                done,
                self.total,
                self.unit,
                rate,
                max(self.total - done, 0) / max(rate, 1e-9),
                shown,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.close()
