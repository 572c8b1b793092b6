"""SMAX (JaxMARL) as a `VectorEnv`: a mixture of unit combinations and start positions.

Start positions follow SMACv2's `surrounded_and_reflect` scenarios, shrunk by `dist_ratio` as in the
paper's multi-task problems; `surrounding` is `surrounded` with the sides swapped. SMAX pushes
overlapping units apart along the line that joins them, so it cannot separate units at exactly the
same point; units that share a point, at the centre or in a group, are therefore first moved by up
to `JITTER` in x and in y.

Units that a smaller team lacks are dead from the first step, on both sides, in any place of the
team. To the game they are like units that fell: they see, do and get nothing, and show zeros.

Noise, where there is some, draws from keys of its own: an episode that begins at a step of a seed
has the same task, order and unmoved places at every level of it, though episodes may last longer or
less long. Without noise it is JaxMARL's own class that plays.
"""

import copy
import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from trama.config.backends import MAP_SIDE, Noise, Smax
from trama.config.problems import StartPosition, UnitProblem
from trama.environments.base import EnvSpec, equal_chances
from trama.environments.deferred import defer_package, skip_init
from trama.environments.jax_batch import (
    JaxVectorEnv,
    Outcome,
    Seen,
    Simulation,
    log_chances,
    strongly_typed,
)
from trama.environments.scenarios import NEAREST_GROUP, REFLECTED_GAP
from trama.errors import TramaError
from trama.tasks import Task, parse_units, unit_tasks

defer_package("jaxmarl")
defer_package("jaxmarl.environments")

with skip_init("flax"):
    from jaxmarl.environments.smax import HeuristicEnemySMAX
    from jaxmarl.environments.smax.heuristic_enemy_smax_env import State as Battle
    from jaxmarl.environments.smax.smax_env import SMAX
    from jaxmarl.environments.smax.smax_env import State as Units

MAP_SIZE = float(MAP_SIDE)
CENTRE = MAP_SIZE / 2
JITTER = 0.5
MARGIN = 3.0
"""Least distance to the walls, jitter and push aside: SMAX kills what touches a wall."""

_DAMAGE, _COOLDOWN, _STARTS, _ENEMY = range(2**31, 2**31 + 4)
"""What keys of noise are folded with. Parts of a split key are folds of small numbers."""

STARTS: tuple[str, ...] = get_args(StartPosition)
_DIAGONALS = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=np.float32)

Roster = tuple[tuple[str, str, float, float, float, float, float, float, float], ...]
"""Per unit type: name, symbol, speed, damage, range, sight, radius, health, cooldown."""


class Mixture(NamedTuple):
    """What may change without compiling anew.

    Attributes:
        types: [tasks, A] the team of each task, as positions in the roster; 0 of missing units.
        alive: [tasks, A] which of these units there are.
        start: [tasks] a task's start, as position in `STARTS`.
        log_probability: [tasks] of drawing each task.
        dist_ratio: how far from the centre units start, as a share of the half map.
        reward_scale: factor on the reward.
        ally_loss_scale: what losing all health costs, where taking all of the enemy's brings 1.
        shown: [O] 1 for what agents see of a full observation, 0 for what is hidden.
    """

    types: Array | NDArray[np.uint8]
    alive: Array | NDArray[np.bool_]
    start: Array | NDArray[np.int32]
    log_probability: Array | NDArray[np.float32]
    dist_ratio: Array | np.float32
    reward_scale: Array | np.float32
    ally_loss_scale: Array | np.float32
    shown: Array | NDArray[np.float32]


def place_surrounded(key: Array, team_size: int, dist_ratio: Array | np.float32) -> Array:
    """Return start positions [2A, 2]: allies at the centre, enemies around them, jittered.

    One to four groups of enemies (uniform), each on a diagonal of its own, at a uniformly drawn
    point between `NEAREST_GROUP` and `dist_ratio` of the half map; each enemy joins one of the
    groups with equal probability, so a group may stay empty.
    """
    count_key, diagonal_key, distance_key, member_key, jitter_key = jax.random.split(key, 5)
    n_groups = jax.random.randint(count_key, (), 1, len(_DIAGONALS) + 1)
    directions = jax.random.permutation(diagonal_key, _DIAGONALS)
    distances = jax.random.uniform(
        distance_key, (len(_DIAGONALS), 1), minval=NEAREST_GROUP, maxval=_extent(dist_ratio)
    )
    member = jax.random.randint(member_key, (team_size,), 0, n_groups)
    jitter = jax.random.uniform(jitter_key, (2 * team_size, 2), minval=-JITTER, maxval=JITTER)
    return CENTRE + jitter.at[team_size:].add((directions * distances)[member])


def place_reflected(key: Array, team_size: int, dist_ratio: Array | np.float32) -> Array:
    """Return start positions [2A, 2]: allies uniform in the left half, enemies mirrored.

    Allies lie within `dist_ratio` of the half map from the centre, and `REFLECTED_GAP` or more
    left of it.
    """
    extent = _extent(dist_ratio)
    low = CENTRE - extent * jnp.ones(2)
    high = jnp.stack([jnp.asarray(CENTRE - REFLECTED_GAP), jnp.asarray(CENTRE + extent)])
    allies = jax.random.uniform(key, (team_size, 2), minval=low, maxval=high)
    return jnp.concatenate([allies, allies.at[:, 0].set(MAP_SIZE - allies[:, 0])])


def displaced(key: Array, places: Array, distance: float) -> Array:
    """Return places [units, 2] moved by up to a distance: anywhere in that circle, equally often.

    What would come nearer to a wall than units may start is mirrored at that line, so that no two
    end up at the same point.
    """
    angle_key, share_key = jax.random.split(jax.random.fold_in(key, _STARTS))
    angle = jax.random.uniform(angle_key, (len(places), 1), maxval=2 * jnp.pi)
    moved = distance * jnp.sqrt(jax.random.uniform(share_key, (len(places), 1)))
    places = places + moved * jnp.concatenate([jnp.cos(angle), jnp.sin(angle)], axis=1)
    low, high = MARGIN - JITTER, MAP_SIZE - MARGIN + JITTER
    return high - jnp.abs(high - (low + jnp.abs(places - low)))


class NoisyUnits(SMAX):
    """SMAX with factors of chance on the damage of attacks, and on the cooldown after them.

    Args:
        noise: how much of it.
        settings: of SMAX.
    """

    def __init__(self, noise: Noise, **settings: Any) -> None:
        super().__init__(**settings)
        self.noise = noise

    def _world_step(  # type: ignore[override]  # of what JAX compiles
        self, key: Array, state: Units, actions: tuple[Array, Array]
    ) -> Units:
        """Let SMAX see as many unit types as units for this moment, each with its factors."""
        types = state.unit_types
        moment = copy.copy(self)
        moment.unit_type_velocities = self.unit_type_velocities[types]
        moment.unit_type_attack_ranges = self.unit_type_attack_ranges[types]
        damage = self._factors(key, _DAMAGE, self.noise.damage)
        moment.unit_type_attacks = self.unit_type_attacks[types] * damage
        cooldown = self._factors(key, _COOLDOWN, self.noise.cooldown)
        moment.unit_type_weapon_cooldowns = self.unit_type_weapon_cooldowns[types] * cooldown
        units = replace(state, unit_types=jnp.arange(self.num_agents, dtype=types.dtype))
        # Not the compiled one, whose cache would keep the copy.
        after: Units = inspect.unwrap(SMAX._world_step)(moment, key, units, actions)
        return replace(after, unit_types=types)

    def _factors(self, key: Array, number: int, deviation: float) -> Array:
        """One factor for each unit."""
        if not deviation:
            return jnp.ones(self.num_agents)
        drawn = jax.random.normal(jax.random.fold_in(key, number), (self.num_agents,))
        return jnp.maximum(1 + deviation * drawn, 0)


class NoisyBattle(HeuristicEnemySMAX):
    """SMAX's battles with noise in them, but for the places of start.

    Args:
        noise: how much of it.
        settings: of SMAX.
    """

    def __init__(self, noise: Noise, **settings: Any) -> None:
        super().__init__(**settings)
        self.noise = noise
        if noise.damage or noise.cooldown:
            self._env = NoisyUnits(noise, **settings)

    def step_env(  # type: ignore[override]  # of what JAX compiles
        self, key: Array, state: Battle, actions: Any, get_state_sequence: bool = False
    ) -> Any:
        """Show the enemies' policy all units, by which it knows the available actions."""
        seen = replace(state, enemy_policy_state=(state.enemy_policy_state, state.state))
        return super().step_env(key, seen, actions, get_state_sequence)

    def get_enemy_actions(self, key: Array, policy_state: Any, enemy_obs: Array) -> Any:
        """Return the scripted actions by enemy, some replaced by chance, and the script's state."""
        script, units = policy_state
        actions, script = super().get_enemy_actions(key, script, enemy_obs)
        if not self.noise.enemy:
            return actions, script
        available = self._env.get_avail_actions(units)
        masks = jnp.stack([available[enemy] for enemy in self.enemy_agents]) > 0
        chance_key, action_key = jax.random.split(jax.random.fold_in(key, _ENEMY))
        replaced = jax.random.uniform(chance_key, (len(masks),)) < self.noise.enemy
        drawn = jax.random.categorical(action_key, jnp.where(masks, 0.0, -jnp.inf))
        return {
            enemy: jnp.where(replaced[i], drawn[i], actions[enemy])
            for i, enemy in enumerate(self.enemy_agents)
        }, script


class Battles(Simulation[Mixture, Battle]):
    """The battles of one roster, team size, time limit and noise."""

    def __init__(self, roster: Roster, team_size: int, max_steps: int, noise: Noise) -> None:
        """Set up the game; see `Simulation`."""
        super().__init__()
        names, symbols, *numbers = zip(*roster, strict=True)
        speed, damage, attack_range, sight, radius, health, cooldown = (
            jnp.array(values, dtype=jnp.float32) for values in numbers
        )
        make: Callable[..., HeuristicEnemySMAX] = HeuristicEnemySMAX
        if noise.damage or noise.cooldown or noise.enemy:
            make = functools.partial(NoisyBattle, noise)
        self.game = make(
            num_allies=team_size,
            num_enemies=team_size,
            map_width=MAP_SIZE,
            map_height=MAP_SIZE,
            max_steps=max_steps,
            unit_type_names=list(names),
            unit_type_shorthands=list(symbols),
            unit_type_velocities=speed,
            unit_type_attacks=damage,
            unit_type_attack_ranges=attack_range,
            unit_type_sight_ranges=sight,
            unit_type_radiuses=radius,
            unit_type_health=health,
            unit_type_weapon_cooldowns=cooldown,
        )
        self.team_size, self.noise = team_size, noise
        self.health = health

    def spec(self, tasks: tuple[str, ...], episode_limit: int) -> EnvSpec:
        """Return sizes and names (see `EnvSpec`) for these tasks."""
        own = ["health", "x", "y", "cooldown"]
        own += [f"is_{name}" for name in self.game.unit_type_names]
        units = [f"{side}_{i}" for side in ("ally", "enemy") for i in range(self.team_size)]
        features = [f"{unit}_{feature}" for unit in units for feature in own]
        features += [f"{unit}_team" for unit in units] + [f"{unit}_type" for unit in units]
        others = [f"other_{i}" for i in range(self.team_size - 1)]
        others += [f"enemy_{i}" for i in range(self.team_size)]
        seen = [f"{unit}_{feature}" for unit in others for feature in self.game.unit_features]
        seen += [f"own_{feature}" for feature in self.game.own_features]
        attacks = [f"attack_{unit}" for unit in units[self.team_size :]]
        return EnvSpec(
            n_agents=self.team_size,
            obs_size=self.game.obs_size,
            state_size=self.game.state_size,
            n_actions=self.game.num_ally_actions,
            episode_limit=episode_limit,
            tasks=tasks,
            state_features=tuple(features),
            agent_features=np.arange(self.team_size * len(own)).reshape(self.team_size, len(own)),
            actions=("north", "east", "south", "west", "stop", *attacks),
            obs_features=tuple(map(self._renamed, seen)),
        )

    def _renamed(self, feature: str) -> str:
        """SMAX's name of a feature with the unit type, and the axes, as the state has them."""
        for number, name in enumerate(self.game.unit_type_names):
            feature = re.sub(rf"_unit_type_bits?_{number}$", f"_is_{name}", feature)
        return feature.replace("position_", "").replace("weapon_cooldown", "cooldown")

    def shown(self, *, hide_unit_types: bool) -> NDArray[np.float32]:
        """Return [O] 1 for what agents see; the types of all units but oneself may be hidden."""
        others = self.game.unit_features * (2 * self.team_size - 1)
        hidden = [hide_unit_types and name.startswith("unit_type") for name in others]
        hidden += [False] * len(self.game.own_features)
        return 1 - np.array(hidden, np.float32)

    def step_one(
        self, mixture: Mixture, key: Array, game: Battle, task: Array, actions: Array
    ) -> tuple[Battle, Outcome]:
        """See `Simulation`."""
        by_agent = {agent: actions[i] for i, agent in enumerate(self.game.agents)}
        _, battle, reward, done, _ = self.game.step_env(key, game, by_agent)
        alive = battle.state.unit_alive
        allies_live = alive[: self.team_size].any()
        enemies_live = alive[self.team_size :].any()
        decided = ~(allies_live & enemies_live)
        lost = self._health_lost(game.state, battle.state)
        earned = reward[self.game.agents[0]] - mixture.ally_loss_scale * lost
        outcome = Outcome(
            reward=earned * mixture.reward_scale,
            terminated=decided,
            truncated=done["__all__"] & ~decided,
            won=allies_live & ~enemies_live,
        )
        return battle, outcome

    def _health_lost(self, before: Units, after: Units) -> Array:
        """Health that the team lost in a step, as a share of a whole team's."""
        lost = (before.unit_health - after.unit_health) / self.health[after.unit_types]
        return lost[: self.team_size].sum() / self.team_size

    def start_one(self, mixture: Mixture, key: Array) -> tuple[Battle, Array]:
        """Draw one episode's task, team order and positions."""
        task_key, order_key, place_key, enemy_key = jax.random.split(key, 4)
        task = jax.random.categorical(task_key, mixture.log_probability)
        order = jax.random.permutation(order_key, self.team_size)
        types = jnp.tile(jnp.asarray(mixture.types)[task, order], 2)
        alive = jnp.tile(jnp.asarray(mixture.alive)[task, order], 2)
        units = Units(
            done=jnp.array(False),
            step=jnp.zeros((), jnp.int32),
            unit_positions=self._place(place_key, mixture, task),
            unit_alive=alive,
            unit_teams=jnp.repeat(jnp.arange(2.0), self.team_size),
            unit_health=jnp.where(alive, self.health[types], 0.0),
            unit_types=types,
            unit_weapon_cooldowns=jnp.zeros(len(types)),
            prev_movement_actions=jnp.zeros((len(types), 2)),
            prev_attack_actions=jnp.zeros(len(types), jnp.int32),
        )
        battle = Battle(
            state=self.game._push_units_away(units),
            enemy_policy_state=self.game.get_enemy_policy_initial_state(enemy_key),
        )
        return strongly_typed(battle), task.astype(jnp.int32)

    def _place(self, key: Array, mixture: Mixture, task: Array) -> Array:
        """Return start positions [2A, 2] of a task."""
        surrounded = place_surrounded(key, self.team_size, mixture.dist_ratio)
        placed = {
            "surrounded": surrounded,
            "reflected": place_reflected(key, self.team_size, mixture.dist_ratio),
            "surrounding": jnp.roll(surrounded, self.team_size, axis=0),
        }
        start = jnp.asarray(mixture.start)[task]
        chosen = [start == i for i in range(len(STARTS))]
        places = jnp.select(chosen, [placed[s] for s in STARTS])
        return displaced(key, places, self.noise.starts) if self.noise.starts else places

    def observe_one(self, mixture: Mixture, game: Battle, task: Array) -> Seen:
        """See `Simulation`."""
        obs = self.game.get_obs(game)
        available = self.game.get_avail_actions(game)
        agents = self.game.agents
        return Seen(
            obs=jnp.stack([obs[agent] for agent in agents]) * mixture.shown,
            state=self.game.get_world_state(game),
            available_actions=jnp.stack([available[agent] for agent in agents]).astype(jnp.bool_),
        )


class SmaxVectorEnv(JaxVectorEnv[Mixture, Battle]):
    """N SMAX battles; see `JaxVectorEnv`."""

    def __init__(
        self, problem: UnitProblem, settings: Smax, n_envs: int, tasks: Sequence[Task]
    ) -> None:
        """See `trama.environments.make_env`."""
        battles = _battles(
            _as_tuples(settings), problem.team_size, settings.max_steps, settings.noise
        )
        spec = battles.spec(tuple(task.name for task in tasks), settings.episode_limit)
        shown = battles.shown(hide_unit_types=settings.hide_unit_types)
        super().__init__(battles, _mixture(problem, settings, tasks, shown), spec, n_envs)


@functools.cache
def _battles(roster: Roster, team_size: int, max_steps: int, noise: Noise) -> Battles:
    return Battles(roster, team_size, max_steps, noise)


def _as_tuples(settings: Smax) -> Roster:
    return tuple(
        (
            name,
            unit.symbol,
            unit.speed,
            unit.damage,
            unit.range,
            unit.sight,
            unit.radius,
            unit.health,
            unit.cooldown,
        )
        for name, unit in settings.roster.items()
    )


def _mixture(
    problem: UnitProblem, settings: Smax, tasks: Sequence[Task], shown: NDArray[np.float32]
) -> Mixture:
    shape = (len(tasks), problem.team_size)
    types, alive = np.zeros(shape, np.uint8), np.zeros(shape, np.bool_)
    roster = list(settings.roster)
    battles = unit_tasks(tasks)
    for i, task in enumerate(battles):
        team = [roster.index(unit) for unit in parse_units(task.units, settings.units)]
        if len(team) > problem.team_size:
            raise TramaError(
                f"Task {task.name!r} has teams of {len(team)}, the problem only of "
                f"{problem.team_size}: the policy has no action for the rest."
            )
        types[i, : len(team)], alive[i, : len(team)] = team, True
    return Mixture(
        types=types,
        alive=alive,
        start=np.array([STARTS.index(task.start) for task in battles], np.int32),
        log_probability=log_chances(equal_chances(len(tasks))),
        dist_ratio=np.float32(settings.dist_ratio),
        reward_scale=np.float32(settings.reward_scale),
        ally_loss_scale=np.float32(settings.ally_loss_scale),
        shown=shown,
    )


def _extent(dist_ratio: Array | np.float32) -> Array:
    return jnp.minimum(dist_ratio * CENTRE, CENTRE - MARGIN)
