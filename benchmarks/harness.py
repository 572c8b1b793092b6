"""What all measurements share: figures, paired repeats, and fresh processes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
THREADS = 2
GROUPS = (
    "learner",
    "collection",
    "training",
    "memory",
    "startup",
    "trajectories",
    "representation",
    "dry_run",
)
"""Modules that measure, in the order of the table."""


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        repeats: pairs of measurements, of which the median counts.
        updates: learner updates of one measurement; the slow reference makes a fifth of them.
        seconds: least time of one measurement that plays.
        large: also the sizes that take long.
    """

    repeats: int = 3
    updates: int = 10
    seconds: float = 2.0
    large: bool = False


@dataclass(frozen=True)
class Figure:
    """One measured number and what it is compared with.

    Attributes:
        group: module that measured it.
        name: what was measured, with its sizes.
        unit: of all numbers; "/s" at its end means that more is better.
        value, low, high: median and range of the repeats.
        reference: what the other number is; empty if there is none.
        reference_value, reference_low, reference_high: the same of the reference.
        target: what is asked for; None if nothing is.
    """

    group: str
    name: str
    unit: str
    value: float
    low: float
    high: float
    reference: str = ""
    reference_value: float | None = None
    reference_low: float | None = None
    reference_high: float | None = None
    target: float | None = None

    @property
    def more_is_better(self) -> bool:
        """Whether the number is a rate."""
        return self.unit.endswith("/s")

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.more_is_better else self.value <= self.target

    @property
    def gain(self) -> float | None:
        """How many times better than the reference."""
        if self.reference_value is None:
            return None
        ours, other = self.value, self.reference_value
        return ours / other if self.more_is_better else other / ours


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def repeatedly(
    ours: Callable[[], float], reference: Callable[[], float] | None, repeats: int
) -> tuple[list[float], list[float]]:
    """Measure both `repeats` times, in alternating order, so that a slow minute hits both."""
    mine: list[float] = []
    other: list[float] = []
    for repeat in range(repeats):
        pairs = [(ours, mine)] if reference is None else [(ours, mine), (reference, other)]
        for measure, values in pairs if repeat % 2 == 0 else reversed(pairs):
            values.append(measure())
    return mine, other


def paired(
    group: str,
    name: str,
    unit: str,
    ours: Callable[[], float],
    effort: Effort,
    *,
    reference: tuple[str, Callable[[], float]] | None = None,
    target: float | None = None,
) -> Figure:
    """Measure a figure beside its reference; both return a number of `unit`."""
    what, other = ("", None) if reference is None else reference
    return figure(
        group, name, unit, repeatedly(ours, other, effort.repeats), reference=what, target=target
    )


def figure(
    group: str,
    name: str,
    unit: str,
    values: tuple[list[float], list[float]],
    *,
    reference: str = "",
    target: float | None = None,
) -> Figure:
    """The figure of measured values, ours and the reference's (which may be empty)."""
    mine, other = values
    found = Figure(group, name, unit, median(mine), min(mine), max(mine), reference, target=target)
    if not other:
        return found
    return replace(
        found,
        reference_value=median(other),
        reference_low=min(other),
        reference_high=max(other),
    )


def fresh(code: str, *arguments: Any, environment: dict[str, str] | None = None) -> Any:
    """Run Python code in a new process at the root; return the JSON of its last line of output.

    Args:
        code: program; `sys.argv[1:]` holds the arguments.
        arguments: turned into text.
        environment: variables of the process; None for those of this one.

    Raises:
        RuntimeError: the process failed; holds what it said.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"a process of the benchmark failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure_group(name: str, effort: Effort) -> list[Figure]:
    """Measure a group in a process of its own, with its threads settled before any import."""
    code = (
        "import sys, json; sys.path.insert(0, 'workflow')\n"
        "from trama.runtime import configure_process\n"
        f"configure_process({THREADS})\n"
        "from importlib import import_module\n"
        "from dataclasses import asdict\n"
        "from benchmarks.harness import Effort\n"
        "module = import_module('benchmarks.' + sys.argv[1])\n"
        "figures = module.measure(Effort(**json.loads(sys.argv[2])))\n"
        "print(json.dumps([asdict(figure) for figure in figures]))\n"
    )
    return [Figure(**values) for values in fresh(code, name, json.dumps(asdict(effort)))]
