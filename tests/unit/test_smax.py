"""The SMAX environment: mixture, geometry, missing units, how battles end, JAX."""

import hashlib
import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from backends import CONFIG, SMAX, parts_of, play, random_actions
from trama import compilation
from trama.config.backends import Env, Noise
from trama.config.problems import UnitProblem
from trama.environments import Observation, Step, VectorEnv, jax_runtime, make_env
from trama.errors import TramaError
from trama.tasks import Task, UnitTask, parse_units, tasks_of, unit_tasks

N = 8
STOP = 4
PROBLEMS = {
    name: UnitProblem.model_validate(given)
    for name, given in CONFIG["problems"].items()
    if "units" in given
}
MIXED = PROBLEMS["reSurComb4"]
ENV = SMAX.env
SETTINGS = ENV.smax
TYPES = list(SETTINGS.roster)
FEWER = unit_tasks(SMAX.others)


def changed(**settings: Any) -> Env:
    """ENV with other settings of SETTINGS."""
    return ENV.model_copy(update={"smax": SETTINGS.model_copy(update=settings)})


def make(
    problem: UnitProblem = MIXED,
    env: Env = ENV,
    n_envs: int = N,
    tasks: Sequence[Task] | None = None,
) -> Any:
    return make_env(problem, env, n_envs, threads=2, tasks=tasks)


@pytest.fixture
def env() -> Iterator[Any]:
    with make() as made:
        yield made


def feature(env: VectorEnv, state: np.ndarray, name: str) -> np.ndarray:
    """[N, units] of one feature of every unit, allies first."""
    units = [f"{side}_{i}" for side in ("ally", "enemy") for i in range(env.spec.n_agents)]
    return state[:, [env.spec.state_features.index(f"{unit}_{name}") for unit in units]]


def change(env: Any, **fields: Any) -> None:
    """Overwrite fields of SMAX's state in every environment."""
    battle = env.running.game
    units = battle.state
    fields = {
        name: np.broadcast_to(value, getattr(units, name).shape).astype(getattr(units, name).dtype)
        for name, value in fields.items()
    }
    env.running = env.running._replace(game=battle.replace(state=units.replace(**fields)))


def apart(env: Any, *, allies: bool = False, enemies: bool = False) -> np.ndarray:
    """Positions of teams out of sight; those named stand behind a wall and die within the step."""
    n_agents = env.spec.n_agents
    positions = np.array(env.running.game.state.unit_positions)
    positions[:, :n_agents] = [8, 16]
    positions[:, n_agents:] = [24, 16]
    positions[:, :, 1] += np.tile(np.arange(-4, 6, 2), 2)
    if allies:
        positions[:, :n_agents, 0] = -1
    if enemies:
        positions[:, n_agents:, 0] = 33
    return positions


def stop(env: VectorEnv) -> Step:
    return env.step(np.full((env.n_envs, env.spec.n_agents), STOP))


# --- the published problems ----------------------------------------------------------------------


def test_the_config_defines_the_published_problems() -> None:
    assert {name: (problem.units, problem.starts) for name, problem in PROBLEMS.items()} == {
        "SurComb3": (("3s2z", "2c3z", "2c3s"), ("surrounded",)),
        "reSurComb3": (("3s2z", "2c3z", "2c3s"), ("surrounded", "reflected")),
        "SurComb4": (("1c2s2z", "3s2z", "2c3z", "2c3s"), ("surrounded",)),
        "reSurComb4": (("1c2s2z", "3s2z", "2c3z", "2c3s"), ("surrounded", "reflected")),
    }
    units = {
        "stalker": ("s", 4.13, 13, 6, 10, 0.625, 160, 1.34),
        "zealot": ("z", 3.15, 16, 2, 9, 0.5, 150, 0.86),
        "colossus": ("c", 3.15, 20, 7, 10, 1.0, 350, 1.07),
    }
    keys = ("symbol", "speed", "damage", "range", "sight", "radius", "health", "cooldown")
    roster = {name: dict(zip(keys, values, strict=True)) for name, values in units.items()}
    assert {name: unit.model_dump() for name, unit in SETTINGS.roster.items()} == roster
    assert (SETTINGS.max_steps, SETTINGS.reward_scale, SETTINGS.dist_ratio) == (100, 10.0, 0.5)


# --- the mixture and the geometry ---------------------------------------------------------------


@pytest.fixture(scope="module", params=PROBLEMS)
def episodes(request: pytest.FixtureRequest) -> tuple[UnitProblem, Any, Observation]:
    """Three thousand first observations of a problem."""
    problem = PROBLEMS[request.param]
    env = make(problem, n_envs=3000)
    return problem, env, env.reset(11)


def test_tasks_are_equally_frequent(episodes: tuple[UnitProblem, Any, Observation]) -> None:
    problem, env, _ = episodes
    counts = np.bincount(env.task, minlength=len(env.spec.tasks))
    assert env.spec.tasks == tuple(task.name for task in tasks_of(problem))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_tasks_have_the_chances_that_they_are_given() -> None:
    """And equal ones change nothing."""
    n_envs, chances = 3000, np.array([0.5, 0, 0.25, 0.05, 0.1, 0, 0, 0.1])
    with make(n_envs=n_envs) as env:
        usual = env.reset(11).state
        env.set_task_chances(chances)
        env.reset(11)
        counts = np.bincount(env.task, minlength=len(chances))
        env.set_task_chances(np.full(len(chances), 1 / len(chances)))
        assert np.array_equal(env.reset(11).state, usual)
    assert not counts[chances == 0].any()
    assert stats.chisquare(counts[chances > 0], n_envs * chances[chances > 0]).pvalue > 1e-3


def test_teams_match_the_task_and_are_shuffled(
    episodes: tuple[UnitProblem, Any, Observation],
) -> None:
    problem, env, observation = episodes
    types = feature(env, observation.state, "type").astype(int)
    allies, enemies = np.split(types, 2, axis=1)
    assert np.array_equal(allies, enemies)
    for index, task in enumerate(unit_tasks(tasks_of(problem))):
        team = [TYPES.index(unit) for unit in parse_units(task.units, SETTINGS.units)]
        drawn = allies[env.task == index]
        assert np.array_equal(np.sort(drawn), np.broadcast_to(np.sort(team), drawn.shape))
        for kind in set(team):  # every place of the team holds a kind equally often
            expected = len(drawn) * team.count(kind) / len(team)
            counts = (drawn == kind).sum(axis=0)
            sd = np.sqrt(expected * (1 - team.count(kind) / len(team)))
            assert np.all(np.abs(counts - expected) < 4.5 * sd + 1e-9)


def test_start_positions_follow_the_task(episodes: tuple[UnitProblem, Any, Observation]) -> None:
    problem, env, observation = episodes
    reflected = np.array([task.start == "reflected" for task in unit_tasks(tasks_of(problem))])[
        env.task
    ]
    positions = np.stack([feature(env, observation.state, axis) for axis in "xy"], axis=-1)
    allies, enemies = np.split(positions, 2, axis=1)
    mirrored = np.stack([32 - allies[..., 0], allies[..., 1]], axis=-1)
    # The push that separates units moves mirrored teams in mirrored ways.
    assert np.array_equal(np.abs(enemies - mirrored).max(axis=(1, 2)) < 1e-3, reflected)
    centred = np.abs(allies.mean(axis=1) - 16).max(axis=1)
    # Enemies near the centre push the allies, by at most the sum of radii.
    assert centred[~reflected].max() < 2.5
    if reflected.any():
        low, high = allies[reflected].min(axis=(0, 1)), allies[reflected].max(axis=(0, 1))
        assert np.all(np.abs(low - 8) < 2) and np.all(np.abs(high - [15, 24]) < 2)


@pytest.fixture(scope="module")
def smax() -> Any:
    make()  # configures JAX
    from trama.environments import smax

    return smax


def placed(place: Any, n: int, dist_ratio: float) -> tuple[np.ndarray, np.ndarray]:
    import jax

    keys = jax.random.split(jax.random.PRNGKey(3), n)
    positions = np.asarray(jax.vmap(lambda key: place(key, 5, dist_ratio))(keys))
    return positions[:, :5], positions[:, 5:]


def test_surrounded_geometry(smax: Any) -> None:
    allies, enemies = placed(smax.place_surrounded, 4000, 0.5)
    jitter = smax.JITTER
    assert np.abs(allies - 16).max() <= jitter
    offset = enemies - 16
    distance = np.abs(offset)
    # On a diagonal, between the centre offset by 2 and half-way to the corner.
    assert np.abs(distance[..., 0] - distance[..., 1]).max() <= 2 * jitter
    assert distance.min() >= 2 - jitter and distance.max() <= 8 + jitter
    assert stats.kstest(distance[:, 0].mean(axis=-1), stats.uniform(2, 6).cdf).pvalue > 1e-3
    diagonal = (offset > 0) @ [2, 1]
    assert stats.chisquare(np.bincount(diagonal[:, 0], minlength=4)).pvalue > 1e-3
    # Enemies that share a diagonal are one group: all at one point, jitter aside.
    for each in range(4):
        mine = (diagonal == each)[..., None]
        spread = np.where(mine, offset, -99).max(axis=1) - np.where(mine, offset, 99).min(axis=1)
        assert spread.max() <= 2 * jitter


def test_number_of_groups_is_uniform(smax: Any) -> None:
    n = 4000
    _, enemies = placed(smax.place_surrounded, n, 0.5)
    diagonal = (enemies - 16 > 0) @ [2, 1]
    occupied = np.array([len(set(row)) for row in diagonal])
    # g groups uniform in 1..4, five enemies spread over them independently: by enumeration.
    probability = np.zeros(5)
    for g in range(1, 5):
        members = np.stack(np.unravel_index(np.arange(g**5), [g] * 5), axis=1)
        used = np.array([len(set(row)) for row in members])
        probability += np.bincount(used, minlength=5) / len(used) / 4
    counts = np.bincount(occupied, minlength=5)[1:]
    assert stats.chisquare(counts, n * probability[1:]).pvalue > 1e-3


def test_reflected_geometry(smax: Any) -> None:
    allies, enemies = placed(smax.place_reflected, 2000, 0.5)
    for axis, (low, high) in enumerate([(8, 15), (8, 24)]):
        values = allies[..., axis].ravel()
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert np.array_equal(enemies[..., 1], allies[..., 1])
    assert np.allclose(enemies[..., 0] + allies[..., 0], 32)


def test_units_are_apart_and_off_the_walls_at_any_dist_ratio(
    episodes: tuple[UnitProblem, Any, Observation],
) -> None:
    problem, _, _ = episodes
    for dist_ratio in (0.05, 0.5, 1.0):
        env = make(problem, changed(dist_ratio=dist_ratio), n_envs=3000)
        state = env.reset(2).state
        positions = np.stack([feature(env, state, axis) for axis in "xy"], axis=-1)
        assert positions.min() > 0 and positions.max() < 32
        distance = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
        assert distance[:, ~np.eye(10, dtype=bool)].min() > 0


# --- teams that lack units -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def fewer() -> tuple[Any, Observation]:
    """Three thousand first observations of smaller teams in the world of five units."""
    env = make(n_envs=3000, tasks=FEWER)
    return env, env.reset(11)


def test_missing_units_are_dead_from_the_first_step(fewer: tuple[Any, Observation]) -> None:
    env, observation = fewer
    health = feature(env, observation.state, "health")
    living = health > 0
    assert set(np.unique(health)) == {0, 1}
    assert np.array_equal(living, np.tile(living[:, :5], 2))  # the same places on both sides
    types = feature(env, observation.state, "type").astype(int)
    assert np.array_equal(types[:, :5], types[:, 5:])
    for index, task in enumerate(FEWER):
        team = sorted(TYPES.index(unit) for unit in parse_units(task.units, SETTINGS.units))
        mine = env.task == index
        assert living[mine].sum(1).tolist() == [2 * len(team)] * mine.sum()
        assert all(
            sorted(kinds[lives]) == team
            for kinds, lives in zip(types[mine, :5], living[mine, :5], strict=True)
        )
        # Every place of the team is taken equally often.
        expected, share = mine.sum() * len(team) / 5, len(team) / 5
        counts = living[mine, :5].sum(0)
        assert np.abs(counts - expected).max() < 4.5 * np.sqrt(expected * (1 - share))
    # They see nothing, show nothing, and may do nothing.
    dead = ~living[:, :5]
    assert not observation.obs[dead].any()
    features = observation.state[:, env.spec.agent_features]
    assert not features[dead].any() and features[~dead].any(axis=-1).all()
    assert np.array_equal(np.flatnonzero(observation.available_actions[dead].any(0)), [STOP])
    assert not observation.available_actions[..., 5:][np.tile(dead[:, None], (1, 5, 1))].any()


def test_surrounding_swaps_the_sides(fewer: tuple[Any, Observation]) -> None:
    env, observation = fewer
    living = feature(env, observation.state, "health") > 0
    positions = np.stack([feature(env, observation.state, axis) for axis in "xy"], axis=-1)
    distance = np.where(living, np.abs(positions - 16).max(-1), 0)
    surrounding = np.array([task.start == "surrounding" for task in FEWER])[env.task]
    for centred, away, mine in ((0, 1, ~surrounding), (1, 0, surrounding)):
        sides = np.split(distance[mine], 2, axis=1)
        # Units that meet at the centre push each other.
        assert sides[centred].max() < 3 < np.quantile(sides[away].max(1), 0.5) < 10


def test_missing_units_stay_dead_and_where_they_are_until_the_others_decide() -> None:
    with make(tasks=FEWER) as env:
        rng = np.random.default_rng(4)
        observation = env.reset(4)
        units = env.running.game.state
        missing, places = ~np.asarray(units.unit_alive), np.asarray(units.unit_positions)
        returns, n_ended = np.zeros(N), 0
        for _ in range(120):
            step = env.step(random_actions(rng, observation))
            observation, units = step.observation, env.running.game.state
            health = feature(env, step.last.state, "health")
            assert not health[missing].any()
            decided = [(side == 0).all(axis=1) for side in np.split(health, 2, axis=1)]
            assert np.array_equal(step.terminated, np.logical_or(*decided))
            returns += step.reward
            assert returns.max() <= 2 * SETTINGS.reward_scale
            ended = step.terminated | step.truncated
            positions = np.asarray(units.unit_positions)
            stayed = missing & ~ended[:, None]
            assert np.array_equal(positions[stayed], places[stayed])
            missing = np.where(ended[:, None], ~np.asarray(units.unit_alive), missing)
            places = np.where(ended[:, None, None], positions, places)
            returns[ended] = 0
            n_ended += ended.sum()
        assert n_ended > N


@pytest.mark.parametrize(
    ("dead", "won"), [({"enemies": True}, True), ({"allies": True}, False), ({}, None)]
)
def test_a_smaller_battle_is_decided_by_those_who_are_there(
    dead: dict[str, bool], won: bool | None
) -> None:
    with make(tasks=FEWER) as env:
        env.reset(1)
        living = np.asarray(env.running.game.state.unit_alive)[:, :5]
        assert set(living.sum(1)) == {1, 3, 4}
        positions = apart(env, **dead)
        if won is None:  # missing enemies stand where the allies are
            positions[:, 5:] = np.where(living[..., None], positions[:, 5:], positions[:, :5])
        change(env, unit_positions=positions)
        step = stop(env)
        assert np.array_equal(step.terminated, np.full(N, won is not None))
        assert np.array_equal(step.won, np.full(N, bool(won))) and not step.truncated.any()
        # The reward counts damage to a whole team.
        reward = (1 + living.sum(1) / 5) if won else np.zeros(N)
        assert np.allclose(step.reward, SETTINGS.reward_scale * reward)
        if won is None:  # and neither shoot nor can be shot
            assert np.array_equal(feature(env, step.last.state, "health")[:, :5], living)
            assert not step.last.available_actions[..., 5:].any()


def test_no_team_is_larger_than_the_problems() -> None:
    with pytest.raises(TramaError, match="'3s3z reflected' has teams of 6, the problem only of 5"):
        make(tasks=[UnitTask("3s3z reflected", "3s3z", "reflected")])


# --- how episodes end ----------------------------------------------------------------------------


def test_time_limit_is_a_truncation_at_the_episode_limit(env: Any) -> None:
    env.reset(1)
    change(env, unit_health=1e9)
    assert env.spec.episode_limit == SETTINGS.max_steps + 1
    for _ in range(env.spec.episode_limit - 1):
        step = stop(env)
        assert not step.terminated.any() and not step.truncated.any()
    step = stop(env)
    assert step.truncated.all() and not step.terminated.any() and not step.won.any()
    assert np.array_equal(env.running.game.state.step, np.zeros(N))


@pytest.mark.parametrize(
    ("dead", "won", "reward"),
    [
        # SMAX's reward: the share of enemy health lost, and 1 for a victory.
        ({"enemies": True}, True, 2.0),
        ({"allies": True}, False, 0.0),
        ({"allies": True, "enemies": True}, False, 1.0),
    ],
)
@pytest.mark.parametrize("steps_before", [10, SETTINGS.max_steps])
def test_decided_episode_is_terminal_also_on_the_last_allowed_step(
    env: Any, dead: dict[str, bool], won: bool, reward: float, steps_before: int
) -> None:
    env.reset(1)
    change(env, step=steps_before, unit_positions=apart(env, **dead))
    step = stop(env)
    assert step.terminated.all() and not step.truncated.any()
    assert np.array_equal(step.won, np.full(N, won))
    assert np.allclose(step.reward, SETTINGS.reward_scale * reward)


def test_undecided_episode_goes_on(env: Any) -> None:
    env.reset(1)
    change(env, unit_positions=apart(env))
    step = stop(env)
    assert not step.terminated.any() and not step.truncated.any() and not step.won.any()
    assert np.array_equal(env.running.game.state.step, np.ones(N))


def test_reward_is_scaled() -> None:
    with make() as env, make(env=changed(reward_scale=1.0)) as plain:
        pairs = zip(play(env, 3, 40), play(plain, 3, 40), strict=True)
        rewards = np.array([(one.reward, other.reward) for (_, one), (_, other) in pairs])
    assert rewards[:, 1].sum() > 0
    assert np.allclose(rewards[:, 0], SETTINGS.reward_scale * rewards[:, 1])


# --- what is reported ----------------------------------------------------------------------------


def test_losses_of_ones_own_cost_what_they_are_scaled_by() -> None:
    found = []
    for ally_loss_scale in (0.0, 0.5):
        with make(env=changed(ally_loss_scale=ally_loss_scale)) as made:
            steps = []
            for _, step in play(made, seed=3, n_steps=60):
                ended = step.terminated | step.truncated
                health = feature(made, step.last.state, "health")[:, : made.spec.n_agents]
                steps.append((step.reward, health.sum(1) / made.spec.n_agents, ended))
        found.append(steps)
    before, lost_something = np.ones(N), False
    for (free, health, ended), (punished, same_health, _) in zip(*found, strict=True):
        assert np.array_equal(health, same_health)  # the battles are the same
        lost = before - health
        np.testing.assert_allclose(punished, free - 0.5 * 10 * lost, atol=2e-5)
        lost_something |= bool((lost > 0.1).any())
        before = np.where(ended, 1.0, health)
    assert lost_something


def test_hidden_unit_types_are_those_of_all_others() -> None:
    seen = {}
    for hide_unit_types in (False, True):
        with make(env=changed(hide_unit_types=hide_unit_types)) as made:
            seen[hide_unit_types] = made.reset(5)
            size = made.spec.obs_size
    n_types, n_others = len(TYPES), 2 * MIXED.team_size - 1
    assert size == n_others * (7 + n_types) + 4 + n_types
    others, own = np.split(seen[False].obs, [n_others * (7 + n_types)], axis=2)
    assert own[..., 4:].sum(2).tolist() == np.ones((N, MIXED.team_size)).tolist()
    of_units = others.reshape(N, MIXED.team_size, n_others, -1).copy()
    assert of_units[..., 7:].any()
    of_units[..., 7:] = 0
    expected = np.concatenate([of_units.reshape(others.shape), own], axis=2)
    assert np.array_equal(seen[True].obs, expected)
    assert np.array_equal(seen[True].state, seen[False].state)


def test_battles_end_when_a_team_is_dead_and_start_with_full_health(env: VectorEnv) -> None:
    n_ended = 0
    for _, step in play(env, 4, 80):
        ended = step.terminated | step.truncated
        health = feature(env, step.last.state, "health")[ended]
        decided = (health[:, :5] == 0).all(axis=1) | (health[:, 5:] == 0).all(axis=1)
        assert np.array_equal(decided, step.terminated[ended])
        assert np.all(feature(env, step.observation.state, "health")[ended] == 1)
        n_ended += ended.sum()
    assert n_ended >= N


def test_a_task_is_that_of_the_teams_in_the_step(env: VectorEnv) -> None:
    teams = np.array(
        [
            sorted(TYPES.index(unit) for unit in parse_units(task.units, SETTINGS.units))
            for task in unit_tasks(tasks_of(MIXED))
        ]
    )
    n_changed = 0
    for _, step in play(env, 4, 80):
        stored = np.sort(feature(env, step.last.state, "type")[:, :5])
        assert np.array_equal(stored, teams[step.task])
        running = np.sort(feature(env, step.observation.state, "type")[:, :5])
        assert np.array_equal(running, teams[env.task])
        n_changed += (step.task != env.task).sum()
    assert n_changed > 0


def test_the_dead_have_one_action_and_the_living_more(env: VectorEnv) -> None:
    n_dead = 0
    for _, step in play(env, 2, 60):
        dead = feature(env, step.last.state, "health")[:, :5] == 0
        choices = step.last.available_actions.sum(axis=-1)
        assert np.all(choices[dead] == 1) and np.all(choices[~dead] >= 5)
        assert step.last.available_actions[dead][:, STOP].all()
        n_dead += dead.sum()
    assert n_dead > 0


def test_state_features_are_named_and_agents_find_their_own(env: Any) -> None:
    *_, (_, step) = play(env, 6, 12)
    units = env.running.game.state
    state = step.observation.state
    assert state.shape == (N, env.spec.state_size) == (N, len(env.spec.state_features))
    alive = np.asarray(units.unit_alive)
    for axis, name in enumerate("xy"):
        expected = np.where(alive, units.unit_positions[..., axis], 0)
        assert np.array_equal(feature(env, state, name), expected)
    assert np.array_equal(
        feature(env, state, "cooldown"), np.where(alive, units.unit_weapon_cooldowns, 0)
    )
    full = np.array([unit.health for unit in SETTINGS.roster.values()])
    types = np.asarray(units.unit_types)
    assert np.allclose(feature(env, state, "health"), np.asarray(units.unit_health) / full[types])
    for index, name in enumerate(TYPES):
        expected = (types == index) & alive
        assert np.array_equal(feature(env, state, f"is_{name}"), expected)
    names = np.array(env.spec.state_features)[env.spec.agent_features]
    for agent, row in enumerate(names):
        assert all(name.startswith(f"ally_{agent}_") for name in row)
        assert {name.removeprefix(f"ally_{agent}_") for name in row} == {
            "health", "x", "y", "cooldown", *(f"is_{name}" for name in TYPES)
        }  # fmt: skip


def test_moves_go_where_their_names_say(env: Any) -> None:
    moves = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0), "stop": (0, 0)}
    assert env.spec.actions[:5] == tuple(moves) and len(env.spec.actions) == env.spec.n_actions
    for action, expected in enumerate(moves.values()):
        env.reset(0)
        change(env, unit_positions=apart(env))
        before = np.array(env.running.game.state.unit_positions[:, :5])
        env.step(np.full((N, 5), action))
        moved = np.array(env.running.game.state.unit_positions[:, :5]) - before
        assert np.all(np.sign(moved.round(3)) == expected)


def test_attacks_hit_whom_they_name(env: Any) -> None:
    """Only enemies that some agent attacks lose health."""
    rng = np.random.default_rng(0)
    observation = env.reset(0)
    n_hits = np.zeros(5, int)
    for _ in range(40):
        # The first enemy in reach, or any move.
        attacks = observation.available_actions[..., 5:]
        actions = np.where(attacks.any(2), 5 + attacks.argmax(2), rng.integers(5, size=(N, 5)))
        actions[observation.available_actions[..., :5].sum(2) == 1] = STOP
        named = np.array(env.spec.actions)[actions]
        attacked = np.stack([(named == f"attack_enemy_{i}").any(1) for i in range(5)], axis=1)
        step = env.step(actions)
        before, after = (feature(env, o.state, "health")[:, 5:] for o in (observation, step.last))
        hit = after < before
        assert not (hit & ~attacked).any()
        n_hits += hit.sum(0)
        observation = step.observation
    assert n_hits.min() > 0


def test_given_tasks_are_equally_frequent(fewer: tuple[Any, Observation]) -> None:
    env, _ = fewer
    assert stats.chisquare(np.bincount(env.task, minlength=len(FEWER))).pvalue > 1e-3


def test_step_is_compiled_once(env: VectorEnv, caplog: pytest.LogCaptureFixture) -> None:
    import jax

    env.reset(0)
    stop(env)
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        jax.jit(lambda x: x + 1)(np.ones(3))
        assert "Compiling" in caplog.text  # compilations are logged
        caplog.clear()
        other = changed(reward_scale=3.0, dist_ratio=0.7)
        with make(env=other, tasks=FEWER) as others:
            others.set_task_chances(np.eye(len(FEWER))[2])
            for dtype in (np.int64, np.int32, np.uint8):
                others.reset(2**40)
                others.step(np.full((N, 5), STOP, dtype))
                others.step(np.full((N, 5), STOP, dtype))
        assert "Compiling" not in caplog.text


# --- noise ---------------------------------------------------------------------------------------

KINDS = tuple(Noise.model_fields)
DUEL = UnitProblem(units=("1s",))
STALKER = SETTINGS.roster["stalker"]


def noisy(**levels: float) -> Env:
    return changed(noise=Noise(**levels))


def duel(env: Any) -> None:
    """Let stalkers face each other in range of their attacks."""
    env.reset(3)
    change(env, unit_positions=np.array([[14, 16], [18, 16]]))


def losses(env: Any, n_steps: int) -> np.ndarray:
    """Health [steps, N, 2] that duellists lose, each of which attacks once in a step at most."""
    duel(env)
    health = [np.full((env.n_envs, 2), STALKER.health)]
    for number in range(n_steps):
        # The attack is not among the actions of the start that was overwritten.
        step = env.step(np.full((env.n_envs, 1), 5 if number else STOP))
        health.append(STALKER.health * feature(env, step.last.state, "health"))
    return -np.diff(health, axis=0)


def first_states(env: Env, n: int) -> tuple[np.ndarray, Any]:
    """Tasks, and states of the units, at the start of n battles of MIXED."""
    import jax

    with make(env=env) as made:
        keys = jax.random.split(jax.random.PRNGKey(5), n)
        battle, task = made._simulation._start(made._mixture, keys)
        return np.asarray(task), battle.state


def test_zero_noise_is_jaxmarls_own_game(env: Any, smax: Any) -> None:
    """One that was made before serves for it, so that not even its program differs."""
    with make(env=noisy(**dict.fromkeys(KINDS, 0.0))) as quiet:
        assert quiet._simulation is env._simulation
        assert type(quiet._simulation.game) is smax.HeuristicEnemySMAX


def test_vanishing_noise_changes_nothing(env: Any) -> None:
    with make(env=noisy(**dict.fromkeys(KINDS, 1e-12))) as other:
        assert other._simulation is not env._simulation
        rng, seen, n_ended = np.random.default_rng(4), env.reset(4), 0
        np.testing.assert_allclose(other.reset(4).state, seen.state, atol=1e-4)
        for _ in range(80):
            # The programs round in other ways, and battles are chaotic: each step begins alike.
            other.restore(env.snapshot())
            actions = random_actions(rng, seen)
            step, same = env.step(actions), other.step(actions)
            for one, two in zip(parts_of(step), parts_of(same), strict=True):
                np.testing.assert_allclose(one, two, atol=1e-4)
            seen = step.observation
            n_ended += (step.terminated | step.truncated).sum()
    assert n_ended >= N


@pytest.mark.parametrize("kind", KINDS)
def test_each_noise_draws_for_itself_alone(kind: str, env: Any, smax: Any) -> None:
    """Random numbers in the traced programs of a start and of a step."""
    import jax

    def draws(noise: Noise) -> tuple[int, int]:
        game = smax._battles(smax._as_tuples(SETTINGS), 5, SETTINGS.max_steps, noise)
        mixture, key = env._mixture, jax.random.PRNGKey(0)
        battle, task = jax.eval_shape(game.start_one, mixture, key)
        actions = np.full(5, STOP)
        traced = (
            jax.make_jaxpr(game.start_one)(mixture, key),
            jax.make_jaxpr(game.step_one)(mixture, key, battle, task, actions),
        )
        at_start, in_step = (str(program).count("random_bits") for program in traced)
        return at_start, in_step

    start, step = draws(Noise())
    noisy_start, noisy_step = draws(Noise(**{kind: 0.5}))
    assert start > 0 and step > 0
    if kind == "starts":
        assert noisy_start > start and noisy_step == step
    else:
        assert noisy_start == start and noisy_step > step


def test_tasks_and_orders_are_the_same_at_every_level() -> None:
    """Also at the start of later episodes, which draw from the same keys."""
    task, units = first_states(ENV, 1000)
    for levels in ({"damage": 0.5, "enemy": 0.5}, {"cooldown": 0.5, "starts": 9.0}):
        noisy_task, noisy_units = first_states(noisy(**levels), 1000)
        assert np.array_equal(noisy_task, task)
        for name in ("unit_types", "unit_alive", "unit_health"):
            assert np.array_equal(getattr(noisy_units, name), getattr(units, name))
        same = np.array_equal(noisy_units.unit_positions, units.unit_positions)
        assert same == ("starts" not in levels)


HITS, PAUSES, N_DUELS = 0.2, 0.15, 1000
"""Levels of damage and cooldown that are tried together."""


def test_damage_of_a_hit_varies_around_that_of_its_type() -> None:
    with make(DUEL, n_envs=N_DUELS) as env:
        lost = losses(env, 6)
    np.testing.assert_allclose(lost[lost > 1e-3], STALKER.damage, atol=1e-3)
    with make(DUEL, noisy(damage=HITS, cooldown=PAUSES), n_envs=N_DUELS) as env:
        lost = losses(env, 15)
    hits = lost[lost > 1e-3]
    assert len(hits) > N_DUELS * 2 * 4  # of both sides
    factors = hits / STALKER.damage
    assert abs(factors.mean() - 1) < 4.5 * HITS / np.sqrt(len(hits))
    assert stats.kstest((factors - 1) / HITS, "norm").pvalue > 1e-3
    # Each attack has its own: those of one step, and of one battle, differ as all do.
    first = lost[0, :, 0] / STALKER.damage  # enemies hit at once, and agents stopped
    assert abs(first.std() - HITS) < 4.5 * HITS / np.sqrt(2 * N_DUELS)
    own = [row[row > 1e-3].std(ddof=1) ** 2 for row in lost[:, :, 0].T]
    assert np.mean(own) == pytest.approx((HITS * STALKER.damage) ** 2, rel=0.1)


def test_cooldown_after_an_attack_varies_around_that_of_its_type() -> None:
    for level, env_settings in ((0.0, ENV), (PAUSES, noisy(damage=HITS, cooldown=PAUSES))):
        with make(DUEL, env_settings, n_envs=N_DUELS) as env:
            duel(env)
            stop(env)
            # Enemies attacked in the first of eight world steps, of 1/16 s each.
            cooldown = np.asarray(env.running.game.state.unit_weapon_cooldowns)[:, 1] + 7 / 16
        variance = (level * STALKER.cooldown) ** 2 + (3 / 16) ** 2 / 12  # SMAX's own is uniform
        mean = STALKER.cooldown + 1 / 32
        assert abs(cooldown.mean() - mean) < 4.5 * np.sqrt(variance / len(cooldown))
        assert cooldown.std() == pytest.approx(np.sqrt(variance), rel=0.1)
        assert (np.abs(cooldown - mean).max() < 0.1) == (level == 0)


def test_damage_is_never_negative() -> None:
    with make(DUEL, noisy(damage=2.0), n_envs=N_DUELS) as env:
        duel(env)
        step = stop(env)
    lost = STALKER.health * (1 - feature(env, step.last.state, "health")[:, 0])
    assert lost.min() > -1e-3
    # Normal factors of this deviation are negative with a chance of 0.31.
    missed = (lost < 1e-3).mean()
    assert abs(missed - stats.norm.cdf(-0.5)) < 4.5 * np.sqrt(0.31 * 0.69 / len(lost))
    expected = stats.norm.cdf(0.5) + 2 * stats.norm.pdf(0.5)
    assert lost.mean() / STALKER.damage == pytest.approx(expected, rel=0.15)


def test_displaced_units_are_anywhere_in_a_circle_and_on_the_map(smax: Any) -> None:
    import jax

    places = np.array([[16, 16], [16, 16], [2.5, 29.5]], np.float32)
    keys = jax.random.split(jax.random.PRNGKey(3), 4000)
    found = np.asarray(jax.vmap(lambda key: smax.displaced(key, places, 4.0))(keys))
    x, y = np.moveaxis(found[:, 0] - 16, -1, 0)
    assert stats.kstest((x**2 + y**2) / 16, "uniform").pvalue > 1e-3
    assert stats.kstest(np.arctan2(y, x) / np.pi, stats.uniform(-1, 2).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(x, found[:, 1, 0])[0, 1]) < 4.5 / np.sqrt(len(x))  # each its own way
    distance = np.linalg.norm(found - places, axis=-1)
    assert distance.max() <= 4 + 1e-4
    assert found[:, 2].min() >= 2.5 - 1e-4 and found[:, 2].max() <= 29.5 + 1e-4
    assert len(np.unique(found[:, 2], axis=0)) == len(found)


def test_units_start_displaced_apart_and_on_the_map() -> None:
    _, still = first_states(ENV, 1000)
    _, moved = first_states(noisy(starts=3.0), 1000)
    by = np.asarray(moved.unit_positions) - np.asarray(still.unit_positions)
    distance = np.linalg.norm(by, axis=-1)
    # Of a circle, half lies within 0.71 of its radius; units that meet push each other.
    assert np.median(distance) == pytest.approx(3 * np.sqrt(0.5), rel=0.1)
    assert distance.max() < 3 + 3
    assert np.abs(by.mean(axis=(0, 1))).max() < 0.1
    _, far = first_states(changed(dist_ratio=1.0, noise=Noise(starts=16)), 1000)
    positions = np.asarray(far.unit_positions)
    assert positions.min() > 0 and positions.max() < 32
    between = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    assert between[:, ~np.eye(10, dtype=bool)].min() > 0


def test_enemies_take_random_available_actions() -> None:
    import jax

    n_envs, chance = 1000, 0.5
    taken = []
    with make(n_envs=n_envs) as scripted, make(env=noisy(enemy=chance), n_envs=n_envs) as random:
        for each in (scripted, random):
            each.reset(5)
            start = each.running.game.state
            stop(each)
            units = each.running.game.state
            moves = np.asarray(units.prev_movement_actions)[:, 5:]
            attacks = np.asarray(units.prev_attack_actions)[:, 5:]
            walk = (moves @ np.array([[0, 1, 0, -1], [1, 0, -1, 0]])).argmax(-1)
            walk = np.where(np.abs(moves).sum(-1) > 0.5, walk, STOP)
            taken.append(np.where(attacks > 0, attacks, walk))
        masks = jax.vmap(scripted._simulation.game._env.get_avail_actions)(start)
    available = np.stack([masks[f"enemy_{i}"] for i in range(5)], axis=1).astype(bool)
    script, chosen = taken
    for actions in taken:
        assert np.take_along_axis(available, actions[..., None], axis=-1).all()
    # Of n available actions a random one is another with a chance of 1 - 1/n.
    n_available, other = available.sum(-1), chosen != script
    expected = chance * (1 - 1 / n_available)
    spread = np.sqrt((expected * (1 - expected)).sum())
    assert abs(other.sum() - expected.sum()) < 4.5 * spread
    # Each of the others as often, where there are moves alone.
    away = (chosen - script)[other & (n_available == 5)] % 5
    assert stats.chisquare(np.bincount(away, minlength=5)[1:]).pvalue > 1e-3
    # Attacks that no script chose are on units in range, which an enemy counts from the last.
    where, enemy = np.nonzero((chosen >= 5) & other)
    assert len(where) > 50
    positions = np.asarray(start.unit_positions)
    between = positions[where, 5 + enemy] - positions[where, 9 - chosen[where, enemy]]
    ranges = np.array([unit.range for unit in SETTINGS.roster.values()])
    reach = ranges[np.asarray(start.unit_types)[where, 5 + enemy]]
    assert (np.linalg.norm(between, axis=-1) < reach).all()


# --- JAX in the process --------------------------------------------------------------------------


def test_jax_is_imported_late_quietly_and_with_the_given_threads() -> None:
    script = """
import contextlib, io, sys
from pathlib import Path
import trama.environments
from trama.config.backends import Env
from trama.config.problems import UnitProblem
assert not {"jax", "torch"} & set(sys.modules)
caught = io.StringIO()
with contextlib.redirect_stderr(caught):
    trama.environments.make_env(UnitProblem(units=("1s",)), Env(), 1, threads=1)
    print("to the log", file=sys.stderr)
assert "to the log" in caught.getvalue()
import jax
jax.numpy.ones((64, 64)).sum().block_until_ready()
names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
print(names.count("tf_XLAEigen"))
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": "workflow", "HOME": str(Path.home())},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert (run.stdout, run.stderr) == ("1\n", "")


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax_runtime.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TramaError, match="'jax', which is not installed"):
        jax_runtime.configure_jax("cpu", 1)


def test_an_absent_gpu_is_named() -> None:
    script = "from trama.environments.jax_runtime import configure_jax; configure_jax('cuda', 1)"
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": "workflow", "HOME": str(Path.home()), "CUDA_VISIBLE_DEVICES": ""},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert "TramaError: env.device: cuda is not what JAX offers here" in run.stderr


def test_compiled_programs_are_kept_in_the_folder_of_the_cpu_model(tmp_path: Path) -> None:
    script = """
import numpy as np
from trama.config.backends import Env
from trama.config.problems import UnitProblem
from trama.environments import make_env
with make_env(UnitProblem(units=("1s",)), Env(), 1, threads=1) as env:
    env.reset(0)
    env.step(np.full((1, 1), 4))
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": "workflow", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    key = hashlib.sha256(compilation._cpu_model().encode()).hexdigest()[:12]
    (folder,) = (tmp_path / "trama").glob("jax-*")
    assert folder.name.endswith(key)
    assert any(path.stat().st_size > 0 for path in folder.rglob("*") if path.is_file())


def test_only_smax_is_imported_and_the_rest_of_jaxmarl_stays_there() -> None:
    script = """
import contextlib, io, sys
from trama.environments import smax
assert not {"jaxmarl.environments.mpe", "flax.linen"} & sys.modules.keys()
with contextlib.redirect_stdout(io.StringIO()):
    from jaxmarl import make
    import jaxmarl.environments
print(jaxmarl.environments.HeuristicEnemySMAX is smax.HeuristicEnemySMAX)
print(make("MPE_simple_spread_v3").num_agents)
import flax
print(flax.linen.Dense(3).features, flax.struct is sys.modules["flax.struct"], flax.__version__)
"""
    run = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": "workflow", "HOME": str(Path.home()), "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert run.stdout.splitlines()[-3:] == ["True", "3", f"3 True {version('flax')}"], run.stderr
