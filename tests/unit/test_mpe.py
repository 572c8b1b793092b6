"""Particle scenarios: physics and rewards beside JaxMARL's own, success, prey, what is missing."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from backends import CONFIG, MPE, play, random_actions
from trama.config.backends import Env
from trama.config.model import Config
from trama.config.params import collect_params
from trama.config.particles import LAYOUTS, Room, Scenario, parse_scenario
from trama.config.problems import ScenarioProblem, ScenarioTaskSet
from trama.environments import Step, make_env
from trama.errors import TramaError
from trama.tasks import ScenarioTask, task_named, tasks_named

assert isinstance(MPE.problem, ScenarioProblem)
PROBLEM, N = MPE.problem, MPE.n_envs
ROOM = PROBLEM.room
STAY, WEST, EAST, SOUTH, NORTH = range(5)


def make(scenario: str | None = None, n_envs: int = N, **settings: Any) -> Any:
    """Environments with room for the problem, of one scenario or of its mixture.

    All have the number of tasks and of environments of the conformance tests: one program.
    """
    given = CONFIG["env"]["mpe"] | settings
    env = Env.model_validate({"backend": "mpe", "mpe": given})
    tasks = None if scenario is None else [ScenarioTask(scenario)] * len(PROBLEM.scenarios)
    return make_env(PROBLEM, env, n_envs, 2, tasks)


def feature(env: Any, state: np.ndarray, name: str) -> np.ndarray:
    """[N] of a feature of the state."""
    found: np.ndarray = state[:, env.spec.state_features.index(name)]
    return found


def put(env: Any, **fields: Any) -> None:
    """Overwrite fields of JaxMARL's state in every environment."""
    scene = env.running.game
    changed = {
        name: np.broadcast_to(value, getattr(scene.particles, name).shape).astype(
            getattr(scene.particles, name).dtype
        )
        for name, value in fields.items()
    }
    env.running = env.running._replace(
        game=scene._replace(particles=replace(scene.particles, **changed))
    )


def place(env: Any, **groups: Any) -> None:
    """Put agents, prey and landmarks to rest where `groups` say, the first of each."""
    first = {"agents": 0, "prey": ROOM.n_agents, "landmarks": ROOM.n_agents + ROOM.n_prey}
    positions = np.array(env.running.game.particles.p_pos)
    for name, places in groups.items():
        positions[:, first[name] : first[name] + len(places)] = places
    put(env, p_pos=positions, p_vel=0.0)


def act(env: Any, *moves: int) -> Step:
    """Let the first agents move, and the others stay."""
    actions = np.zeros((env.n_envs, env.spec.n_agents), int)
    actions[:, : len(moves)] = moves
    step: Step = env.step(actions)
    return step


# --- names ---------------------------------------------------------------------------------------


def test_names_say_what_a_scenario_consists_of() -> None:
    assert parse_scenario("spread_4") == Scenario("spread", "uniform", 4, 4, 0)
    assert parse_scenario("spread_2_circle") == Scenario("spread", "circle", 2, 2, 0)
    assert parse_scenario("reference") == Scenario("reference", "uniform", 2, 3, 0)
    assert parse_scenario("tag_3") == Scenario("tag", "uniform", 3, 2, 1)
    assert ScenarioProblem(scenarios=("tag_3", "reference")).room == Room(3, 3, 1, True)
    assert [task.name for task in tasks_named(PROBLEM)] == list(PROBLEM.scenarios)
    assert task_named(PROBLEM, "spread_3_line") == ScenarioTask("spread_3_line")


def test_what_is_no_scenario_of_the_problem_is_refused() -> None:
    for name in (
        "spread",
        "spread_0",
        "spread_12",
        "spread_2_up",
        "tag_2_line",
        "reference_2",
        "3s2z surrounded",
    ):
        with pytest.raises(
            TramaError, match=f"scenarios: '{name}' must be a scenario: reference, or"
        ):
            task_named(PROBLEM, name)
    with pytest.raises(TramaError, match="units: the policy's problem has particle scenarios"):
        tasks_named(PROBLEM, units=["3s2z"])
    with pytest.raises(TramaError, match="Task 'spread_5' has 5 agents, the problem at most 4"):
        make("spread_5")


@pytest.mark.parametrize(
    ("trained", "scenario", "reason"),
    [
        ("spread_3", "spread_4", "'spread_4' has 4 agents, the problem at most 3"),
        ("tag_3", "spread_3", "'spread_3' has 3 landmarks, the problem at most 2"),
        ("spread_3", "tag_3", "'tag_3' has prey, the problem has none"),
        ("spread_3", "reference", "'reference' has agents that speak, those of the problem cannot"),
    ],
)
def test_a_problem_has_no_room_for_what_it_lacks(trained: str, scenario: str, reason: str) -> None:
    task_set = ScenarioTaskSet(scenarios=("spread_1", scenario))
    found = ScenarioProblem(scenarios=(trained,)).unplayable(task_set)
    assert found == (("scenarios", 1), reason)


def test_keys_that_no_scenario_of_the_problem_reads_are_no_params() -> None:
    study = {"problems": ["Mine"], "variants": ["vdn"]}
    base = {"study": study, "variants": {"vdn": {"mixer": "vdn"}}}
    read = {}
    for scenarios in (["spread_2"], ["reference"], ["tag_2"]):
        given = base | {"problems": {"Mine": {"scenarios": scenarios}}}
        given["env"] = CONFIG["env"] | {"backend": "mpe"}
        env = collect_params(Config.model_validate(given), "Mine", 0)["env"]
        assert env.keys() == {"backend", "device", "mpe"}
        read[scenarios[0]] = set(env["mpe"]) | set(env["mpe"]["reward_scale"])
    always = {
        "max_steps",
        "shown_steps",
        "still_steps",
        "rewarded_steps",
        "success_distance",
        "reward_scale",
        "spread",
    }
    assert read == {
        "spread_2": always,
        "reference": always | {"words", "reference"},
        "tag_2": always | {"catches", "tag"},
    }


# --- beside JaxMARL ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mpe() -> Any:
    make()  # configures JAX
    from trama.environments import mpe

    return mpe


def jaxmarl_game(scenario: Scenario) -> Any:
    """JaxMARL's own environment of a scenario."""
    from jaxmarl.environments.mpe.simple_reference import SimpleReferenceMPE
    from jaxmarl.environments.mpe.simple_spread import SimpleSpreadMPE
    from jaxmarl.environments.mpe.simple_tag import SimpleTagMPE

    if scenario.family == "reference":
        return SimpleReferenceMPE()
    if scenario.family == "tag":
        return SimpleTagMPE(num_adversaries=scenario.n_agents)
    return SimpleSpreadMPE(num_agents=scenario.n_agents, num_landmarks=scenario.n_landmarks)


def jaxmarl_step(scenario: Scenario, mpe: Any) -> Any:
    """A step of its N games: positions, velocities, and the mean reward of those who learn.

    The prey goes where ours would, which is no action of JaxMARL's.
    """
    import jax

    game = jaxmarl_game(scenario)
    learners = game.agents[: scenario.n_agents]

    def one(state: Any, moves: Any) -> tuple[Any, Any, Any]:
        by_agent = {agent: 0 for agent in game.agents}
        by_agent |= {agent: moves[i] for i, agent in enumerate(learners)}
        force, _ = game.set_actions(by_agent)
        if scenario.n_prey:
            agents, prey, landmarks = np.split(np.arange(game.num_entities), [len(learners), -2])
            places = state.p_pos
            hunting, reach = np.ones(len(agents), np.bool_), np.full(2, 0.25)
            way = mpe.flee(places[prey[0]], places[agents], hunting, places[landmarks], reach)
            force = force.at[prey[0]].set(4 * way)
        p_pos, p_vel = game._world_step(jax.random.PRNGKey(0), state, force)
        rewards = game.rewards(replace(state, p_pos=p_pos, p_vel=p_vel))
        return p_pos, p_vel, sum(rewards[agent] for agent in learners) / len(learners)

    return jax.jit(jax.vmap(one))


@pytest.mark.parametrize("name", ["spread_2", "reference", "tag_3"])
def test_particles_move_and_are_rewarded_as_in_jaxmarl(name: str, mpe: Any) -> None:
    """Beside what the scenario lacks."""
    own = parse_scenario(name)
    starts = (0, ROOM.n_agents, ROOM.n_agents + ROOM.n_prey)
    counts = (own.n_agents, own.n_prey, own.n_landmarks)
    there = np.concatenate([np.arange(s, s + n) for s, n in zip(starts, counts, strict=True)])
    scales = {"spread": 1.5, "reference": 2.0, "tag": 0.1}
    rng = np.random.default_rng(3)
    collided, rewards = False, []
    with make(name, reward_scale=scales) as env:
        theirs = jaxmarl_step(own, mpe)
        seen = env.reset(0)
        # Near each other, so that they collide.
        positions = np.zeros_like(env.running.game.particles.p_pos)
        positions[:, there] = rng.uniform(-0.4, 0.4, (N, len(there), 2))
        put(env, p_pos=positions)
        for _ in range(12):
            before = env.running.game.particles
            state = replace(
                before,
                p_pos=np.array(before.p_pos)[:, there],
                p_vel=np.array(before.p_vel)[:, there],
                goal=np.array(before.goal)[:, :2],
            )
            actions = random_actions(rng, seen)
            step = env.step(actions)
            p_pos, p_vel, reward = theirs(state, actions[:, : own.n_agents])
            after = env.running.game.particles
            np.testing.assert_allclose(np.array(after.p_pos)[:, there], p_pos, atol=1e-5)
            np.testing.assert_allclose(np.array(after.p_vel)[:, there], p_vel, atol=1e-4)
            team = np.array(reward) / (own.n_landmarks if own.family == "spread" else 1)
            expected = scales[own.family] * team
            np.testing.assert_allclose(step.reward, expected, rtol=1e-4, atol=1e-5)
            rewards.append(team)
            # A step of its own brings an agent at most half a unit per second.
            gained = np.array(after.p_vel) - 0.75 * np.array(before.p_vel)
            collided |= bool((np.abs(gained) > 0.55).any())
            seen = step.observation
    assert np.abs(rewards).max() > 0
    assert collided == (name != "reference")


def test_agents_see_what_jaxmarls_see() -> None:
    """In reference: the other's goal and word, and not their own."""
    with make("reference") as env:
        env.reset(0)
        goals = np.full((N, ROOM.n_agents), -1)
        goals[:, :2] = [2, 0]
        put(env, goal=goals)
        step = env.step(np.tile([5 * 1 + EAST, 5 * 2 + NORTH, 0, 0], (N, 1)))
        mine = env.running.game.particles
        positions = np.array(mine.p_pos)
        landmarks = positions[:, ROOM.n_agents + ROOM.n_prey :]
        for agent, (told, heard) in enumerate([(0, 2), (2, 1)]):
            here = positions[:, agent]
            rows = [np.array(mine.p_vel)[:, agent], here, np.zeros((N, 5))]
            for i in range(ROOM.n_landmarks):
                shown = [np.ones((N, 1)), landmarks[:, i] - here, np.full((N, 1), i == told)]
                rows += shown if i < 3 else [np.zeros((N, 4))]
            word = np.tile(np.eye(3)[heard], (N, 1))
            rows += [np.ones((N, 1)), positions[:, 1 - agent] - here, word, np.zeros((N, 12))]
            expected = np.concatenate(rows, axis=1)
            np.testing.assert_allclose(step.observation.obs[:, agent], expected, atol=1e-6)
            for axis, value in zip("xy", landmarks[:, (2, 0)[agent]].T, strict=True):
                name = f"agent_{agent}_goal_{axis}"
                np.testing.assert_allclose(feature(env, step.observation.state, name), value)


# --- success -------------------------------------------------------------------------------------

LANDMARKS = [[0.6, 0.6], [-0.6, 0.6], [0.6, -0.6], [-0.6, -0.6]]


@pytest.mark.parametrize(
    ("agents", "won"),
    [
        (LANDMARKS[::-1], True),  # whoever covers which
        ([[0.6, 0.4], *LANDMARKS[1:]], True),
        ([[0.6, 0.3], *LANDMARKS[1:]], False),  # too far
        ([LANDMARKS[1], *LANDMARKS[1:]], False),  # none left for the first
    ],
)
def test_spread_is_won_if_every_landmark_is_covered_at_the_end(agents: Any, won: bool) -> None:
    with make("spread_4", max_steps=2, success_distance=0.25) as env:
        env.reset(0)
        place(env, agents=LANDMARKS, landmarks=LANDMARKS)
        step = act(env)
        assert not (step.won | step.truncated | step.terminated).any()
        place(env, agents=agents, landmarks=LANDMARKS)
        step = act(env)
        assert step.truncated.all() and not step.terminated.any()
        assert (step.won == won).all()


def test_two_agents_need_not_cover_what_their_scenario_lacks() -> None:
    with make("spread_2", max_steps=1) as env:
        env.reset(0)
        place(env, agents=LANDMARKS[:2], landmarks=LANDMARKS[:2])
        assert act(env).won.all()


@pytest.mark.parametrize(("goals", "won"), [((2, 0), True), ((0, 2), False), ((2, 2), False)])
def test_reference_is_won_if_each_agent_is_at_its_own_landmark(
    goals: tuple[int, int], won: bool
) -> None:
    with make("reference", max_steps=1) as env:
        env.reset(0)
        places = np.full((N, ROOM.n_agents), -1)
        places[:, :2] = goals
        put(env, goal=places)
        place(env, agents=[LANDMARKS[2], LANDMARKS[0]], landmarks=LANDMARKS[:3])
        assert (act(env).won == won).all()


@pytest.mark.parametrize(("touched", "catches", "won"), [(1, 1, True), (1, 2, False), (2, 2, True)])
def test_tag_is_won_if_the_prey_is_touched_often_enough(
    touched: int, catches: int, won: bool
) -> None:
    apart = {"agents": [[0.5, 0.0], [0.9, 0.0], [0.9, 0.5]], "landmarks": [[0.9, 0.9], [-0.9, 0.9]]}
    with make("tag_3", max_steps=4, catches=catches) as env:
        env.reset(0)
        for number in range(4):
            place(env, prey=[[0.4 if number < touched else -0.5, 0.0]], **apart)
            step = act(env)
            assert ((step.reward > 0) == (number < touched)).all()
        assert step.truncated.all()
        assert (step.won == won).all()


# --- the prey ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prey", "chasers", "obstacles", "ways"),
    [
        ([0.0, 0.0], [[-0.4, 0.0], [9, 9]], [[9, 9]], [(1, 0)]),
        ([0.0, 0.0], [[-0.4, 0.0], [0.3, 0.0]], [[9, 9]], [(-1, 0)]),  # from the nearer one
        ([0.9, 0.0], [[0.5, 0.0], [9, 9]], [[9, 9]], [(0, 1), (0, -1)]),  # not out of the world
        ([0.0, 0.0], [[-0.4, 0.0], [9, 9]], [[0.4, 0.0]], [(1, 1), (1, -1)]),  # past an obstacle
        ([0.95, 0.95], [[0.6, 0.6], [9, 9]], [[9, 9]], [(0, 0)]),  # cornered
    ],
)
def test_prey_flees_from_the_nearest_chaser(
    prey: Any, chasers: Any, obstacles: Any, ways: Sequence[tuple[int, int]], mpe: Any
) -> None:
    hunting = np.array([True, True, False])
    places = np.array([*chasers, prey], np.float32)  # a missing one, where the prey is
    found = mpe.flee(
        np.array(prey, np.float32),
        places,
        hunting,
        np.array(obstacles, np.float32),
        np.array([0.2]),
    )
    allowed = [np.array(way) / max(np.linalg.norm(way), 1) for way in ways]
    assert min(np.abs(found - way).max() for way in allowed) < 1e-6


def test_prey_stays_in_the_world_and_is_faster_than_its_chasers() -> None:
    with make("tag_3", max_steps=50) as env:
        rng = np.random.default_rng(0)
        seen = env.reset(1)
        for _ in range(49):
            seen = env.step(random_actions(rng, seen)).observation
            x, y = (feature(env, seen.state, f"prey_0_{axis}") for axis in "xy")
            # Chasers and obstacles may push it.
            assert max(np.abs(x).max(), np.abs(y).max()) < 1.6
        assert np.median(np.maximum(np.abs(x), np.abs(y))) < 1.1


# --- what is missing, and where things start -----------------------------------------------------


def test_a_missing_agent_does_sees_and_shows_nothing() -> None:
    with MPE.make() as env:
        scenarios = [parse_scenario(name) for name in PROBLEM.scenarios]
        features = env.spec.state_features
        for before, step in play(env, 2, 40):
            for e, seen in ((e, step.last) for e in range(N)):
                own = scenarios[before[e]]
                counts = {"agent": own.n_agents, "prey": own.n_prey, "landmark": own.n_landmarks}
                for name, value in zip(features, seen.state[e], strict=True):
                    kind, number, rest = name.split("_", 2)
                    if int(number) >= counts[kind]:
                        assert value == 0, name
                    elif rest == "radius":
                        assert value > 0
                there = np.arange(ROOM.n_agents) < own.n_agents
                n_actions = np.where(there, 15 if own.speaks else 5, 1)
                assert np.array_equal(seen.available_actions[e].sum(1), n_actions)
                assert seen.available_actions[e, ~there, STAY].all()
                assert (seen.obs[e, ~there] == 0).all() and seen.obs[e, there].any(1).all()


def test_landmarks_are_shown_and_agents_stand_still_for_as_long_as_is_said() -> None:
    """Words can be said from the first step on."""
    with make("reference", shown_steps=2, still_steps=3, max_steps=5) as env:
        names = env.spec.obs_features
        of_landmarks = [i for i, name in enumerate(names) if name.startswith("landmark_")]
        of_others = [i for i, name in enumerate(names) if name.startswith("other_0_")]
        seen = env.reset(0)
        rng = np.random.default_rng(0)
        for number in range(5):
            for agent in range(2):
                assert seen.obs[:, agent, of_landmarks].any(1).all() == (number < 2)
                assert seen.obs[:, agent, of_others].any(1).all()
            can_move = seen.available_actions[:, :2].reshape(N, 2, -1, 5)[..., 1:].any(-1)
            assert (can_move == (number >= 3)).all()
            assert (seen.available_actions[:, :2].sum(2) == (15 if number >= 3 else 3)).all()
            step = env.step(random_actions(rng, seen))
            seen = step.observation
        assert not step.last.obs[..., of_landmarks].any()
        assert seen.obs[:, :2, of_landmarks].any(2).all()  # those of the next episode
    with make("spread_2", max_steps=1) as env:
        env.reset(0)
        assert act(env).last.obs[:, :2, of_landmarks].any(2).all()


def test_the_last_steps_alone_are_rewarded_where_that_is_said() -> None:
    rewards = {}
    for rewarded in (None, 2, 9):
        with make("spread_2", max_steps=5, rewarded_steps=rewarded) as env:
            env.reset(0)
            steps = [act(env, EAST, WEST) for _ in range(5)]
            rewards[rewarded] = np.array([step.reward for step in steps])
        # Beyond an end that decides what is rewarded nothing is worth anything: no bootstrap.
        ended = np.array([step.terminated for step in steps])
        assert not ended[:4].any() and (ended[4] == (rewarded == 2)).all()
        assert (steps[4].truncated == (rewarded != 2)).all()
    assert (rewards[None] < 0).all()
    assert (rewards[2][:3] == 0).all() and np.array_equal(rewards[2][3:], rewards[None][3:])
    assert np.array_equal(rewards[9], rewards[None])


def test_landmarks_lie_where_the_layout_says(mpe: Any) -> None:
    import jax

    keys = jax.random.split(jax.random.PRNGKey(0), 500)

    @jax.jit
    def place_all(n: Any, layout: Any) -> Any:
        return jax.vmap(mpe.place_landmarks, (0, None, None, None))(keys, 4, n, layout)

    def lie(layout: int, n: int) -> np.ndarray:
        return np.array(place_all(n, layout))[:, :n]

    anywhere, line, circle, *sides = (lie(layout, 3) for layout in range(len(LAYOUTS)))
    assert stats.kstest(anywhere.ravel(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    np.testing.assert_allclose(line[:, 1], 0, atol=1e-6)
    np.testing.assert_allclose(line[:, 0], -line[:, 2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(line[:, 0], axis=1), 0.8, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(circle, axis=2), 0.7, rtol=1e-5)
    edges = np.linalg.norm(circle - np.roll(circle, 1, axis=1), axis=2)
    np.testing.assert_allclose(edges, 0.7 * np.sqrt(3), rtol=1e-5)
    for turned in (line, circle):
        angle = np.arctan2(*turned[:, 0].T)
        assert stats.kstest(angle, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > 1e-3
    np.testing.assert_allclose(lie(1, 1), 0, atol=1e-6)
    middles = [[0, 0.8], [0.8, 0], [0, -0.8], [-0.8, 0]]
    for side, middle in zip(sides, np.array(middles, np.float32), strict=True):
        ends = 0.6 * np.where(middle == 0, 1, 0)
        assert (side == side[:1]).all()  # in each episode
        found = side[0][side[0].sum(1).argsort()]
        np.testing.assert_allclose(found, [middle - ends, middle, middle + ends], atol=1e-6)


def test_other_tasks_and_settings_compile_nothing_anew(caplog: pytest.LogCaptureFixture) -> None:
    import jax

    with make() as env:
        env.reset(0)
        act(env)
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        jax.jit(lambda x: x + 1)(np.ones(3))
        assert "Compiling" in caplog.text  # compilations are logged
        caplog.clear()
        settings: dict[str, Any] = {
            "catches": 4,
            "success_distance": 0.1,
            "shown_steps": 1,
            "rewarded_steps": 2,
        }
        with make("spread_3_line", max_steps=9, **settings) as env:
            env.reset(0)
            act(env)
            act(env)
        assert "Compiling" not in caplog.text
