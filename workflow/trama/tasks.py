"""Tasks of a problem: which units fight, and from where (SMACv2's scenarios); or scenarios."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from trama.config.describe import place_at, plain
from trama.config.particles import Scenario, parse_scenario
from trama.config.problems import (
    TRAINED,
    Problem,
    RandomTeams,
    ScenarioTasks,
    ScenarioTaskSet,
    TaskSet,
    UnitProblem,
    UnitTaskSet,
    unit_counts,
)
from trama.errors import TramaError

RANDOM = "random"
"""What stands for the units in the name of a task whose teams are drawn."""


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: what it is called in results.
    """

    name: str

    @property
    def identity(self) -> Hashable:
        """Equal of tasks that are the same, whatever they are called."""
        return self.name


@dataclass(frozen=True)
class UnitTask(Task):
    """A battle of a unit combination; its name is ``"<units> <start>"``.

    Attributes:
        units: the team's unit combination, for example ``"3s2z"``; the enemy mirrors it.
        start: ``"surrounded"``, ``"reflected"`` or ``"surrounding"``.
    """

    units: str
    start: str

    @property
    def identity(self) -> Hashable:
        """Equal of the same units in another order."""
        return frozenset(unit_counts(self.units)), self.start


@dataclass(frozen=True)
class RandomTeamsTask(Task):
    """Battles of teams that are drawn; its name is ``"random <start>"``.

    Attributes:
        start: see `UnitTask`.
    """

    start: str


@dataclass(frozen=True)
class ScenarioTask(Task):
    """A particle scenario, by its name."""

    @property
    def scenario(self) -> Scenario:
        """What it consists of."""
        return parse_scenario(self.name)


AnyTask = TypeVar("AnyTask", bound=Task)


class Likeness(NamedTuple):
    """How like the tasks of a problem a task is, by its definition; None without units.

    Attributes:
        units_changed: see `units_changed`.
        start_trained: whether the problem has the task's start.
    """

    units_changed: int | None
    start_trained: bool | None


def tasks_of(problem: Problem | TaskSet) -> tuple[Task, ...]:
    """Return the tasks of a problem: every unit combination with every start, in config order.

    A task's position in the tuple is its task id. Combinations are equally probable, and so are
    starts; hence so are tasks. Of random teams each start is a task; particle scenarios are tasks.
    """
    if isinstance(problem, RandomTeams):
        return tuple(RandomTeamsTask(f"{RANDOM} {start}", start) for start in problem.starts)
    if isinstance(problem, ScenarioTasks):
        return tuple(ScenarioTask(name) for name in problem.scenarios)
    return tuple(
        UnitTask(f"{units} {start}", units, start)
        for units in problem.units
        for start in problem.starts
    )


def unit_tasks(tasks: Sequence[Task]) -> list[UnitTask]:
    """Return the tasks as what a backend of battles plays.

    Raises:
        TramaError: one has no units.
    """
    return _all_of(UnitTask, tasks, "has no units")


def scenario_tasks(tasks: Sequence[Task]) -> list[ScenarioTask]:
    """Return the tasks as what a backend of particle scenarios plays.

    Raises:
        TramaError: one is no scenario.
    """
    return _all_of(ScenarioTask, tasks, "is no scenario")


def _all_of(kind: type[AnyTask], tasks: Sequence[Task], otherwise: str) -> list[AnyTask]:
    found = [task for task in tasks if isinstance(task, kind)]
    for task in tasks:
        if not isinstance(task, kind):
            raise TramaError(f"Task {task.name!r} {otherwise}: this backend cannot play it.")
    return found


def tasks_named(
    problem: Problem,
    units: Sequence[str] | None = None,
    starts: Sequence[str] | None = None,
    scenarios: Sequence[str] | None = None,
) -> tuple[Task, ...]:
    """Return the tasks that someone wrote down: unit combinations and starts, or scenarios.

    Args:
        problem: whose units, starts or scenarios they have where someone wrote none.
        units: unit combinations.
        starts: start positions.
        scenarios: particle scenarios.

    Raises:
        TramaError: one that is none, or stands there twice, or is of another kind than the
            problem.
    """
    written = {"units": units, "starts": starts, "scenarios": scenarios}
    for key, values in written.items():
        fits = key in type(problem).model_fields or (
            key == "units" and isinstance(problem, RandomTeams)
        )
        if values and not fits:
            raise TramaError(f"{key}: the policy's problem has {problem.kind}: leave them out.")
    kind: type[ScenarioTaskSet | RandomTeams | UnitTaskSet] = UnitTaskSet
    given: dict[str, Any] = {}
    if isinstance(problem, ScenarioTasks):
        kind = ScenarioTaskSet
    elif isinstance(problem, RandomTeams) and not units:
        kind, given = RandomTeams, problem.model_dump()
    for key in kind.model_fields.keys() & written.keys():
        given[key] = list(written[key] or getattr(problem, key))
    try:
        return tasks_of(kind.model_validate(given))
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"]
        place = place_at(first["loc"], kind)
        if first["type"] != "rule" and place is not None:
            reason = f"must be {plain(place)}"
        raise TramaError(f"{first['loc'][0]}: {first['input']!r} {reason}.") from error


def task_named(problem: Problem, name: str) -> Task:
    """Return the task of a name, which the problem need not have.

    Raises:
        TramaError: it is the name of none.
    """
    if isinstance(problem, ScenarioTasks):
        (scenario,) = tasks_named(problem, scenarios=[name])
        return scenario
    words = name.split()
    if len(words) != 2:
        raise TramaError(
            f"Task {name!r} must be a unit combination and a start, as '3s2z surrounded'."
        )
    drawn = isinstance(problem, RandomTeams) and words[0] == RANDOM
    (task,) = tasks_named(problem, None if drawn else words[:1], words[1:])
    return task


def evaluation_tasks(
    problem: Problem, task_sets: Mapping[str, TaskSet]
) -> dict[str, tuple[Task, ...]]:
    """Return the tasks that policies of a problem are evaluated on, by the name of their set.

    The problem's own come first, as `TRAINED`. A set has no task of the problem, and none of a set
    before it; so it may be empty. Tasks of one `Task.identity` are the same.
    """
    found: dict[str, tuple[Task, ...]] = {}
    seen: set[Hashable] = set()
    named: dict[str, Problem | TaskSet] = {TRAINED: problem, **task_sets}
    for name, tasks in named.items():
        keys = {task: task.identity for task in tasks_of(tasks)}
        found[name] = tuple(task for task, key in keys.items() if key not in seen)
        seen.update(keys.values())
    return found


def likeness(task: Task, problem: Problem) -> Likeness:
    """Return how like the tasks of a problem a task is."""
    if isinstance(task, UnitTask) and isinstance(problem, UnitProblem):
        changed = units_changed(task.units, problem.units)
        return Likeness(changed, task.start in problem.starts)
    if isinstance(task, UnitTask | RandomTeamsTask) and not isinstance(problem, ScenarioTasks):
        return Likeness(None, task.start in problem.starts)
    return Likeness(None, None)


def units_changed(units: str, trained: Sequence[str]) -> int:
    """Return the least number of units to change in a trained combination to get `units`.

    Units that `units` lacks for the size of a trained team count as changed.

    Args:
        units: unit combination, of at most as many units as the trained ones.
        trained: unit combinations of a problem.
    """
    team = Counter(dict(unit_counts(units)))
    others = [Counter(dict(unit_counts(other))) for other in trained]
    return min(other.total() - (team & other).total() for other in others)


def parse_units(combination: str, units: Mapping[str, str]) -> list[str]:
    """Return the unit-type names of a combination: ``"3s2z"`` is three stalkers, two zealots.

    Args:
        combination: counts, each followed by a unit type's symbol.
        units: names of the unit types by symbol, as `Backend.units` of the config.

    Raises:
        TramaError: if the combination names no unit, or a symbol that no unit type has.
    """
    team: list[str] = []
    for symbol, count in unit_counts(combination):
        if symbol not in units:
            known = ", ".join(f"{known} ({name})" for known, name in units.items())
            raise TramaError(
                f"Unit combination {combination!r}: no unit type has the symbol {symbol!r}. Known "
                f"symbols: {known}."
            )
        team += [units[symbol]] * count
    if not team:
        raise TramaError(
            f"Unit combination {combination!r} names no unit; write counts and symbols, as in "
            "'3s2z'."
        )
    return team
