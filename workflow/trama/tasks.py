"""Tasks of a problem: which units fight, and from where they start (SMACv2's scenarios)."""

from collections.abc import Mapping
from dataclasses import dataclass

from trama.config.model import Problem, UnitType, unit_counts
from trama.errors import TramaError


@dataclass(frozen=True)
class Task:
    """One task of a problem.

    Attributes:
        name: ``"<units> <start>"``, for example ``"3s2z surrounded"``.
        units: the team's unit combination, for example ``"3s2z"``; the enemy mirrors it.
        start: ``"surrounded"`` or ``"reflected"``.
    """

    name: str
    units: str
    start: str


def tasks_of(problem: Problem) -> tuple[Task, ...]:
    """Return the tasks of a problem: every unit combination with every start, in config order.

    A task's position in the tuple is its task id. Combinations are equally probable, and so are
    starts; hence so are tasks.
    """
    return tuple(
        Task(f"{units} {start}", units, start)
        for units in problem.units
        for start in problem.starts
    )


def parse_units(combination: str, roster: Mapping[str, UnitType]) -> list[str]:
    """Return the unit-type names of a combination: ``"3s2z"`` is three stalkers, two zealots.

    Args:
        combination: counts, each followed by a unit type's symbol.
        roster: unit types by name (`env.roster` of the config).

    Raises:
        TramaError: if the combination names no unit, or a symbol that the roster does not have.
    """
    names = {unit.symbol: name for name, unit in roster.items()}
    team: list[str] = []
    for symbol, count in unit_counts(combination):
        if symbol not in names:
            known = ", ".join(f"{known} ({name})" for known, name in names.items())
            raise TramaError(
                f"Unit combination {combination!r}: no unit type of env.roster has the symbol "
                f"{symbol!r}. Known symbols: {known}."
            )
        team += [names[symbol]] * count
    if not team:
        raise TramaError(
            f"Unit combination {combination!r} names no unit; write counts and symbols, as in "
            "'3s2z'."
        )
    return team
