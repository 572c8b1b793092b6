"""Progress in the log file."""

import fcntl
import logging
import os
import pty
import struct
import sys
import termios

import pytest

from trama import progress
from trama.progress import Progress


class _Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(progress, "time", clock)
    caplog.set_level(logging.INFO, "trama")
    monkeypatch.setattr(logging.getLogger("trama"), "propagate", True)
    return clock


def test_lines_at_the_start_now_and_then_and_at_the_end(
    clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with Progress("train", 1000, "env steps") as bar:
        for done in range(100, 1001, 100):
            clock.now += 10.0
            bar.update(done, win_rate=done / 2000)
    assert caplog.messages == [
        "train: 0 of 1000 env steps",
        "train: 300 of 1000 env steps, 10 per second, 70 s left, win_rate 0.15",
        "train: 600 of 1000 env steps, 10 per second, 40 s left, win_rate 0.3",
        "train: 900 of 1000 env steps, 10 per second, 10 s left, win_rate 0.45",
        "train: 1000 of 1000 env steps, 10 per second, 0 s left, win_rate 0.5",
    ]


def test_overshooting_the_total(clock: _Clock, caplog: pytest.LogCaptureFixture) -> None:
    with Progress("collect", 10, "env steps") as bar:
        clock.now += 1.0
        bar.update(32)
    assert caplog.messages[-1] == "collect: 32 of 10 env steps, 32 per second, 0 s left"


def test_an_error_passes(clock: _Clock) -> None:
    with pytest.raises(KeyError), Progress("x", 10, "updates"):
        raise KeyError


def test_the_bar_on_a_terminal(clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = pty.openpty()
    rows_and_columns = struct.pack("HHHH", 24, 120, 0, 0)  # of size 0 there would be no bar
    fcntl.ioctl(slave, termios.TIOCSWINSZ, rows_and_columns)
    monkeypatch.setattr("tqdm.std.time", clock.monotonic)
    with os.fdopen(slave, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with Progress("train qplex", 1000, "env steps") as bar:
            clock.now += 10.0
            bar.update(500, win_rate=0.25)
    frames = [frame for frame in _everything(master).split("\r") if "50%" in frame]
    assert len(frames) == 1
    assert frames[0].startswith("train qplex:  50%|")
    assert frames[0].endswith("| 500/1.00k [00:10<00:10, 50.0 env steps/s, win_rate=0.25]")


def _everything(master: int) -> str:
    """All that was written to a terminal whose other end is closed; it arrives in pieces."""
    pieces: list[bytes] = []
    with os.fdopen(master, "rb", buffering=0) as screen:
        while True:
            try:
                piece = screen.read(10_000)
            except OSError:  # how Linux says that nobody writes any more
                piece = b""
            if not piece:
                return b"".join(pieces).decode()
            pieces.append(piece)
