"""Section `env`: what all backends share, and a section of each (see `model`)."""

from abc import abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from trama.config.problems import (
    RandomTeams,
    ScenarioProblem,
    ScenarioTasks,
    Symbol,
    Tasks,
    UnitTasks,
)
from trama.config.races import UNARMED, race_of, unit_names
from trama.config.sections import Name, Section
from trama.config.trees import KeyPath
from trama.config.validation import Broken, report

MAP_SIDE = 32
"""Side of the map, cells, in SMAX and SMACv2: what no unit need see, reach or cross in a second."""


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


class Noise(Section):
    """Chance in SMAX's battles beside SMAX's own; 0 is none of a kind."""

    damage: float = Field(
        default=0.0,
        ge=0,
        description="Standard deviation of the factor on the damage of each attack, which is "
        "normal with mean 1, and cut off at 0; that raises the mean by 0.4 % at 0.5, by 8 % at 1.",
    )
    cooldown: float = Field(
        default=0.0,
        ge=0,
        description="The same of the factor on the unit type's cooldown after each attack, beside "
        "SMAX's own deviation of -1/16 to 2/16 seconds.",
    )
    starts: float = Field(
        default=0.0,
        ge=0,
        le=MAP_SIDE // 2,
        description="How far from its place of start a unit starts at most, cells: anywhere in "
        "that circle, with equal chance.",
    )
    enemy: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Chance that in a step an enemy takes a random one of its available actions "
        "instead of its scripted one.",
    )


class Backend(Section):
    """Settings of one backend; its section of `env` has the backend's name.

    Attributes:
        plays: the kinds of tasks that it has.
        on_jax: whether JAX steps it.
        test_keys: keys that tests and evaluations alone read.
    """

    plays: ClassVar[tuple[type[Tasks], ...]]
    on_jax: ClassVar[bool] = True
    test_keys: ClassVar[tuple[str, ...]] = ()

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

    @property
    def idle_keys(self) -> set[tuple[str, ...]]:
        """Key paths of what is turned off by its values, which might as well not be there."""
        return set()

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """Key paths that have no effect on the environments of a problem, idle ones included."""
        return self.idle_keys


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
    noise: Noise = Field(default=Noise(), description="Noise in battles.")
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

    @property
    def idle_keys(self) -> set[tuple[str, ...]]:
        """See `Backend`."""
        return {("noise",)} if self.noise == Noise() else set()

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """See `Backend`."""
        named = {symbol for _, symbol in problem.symbols}
        foreign = {("roster", name) for symbol, name in self.units.items() if symbol not in named}
        return foreign | self.idle_keys


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
    test_keys = ("parallel_games",)

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

    @property
    def idle_keys(self) -> set[tuple[str, ...]]:
        """See `Backend`."""
        switches = {
            "num_fov_actions": self.conic_fov,
            "min_attack_range": self.use_unit_ranges,
            "reward_scale_rate": self.reward_scale,
        }
        return {(key,) for key, on in switches.items() if not on}

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """See `Backend`."""
        unused = self.idle_keys | {("patience",)}
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
    shown_steps: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Env steps at the start of an episode in which agents see landmarks; null: "
        "all. Later they have to remember them.",
    )
    still_steps: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Env steps at the start of an episode in which agents cannot move.",
    )
    rewarded_steps: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Env steps at the end of an episode that are rewarded; null: all. Where not "
        "all are, the end is part of the task, and episodes terminate there; else they are "
        "truncated.",
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

    @property
    def idle_keys(self) -> set[tuple[str, ...]]:
        """Key paths of the chosen backend's section that its values turn off."""
        return {(self.backend, *path) for path in self.settings.idle_keys}

    def unused_keys(self, problem: Tasks) -> set[tuple[str, ...]]:
        """Key paths that have no effect on the environments of a problem."""
        own = {(self.backend, *path) for path in self.settings.unused_keys(problem)}
        device = set() if self.settings.on_jax else {("device",)}
        return {*((name,) for name in self.unchosen), *own, *device}
