"""Wall times of phases, on a clock that is turned by hand."""

import pytest

from trama.learning import stopwatch
from trama.learning.stopwatch import Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stopwatch, "time", made)
    return made


def test_a_phase_within_another_counts_for_itself_alone(clock: Clock) -> None:
    timed = Stopwatch()
    for _ in range(2):
        with timed("outer"):
            clock.now += 1
            for seconds in (10, 20):
                with timed("inner"):
                    clock.now += seconds
                    with timed("innermost"):
                        clock.now += 100
            clock.now += 2
        clock.now += 1000  # in no phase
    assert timed.phases == {"innermost": [400.0, 4], "inner": [60.0, 4], "outer": [6.0, 2]}


def test_a_phase_that_fails_counts_too(clock: Clock) -> None:
    timed = Stopwatch()
    with timed("outer"):
        with pytest.raises(OSError, match="full"), timed("inner"):
            clock.now += 5
            raise OSError("full")
        clock.now += 1
    assert timed.phases == {"inner": [5.0, 1], "outer": [1.0, 1]}
