"""Kinds of problems, and of task sets: what is played (see `model`)."""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from trama.config.particles import PATTERN, Room, Scenario, parse_scenario
from trama.config.sections import Section, Words, listed
from trama.config.trees import KeyPath
from trama.config.validation import Broken, duplicates, report, rule_error

Symbol = Annotated[str, Field(pattern=r"^[a-z]$"), Words("one lower-case letter")]
UnitCombination = Annotated[
    str,
    Field(pattern=r"^([1-9][0-9]*[a-z])+$"),
    Words("counts and unit symbols such as 3s2z"),
]
ScenarioName = Annotated[
    str,
    Field(pattern=PATTERN),
    Words(
        "a scenario: reference, or spread_3, spread_3_line (or _circle, _north, _east, _south, "
        "_west) or tag_3 with any number from 1 to 9"
    ),
]
TRAINED = "trained"
"""What the tasks of a problem itself are called beside the names of task sets."""
OOD = "ood"
"""What all tasks of the task sets together are called."""
MOST_UNITS = 20
"""Units of the largest team."""


def unit_counts(combination: str) -> list[tuple[str, int]]:
    """Symbols and their counts of a unit combination: "3s2z" -> [("s", 3), ("z", 2)]."""
    return [(symbol, int(n)) for n, symbol in re.findall(r"([0-9]+)([a-z])", combination)]


StartPosition = Literal["surrounded", "reflected", "surrounding"]


class Tasks(Section):
    """Tasks of one kind, of which a problem or a set of tasks consists.

    Attributes:
        kind: what they are, in words.
        told_by: the key by which the kind is told from others.
    """

    kind: ClassVar[str]
    told_by: ClassVar[str]

    @property
    @abstractmethod
    def n_tasks(self) -> int:
        """Number of tasks."""

    @property
    def symbols(self) -> list[tuple[KeyPath, str]]:
        """Symbols of the unit types that it names, each with its place; none without units."""
        return []

    @property
    def n_combinations(self) -> int | None:
        """How many kinds of teams, or scenarios, its tasks have; None where teams are random."""
        return None

    def unplayable(self, task_set: "Tasks") -> tuple[KeyPath, str] | None:
        """What of a task set the environments of this problem cannot have: its place, and why."""
        return None

    def trains_all_of(self, task_set: "Tasks") -> bool:
        """Whether a task set has no task but those of this problem."""
        return False


def one_of(*kinds: type[Tasks]) -> BeforeValidator:
    """Read a mapping as the one of these kinds that its keys tell."""

    def read(given: Any) -> Any:
        if isinstance(given, Tasks):
            return given
        if not isinstance(given, Mapping):
            raise PydanticCustomError("mapping", "must be a mapping of keys to values")
        own = next((kind for kind in kinds if kind.told_by in given), None)
        if own is None:
            telling = " or ".join(f"{kind.told_by} ({kind.kind})" for kind in kinds)
            raise rule_error(Broken((), f"no key says what tasks these are: give {telling}", given))
        foreign = [
            Broken(
                (key,),
                f"is a key of {kind.kind}, but {own.told_by} makes these {own.kind}: leave one of "
                "the two out",
                given[key],
                others=((own.told_by,),),
            )
            for kind in kinds
            for key in kind.model_fields
            if key in given and key not in own.model_fields
        ]
        report("tasks", foreign)
        return own.model_validate(given)

    return BeforeValidator(read)


_ENV = (
    "Overrides of keys of section `env`, in its own shape, for this problem. Backend, device and "
    "patience are the same for all problems."
)


class UnitTasks(Tasks):
    """Each of some unit combinations from each of some starts."""

    kind = "unit combinations"
    told_by = "units"

    units: tuple[UnitCombination, ...]
    starts: tuple[StartPosition, ...]

    def _broken(self) -> list[Broken]:
        problems = [*duplicates(("units",), self.units), *duplicates(("starts",), self.starts)]
        teams = self.teams
        for i, units in enumerate(self.units):
            pairs = unit_counts(units)
            size = sum(n for _, n in pairs)
            if len({symbol for symbol, _ in pairs}) < len(pairs):
                problems.append(Broken(("units", i), "names a unit symbol twice", units))
            elif units not in self.units[:i] and teams[i] in teams[:i]:
                twin = self.units[teams.index(teams[i])]
                problems.append(Broken(("units", i), f"is the same team as {twin!r}", units))
            if size > MOST_UNITS:
                message = f"is a team of {size}: a team has at most {MOST_UNITS} units"
                problems.append(Broken(("units", i), message, units))
        return problems

    @property
    def n_tasks(self) -> int:
        """See `Tasks`."""
        return len(self.units) * len(self.starts)

    @property
    def n_combinations(self) -> int:
        """See `Tasks`."""
        return len(self.units)

    @property
    def teams(self) -> list[dict[str, int]]:
        """Unit symbols and their counts of each unit combination."""
        return [dict(unit_counts(units)) for units in self.units]

    @property
    def symbols(self) -> list[tuple[KeyPath, str]]:
        """See `Tasks`."""
        return [(("units", i), symbol) for i, team in enumerate(self.teams) for symbol in team]

    def beyond(self, symbols: set[str], team_size: int) -> tuple[KeyPath, str] | None:
        """The first combination that is none of such units, or too large: its place, and why."""
        for i, team in enumerate(self.teams):
            size = sum(team.values())
            foreign = [symbol for symbol in team if symbol not in symbols]
            if foreign:
                reason = f"has a unit type that the problem does not have: {foreign[0]!r}"
            elif size > team_size:
                reason = f"is a team of {size}, the problem has teams of {team_size}"
            else:
                continue
            return ("units", i), f"{self.units[i]!r} {reason}"
        return None


class UnitProblem(UnitTasks):
    """A mixture of tasks: each unit combination and each start is drawn with equal chance."""

    units: tuple[UnitCombination, ...] = listed(
        ..., "Unit combinations of the team, counts and roster symbols; the enemy mirrors the team."
    )
    starts: tuple[StartPosition, ...] = listed(
        ("surrounded",),
        "Start positions: enemies in groups around the team, mirrored at the map's middle, or the "
        "team in groups around the enemies.",
    )
    env: dict[str, Any] = Field(default={}, description=_ENV)

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = self._broken()
        sizes = [sum(team.values()) for team in self.teams]
        for i, size in enumerate(sizes):
            if size != sizes[0] and size <= MOST_UNITS:
                problems.append(
                    Broken(
                        ("units", i),
                        f"is a team of {size}, but {self.units[0]!r} is a team of {sizes[0]}: "
                        "all unit combinations of a problem must have the same size",
                        self.units[i],
                    )
                )
        report("problem", problems)
        return self

    @property
    def team_size(self) -> int:
        """Number of units in each team."""
        return sum(n for _, n in unit_counts(self.units[0]))

    def unplayable(self, task_set: Tasks) -> tuple[KeyPath, str] | None:
        """See `Tasks`."""
        if not isinstance(task_set, UnitTasks):
            return (), f"has {task_set.kind}"
        return task_set.beyond({symbol for _, symbol in self.symbols}, self.team_size)

    def trains_all_of(self, task_set: Tasks) -> bool:
        """See `Tasks`."""
        return (
            isinstance(task_set, UnitTasks)
            and all(team in self.teams for team in task_set.teams)
            and set(task_set.starts) <= set(self.starts)
        )


class UnitTaskSet(UnitTasks):
    """Tasks that trained policies are evaluated on; those that a problem trains on are left out."""

    units: tuple[UnitCombination, ...] = listed(
        ...,
        "Unit combinations as in `problems`. One of fewer units than the problem's teams lacks the "
        "rest on both sides: they are dead from the first step.",
    )
    starts: tuple[StartPosition, ...] = listed(("surrounded",), "Start positions as in `problems`.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("task_set", self._broken())
        return self


class RandomTeams(Tasks):
    """A mixture of random teams: each unit is drawn by itself, and each start with equal chance."""

    kind = "random teams"
    told_by = "unit_weights"

    unit_weights: dict[Symbol, Annotated[float, Field(gt=0)]] = Field(
        ...,
        min_length=1,
        description="Chance of each unit type, by its symbol, in any measure; the enemy mirrors "
        "the team.",
    )
    team_size: int = Field(default=5, ge=1, le=MOST_UNITS, description="Units of a team.")
    excluded_teams: tuple[Symbol, ...] = listed(
        (), "Unit types of which alone no team consists; such a team is drawn again.", min_length=0
    )
    starts: tuple[StartPosition, ...] = listed(
        ("surrounded", "reflected"), "Start positions as with unit combinations; each is a task."
    )
    env: dict[str, Any] = Field(default={}, description=_ENV)

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = [*duplicates(("starts",), self.starts)]
        if set(self.unit_weights) <= set(self.excluded_teams):
            problems.append(
                Broken(
                    ("excluded_teams",),
                    "leaves no team: a type of unit_weights must not be excluded",
                    self.excluded_teams,
                    others=(("unit_weights",),),
                )
            )
        report("problem", problems)
        return self

    @property
    def n_tasks(self) -> int:
        """See `Tasks`."""
        return len(self.starts)

    @property
    def symbols(self) -> list[tuple[KeyPath, str]]:
        """See `Tasks`."""
        return [(("unit_weights",), symbol) for symbol in self.unit_weights]

    def unplayable(self, task_set: Tasks) -> tuple[KeyPath, str] | None:
        """See `Tasks`."""
        if not isinstance(task_set, UnitTasks):
            return (), f"has {task_set.kind}"
        return task_set.beyond(set(self.unit_weights), self.team_size)


class ScenarioTasks(Tasks):
    """Particle scenarios, each a task."""

    kind = "particle scenarios"
    told_by = "scenarios"

    scenarios: tuple[ScenarioName, ...]

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("scenarios", duplicates(("scenarios",), self.scenarios))
        return self

    @property
    def n_tasks(self) -> int:
        """See `Tasks`."""
        return len(self.scenarios)

    @property
    def n_combinations(self) -> int:
        """See `Tasks`."""
        return len(self.scenarios)

    @property
    def parsed(self) -> list[Scenario]:
        """What each scenario consists of."""
        return [parse_scenario(name) for name in self.scenarios]


class ScenarioProblem(ScenarioTasks):
    """A mixture of particle scenarios, each drawn with equal chance."""

    scenarios: tuple[ScenarioName, ...] = listed(
        ...,
        "Scenarios: spread_<n>, n agents that cover n landmarks, which lie anywhere or, with _line "
        "or _circle, evenly on one, and with _north, _east, _south or _west at fixed places on "
        "that side; reference, two agents that tell each other where to go; tag_<n>, n agents that "
        "catch a scripted prey.",
    )
    env: dict[str, Any] = Field(default={}, description=_ENV)

    @property
    def room(self) -> Room:
        """What its environments have room for."""
        return Room.of(self.parsed)

    def unplayable(self, task_set: Tasks) -> tuple[KeyPath, str] | None:
        """See `Tasks`."""
        if not isinstance(task_set, ScenarioTasks):
            return (), f"has {task_set.kind}"
        for i, (name, scenario) in enumerate(zip(task_set.scenarios, task_set.parsed, strict=True)):
            reason = self.room.lacks(scenario)
            if reason is not None:
                return ("scenarios", i), f"{name!r} {reason}"
        return None

    def trains_all_of(self, task_set: Tasks) -> bool:
        """See `Tasks`."""
        return isinstance(task_set, ScenarioTasks) and set(task_set.scenarios) <= set(
            self.scenarios
        )


class ScenarioTaskSet(ScenarioTasks):
    """Scenarios that trained policies are evaluated on; those of the problem are left out."""

    scenarios: tuple[ScenarioName, ...] = listed(
        ...,
        "Scenarios as in `problems`, with no more agents, landmarks or prey than the problem has, "
        "and speech only if it has speech.",
    )


# A further kind is a further member of both lines.
Problem = Annotated[
    UnitProblem | RandomTeams | ScenarioProblem, one_of(UnitProblem, RandomTeams, ScenarioProblem)
]
TaskSet = Annotated[UnitTaskSet | ScenarioTaskSet, one_of(UnitTaskSet, ScenarioTaskSet)]
