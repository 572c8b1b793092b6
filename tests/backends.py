"""The backends that the conformance tests try, and how environments are played in tests."""

import atexit
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import yaml

from standin import StandIn
from trama.config.backends import Env
from trama.config.problems import (
    Problem,
    ScenarioProblem,
    ScenarioTaskSet,
    UnitProblem,
    UnitTaskSet,
)
from trama.environments import Observation, Step, VectorEnv, make_env
from trama.tasks import Task, tasks_of

CONFIG = yaml.safe_load((Path(__file__).parents[1] / "config/config.yaml").read_text())


class Subject(NamedTuple):
    """Environments to try.

    Attributes:
        problem: of several tasks.
        env: the settings.
        others: as many tasks as the problem has, which it does not have.
        n_envs: how many environments, at least two.
        n_steps: of random play, in which an episode ends in each of them.
        prepare: what is to be done before environments are made.
    """

    problem: Problem
    env: Env
    others: Sequence[Task]
    n_envs: int
    n_steps: int
    prepare: Callable[[], None] = lambda: None

    def make(self, n_envs: int | None = None, tasks: Sequence[Task] | None = None) -> Any:
        """Make environments, `n_envs` unless another number is given."""
        self.prepare()
        return make_env(self.problem, self.env, n_envs or self.n_envs, threads=2, tasks=tasks)


def use_stand_in() -> None:
    """Let SC2PATH lead to the stand-in for StarCraft II, for the rest of the process."""
    if "STANDIN" not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="trama-standin-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        installed = StandIn(folder)
        installed.enemy("strong")
        os.environ |= {"SC2PATH": str(installed.path), "STANDIN": str(installed.folder)}


PROBLEM = UnitProblem.model_validate(CONFIG["problems"]["reSurComb4"])
OTHERS = tasks_of(
    UnitTaskSet(units=("2s1z", "1c2z", "2c2s", "1s"), starts=("surrounded", "surrounding"))
)
SMAX = Subject(
    problem=PROBLEM,
    env=Env.model_validate(CONFIG["env"]),
    others=OTHERS,
    n_envs=8,
    n_steps=110,
)

NOISY_SMAX = SMAX._replace(
    env=Env.model_validate(
        {"smax": {"noise": {"damage": 0.3, "cooldown": 0.3, "starts": 2.0, "enemy": 0.2}}}
    )
)

MPE = Subject(
    problem=ScenarioProblem.model_validate(CONFIG["problems"]["Particles"]),
    env=Env.model_validate(CONFIG["env"] | {"backend": "mpe"}),
    others=tasks_of(ScenarioTaskSet(scenarios=("spread_3", "tag_1", "tag_4", "spread_4_line"))),
    n_envs=8,
    n_steps=60,
)

SMACV2 = Subject(
    problem=PROBLEM,
    env=Env.model_validate(
        {"backend": "smacv2", "smacv2": {"max_steps": 25, "patience": {"interval_seconds": 0.1}}}
    ),
    others=OTHERS,
    n_envs=2,
    n_steps=60,
    prepare=use_stand_in,
)

NO_SMACV2 = pytest.mark.skipif(
    importlib.util.find_spec("pysc2") is None,
    reason="SMACv2 is not installed; make test-smacv2 SMACV2_SRC=folder tries it",
)

NO_JAX = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed; make test tries it"
)

# A further backend is a further entry here; `marks` say where it cannot be tried.
BACKENDS = [
    pytest.param(SMAX, id="smax", marks=NO_JAX),
    pytest.param(NOISY_SMAX, id="smax with noise", marks=NO_JAX),
    pytest.param(MPE, id="mpe", marks=NO_JAX),
    pytest.param(SMACV2, id="smacv2", marks=NO_SMACV2),
]


def random_actions(rng: np.random.Generator, observation: Observation) -> np.ndarray:
    """Return a random available action of each agent."""
    available = observation.available_actions
    return np.argmax(np.where(available, rng.random(available.shape), -1.0), axis=-1)


def play(env: VectorEnv, seed: int, n_steps: int) -> Iterator[tuple[np.ndarray, Step]]:
    """Play at random: the true tasks before each step, and the step."""
    rng = np.random.default_rng(seed)
    observation = env.reset(seed)
    for _ in range(n_steps):
        before = env.task
        step = env.step(random_actions(rng, observation))
        observation = step.observation
        yield before, step


def parts_of(step: Step) -> list[np.ndarray]:
    """Return all arrays of a step."""
    return [*step.observation, *step.last, *step[2:]]
