"""Environments behind one interface. JAX is imported only when an environment is made."""

from collections.abc import Callable, Sequence

from trama.config.backends import Env
from trama.config.problems import Problem, ScenarioProblem, UnitProblem
from trama.environments.base import EnvSpec, Observation, Step, VectorEnv
from trama.environments.jax_runtime import configure_jax
from trama.tasks import Task, tasks_of

__all__ = ["EnvSpec", "Observation", "Step", "VectorEnv", "make_env"]


def _smax(
    problem: Problem, env: Env, n_envs: int, threads: int, tasks: Sequence[Task]
) -> VectorEnv:
    configure_jax(env.device, threads)
    from trama.environments.smax import SmaxVectorEnv

    assert isinstance(problem, UnitProblem), "the configuration lets no other kind pass"
    return SmaxVectorEnv(problem, env.smax, n_envs, tasks)


def _smacv2(
    problem: Problem, env: Env, n_envs: int, threads: int, tasks: Sequence[Task]
) -> VectorEnv:
    from trama.environments.smacv2 import make_smacv2

    assert not isinstance(problem, ScenarioProblem), "the configuration lets no such kind pass"
    return make_smacv2(problem, env.smacv2, n_envs, tasks)


def _mpe(problem: Problem, env: Env, n_envs: int, threads: int, tasks: Sequence[Task]) -> VectorEnv:
    configure_jax(env.device, threads)
    from trama.environments.mpe import MpeVectorEnv

    assert isinstance(problem, ScenarioProblem), "the configuration lets no other kind pass"
    return MpeVectorEnv(problem, env.mpe, n_envs, tasks)


BACKENDS: dict[str, Callable[[Problem, Env, int, int, Sequence[Task]], VectorEnv]] = {
    "smax": _smax,
    "smacv2": _smacv2,
    "mpe": _mpe,
}
"""What makes the environments of each value of `env.backend`; a new one is added here and there."""


def make_env(
    problem: Problem,
    env: Env,
    n_envs: int,
    threads: int,
    tasks: Sequence[Task] | None = None,
) -> VectorEnv:
    """Return N environments that play in the world of a problem.

    Args:
        problem: its size of teams, and the unit types of `env`, decide the sizes of observations,
            states and actions; of particle scenarios, the largest ones.
        env: settings of the environment, `env.backend` among them.
        n_envs: N, how many step together.
        threads: threads of the simulation; the first call in a process decides.
        tasks: of which each episode draws one, all with equal chance; None means the problem's own.
            A smaller team lacks units on both sides: they are dead from the first step. The same
            number of other tasks compiles nothing anew.

    Raises:
        TramaError: if the backend is not installed, on an unknown unit, or on a team, or scenario,
            that is larger than the problem's.
    """
    chosen = tasks_of(problem) if tasks is None else tasks
    return BACKENDS[env.backend](problem, env, n_envs, threads, chosen)
