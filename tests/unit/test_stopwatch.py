"""What phases take, on a clock that is turned by hand and memory that is filled by hand."""

import pytest

from trama.learning import stopwatch
from trama.learning.stopwatch import Phase, Stopwatch


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


class Memory:
    """Counts how often it was watched from anew, too."""

    def __init__(self) -> None:
        self.held = self.most = 1000
        self.starts = 0

    def start(self) -> int:
        self.starts += 1
        self.most = self.held
        return self.held

    def peak(self) -> int:
        return self.most

    def take(self, size: int, *, keep: int = 0) -> None:
        self.most = max(self.most, self.held + size)
        self.held += keep


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(stopwatch, "time", made)
    return made


def _times(timed: Stopwatch) -> dict[str, tuple[float, int]]:
    return {name: (phase.seconds, phase.count) for name, phase in timed.phases.items()}


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
    assert _times(timed) == {"innermost": (400.0, 4), "inner": (60.0, 4), "outer": (6.0, 2)}


def test_a_phase_that_fails_counts_too(clock: Clock) -> None:
    timed = Stopwatch()
    with timed("outer"):
        with pytest.raises(OSError, match="full"), timed("inner"):
            clock.now += 5
            raise OSError("full")
        clock.now += 1
    assert _times(timed) == {"inner": (5.0, 1), "outer": (1.0, 1)}


def test_memory_is_that_of_the_largest_call_beyond_what_was_held() -> None:
    memory = Memory()
    timed = Stopwatch({"memory_mb": memory})
    for size in (30, 50, 20):
        with timed("phase"):
            memory.take(size, keep=10)
        memory.take(500)  # in no phase
    assert timed.phases["phase"].peaks == {"memory_mb": 50}


def test_memory_of_a_phase_within_another_is_its_own_alone() -> None:
    memory = Memory()
    timed = Stopwatch({"memory_mb": memory})
    with timed("outer"):
        memory.take(10, keep=4)
        with timed("inner"):
            memory.take(700, keep=100)
        memory.take(20)
    assert timed.phases["inner"].peaks == {"memory_mb": 700}
    assert timed.phases["outer"].peaks == {"memory_mb": 24}


def test_memory_is_watched_ever_more_rarely() -> None:
    memory = Memory()
    timed = Stopwatch({"memory_mb": memory})
    watched = []
    for call in range(1, 101):
        before = memory.starts
        with timed("phase"):
            memory.take(call)
        if memory.starts > before:
            watched.append(call)
    assert watched == [*range(1, 17), 32, 64]
    assert timed.phases["phase"].peaks == {"memory_mb": 64}


def test_what_phases_took_goes_on_from_its_state(clock: Clock) -> None:
    memory = Memory()
    timed, again = Stopwatch({"memory_mb": memory}), Stopwatch({"memory_mb": memory})
    for size in (9, 7):
        with timed("phase"):
            clock.now += size
            memory.take(size)
        again.load_state_dict(timed.state_dict())
        timed = again
    assert again.phases == {"phase": Phase(16.0, 2, {"memory_mb": 9})}
