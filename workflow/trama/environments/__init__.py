"""Environments behind one interface. JAX is imported only when an environment is made."""

from collections.abc import Callable

from trama.config.model import Env, Problem
from trama.environments.base import EnvSpec, Observation, Step, VectorEnv
from trama.environments.jax_runtime import configure_jax

__all__ = ["EnvSpec", "Observation", "Step", "VectorEnv", "make_env"]


def _smax(problem: Problem, env: Env, n_envs: int, threads: int, task: str | None) -> VectorEnv:
    configure_jax(env.device, threads)
    from trama.environments.smax import SmaxVectorEnv

    return SmaxVectorEnv(problem, env, n_envs, task)


BACKENDS: dict[str, Callable[[Problem, Env, int, int, str | None], VectorEnv]] = {"smax": _smax}
"""What makes the environments of each value of `env.backend`; a new one is added here and there."""


def make_env(
    problem: Problem, env: Env, n_envs: int, threads: int, task: str | None = None
) -> VectorEnv:
    """Return N environments that draw the tasks of a problem.

    Args:
        problem: unit combinations and starts; each episode draws one of its tasks.
        env: settings of the environment, `env.backend` among them.
        n_envs: N, how many step together.
        threads: threads of the simulation; the first call in a process decides.
        task: name of the only task to draw; ids, sizes and the compiled program stay the same.

    Raises:
        TramaError: if the backend is not installed, or on an unknown task or unit.
    """
    return BACKENDS[env.backend](problem, env, n_envs, threads, task)
