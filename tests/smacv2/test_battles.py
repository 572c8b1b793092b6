"""SMACv2's own package, PySC2's own launcher and protocol, and a stand-in for the game."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from standin import StandIn, alive
from trama.config.backends import Env
from trama.config.problems import RandomTeams, UnitProblem
from trama.environments import EnvSpec, Observation, Step, VectorEnv, make_env
from trama.environments.processes import ProcessVectorEnv
from trama.environments.smacv2 import open_battle, plan_of
from trama.environments.starcraft import find_game, reserve_port
from trama.errors import TramaError
from trama.tasks import task_named, tasks_of

SUR_COMB_3 = UnitProblem(units=("3s2z", "2c3z", "2c3s"), starts=("surrounded",))
RE_SUR_COMB_3 = UnitProblem(units=("3s2z", "2c3z", "2c3s"), starts=("surrounded", "reflected"))
TERRAN = RandomTeams(unit_weights={"m": 0.45, "a": 0.45, "v": 0.1}, excluded_teams=("v",))
PROTOSS = RandomTeams(unit_weights={"s": 0.45, "z": 0.45, "c": 0.1})
ZERG = RandomTeams(unit_weights={"g": 0.45, "b": 0.1, "h": 0.45}, excluded_teams=("b",))

Open = Callable[..., ProcessVectorEnv]


def settings(**changes: Any) -> Env:
    patience = {"interval_seconds": 0.1, "start_seconds": 60.0, "step_seconds": 20.0}
    patience |= {key: changes.pop(key) for key in list(changes) if key in patience}
    return Env.model_validate({"backend": "smacv2", "smacv2": {"patience": patience, **changes}})


@pytest.fixture
def battles(game: StandIn) -> Iterator[Open]:
    """Opens environments, and closes them before the game is looked after."""
    opened: list[VectorEnv] = []

    def open_(
        problem: UnitProblem | RandomTeams = SUR_COMB_3,
        n_envs: int = 1,
        task: str | None = None,
        **changes: object,
    ) -> ProcessVectorEnv:
        tasks = None if task is None else [task_named(problem, task)]
        env = make_env(problem, settings(**changes), n_envs, 1, tasks)
        assert isinstance(env, ProcessVectorEnv)
        opened.append(env)
        return env

    yield open_
    for env in opened:
        env.close()


def values(state: np.ndarray, spec: EnvSpec, side: str, what: str) -> np.ndarray:
    """A feature of all units of a side, found by its name."""
    names = [f"{side}_{i}_{what}" for i in range(spec.n_agents)]
    return state[..., [spec.state_features.index(name) for name in names]]


def fight(seen: Observation, spec: EnvSpec) -> np.ndarray:
    """Attack what can be attacked, else walk towards the nearest enemy, or stand still."""
    number = {name: i for i, name in enumerate(spec.actions)}
    actions = np.zeros((len(seen.state), spec.n_agents), int)
    for e, state in enumerate(seen.state):
        x, y = (values(state, spec, "ally", axis) for axis in "xy")
        alive = values(state, spec, "enemy", "health") > 0
        others = [values(state, spec, "enemy", axis) for axis in "xy"]
        for agent, available in enumerate(seen.available_actions[e]):
            attacks = [a for a in np.flatnonzero(available) if "attack" in spec.actions[a]]
            choice = number["stop"]
            if attacks:
                choice = int(attacks[0])
            elif alive.any():
                away = [other - own[agent] for other, own in zip(others, (x, y), strict=True)]
                nearest = np.where(alive, np.hypot(*away), np.inf).argmin()
                dx, dy = (each[nearest] for each in away)
                if abs(dx) > abs(dy):
                    choice = number["east" if dx > 0 else "west"]
                else:
                    choice = number["north" if dy > 0 else "south"]
            actions[e, agent] = choice if available[choice] else available.argmax()
    return actions


def stand(seen: Observation, spec: EnvSpec) -> np.ndarray:
    """Stop, as long as one lives."""
    stop = spec.actions.index("stop")
    return np.where(seen.available_actions[:, :, stop], stop, 0)


Player = Callable[[Observation, EnvSpec], np.ndarray]


def play(env: VectorEnv, n_episodes: int, player: Player, seed: int = 0) -> list[list[Step]]:
    """Whole episodes of environment 0."""
    seen, episodes = env.reset(seed), [list[Step]()]
    while len(episodes) <= n_episodes:
        step = env.step(player(seen, env.spec))
        episodes[-1].append(step)
        seen = step.observation
        if step.terminated[0] or step.truncated[0]:
            episodes.append([])
    return episodes[:-1]


def total(episode: list[Step]) -> float:
    return float(sum(step.reward[0] for step in episode))


def test_sizes_and_names_are_those_of_the_published_problems(battles: Open) -> None:
    spec = battles(RE_SUR_COMB_3).spec
    assert (spec.n_agents, spec.state_size, spec.obs_size, spec.n_actions) == (5, 130, 92, 11)
    assert spec.episode_limit == 200
    assert len(spec.state_features) == len(set(spec.state_features)) == 130
    assert len(spec.obs_features) == len(set(spec.obs_features)) == 92
    own = [f"ally_3_{what}" for what in ("health", "cooldown", "x", "y", "shield")]
    own += [f"ally_3_is_{unit}" for unit in ("stalker", "zealot", "colossus")]
    assert [spec.state_features[i] for i in spec.agent_features[3]] == own
    assert spec.actions[:3] == ("no_op", "stop", "north") and spec.actions[10] == "attack_enemy_4"


@pytest.mark.parametrize("problem", [TERRAN, ZERG])
def test_other_races_have_no_shields(battles: Open, problem: RandomTeams) -> None:
    spec = battles(problem).spec
    assert (spec.state_size, spec.obs_size, spec.agent_features.shape) == (120, 82, (5, 7))
    assert not any("shield" in name for name in spec.state_features + spec.obs_features)


def test_names_say_what_the_features_are(battles: Open) -> None:
    env = battles(task="2c3z reflected", problem=RE_SUR_COMB_3)
    seen, spec = env.reset(0), env.spec
    for side in ("ally", "enemy"):
        kinds = {
            unit: values(seen.state, spec, side, f"is_{unit}").sum()
            for unit in ("stalker", "zealot", "colossus")
        }
        assert kinds == {"stalker": 0, "zealot": 3, "colossus": 2}
        assert (values(seen.state, spec, side, "health") == 1).all()
    x = values(seen.state, spec, "ally", "x")
    # Allies start between a quarter of the map and the middle; SMACv2 centres coordinates.
    assert (x > -0.27).all() and (x < 0).all()
    own_x = seen.obs[0, :, spec.obs_features.index("own_x")]
    assert np.allclose(own_x, x[0] + 0.5, atol=1e-6)
    moved = env.step(np.full((1, 5), spec.actions.index("stop"))).observation
    last = values(moved.state, spec, "ally", "last_stop")
    assert (last == 1).all() and (values(moved.state, spec, "ally", "last_north") == 0).all()


def test_an_episode_to_the_win(battles: Open) -> None:
    (episode,) = play(battles(reward_only_positive=True), 1, fight)
    last = episode[-1]
    assert last.won[0] and last.terminated[0] and not last.truncated[0]
    assert not any(step.won[0] or step.terminated[0] for step in episode[:-1])
    assert total(episode) == pytest.approx(20, abs=1e-4)


def test_an_episode_to_the_defeat(game: StandIn, battles: Open) -> None:
    game.enemy("strong")
    (episode,) = play(battles(), 1, stand)
    last = episode[-1]
    assert last.terminated[0] and not last.won[0] and not last.truncated[0]
    # The enemies' units bring nothing, one's own cost half of their health and of a death.
    assert total(episode) < -2


def test_an_episode_to_the_time_limit_is_truncated(game: StandIn, battles: Open) -> None:
    game.enemy("idle")
    (episode,) = play(battles(max_steps=12), 1, stand)
    last = episode[-1]
    assert len(episode) == 12 and last.truncated[0] and not last.terminated[0] and not last.won[0]


def test_rewards_are_scaled_by_the_episode_not_by_the_first_one(battles: Open) -> None:
    """SMACv2 takes the scale from the first episode; 3s2z and 2c3s differ by a third."""
    env = battles(reward_only_positive=True)
    episodes = play(env, 5, fight, seed=1)
    assert len({int(episode[0].task[0]) for episode in episodes}) > 1
    assert [total(episode) for episode in episodes] == pytest.approx([20] * 5, abs=1e-4)


def test_tasks_are_what_was_drawn(game: StandIn, battles: Open) -> None:
    game.enemy("idle")
    env = battles(RE_SUR_COMB_3, n_envs=2, max_steps=1)
    seen, spec = env.reset(3), env.spec
    letters = {"stalker": "s", "zealot": "z", "colossus": "c"}
    found = Counter[str]()
    for _ in range(15):
        for e in range(2):
            numbers = {
                letter: int(values(seen.state[e], spec, "ally", f"is_{unit}").sum())
                for unit, letter in letters.items()
            }
            x = values(seen.state[e], spec, "ally", "x")
            start = "surrounded" if np.ptp(x) < 0.04 else "reflected"
            task = tasks_of(RE_SUR_COMB_3)[env.task[e]]
            counts = dict(zip(task.units[1::2], map(int, task.units[::2]), strict=True))
            assert {k: v for k, v in numbers.items() if v} == counts
            assert task.start == start
            found[task.name] += 1
        seen = env.step(stand(seen, spec)).observation
    assert len(found) >= 5


@pytest.mark.parametrize("problem", [TERRAN, PROTOSS, ZERG])
def test_random_teams_are_mirrored(game: StandIn, battles: Open, problem: RandomTeams) -> None:
    game.enemy("idle")
    env = battles(problem, max_steps=1)
    seen, teams = env.reset(0), set()
    kinds = [
        name.removeprefix("ally_0_") for name in env.spec.state_features if "ally_0_is" in name
    ]
    assert env.spec.tasks == ("random surrounded", "random reflected")
    for _ in range(10):
        team, enemy = (
            tuple(int(values(seen.state[0], env.spec, side, kind).sum()) for kind in kinds)
            for side in ("ally", "enemy")
        )
        assert team == enemy and sum(team) == 5
        x = values(seen.state[0], env.spec, "ally", "x")
        assert env.spec.tasks[env.task[0]].endswith("surrounded" if np.ptp(x) < 0.04 else "flected")
        teams.add(team)
        seen = env.step(stand(seen, env.spec)).observation
    assert len(teams) >= 4


def test_units_that_a_smaller_team_lacks_are_dead(battles: Open) -> None:
    env = battles(RE_SUR_COMB_3, task="2s1z reflected", reward_only_positive=True)
    episodes = play(env, 2, fight)
    seen = env.reset(0)
    for side in ("ally", "enemy"):
        living = values(seen.state, env.spec, side, "health") > 0
        assert living.sum() == 3
        assert values(seen.state, env.spec, side, "is_stalker").sum() == 2
    assert (seen.available_actions[0].sum(1) == 1).sum() == 2
    for episode in episodes:
        assert episode[-1].won[0] and total(episode) == pytest.approx(20, abs=1e-4)
        assert episode[0].reward[0] < 3


def test_the_team_can_surround(battles: Open) -> None:
    env = battles(task="3s2z surrounding")
    state = env.reset(0).state
    assert np.hypot(*(values(state, env.spec, "enemy", axis) for axis in "xy")).max() < 0.03
    assert np.hypot(*(values(state, env.spec, "ally", axis) for axis in "xy")).min() > 0.06


def test_the_same_seed_gives_the_same_bytes(game: StandIn, battles: Open) -> None:
    env, other = battles(RE_SUR_COMB_3, n_envs=2), battles(RE_SUR_COMB_3, n_envs=1)

    def everything(env: VectorEnv, seed: int) -> list[Any]:
        seen = env.reset(seed)
        found = [[part[0].tolist() for part in seen]]
        for _ in range(30):
            step = env.step(fight(seen, env.spec))
            seen = step.observation
            found.append([part[0].tolist() for part in (*seen, *step.last, *step[2:])])
        return found

    first = everything(env, 7)
    assert everything(env, 8) != first
    assert everything(env, 7) == first
    assert everything(other, 7) == first
    assert len(set(game.seeds)) == 4  # two environments, two seeds
    assert len(game.pids) == 3  # the running game was used again


@pytest.mark.parametrize("fault", ["crash_step", "hang_step"])
def test_a_lost_game_is_started_anew(game: StandIn, battles: Open, fault: str) -> None:
    env = battles(step_seconds=3.0)
    seen = env.reset(0)
    seen = env.step(fight(seen, env.spec)).observation
    game.fault(fault)
    step = env.step(fight(seen, env.spec))
    assert env.lost.all() and env.lost_episodes == 1
    assert not (step.terminated | step.truncated | step.won).any() and step.reward[0] == 0
    assert sum(map(alive, game.pids)) == 1
    seen = env.step(fight(step.observation, env.spec)).observation
    assert not env.lost.any() and (values(seen.state, env.spec, "ally", "health") > 0).all()


@pytest.mark.parametrize("fault", ["crash_create", "refuse_create", "hang_start"])
def test_a_game_that_does_not_start_is_tried_again(
    game: StandIn, battles: Open, fault: str
) -> None:
    game.fault(fault)
    env = battles(start_seconds=8.0)
    env.reset(0)
    assert env.lost_episodes == 0 and sum(map(alive, game.pids)) == 1 < len(game.pids)


@pytest.mark.parametrize("fault", ["refuse_create", "crash_create"])
def test_a_game_that_takes_no_second_one_is_replaced(
    game: StandIn, battles: Open, fault: str
) -> None:
    env = battles()
    first = env.reset(4)
    game.fault(fault)
    again = env.reset(4)
    assert np.array_equal(first.state, again.state) and env.lost_episodes == 0
    assert len(game.pids) == 2 and sum(map(alive, game.pids)) == 1


def test_units_that_never_come_are_no_episode(game: StandIn, battles: Open) -> None:
    game.fault("no_units")
    env = battles()
    seen = env.reset(0)
    assert (values(seen.state, env.spec, "ally", "health") == 1).all()


def test_a_killed_worker_takes_its_game_along(game: StandIn, battles: Open) -> None:
    env = battles()
    seen = env.reset(0)
    (before,) = game.pids
    os.kill(env.pids[0], signal.SIGKILL)
    step = env.step(stand(seen, env.spec))
    assert env.lost.all() and not alive(before)
    env.step(stand(step.observation, env.spec))


_PARENT = """
import sys
from test_battles import SUR_COMB_3, settings, stand
from trama.environments import make_env
env = make_env(SUR_COMB_3, settings(), 2, 1)
seen = env.reset(0)
print("ready", flush=True)
while True:
    seen = env.step(stand(seen, env.spec)).observation
"""


def test_games_die_with_a_killed_job(game: StandIn) -> None:
    places = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    job = subprocess.Popen(
        [sys.executable, "-c", _PARENT], env=places, stdout=subprocess.PIPE, text=True
    )
    assert job.stdout is not None and job.stdout.readline() == "ready\n"
    assert sum(map(alive, game.pids)) == 2
    job.kill()
    job.wait()
    job.stdout.close()
    game.wait_until_gone()


def test_ports_are_reserved_for_one_game() -> None:
    held = [reserve_port() for _ in range(50)]
    ports = [port for _, port in held]
    assert len(set(ports)) == 50
    code = (
        "import random, sys\nfrom trama.environments import starcraft\n"
        "starcraft.PORTS = range(int(sys.argv[1]), int(sys.argv[1]) + 1)\n"
        "try: starcraft.reserve_port()\nexcept starcraft.GameLost: print('taken')\n"
        "else: print('free')"
    )
    path = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def ask() -> str:
        command = [sys.executable, "-c", code, str(ports[0])]
        return subprocess.run(
            command, env=path, stdout=subprocess.PIPE, text=True, check=True
        ).stdout

    assert ask() == "taken\n"
    for lock, _ in held:
        lock.close()
    assert ask() == "free\n"


def test_replays_are_saved(battles: Open, tmp_path: Path) -> None:
    env = battles(n_envs=2)
    seen = env.reset(0)
    env.step(stand(seen, env.spec))
    paths = env.save_replays(tmp_path / "replays/some")
    assert [path.name for path in paths] == ["some_0.SC2Replay", "some_1.SC2Replay"]
    assert all(path.read_bytes().startswith(b"replay up to ") for path in paths)


def test_smacv2_itself_draws_from_the_distributions() -> None:
    """They are registered with it, and made by its own wrapper."""
    from smacv2.env import StarCraftCapabilityEnvWrapper

    plan = plan_of(RE_SUR_COMB_3, settings().smacv2, tasks_of(RE_SUR_COMB_3))
    open_battle(plan)
    with closing(
        StarCraftCapabilityEnvWrapper(
            map_name=plan.map_name, capability_config=plan.capabilities(), **plan.options
        )
    ) as wrapper:
        drawn: dict[str, Any] = {}
        for distribution in wrapper.env_key_to_distribution_map.values():
            drawn |= distribution.generate()
    assert sorted(drawn["team_gen"]["ally_team"]) == ["stalker"] * 3 + ["zealot"] * 2
    assert drawn["ally_start_positions"]["item"].shape == (5, 2)


def test_what_is_missing_is_said_at_once(
    game: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert find_game().map == game.map
    assert find_game("4.10").version == "4.10.0"
    with pytest.raises(TramaError, match=r"game_version: 4\.1\.2 cannot be found"):
        make_env(SUR_COMB_3, settings(game_version="4.1.2"), 1, 1)
    game.map.unlink()
    with pytest.raises(TramaError, match=r"32x32_flat\.SC2Map: SMACv2's map is missing"):
        make_env(SUR_COMB_3, settings(), 1, 1)
    game.program.chmod(0o644)
    if os.getuid() != 0:
        with pytest.raises(TramaError, match="SC2_x64: StarCraft II's program"):
            make_env(SUR_COMB_3, settings(), 1, 1)
    game.program.unlink()
    with pytest.raises(TramaError, match="SC2_x64: StarCraft II's program"):
        make_env(SUR_COMB_3, settings(), 1, 1)
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    with pytest.raises(TramaError, match=r"nowhere\. Set SC2PATH .*docs/starcraft\.md"):
        make_env(SUR_COMB_3, settings(), 1, 1)


def test_tasks_that_do_not_suit_are_refused(game: StandIn) -> None:
    with pytest.raises(TramaError, match="has teams of 6"):
        make_env(SUR_COMB_3, settings(), 1, 1, [task_named(SUR_COMB_3, "6s surrounded")])
    with pytest.raises(TramaError, match="'m'"):
        make_env(SUR_COMB_3, settings(), 1, 1, [task_named(SUR_COMB_3, "5m surrounded")])
