"""What stands between SMACv2's interface and this project's, without StarCraft II."""

import importlib.util
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_smacv2 import open_fake, opening
from trama.config.backends import Env, GamePatience, Smacv2
from trama.config.load import load_config
from trama.config.model import Config
from trama.config.params import collect_params, run_settings
from trama.config.problems import RandomTeams, UnitProblem
from trama.environments import Step, make_env
from trama.environments.processes import ProcessVectorEnv
from trama.environments.scenarios import TaskStarts, TaskTeams, seed_episode
from trama.environments.smacv2 import Plan, SmacGame, plan_of, spec_of
from trama.errors import TramaError
from trama.tasks import RandomTeamsTask, task_named, tasks_named, tasks_of

ROOT = Path(__file__).parents[2]
PROBLEM = UnitProblem(units=("3s2z", "2c3z", "2c3s"), starts=("surrounded", "reflected"))
RANDOM = RandomTeams(unit_weights={"s": 9, "z": 9, "c": 2}, starts=("surrounded", "reflected"))
TASKS = tasks_of(PROBLEM)
Open = Callable[..., ProcessVectorEnv]


@pytest.fixture
def battles(tmp_path: Path) -> Iterator[Open]:
    """Opens environments of fake battles, in processes."""
    opened = []

    def open_(n_envs: int = 2, lose_at: int | None = None, **changes: object) -> ProcessVectorEnv:
        plan = plan_of(PROBLEM, Smacv2.model_validate(changes), TASKS)
        open_environment = opening(tmp_path, lose_at)
        spec = spec_of(open_environment(plan)[0], plan, tuple(task.name for task in TASKS))
        make = partial(SmacGame, plan, open_environment)
        env = ProcessVectorEnv(spec, n_envs, make, GamePatience(interval_seconds=0.01, attempts=3))
        opened.append(env)
        return env

    yield open_
    for env in opened:
        env.close()


def _step(env: ProcessVectorEnv, available: np.ndarray, attack: bool) -> Step:
    living = available[:, :, 1]
    action = np.where(living, 1, 0)
    if attack:
        action = np.where(living, available.shape[2] - 1 - available[:, :, ::-1].argmax(2), 0)
    return env.step(action)


def test_win_time_limit_and_task(battles: Open) -> None:
    env = battles(max_steps=6)
    seen = env.reset(0)
    names = env.spec.state_features
    for _ in range(8):
        task = TASKS[env.task[0]]
        counts = [
            seen.state[0, [names.index(f"enemy_{i}_is_{unit}") for i in range(5)]].sum()
            for unit in ("stalker", "zealot", "colossus")
        ]
        given = dict(zip(task.units[1::2], map(int, task.units[::2]), strict=True))
        assert counts == [given.get(symbol, 0) for symbol in "szc"]
        x = seen.state[0, [names.index(f"ally_{i}_x") for i in range(5)]]
        assert (task.start == "surrounded") == bool((x == x[0]).all())
        for t in range(6):
            step = _step(env, seen.available_actions, attack=False)
            seen = step.observation
            assert bool(step.truncated[0]) == (t == 5) and not step.terminated.any()
    while not (step.terminated[0]):
        step = _step(env, step.observation.available_actions, attack=True)
    assert step.won[0] and not step.truncated[0]


def test_an_empty_info_means_that_the_connection_was_lost(battles: Open) -> None:
    env = battles(1, lose_at=2)
    seen = env.reset(0)
    seen = _step(env, seen.available_actions, attack=False).observation
    step = _step(env, seen.available_actions, attack=False)
    assert env.lost.all() and env.lost_episodes == 1 and not step.terminated.any()
    assert step.observation.obs[0, 0, 0] == 0
    _step(env, step.observation.available_actions, attack=False)
    assert not env.lost.any()


def test_all_that_is_random_is_seeded(battles: Open) -> None:
    first, second = battles(2), battles(3)
    seen = [env.reset(11) for env in (first, second)]
    for part, other in zip(*seen, strict=True):
        assert np.array_equal(part, other[:2])
    assert not np.array_equal(seen[0].obs[0, 0, 2:], seen[0].obs[1, 0, 2:])
    assert not np.array_equal(first.reset(12).obs[0], seen[0].obs[0])


def test_version_and_replays(battles: Open, tmp_path: Path) -> None:
    env = battles(1)
    with pytest.raises(TramaError, match=r"call reset\(seed\)"):
        env.version()
    env.reset(0)
    assert env.version() == "1.2.3 (build 4)"
    (path,) = env.save_replays(tmp_path / "deep/replays")
    assert path.read_text() == "1 episodes"


def test_names_of_features(tmp_path: Path) -> None:
    plan = plan_of(PROBLEM, Smacv2(), TASKS)
    spec = spec_of(open_fake(tmp_path, None, plan)[0], plan, ("a",))
    assert spec.state_features[6:9] == ("ally_1_health", "ally_1_x", "ally_1_y")
    assert spec.state_features[9:12] == (
        "ally_1_is_stalker",
        "ally_1_is_zealot",
        "ally_1_is_colossus",
    )
    assert spec.agent_features.tolist() == [list(range(6 * i, 6 * i + 6)) for i in range(5)]
    assert spec.obs_features == ("timestep", "own_health", "other_0_x", "enemy_0_is_colossus")
    assert spec.actions[:6] == ("no_op", "stop", "north", "south", "east", "west")
    assert spec.actions[6:] == tuple(f"attack_enemy_{i}" for i in range(5))


def test_published_settings_reach_smacv2() -> None:
    plan = plan_of(PROBLEM, Smacv2(), TASKS)
    published = {
        "difficulty": "7",
        "step_mul": 8,
        "move_amount": 2.0,
        "use_unit_ranges": True,
        "min_attack_range": 2.0,
        "conic_fov": False,
        "num_fov_actions": 12,
        "obs_own_pos": True,
        "state_last_action": True,
        "reward_only_positive": False,
        "reward_death_value": 10.0,
        "reward_win": 200.0,
        "reward_scale_rate": 20.0,
    }
    assert published.items() <= plan.options.items()
    assert (plan.map_name, plan.dist_ratio, plan.max_steps) == ("10gen_protoss", 0.5, 200)
    random_plan = plan_of(RANDOM, Smacv2(), tasks_of(RANDOM))
    assert random_plan.options["reward_only_positive"] is True and random_plan.dist_ratio == 1.0
    teams = random_plan.capabilities()["team_gen"]
    assert teams["dist_type"] == "weighted_teams"
    assert teams["weights"] == pytest.approx([0.45, 0.45, 0.1])
    fixed = plan_of(RANDOM, Smacv2(reward_only_positive=False), tasks_of(RANDOM))
    assert fixed.options["reward_only_positive"] is False


def test_params_have_no_patience_and_jobs_have_it() -> None:
    def study(**settings: object) -> Config:
        overrides = {"env": {"backend": "smacv2", "smacv2": settings}}
        return load_config(ROOT / "config/config.yaml", ROOT / "config", [], overrides)

    usual, patient = study(), study(patience={"attempts": 9})
    params = collect_params(usual, "SurComb3", 0)
    assert set(params["env"]) == {"backend", "smacv2"} and "patience" not in params["env"]["smacv2"]
    assert collect_params(patient, "SurComb3", 0) == params
    assert collect_params(study(reward_win=100.0), "SurComb3", 0) != params
    settings = run_settings(patient.model_dump(mode="json"))
    assert settings.of(Env.model_validate(params["env"])).smacv2.patience.attempts == 9


def test_a_study_is_told_what_its_backend_cannot_play() -> None:
    def error(problem: str, **changes: object) -> str:
        overrides = {"study": {"problems": [problem]}, **changes}
        with pytest.raises(TramaError) as caught:
            load_config(ROOT / "config/config.yaml", ROOT / "config", [], overrides)
        return str(caught.value)

    assert "set env.backend to smacv2" in error("zerg_5_vs_5")
    backend = {"env": {"backend": "smacv2"}}
    mixed = {"problems": {"mixed": {"units": ["3s2m"], "starts": ["reflected"]}}}
    assert "has marine beside stalker: all units must be of one race" in error(
        "mixed", **backend, **mixed
    )
    healers = {"problems": {"healers": {"units": ["5v"], "starts": ["reflected"]}}}
    assert "has a team that cannot fight" in error("healers", **backend, **healers)


def test_random_teams_and_others_can_be_named() -> None:
    assert tasks_of(RANDOM)[1] == RandomTeamsTask("random reflected", "reflected")
    assert task_named(RANDOM, "random surrounding").name == "random surrounding"
    assert task_named(RANDOM, "4s1c reflected").name == "4s1c reflected"
    assert [task.name for task in tasks_named(RANDOM, None, ["reflected"])] == ["random reflected"]
    with pytest.raises(TramaError, match="starts: 'nowhere'"):
        tasks_named(RANDOM, None, ["nowhere"])
    plan = plan_of(RANDOM, Smacv2(), [task_named(RANDOM, "4s1c reflected")])
    assert plan.teams == (("stalker",) * 4 + ("colossus",),) and plan.dist_ratio == 1.0


def test_random_teams_are_not_mixed_with_others() -> None:
    for problem, names in (
        (PROBLEM, ["3s2z reflected"]),
        (RANDOM, ["5s reflected"]),
        (PROBLEM, []),
    ):
        tasks = [*tasks_of(RANDOM), *(task_named(problem, name) for name in names)]
        with pytest.raises(TramaError, match="Random teams are played by themselves"):
            plan_of(problem, Smacv2(), tasks)


def _distributions(plan: Plan) -> dict[str, Any]:
    capabilities = plan.capabilities()
    return {
        "team_gen": TaskTeams(capabilities["team_gen"]),
        "start_positions": TaskStarts(capabilities["start_positions"]),
    }


def _drawn(plan: Plan, task: int, seed: int) -> dict[str, Any]:
    distributions = _distributions(plan)
    seed_episode(distributions, task, (seed, 0))
    return {k: v for each in distributions.values() for k, v in each.generate().items()}


@pytest.mark.parametrize(("ratio", "low", "farthest"), [(0.5, 8, 8), (1.0, 0, 16)])
def test_start_positions(ratio: float, low: float, farthest: float) -> None:
    tasks = [task_named(PROBLEM, f"3s2z {s}") for s in ("surrounded", "reflected", "surrounding")]
    plan = plan_of(PROBLEM, Smacv2(dist_ratio=ratio), tasks)
    drawn = [[_drawn(plan, task, seed) for seed in range(300)] for task in range(3)]
    allies, enemies = (
        [np.array([d[f"{side}_start_positions"]["item"] for d in each]) for each in drawn]
        for side in ("ally", "enemy")
    )
    assert (allies[0] == 16).all() and (enemies[2] == 16).all()
    for around in (enemies[0], allies[2]):
        away = np.abs(around - 16)
        assert np.allclose(away[..., 0], away[..., 1])  # on a diagonal
        assert away.min() >= 2 and away.max() <= farthest
        assert away.min() < 2.1 and away.max() > farthest - 0.2
        groups = [len({tuple(p) for p in each}) for each in around]
        assert set(groups) == {1, 2, 3, 4}
        signs = {tuple(np.sign(p - 16)) for each in around for p in each}
        assert len(signs) == 4
    assert (low <= allies[1]).all() and (allies[1][..., 0] <= 15).all()
    assert (allies[1][..., 1] <= 32 - low).all()
    assert np.ptp(allies[1][..., 0]) > 0.95 * (15 - low)
    assert np.ptp(allies[1][..., 1]) > 0.95 * (32 - 2 * low)
    assert np.allclose(enemies[1][..., 0], 32 - allies[1][..., 0])
    assert np.array_equal(enemies[1][..., 1], allies[1][..., 1])


def test_teams_are_shuffled_and_filled_up() -> None:
    plan = plan_of(PROBLEM, Smacv2(), [task_named(PROBLEM, "2s1z reflected")])
    orders = set()
    for seed in range(50):
        drawn = _drawn(plan, 0, seed)["team_gen"]
        assert drawn["ally_team"] == drawn["enemy_team"] and len(drawn["surplus"]) == 2
        rest = [u for i, u in enumerate(drawn["ally_team"]) if i not in drawn["surplus"]]
        assert sorted(rest) == ["stalker", "stalker", "zealot"]
        orders.add(tuple(drawn["ally_team"]))
    assert len(orders) > 3


def test_every_generator_is_seeded() -> None:
    class Part:
        rng = np.random.default_rng()

        def generate(self) -> dict[str, Any]:
            return {"part": self.rng.random()}

    class Whole(Part):
        def __init__(self) -> None:
            self.part = Part()

        def generate(self) -> dict[str, Any]:
            own = random.random(), np.random.rand(), self.rng.random()
            return {"whole": (*own, self.part.generate()["part"])}

    def draw(seed: int) -> tuple[float, ...]:
        whole = Whole()
        seed_episode({"whole": whole}, 2, (seed, 1, 2))
        assert whole.task == 2  # type: ignore[attr-defined]
        found: tuple[float, ...] = whole.generate()["whole"]
        return found

    assert draw(3) == draw(3)
    assert not set(draw(3)) & set(draw(4))


@pytest.mark.skipif(
    importlib.util.find_spec("pysc2") is not None, reason="PySC2 is installed: see tests/smacv2"
)
def test_missing_packages_are_named() -> None:
    env = Env(backend="smacv2")
    with pytest.raises(TramaError, match=r"SMACv2 and PySC2.*envs/smacv2\.yaml"):
        make_env(PROBLEM, env, 1, 1)
