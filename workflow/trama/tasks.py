"""Tasks of a problem: which units fight, and from where they start (SMACv2's scenarios)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from trama.config.describe import place_at, plain
from trama.config.model import Problem, TaskSet, unit_counts
from trama.config.relations import TRAINED
from trama.errors import TramaError


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: ``"<units> <start>"``, for example ``"3s2z surrounded"``.
        units: the team's unit combination, for example ``"3s2z"``; the enemy mirrors it.
        start: ``"surrounded"``, ``"reflected"`` or ``"surrounding"``.
    """

    name: str
    units: str
    start: str


def tasks_of(problem: Problem | TaskSet) -> tuple[Task, ...]:
    """Return the tasks of a problem: every unit combination with every start, in config order.

    A task's position in the tuple is its task id. Combinations are equally probable, and so are
    starts; hence so are tasks.
    """
    return tuple(
        Task(f"{units} {start}", units, start)
        for units in problem.units
        for start in problem.starts
    )


def tasks_named(units: Sequence[str], starts: Sequence[str]) -> tuple[Task, ...]:
    """Return the tasks of unit combinations and starts that someone wrote down.

    Raises:
        TramaError: one that is none, or stands there twice.
    """
    try:
        return tasks_of(TaskSet.model_validate({"units": list(units), "starts": list(starts)}))
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"]
        place = place_at(("task_sets", "given", *first["loc"]))
        if first["type"] != "rule" and place is not None:
            reason = f"must be {plain(place)}"
        raise TramaError(f"{first['loc'][0]}: {first['input']!r} {reason}.") from error


def task_named(name: str) -> Task:
    """Return the task of a name.

    Raises:
        TramaError: it is the name of none.
    """
    words = name.split()
    if len(words) != 2:
        raise TramaError(
            f"Task {name!r} must be a unit combination and a start, as '3s2z surrounded'."
        )
    (task,) = tasks_named(words[:1], words[1:])
    return task


def evaluation_tasks(
    problem: Problem, task_sets: Mapping[str, TaskSet]
) -> dict[str, tuple[Task, ...]]:
    """Return the tasks that policies of a problem are evaluated on, by the name of their set.

    The problem's own come first, as `TRAINED`. A set has no task of the problem, and none of a set
    before it; so it may be empty. Unit combinations of the same units in another order are equal.
    """
    found: dict[str, tuple[Task, ...]] = {}
    seen: set[tuple[frozenset[tuple[str, int]], str]] = set()
    named: dict[str, Problem | TaskSet] = {TRAINED: problem, **task_sets}
    for name, tasks in named.items():
        keys = {task: (frozenset(unit_counts(task.units)), task.start) for task in tasks_of(tasks)}
        found[name] = tuple(task for task, key in keys.items() if key not in seen)
        seen.update(keys.values())
    return found


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
