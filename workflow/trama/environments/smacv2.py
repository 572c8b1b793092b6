"""SMACv2, and with it StarCraft II, as a `VectorEnv`: one process and one game per environment.

What needs the packages SMACv2 and PySC2 is in `starcraft`, which only the games' processes and
whoever makes them import.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trama.config.backends import MAP_SIDE, Smacv2
from trama.config.problems import RandomTeams, UnitProblem
from trama.config.races import RACES, race_of
from trama.environments.base import EnvSpec, Int
from trama.environments.processes import (
    Game,
    GameFailed,
    Moment,
    ProcessVectorEnv,
    Sight,
)
from trama.environments.scenarios import STARTS, TEAMS, seed_episode
from trama.errors import TramaError
from trama.tasks import RandomTeamsTask, Task, parse_units, unit_tasks

_OWN_KEYS = {
    "max_steps",
    "dist_ratio",
    "reward_only_positive",
    "parallel_games",
    "patience",
}
"""Settings that SMACv2 does not take by the same name."""


@dataclass(frozen=True)
class Plan:
    """What a process has to know to play: the same for all environments of a problem.

    Attributes:
        race: of both teams.
        team_size: units of a whole team.
        starts: of each task.
        teams: names of the units of each task; empty where they are drawn.
        weights: chance of each unit type, by its name, where teams are drawn.
        excluded: unit types that a drawn team must not consist of alone.
        dist_ratio: how far from the centre units start, as a share of the half map.
        max_steps: time limit of an episode.
        options: keyword arguments of SMACv2's environment, as it names them.
        connect_seconds: that StarCraft II may take from its start to its first answer.
    """

    race: str
    team_size: int
    starts: tuple[str, ...]
    teams: tuple[tuple[str, ...], ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)
    excluded: tuple[str, ...] = ()
    dist_ratio: float = 1.0
    max_steps: int = 200
    options: Mapping[str, Any] = field(default_factory=dict)
    connect_seconds: int = 120

    @property
    def map_name(self) -> str:
        """Name of the map, as SMACv2 calls it."""
        return f"10gen_{self.race}"

    def capabilities(self) -> dict[str, Any]:
        """SMACv2's `capability_config`: from which distributions episodes are drawn."""
        sizes = {"n_units": self.team_size, "n_enemies": self.team_size}
        teams: dict[str, Any] = {"dist_type": TEAMS, "teams": self.teams}
        if not self.teams:
            teams = {
                "dist_type": "weighted_teams",
                "unit_types": list(self.weights),
                "weights": list(self.weights.values()),
                "exception_unit_types": list(self.excluded),
            }
        starts = {"dist_type": STARTS, "starts": self.starts, "dist_ratio": self.dist_ratio}
        starts |= {"map_x": MAP_SIDE, "map_y": MAP_SIDE}
        # SMACv2's wrapper adds the sizes and keys to each distribution before it makes them.
        return {
            **sizes,
            "team_gen": teams | sizes | {"env_key": "team_gen", "observe": True},
            "start_positions": starts | sizes | {"env_key": "start_positions"},
        }


def make_smacv2(
    problem: UnitProblem | RandomTeams, settings: Smacv2, n_envs: int, tasks: Sequence[Task]
) -> ProcessVectorEnv:
    """See `trama.environments.make_env`; games start at the first reset.

    Raises:
        TramaError: a package, StarCraft II or the map is not installed, or a task cannot be played.
    """
    plan = plan_of(problem, settings, tasks)
    environment, _ = open_battle(plan)
    find_game(settings.game_version)
    spec = spec_of(environment, plan, tuple(task.name for task in tasks))
    return ProcessVectorEnv(spec, n_envs, partial(SmacGame, plan), settings.patience)


def plan_of(problem: UnitProblem | RandomTeams, settings: Smacv2, tasks: Sequence[Task]) -> Plan:
    """What processes have to know to play these tasks in the world of a problem.

    Raises:
        TramaError: a task is of another kind than the first, or of units that do not suit.
    """
    race = race_of({symbol for _, symbol in problem.symbols})
    if race is None:
        raise TramaError("The units of a problem must be of one race of StarCraft II.")
    drawn = [task for task in tasks if isinstance(task, RandomTeamsTask)]
    names, weights = settings.units, dict[str, float]()
    teams: tuple[tuple[str, ...], ...] = ()
    excluded: tuple[str, ...] = ()
    if drawn:
        if not isinstance(problem, RandomTeams) or len(drawn) < len(tasks):
            raise TramaError("Random teams are played by themselves, in problems of random teams.")
        total = sum(problem.unit_weights.values())
        weights = {names[s]: share / total for s, share in problem.unit_weights.items()}
        excluded = tuple(names[symbol] for symbol in problem.excluded_teams)
        starts = tuple(task.start for task in drawn)
    else:
        battles = unit_tasks(tasks)
        teams = tuple(_team(task.units, race, problem.team_size) for task in battles)
        starts = tuple(task.start for task in battles)
    random = isinstance(problem, RandomTeams)
    options = settings.model_dump(exclude=_OWN_KEYS)
    options["difficulty"] = "A" if settings.difficulty == 10 else str(settings.difficulty)
    positive = settings.reward_only_positive
    return Plan(
        race=race,
        team_size=problem.team_size,
        starts=starts,
        teams=teams,
        weights=weights,
        excluded=excluded,
        dist_ratio=1.0 if random else settings.dist_ratio,
        max_steps=settings.max_steps,
        options=options | {"reward_only_positive": random if positive is None else positive},
        connect_seconds=math.ceil(settings.patience.start_seconds),
    )


def _team(units: str, race: str, team_size: int) -> tuple[str, ...]:
    """Names of the units of a combination."""
    team = tuple(parse_units(units, RACES[race]))
    if len(team) > team_size:
        raise TramaError(
            f"Task of {units!r} has teams of {len(team)}, the problem only of {team_size}: the "
            "policy has no action for the rest."
        )
    return team


def open_battle(plan: Plan) -> tuple[Any, dict[str, Any]]:
    """Make SMACv2's environment, and its distributions by their keys; no game starts yet.

    Raises:
        TramaError: SMACv2, or what it needs, is not installed.
    """
    starcraft = import_starcraft()
    starcraft.GuardedLinux.connect_seconds = plan.connect_seconds
    battle = starcraft.Battle(
        map_name=plan.map_name,
        capability_config=plan.capabilities(),
        continuing_episode=True,  # or it would not tell a time limit from a defeat
        **plan.options,
    )
    battle.episode_limit = plan.max_steps
    return battle, starcraft.make_distributions(plan.capabilities())


def import_starcraft() -> Any:
    """The module `starcraft`.

    Raises:
        TramaError: SMACv2, or what it needs, is not installed.
    """
    try:
        from trama.environments import starcraft
    except ImportError as error:
        raise TramaError(
            f"env.backend: smacv2 needs the packages SMACv2 and PySC2, and one of them cannot be "
            f"imported ({error}). Make the environment that envs/smacv2.yaml describes; "
            "docs/starcraft.md says how."
        ) from error
    return starcraft


def find_game(version: str | None = None) -> Any:
    """Find StarCraft II and SMACv2's map; see `starcraft.find_game`.

    Raises:
        TramaError: a package, the game or the map is missing.
    """
    return import_starcraft().find_game(version)


class SmacGame(Game):
    """One of SMACv2's environments, in its process.

    Args:
        plan: what to play.
        open_environment: makes SMACv2's environment and its distributions from the plan.
    """

    def __init__(
        self,
        plan: Plan,
        open_environment: Callable[[Plan], tuple[Any, dict[str, Any]]] = open_battle,
    ):
        self._env, self._distributions = open_environment(plan)

    def start(self, seed: int) -> None:
        """See `Game.start`; StarCraft II itself starts with the first episode."""
        self._env.start_anew(seed)

    def begin(self, task: int, seed: Sequence[int]) -> Sight:
        """See `Game.begin`."""
        seed_episode(self._distributions, task, seed)
        drawn: dict[str, Any] = {}
        for distribution in self._distributions.values():
            drawn |= distribution.generate()
        obs, state = self._env.reset(drawn)
        return self._sight(obs, state)

    def act(self, actions: Int) -> Moment:
        """See `Game.act`.

        Raises:
            GameFailed: the connection was lost, of which an empty info is the only sign.
        """
        reward, ended, info = self._env.step(actions.tolist())
        if "battle_won" not in info:
            raise GameFailed("SMACv2 lost its connection to StarCraft II")
        out_of_time = bool(info.get("episode_limit", False))
        return Moment(
            sight=self._sight(self._env.get_obs(), self._env.get_state()),
            reward=float(reward),
            terminated=ended and not out_of_time,
            truncated=ended and out_of_time,
            won=bool(info["battle_won"]),
        )

    def version(self) -> str:
        """See `Game.version`."""
        running: str = self._env.running_version()
        return running

    def save_replay(self, path: Path) -> None:
        """See `Game.save_replay`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._env.save_recording(path)

    def _sight(self, obs: Any, state: Any) -> Sight:
        return Sight(
            np.asarray(obs, np.float32),
            np.asarray(state, np.float32),
            np.asarray(self._env.get_avail_actions(), np.bool_),
        )


def spec_of(env: Any, plan: Plan, tasks: tuple[str, ...]) -> EnvSpec:
    """Sizes and names of SMACv2's environment, in this project's words (see `EnvSpec`).

    Coordinates of the state are relative to the map's centre, as a share of the map. An action
    `attack_enemy_<i>` of a medivac heals agent i.

    Args:
        env: the environment; no game needs to run.
        plan: that it was made from.
        tasks: names of the tasks.
    """
    actions = _actions(env)
    types = tuple(RACES[plan.race].values())
    state = tuple(_name(name, types, actions) for name in env.get_state_feature_names())
    own = [
        [
            place
            for place, name in enumerate(state)
            if name.startswith(f"ally_{agent}_") and not name.startswith(f"ally_{agent}_last_")
        ]
        for agent in range(env.n_agents)
    ]
    return EnvSpec(
        n_agents=env.n_agents,
        obs_size=env.get_obs_size(),
        state_size=env.get_state_size(),
        n_actions=env.get_total_actions(),
        episode_limit=plan.max_steps,
        tasks=tasks,
        state_features=state,
        agent_features=np.array(own),
        actions=actions,
        obs_features=tuple(
            _observed(_name(name, types, actions)) for name in env.get_obs_feature_names()
        ),
    )


def _actions(env: Any) -> tuple[str, ...]:
    """Names of the actions, in SMACv2's order."""
    names = ["no_op", "stop", "north", "south", "east", "west"]
    names += [f"look_{i}" for i in range(env.n_fov_actions)]
    return (*names, *(f"attack_enemy_{i}" for i in range(env.get_total_actions() - len(names))))


def _name(name: str, types: tuple[str, ...], actions: tuple[str, ...]) -> str:
    """A feature's name: ``ally_relative_x_3`` becomes ``ally_3_x``."""
    found = re.fullmatch(r"(ally|enemy|own)_(.+?)(?:_(\d+))?(?:_(?:bit|action)_(\d+))?", name)
    if found is None:
        return name
    side, what, number, entry = found.groups()
    what = what.removeprefix("relative_").removeprefix("pos_")
    if what == "unit_type":
        what = f"is_{types[int(entry)]}"
    elif what == "last_action":
        what = f"last_{actions[int(entry)]}"
    return "_".join(part for part in (side, number, what) if part is not None)


def _observed(name: str) -> str:
    """A feature as an agent observes it, to whom the others are `other_0` and so on.

    SMACv2 names the observation of agent 0, whose first ally is agent 1.
    """
    found = re.fullmatch(r"ally_(\d+)_(.+)", name)
    return name if found is None else f"other_{int(found[1]) - 1}_{found[2]}"
