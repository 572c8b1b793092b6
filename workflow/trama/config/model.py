"""The configuration's model: every key, its type, range, default and description.

This is the one place where a key is described; `config/README.md` and the JSON Schema are
generated from it. Defaults are the published values (paper: arXiv 2503.01440, and its released
code) wherever there are any.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from trama.config.particles import PATTERN, Room, Scenario, parse_scenario
from trama.config.races import UNARMED, race_of, unit_names
from trama.config.relations import broken_relations
from trama.config.trees import KeyPath, deep_merge
from trama.config.validation import Broken, at_most, duplicates, report, rule_error


@dataclass(frozen=True)
class Words:
    """What may stand at a key, in words, where its type and bounds do not tell."""

    text: str


Name = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_]+$"), Words("a name of letters, digits and underscores")
]
"""A name that becomes part of a path."""

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
        "a scenario: reference, or spread_3, spread_3_line, spread_3_circle or tag_3 with any "
        "number from 1 to 9"
    ),
]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
EnvSteps = Annotated[int, Field(le=10**12)]
MAP_SIDE = 32
"""Side of the map, cells, in SMAX and SMACv2: what no unit need see, reach or cross in a second."""
MOST_UNITS = 20
"""Units of the largest team."""


def unit_counts(combination: str) -> list[tuple[str, int]]:
    """Symbols and their counts of a unit combination: "3s2z" -> [("s", 3), ("z", 2)]."""
    return [(symbol, int(n)) for n, symbol in re.findall(r"([0-9]+)([a-z])", combination)]


class Section(BaseModel):
    """A mapping of known keys: extras are forbidden, types are not converted, nothing changes."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, validate_default=True
    )


# Lists come as Python lists from YAML and are kept as tuples; their items stay strict.
def _list(default: Any, description: str, min_length: int = 1) -> Any:
    return Field(default, description=description, min_length=min_length, strict=False)


class Study(Section):
    """What is run: problems x variants x seeds."""

    name: Name = Field(
        default="study", description="Folder of the study's results: results/<name>."
    )
    seed: Seed = Field(
        default=0,
        description="Master seed; every generator's seed is derived from it and from `seeds`.",
    )
    problems: tuple[Name, ...] = _list(..., "Problems to train on, by their name in `problems`.")
    variants: tuple[Name, ...] = _list(..., "Variants to train, by their name in `variants`.")
    seeds: tuple[Seed, ...] = _list(
        (0,), "Seeds; each has its own data, representation and training."
    )
    reference: Name | None = Field(
        default=None,
        description="Variant of the study that comparisons set the others beside; null: the "
        "study's first variant with trajectory classes, else its first.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = [
            *duplicates(("problems",), self.problems),
            *duplicates(("variants",), self.variants),
            *duplicates(("seeds",), self.seeds),
        ]
        if self.reference is not None and self.reference not in self.variants:
            message = "is not among study.variants: name one of them, or null"
            problems.append(Broken(("reference",), message, self.reference, self.variants))
        report("study", problems)
        return self


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
    def symbols(self) -> list[tuple[KeyPath, str]]:
        """Symbols of the unit types that it names, each with its place; none without units."""
        return []

    def unplayable(self, task_set: "Tasks") -> tuple[KeyPath, str] | None:
        """What of a task set the environments of this problem cannot have: its place, and why."""
        return None


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

    units: tuple[UnitCombination, ...] = _list(
        ..., "Unit combinations of the team, counts and roster symbols; the enemy mirrors the team."
    )
    starts: tuple[StartPosition, ...] = _list(
        ("surrounded",),
        "Start positions: enemies in groups around the team, mirrored at the map's middle, or the "
        "team in groups around the enemies.",
    )

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


class UnitTaskSet(UnitTasks):
    """Tasks that trained policies are evaluated on; those that a problem trains on are left out."""

    units: tuple[UnitCombination, ...] = _list(
        ...,
        "Unit combinations as in `problems`. One of fewer units than the problem's teams lacks the "
        "rest on both sides: they are dead from the first step.",
    )
    starts: tuple[StartPosition, ...] = _list(("surrounded",), "Start positions as in `problems`.")

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
    excluded_teams: tuple[Symbol, ...] = _list(
        (), "Unit types of which alone no team consists; such a team is drawn again.", min_length=0
    )
    starts: tuple[StartPosition, ...] = _list(
        ("surrounded", "reflected"), "Start positions as with unit combinations; each is a task."
    )

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
    def parsed(self) -> list[Scenario]:
        """What each scenario consists of."""
        return [parse_scenario(name) for name in self.scenarios]


class ScenarioProblem(ScenarioTasks):
    """A mixture of particle scenarios, each drawn with equal chance."""

    scenarios: tuple[ScenarioName, ...] = _list(
        ...,
        "Scenarios: spread_<n>, n agents that cover n landmarks, which lie anywhere or, with _line "
        "or _circle, evenly on one; reference, two agents that tell each other where to go; "
        "tag_<n>, n agents that catch a scripted prey.",
    )

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


class ScenarioTaskSet(ScenarioTasks):
    """Scenarios that trained policies are evaluated on; those of the problem are left out."""

    scenarios: tuple[ScenarioName, ...] = _list(
        ...,
        "Scenarios as in `problems`, with no more agents, landmarks or prey than the problem has, "
        "and speech only if it has speech.",
    )


# A further kind is a further member of both lines.
Problem = Annotated[
    UnitProblem | RandomTeams | ScenarioProblem, one_of(UnitProblem, RandomTeams, ScenarioProblem)
]
TaskSet = Annotated[UnitTaskSet | ScenarioTaskSet, one_of(UnitTaskSet, ScenarioTaskSet)]


class Representation(Section):
    """How a trajectory is embedded and into how many classes the embeddings are clustered."""

    embedding: Literal["quantised", "mean_state"] = Field(
        default="quantised",
        description="Embedding of a trajectory: mean of its quantised VQ-VAE vectors, or plain "
        "mean of its states, which needs no pretraining.",
    )
    states: Literal["raw", "standardised", "summed"] = Field(
        default="standardised",
        description="States that are embedded: as the environment gives them (published), each "
        "feature standardised, or summed over like units and then standardised, so that the order "
        "of units has no part in it.",
    )
    coverage: Literal["none", "time", "time_class"] = Field(
        default="time_class",
        description="Coverage loss of the codebook: none, J(t) over time, or J(t,k) over time and "
        "class (published: time_class). Only for quantised.",
    )
    n_codes: int = Field(
        default=256,
        ge=1,
        le=65536,
        description="Codes in the codebook (published: 256). Only for quantised.",
    )
    code_dim: int = Field(
        default=4, ge=1, description="Dimension of a code (published: 4). Only for quantised."
    )
    n_classes: int = Field(default=4, ge=2, description="Clusters K of K-means (published: 4).")
    relabel_rounds: int = Field(
        default=2,
        ge=0,
        description="Times that pretraining labels its trajectories anew by K-means for J(t,k), "
        "after a first part with random classes. Only for coverage time_class.",
    )

    @property
    def unused_keys(self) -> tuple[str, ...]:
        """Keys that have no effect with this embedding and coverage."""
        if self.embedding == "mean_state":
            return ("coverage", "n_codes", "code_dim", "relabel_rounds")
        return () if self.coverage == "time_class" else ("relabel_rounds",)

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = []
        if self.embedding == "mean_state":
            problems += [
                Broken(
                    (key,),
                    f"{key} is a key of the VQ-VAE and has no effect with embedding mean_state: "
                    "remove it",
                    getattr(self, key),
                    others=(("embedding",),),
                )
                for key in self.unused_keys
                if key in self.model_fields_set
            ]
        elif "relabel_rounds" in self.model_fields_set.intersection(self.unused_keys):
            problems.append(
                Broken(
                    ("relabel_rounds",),
                    f"relabel_rounds has no effect with coverage {self.coverage}, only with "
                    "time_class: remove it",
                    self.relabel_rounds,
                    others=(("coverage",),),
                )
            )
        report("representation", problems)
        return self


class Variant(Section):
    """A named set of changes to the base algorithm."""

    mixer: Literal["vdn", "qmix", "qplex"] = Field(..., description="Value factorisation.")
    representation: Name | None = Field(
        default=None,
        description="Representation, by its name in `representations`, whose clusters are the "
        "trajectory classes; a variant without one, and without labels true_task, is a baseline.",
    )
    labels: Literal["clusters", "true_task"] = Field(
        default="clusters",
        description="Labels that the predictor learns: clusters of the representation, or the true "
        "task as an oracle, which has no representation.",
    )
    train: dict[str, Any] = Field(
        default={},
        description="Overrides of keys of section `train`, in its own shape, for this variant.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        problems = []
        if self.representation is not None and self.labels == "true_task":
            problems.append(
                Broken(
                    ("representation",),
                    "an oracle (labels true_task) reads no representation: set it to null, or "
                    "remove labels",
                    self.representation,
                    others=(("labels",),),
                )
            )
        elif not self.has_classes and "labels" in self.model_fields_set:
            problems.append(
                Broken(
                    ("labels",),
                    "labels clusters has no effect without a representation: remove it, or set "
                    "representation",
                    self.labels,
                )
            )
        report("variant", problems)
        return self

    @property
    def has_classes(self) -> bool:
        """Whether it learns trajectory classes: of a representation, or the true task."""
        return self.representation is not None or self.labels == "true_task"


class UnitType(Section):
    """Combat values of a unit type, in SMAX's units: map cells, hit points, seconds."""

    symbol: Symbol = Field(..., description="Lower-case letter that names it in unit combinations.")
    speed: float = Field(..., ge=0, le=MAP_SIDE, description="Speed, cells per second.")
    damage: float = Field(..., gt=0, description="Damage of one attack, hit points.")
    range: float = Field(..., gt=0, le=MAP_SIDE, description="Range of an attack, cells.")
    sight: float = Field(..., gt=0, le=MAP_SIDE, description="Sight range, cells.")
    radius: float = Field(..., gt=0, le=4, description="Radius of the unit, cells.")
    health: float = Field(..., gt=0, description="Health at the start, hit points.")
    cooldown: float = Field(..., gt=0, description="Time between two attacks, seconds.")


_ROSTER = {
    "stalker": UnitType(
        symbol="s",
        speed=4.13,
        damage=13,
        range=6,
        sight=10,
        radius=0.625,
        health=160,
        cooldown=1.34,
    ),
    "zealot": UnitType(
        symbol="z", speed=3.15, damage=16, range=2, sight=9, radius=0.5, health=150, cooldown=0.86
    ),
    "colossus": UnitType(
        symbol="c", speed=3.15, damage=20, range=7, sight=10, radius=1.0, health=350, cooldown=1.07
    ),
}


class Backend(Section):
    """Settings of one backend; its section of `env` has the backend's name.

    Attributes:
        plays: the kinds of tasks that it has.
        on_jax: whether JAX steps it.
    """

    plays: ClassVar[tuple[type[Tasks], ...]]
    on_jax: ClassVar[bool] = True

    @property
    def most_envs(self) -> int | None:
        """Environments that tests and evaluation step together at most; None: as they like."""
        return None

    def refuses(self, tasks: Tasks) -> tuple[KeyPath, str] | None:
        """What of tasks of a kind that it plays it cannot have all the same: its place, and why."""
        return None

    @property
    @abstractmethod
    def episode_limit(self) -> int:
        """The most steps that an episode can have."""

    @property
    def units(self) -> dict[str, str]:
        """Names of the unit types, by their symbols in unit combinations; empty without any."""
        return {}

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """Key paths that have no effect on the environments of a problem."""
        return set()


class Smax(Backend):
    """Backend smax: SMAX of JaxMARL."""

    plays = (UnitTasks,)

    max_steps: int = Field(
        default=100, ge=1, le=10_000, description="Time limit of an episode, env steps."
    )
    reward_scale: float = Field(
        default=10.0, gt=0, description="Factor on SMAX's reward (at most 2 per episode; SMAC: 20)."
    )
    ally_loss_scale: float = Field(
        default=0.0,
        ge=0,
        description="What the loss of the team's whole health costs, where SMAX gives 1 for all of "
        "the enemy's (SMAC, where own losses are punished: 0.5).",
    )
    hide_unit_types: bool = Field(
        default=False,
        description="Agents don't see the types of other units, of either side. The state has "
        "them still.",
    )
    dist_ratio: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="How far from the centre units may start, in x and in y, as a share of the "
        "half map: groups of surrounding enemies, and both teams of reflected starts.",
    )
    roster: dict[Name, UnitType] = Field(
        default=_ROSTER,
        min_length=1,
        description="Unit types; a problem's environment has those that its unit combinations "
        "name.",
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        symbols: dict[str, str] = {}
        problems = []
        for name, unit in self.roster.items():
            other = symbols.setdefault(unit.symbol, name)
            if other != name:
                problems.append(
                    Broken(
                        ("roster", name, "symbol"),
                        f"is the symbol of {other!r} already",
                        unit.symbol,
                        others=(("roster", other, "symbol"),),
                    )
                )
        report("smax", problems)
        return self

    @property
    def episode_limit(self) -> int:
        """See `Backend`."""
        # SMAX compares its step counter with the limit before it moves the counter.
        return self.max_steps + 1

    @property
    def units(self) -> dict[str, str]:
        """See `Backend`."""
        return {unit.symbol: name for name, unit in self.roster.items()}

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """See `Backend`."""
        named = {symbol for _, symbol in problem.symbols}
        return {("roster", name) for symbol, name in self.units.items() if symbol not in named}


class GamePatience(Section):
    """How long to wait for games, and how often to try; a change re-runs nothing."""

    start_seconds: float = Field(
        default=300.0, gt=0, description="Longest time that a game may take to start, seconds."
    )
    step_seconds: float = Field(
        default=120.0,
        gt=0,
        description="Longest time that a step may take, seconds; then the game is started anew.",
    )
    interval_seconds: float = Field(
        default=1.0, ge=0, description="Time between the starts of two games, seconds."
    )
    attempts: int = Field(
        default=5,
        ge=1,
        description="Failures of a game in a row, without a finished episode, that end the job.",
    )


class Smacv2(Backend):
    """Backend smacv2: SMACv2 and StarCraft II, with the settings that SMACv2 gives these names."""

    plays = (UnitTasks, RandomTeams)
    on_jax = False

    max_steps: int = Field(
        default=200,
        ge=1,
        le=10_000,
        description="Time limit of an episode, env steps (published: 200).",
    )
    dist_ratio: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="How far from the centre units may start, in x and in y, as a share of the "
        "half map, in problems of unit combinations (published: 0.5). Random teams start on the "
        "whole map, as SMACv2 has it.",
    )
    difficulty: int = Field(
        default=7,
        ge=1,
        le=10,
        description="Difficulty of the game's AI; 10 is SMACv2's A (published: 7).",
    )
    game_version: str | None = Field(
        default=None,
        description="Version of StarCraft II, such as 4.10.0; null: the newest that is installed "
        "(published: null).",
    )
    step_mul: int = Field(
        default=8, ge=1, description="Steps of the game per env step (published: 8)."
    )
    move_amount: float = Field(
        default=2.0, gt=0, description="How far a move goes, cells (published: 2)."
    )
    use_unit_ranges: bool = Field(
        default=True,
        description="Each unit type has its own range and sight, else all have 6 and 9 "
        "(published: true).",
    )
    min_attack_range: float = Field(
        default=2.0,
        ge=0,
        description="Least range of an attack, cells (published: 2). Only with use_unit_ranges.",
    )
    conic_fov: bool = Field(
        default=False,
        description="Agents see a cone, into which they look by actions (published: false).",
    )
    num_fov_actions: int = Field(
        default=12,
        ge=1,
        description="Directions to look into (published: 12). Only with conic_fov.",
    )
    fully_observable: bool = Field(
        default=False, description="Agents see the whole map (published: false)."
    )
    prob_obs_enemy: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Chance that an agent sees an enemy that another saw first (published: 1).",
    )
    action_mask: bool = Field(
        default=True,
        description="Enemies out of range cannot be attacked; else an attack on them does nothing "
        "(published: true).",
    )
    obs_all_health: bool = Field(
        default=True, description="Agents see the health of units in sight (published: true)."
    )
    obs_own_health: bool = Field(
        default=True,
        description="Agents see their own health, which obs_all_health includes (published: true).",
    )
    obs_own_pos: bool = Field(
        default=True, description="Agents see their own position (published: true)."
    )
    obs_last_action: bool = Field(
        default=False, description="Agents see others' last actions (published: false)."
    )
    obs_pathing_grid: bool = Field(
        default=False, description="Agents see where they can go (published: false)."
    )
    obs_terrain_height: bool = Field(
        default=False, description="Agents see the height of the terrain (published: false)."
    )
    obs_timestep_number: bool = Field(
        default=False, description="Agents see how much time has passed (published: false)."
    )
    state_last_action: bool = Field(
        default=True, description="The state has the agents' last actions (published: true)."
    )
    state_timestep_number: bool = Field(
        default=False, description="The state has how much time has passed (published: false)."
    )
    reward_sparse: bool = Field(
        default=False,
        description="The reward is 1 for a win and -1 for a defeat, and nothing else (published: "
        "false).",
    )
    reward_only_positive: bool | None = Field(
        default=None,
        description="Losses of one's own cost nothing; null: false with unit combinations, true "
        "with random teams (published: null).",
    )
    reward_death_value: float = Field(
        default=10.0, ge=0, description="Reward of an enemy's death (published: 10)."
    )
    reward_win: float = Field(default=200.0, ge=0, description="Reward of a win (published: 200).")
    reward_defeat: float = Field(
        default=0.0, le=0, description="Reward of a defeat (published: 0)."
    )
    reward_negative_scale: float = Field(
        default=0.5,
        ge=0,
        description="Weight of one's own losses against the enemy's (published: 0.5).",
    )
    reward_scale: bool = Field(
        default=True,
        description="Scale rewards by what an episode can bring (published: true).",
    )
    reward_scale_rate: float = Field(
        default=20.0,
        gt=0,
        description="What an episode brings at most, once scaled (published: 20).",
    )
    parallel_games: int = Field(
        default=8,
        ge=1,
        description="Games that a test and stage evaluate run at the same time, at most; stages "
        "collect and train run n_envs. Each is a StarCraft II of about 1 GB.",
    )
    patience: GamePatience = Field(
        default=GamePatience(), description="How long to wait for games, and how often to try."
    )

    @property
    def episode_limit(self) -> int:
        """See `Backend`."""
        return self.max_steps

    @property
    def units(self) -> dict[str, str]:
        """See `Backend`."""
        return unit_names()

    @property
    def most_envs(self) -> int | None:
        """See `Backend`."""
        return self.parallel_games

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """See `Backend`."""
        unused: set[tuple[str, ...]] = {("patience",)}
        return unused | ({("dist_ratio",)} if isinstance(problem, RandomTeams) else set())

    def refuses(self, tasks: Tasks) -> tuple[KeyPath, str] | None:
        """See `Backend`."""
        known = [(path, symbol) for path, symbol in tasks.symbols if symbol in self.units]
        race = race_of({symbol for _, symbol in known[:1]})
        for path, symbol in known:
            if race_of({known[0][1], symbol}) is None:
                return path, (
                    f"has {self.units[symbol]} beside {self.units[known[0][1]]}: all units must be "
                    f"of one race, as {race}"
                )
        teams = tasks.teams if isinstance(tasks, UnitTasks) else []
        for i, team in enumerate(teams):
            if set(team) <= UNARMED:
                return ("units", i), "has a team that cannot fight"
        return None


class RewardScales(Section):
    """Factors on the team rewards of the particle scenarios, by family."""

    spread: float = Field(
        default=1.0, gt=0, description="Of spread, whose reward is taken per landmark."
    )
    reference: float = Field(default=0.5, gt=0, description="Of reference.")
    tag: float = Field(
        default=0.5, gt=0, description="Of tag, which gives 10 for each agent that touches prey."
    )


class Mpe(Backend):
    """Backend mpe: particle environments of JaxMARL."""

    plays = (ScenarioTasks,)

    max_steps: int = Field(
        default=25, ge=1, le=10_000, description="Length of every episode, env steps (JaxMARL: 25)."
    )
    words: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Words that the agents of reference can say (JaxMARL: 10).",
    )
    success_distance: float = Field(
        default=0.25,
        gt=0,
        le=4,
        description="How near an agent must be at the end: to each landmark of spread, one; in "
        "reference, each to its own. The world is 2 wide.",
    )
    catches: int = Field(
        default=1, ge=1, description="Steps in which the prey must be touched, to win tag."
    )
    reward_scale: RewardScales = Field(
        default=RewardScales(), description="Factors on the scenarios' team rewards."
    )

    @property
    def episode_limit(self) -> int:
        """See `Backend`."""
        return self.max_steps

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """See `Backend`."""
        if not isinstance(problem, ScenarioProblem):
            return set()
        unused = set()
        if not problem.room.speech:
            unused |= {("words",), ("reward_scale", "reference")}
        if not problem.room.n_prey:
            unused |= {("catches",), ("reward_scale", "tag")}
        return unused


class Env(Section):
    """The environment: what all backends share, and a section of each."""

    backend: Literal["smax", "smacv2", "mpe"] = Field(
        default="smax",
        description="Environment: SMAX of JaxMARL, SMACv2 on StarCraft II (docs/starcraft.md), or "
        "particle environments of JaxMARL.",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu",
        description="JAX's device, which steps it; cuda needs JAX with CUDA support. Not for "
        "smacv2.",
    )
    smax: Smax = Field(default=Smax(), description="Backend smax.")
    smacv2: Smacv2 = Field(default=Smacv2(), description="Backend smacv2.")
    mpe: Mpe = Field(default=Mpe(), description="Backend mpe.")

    @property
    def backends(self) -> dict[str, Backend]:
        """The section of each backend, by its name."""
        return {name: section for name, section in self if isinstance(section, Backend)}

    @property
    def settings(self) -> Backend:
        """The section of the chosen backend."""
        return self.backends[self.backend]

    @property
    def unchosen(self) -> set[str]:
        """Names of the other backends, whose sections have no effect."""
        return self.backends.keys() - {self.backend}

    @property
    def episode_limit(self) -> int:
        """The most steps that an episode of the chosen backend can have."""
        return self.settings.episode_limit

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """Key paths that have no effect on the environments of a problem."""
        own = {(self.backend, *path) for path in self.settings.unused_keys(problem)}
        device = set() if self.settings.on_jax else {("device",)}
        return {*((name,) for name in self.unchosen), *own, *device}


class QMix(Section):
    """Sizes of QMIX's mixer."""

    mixing_size: int = Field(
        default=32, ge=1, description="Hidden units of the mixer (published: 32)."
    )
    hypernet_size: int = Field(
        default=64,
        ge=1,
        description="Hidden units of the hypernetworks on the state (published: 64).",
    )


class QPlex(Section):
    """Sizes of QPLEX's mixer."""

    heads: int = Field(default=4, ge=1, description="Attention heads (published: 4).")
    mixing_size: int = Field(
        default=32, ge=1, description="Size of keys and queries (published: 32)."
    )
    hypernet_size: int = Field(
        default=64, ge=1, description="Hidden units of the networks on the state (published: 64)."
    )
    attention_regulariser: float = Field(
        default=1e-3,
        ge=0,
        description="Weight of the squared attention logits in the loss (published: 1e-3).",
    )
    kernels: int = Field(
        default=4, ge=1, description="Kernels of the advantage weights (published: 4)."
    )


class RL(Section):
    """The Q-learning loop; the keys that `collect` and `train` share."""

    n_envs: int = Field(default=32, ge=1, description="Environments that are stepped together.")
    network: Literal["flat", "entities"] = Field(
        default="flat",
        description="What agents and predictors make of an observation: one vector (published), or "
        "entities of which all that are alike, such as enemies, share their weights, in whatever "
        "order they come.",
    )
    batch_size: int = Field(
        default=32, ge=1, description="Episodes in a batch of the learner (published: 32)."
    )
    buffer_size: int = Field(
        default=5000, ge=1, description="Episodes that the replay buffer holds (published: 5000)."
    )
    episodes_per_update: int = Field(
        default=1, ge=1, description="Episodes that are played per learner update (published: 1)."
    )
    optimiser: Literal["rmsprop", "adam"] = Field(
        default="rmsprop", description="Optimiser of the agents and the mixer (published: rmsprop)."
    )
    learning_rate: float = Field(
        default=5e-4, gt=0, description="Its learning rate (published: 5e-4)."
    )
    rmsprop_alpha: float = Field(
        default=0.99,
        ge=0,
        lt=1,
        description="Decay of RMSprop's mean of squared gradients (published: 0.99). Only for "
        "rmsprop.",
    )
    rmsprop_eps: float = Field(
        default=1e-5,
        gt=0,
        description="Added to RMSprop's denominator (published: 1e-5). Only for rmsprop.",
    )
    gamma: float = Field(
        default=0.99, ge=0, le=1, description="Discount per env step (published: 0.99)."
    )
    td_lambda: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Lambda of the TD(lambda) targets; 0 is one-step targets.",
    )
    grad_clip: float = Field(
        default=10.0, gt=0, description="Largest norm of the gradient (published: 10)."
    )
    target_update_episodes: int = Field(
        default=200,
        ge=1,
        description="Episodes between two copies to the target network (published: 200).",
    )
    epsilon_start: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Chance of a random action at the start (published: 1).",
    )
    epsilon_finish: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="Chance of a random action after annealing (published: 0.05).",
    )
    epsilon_anneal_steps: EnvSteps = Field(
        default=50_000, ge=1, description="Env steps of the linear annealing (published: 50000)."
    )
    hidden_size: int = Field(
        default=64, ge=1, description="Hidden units of the agents' network (published: 64)."
    )
    qmix: QMix = Field(default=QMix(), description="Mixer QMIX.")
    qplex: QPlex = Field(default=QPlex(), description="Mixer QPLEX.")

    def _broken(self) -> list[Broken]:
        return [
            *at_most(self, "batch_size", "buffer_size"),
            *at_most(self, "n_envs", "buffer_size"),
            *at_most(self, "epsilon_finish", "epsilon_start"),
        ]

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("rl", self._broken())
        return self


class Collect(RL):
    """Stage collect: random episodes, then a short baseline run whose episodes are all kept."""

    mixer: Literal["vdn", "qmix", "qplex"] = Field(
        default="qplex", description="Value factorisation of the baseline."
    )
    random_episodes: int = Field(
        default=100, ge=1, description="Random episodes that give the first state statistics."
    )
    env_steps: EnvSteps = Field(
        default=100_000,
        ge=1,
        description="Env steps of the baseline (published start of classes: 100000).",
    )
    std_floor: float = Field(
        default=0.01,
        gt=0,
        description="Smallest standard deviation that a state feature is divided by, so that one "
        "that hardly moves is not blown up.",
    )


class Pretrain(Section):
    """Stage pretrain: the VQ-VAE on standardised states (paper: quantised latent space)."""

    updates: int = Field(
        default=3000, ge=1, description="Updates, spread over all relabelling rounds."
    )
    batch_size: int = Field(default=32, ge=1, description="Episodes in a batch.")
    learning_rate: float = Field(
        default=5e-4, gt=0, description="Adam's learning rate (published: 5e-4)."
    )
    hidden_size: int = Field(
        default=64, ge=1, description="Hidden units of encoder and decoder (published: 64)."
    )
    vq_weight: float = Field(
        default=0.25,
        ge=0,
        description="Weight of the term that moves codes to encodings (published: 0.25).",
    )
    commitment_weight: float = Field(
        default=0.125,
        ge=0,
        description="Weight of the term that moves encodings to their code (published: 0.125).",
    )
    coverage_weight: float = Field(
        default=0.125,
        ge=0,
        description="Weight of the coverage loss J(t) or J(t,k) (published: 0.125).",
    )


class Classifier(Section):
    """The classifier that labels trajectories after a clustering."""

    hidden_sizes: tuple[Annotated[int, Field(ge=1)], ...] = _list(
        (64, 32), "Hidden units of its layers (published: 64, 32)."
    )
    learning_rate: float = Field(
        default=1e-3, gt=0, description="Adam's learning rate (published: 1e-3)."
    )
    epochs: int = Field(
        default=20, ge=1, description="Passes over the embeddings after each clustering."
    )
    batch_size: int = Field(default=32, ge=1, description="Embeddings in a batch.")


class Cluster(Section):
    """K-means on trajectory embeddings; stage cluster, and the re-clusterings of stage train."""

    max_trajectories: int = Field(
        default=5000, ge=2, description="Most trajectories in a clustering (published: 5000)."
    )
    min_trajectories: int = Field(
        default=1000, ge=2, description="Fewest trajectories for a re-clustering (published: 1000)."
    )
    min_clusters: int = Field(
        default=3,
        ge=1,
        description="Fewest clusters in use, K where that is less, for a re-clustering to be "
        "accepted (published: 3).",
    )
    n_init: int = Field(
        default=10, ge=1, description="k-means++ starts of a fit that has no previous centroids."
    )
    classifier: Classifier = Field(
        default=Classifier(), description="The classifier of trajectories."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("cluster", at_most(self, "min_trajectories", "max_trajectories"))
        return self


class Predictor(Section):
    """The trajectory-class predictor that all agents share."""

    hidden_size: int = Field(default=64, ge=1, description="Hidden units (published: 64).")
    loss_weight: float = Field(
        default=0.1, ge=0, description="Weight of its cross-entropy in the loss (published: 0.1)."
    )


class ClassRepresentation(Section):
    """The class as the policy sees it."""

    kind: Literal["learned", "one_hot"] = Field(
        default="learned",
        description="A network on the one-hot class, trained by the TD loss, or the one-hot class.",
    )
    hidden_size: int = Field(
        default=32,
        ge=1,
        description="Hidden units of the network (published: 32). Only for learned.",
    )
    size: int = Field(
        default=32, ge=1, description="Length of the vector (published: 32). Only for learned."
    )
    conditioning: Literal["input", "film", "hypernetwork"] = Field(
        default="input",
        description="Where it enters the agent: beside the inputs of the first layer (published), "
        "also as a factor of each feature of that layer, or as weights of the last layer.",
    )


class VQVAEUpdates(Section):
    """Online updates of the VQ-VAE during training."""

    learning_rate: float = Field(
        default=5e-4, gt=0, description="Adam's learning rate (published: 5e-4)."
    )
    interval_episodes: int = Field(
        default=10,
        ge=1,
        description="Episodes between two updates after the dense phase (published: 10).",
    )
    dense_env_steps: EnvSteps = Field(
        default=50_000,
        ge=0,
        description="Env steps up to which every learner update has one (published: 50000).",
    )


class Clustering(Section):
    """Re-clustering during training."""

    first_env_steps: EnvSteps = Field(
        default=100_000, ge=0, description="Env steps of the first clustering (published: 100000)."
    )
    interval_episodes: int = Field(
        default=500, ge=1, description="Episodes after which to cluster again (published: 500)."
    )
    interval_env_steps: EnvSteps = Field(
        default=50_000,
        ge=1,
        description="Env steps after which to cluster again, if sooner (published: 50000).",
    )
    initialisation: Literal["centroids", "random"] = Field(
        default="centroids",
        description="Start from the previous centroids, which keeps labels' meaning (published), "
        "or afresh.",
    )


class Train(RL):
    """Stage train."""

    env_steps: EnvSteps = Field(
        default=2_000_000, ge=1, description="Env steps of a training (published: 2 to 5 million)."
    )
    test_interval: EnvSteps = Field(
        default=10_000, ge=1, description="Env steps between two tests (published: 10000)."
    )
    test_episodes: int = Field(
        default=32, ge=1, description="Greedy episodes of a test (published: 32)."
    )
    checkpoint_minutes: float = Field(
        default=5.0,
        gt=0,
        description="Minutes between two checkpoints, from which a training that was killed goes "
        "on; a change re-runs nothing.",
    )
    keep_checkpoint: bool = Field(
        default=False,
        description="Keep the last checkpoint of a finished training: a larger env_steps then goes "
        "on from there. A change re-runs nothing.",
    )
    warm_start: bool = Field(
        default=True,
        description="Start from the representation of stages pretrain and cluster. Without it "
        "(published) the VQ-VAE begins untrained, and there are no classes before "
        "clustering.first_env_steps.",
    )
    initial_replay: Literal["empty", "collected"] = Field(
        default="empty",
        description="Replay buffer at the start: empty (published), or with the newest episodes "
        "of stage collect, whose env steps then count.",
    )
    mixer_states: Literal["raw", "standardised"] = Field(
        default="standardised",
        description="States that the mixer reads: as the environment gives them (published), or "
        "each feature standardised.",
    )
    predictor: Predictor = Field(default=Predictor(), description="Trajectory-class predictor.")
    class_representation: ClassRepresentation = Field(
        default=ClassRepresentation(), description="The class as the policy sees it."
    )
    vqvae_updates: VQVAEUpdates = Field(
        default=VQVAEUpdates(), description="Online updates of the VQ-VAE."
    )
    clustering: Clustering = Field(default=Clustering(), description="Re-clustering.")

    def _broken(self) -> list[Broken]:
        return [*super()._broken(), *at_most(self, "test_interval", "env_steps")]


Policy = Literal["last", "best"]
GivenClass = Literal["true_class", "random_class", "wrong_class"]


class Evaluate(Section):
    """Stage evaluate: greedy episodes of trained policies."""

    episodes: int = Field(default=100, ge=1, description="Episodes per task.")
    policies: tuple[Policy, ...] = _list(
        ("last", "best"), "Policies to evaluate: the last one, the one that tested best."
    )
    task_sets: tuple[Name, ...] = _list(
        (),
        "Sets of tasks to evaluate on beside the problem's own, by their name in `task_sets`. Of a "
        "task in two sets, the first one counts.",
        min_length=0,
    )
    given_classes: tuple[GivenClass, ...] = _list(
        ("true_class", "random_class", "wrong_class"),
        "What one class all agents are given instead of those that they predict, in further "
        "episodes on the problem's own tasks: the one that stands for the task, any, or any but "
        "that. For policies with classes.",
        min_length=0,
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report(
            "evaluate",
            [
                *duplicates(("policies",), self.policies),
                *duplicates(("task_sets",), self.task_sets),
                *duplicates(("given_classes",), self.given_classes),
            ],
        )
        return self


class Figures(Section):
    """Stage figures."""

    formats: tuple[Literal["pdf", "png"], ...] = _list(("pdf", "png"), "File formats.")
    dpi: int = Field(
        default=200, ge=50, le=1200, description="Resolution of PNG files, dots per inch."
    )
    smoothing: int = Field(
        default=1,
        ge=1,
        description="Test points in the running mean of learning curves; 1 is none.",
    )
    policy: Policy = Field(default="last", description="Policy whose evaluation is shown.")

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("figures", duplicates(("formats",), self.formats))
        return self


class Tables(Section):
    """Stage tables."""

    decimals: int = Field(default=2, ge=0, le=6, description="Decimals of the numbers.")
    policy: Policy = Field(default="last", description="Policy whose evaluation is shown.")


class RuleResources(Section):
    """What one job of a rule may use."""

    threads: int = Field(
        default=1,
        ge=1,
        description="Threads; another number may change results by rounding.",
    )
    mem_mb: int = Field(default=4000, ge=100, description="Memory, MB.")
    runtime: int = Field(default=60, ge=1, description="Longest run time, minutes.")
    gpu: int = Field(default=0, ge=0, le=8, description="GPUs.")


class Resources(Section):
    """Resources of each rule's jobs; a change re-runs nothing."""

    collect: RuleResources = Field(default=RuleResources(), description="Jobs of rule collect.")
    pretrain: RuleResources = Field(default=RuleResources(), description="Jobs of rule pretrain.")
    cluster: RuleResources = Field(default=RuleResources(), description="Jobs of rule cluster.")
    train: RuleResources = Field(default=RuleResources(), description="Jobs of rule train.")
    evaluate: RuleResources = Field(default=RuleResources(), description="Jobs of rule evaluate.")
    figures: RuleResources = Field(default=RuleResources(), description="Jobs of rule figures.")
    tables: RuleResources = Field(default=RuleResources(), description="Jobs of rule tables.")


class Config(Section):
    """The whole configuration."""

    preset: Name = Field(
        default="laptop",
        description="Scale of the run: a file of config/presets, without its suffix.",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="PyTorch device; auto takes a GPU where there is one."
    )
    replay_on_device: bool = Field(
        default=False,
        description="Keep a copy of the replay buffer in the GPU's memory, of which batches are "
        "drawn faster; without a GPU it has no effect. 5000 episodes of 5 agents take 0.8 GB.",
    )
    study: Study = Field(..., description="What is run.")
    problems: dict[Name, Problem] = Field(..., description="Definitions of problems, by name.")
    task_sets: dict[Name, TaskSet] = Field(
        default={}, description="Definitions of sets of tasks for evaluation, by name."
    )
    representations: dict[Name, Representation] = Field(
        default={}, description="Definitions of representations, by name."
    )
    variants: dict[Name, Variant] = Field(..., description="Definitions of variants, by name.")
    env: Env = Field(default=Env(), description="The environment.")
    collect: Collect = Field(default=Collect(), description="Stage collect.")
    pretrain: Pretrain = Field(default=Pretrain(), description="Stage pretrain.")
    cluster: Cluster = Field(default=Cluster(), description="Stage cluster.")
    train: Train = Field(default=Train(), description="Stage train.")
    evaluate: Evaluate = Field(default=Evaluate(), description="Stage evaluate.")
    figures: Figures = Field(default=Figures(), description="Stage figures.")
    tables: Tables = Field(default=Tables(), description="Stage tables.")
    resources: Resources = Field(
        default=Resources(), description="Threads, memory, time, GPUs per rule."
    )

    @model_validator(mode="after")
    def _rules(self) -> Self:
        report("config", *broken_relations(self))
        return self

    @property
    def used_representations(self) -> list[str]:
        """Representations of the study's variants, each once, in the variants' order."""
        used = [self.variants[name].representation for name in self.study.variants]
        return [name for name in dict.fromkeys(used) if name is not None]

    @property
    def reference(self) -> str:
        """The variant that comparisons set the others beside."""
        variants = self.study.variants
        with_classes = [name for name in variants if self.variants[name].has_classes]
        return self.study.reference or (with_classes or variants)[0]

    def baseline_of(self, variant: str) -> str | None:
        """The study's first variant without classes that has the mixer of a variant with classes.

        None if the study has no such variant, or if `variant` has no classes itself.
        """
        own = self.variants[variant]
        others = {name: self.variants[name] for name in self.study.variants}
        alike = (n for n, v in others.items() if v.mixer == own.mixer and not v.has_classes)
        return next(alike, None) if own.has_classes else None

    def train_for(self, variant: Variant | str) -> Train:
        """Section train with the overrides of `variant` (a definition or its name) merged in.

        Raises `ValidationError` for overrides that are not keys or values of section train.
        """
        if isinstance(variant, str):
            variant = self.variants[variant]
        if not variant.train:
            return self.train
        return Train.model_validate(deep_merge(self.train.model_dump(), variant.train))
