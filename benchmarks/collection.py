"""Env steps per second with the policy in the loop, on SurComb3."""

import time
from collections.abc import Callable
from typing import Any

import jax
import torch

from benchmarks.harness import Effort, Figure, paired
from benchmarks.subjects import device, make_learner, smax
from trama.config.model import Train
from trama.learning.replay import ReplayBuffer
from trama.learning.rollout import Rollout

TARGET = {128: 10_000.0}
REFERENCE = "JaxMARL's vmapped HeuristicEnemySMAX.step, random actions, no policy"


def rate(step: Callable[[], object], n_envs: int, seconds: float) -> float:
    """Env steps per second of a call that steps N environments once."""
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        calls += 1
    return calls * n_envs / (time.perf_counter() - start)


def jaxmarl_steps(n_envs: int, n_agents: int) -> Callable[[], object]:
    """JaxMARL's own environment with its automatic reset, one compiled call per step."""
    from jaxmarl.environments.smax import HeuristicEnemySMAX, map_name_to_scenario

    game: Any = HeuristicEnemySMAX(scenario=map_name_to_scenario(f"smacv2_{n_agents}_units"))

    def act(key: Any, state: Any) -> Any:
        action_key, step_key, key = jax.random.split(key, 3)
        available = game.get_avail_actions(state)
        keys = jax.random.split(action_key, len(game.agents))
        actions = {
            agent: jax.random.categorical(k, jax.numpy.log(available[agent].astype(float)))
            for agent, k in zip(game.agents, keys, strict=True)
        }
        obs, state, reward, done, _ = game.step(step_key, state, actions)
        return key, state, obs, reward, done

    step = jax.jit(jax.vmap(act))
    keys = jax.random.split(jax.random.PRNGKey(0), n_envs)
    _, state = jax.jit(jax.vmap(game.reset))(keys)
    held = [keys, state]

    def once() -> None:
        held[0], held[1], *rest = step(*held)
        jax.block_until_ready(rest)

    return once


def compare(n_envs: int, n_agents: int, effort: Effort) -> Figure:
    """A rollout of a QPLEX policy that explores, beside JaxMARL's environment alone."""
    env = smax(n_envs, n_agents)
    learner = make_learner("qplex", env.spec, Train())
    replay = ReplayBuffer(env.spec, 2 * n_envs, n_envs)
    generator = torch.Generator().manual_seed(0)
    rollout = Rollout(env, learner.policy, replay, device(), generator)
    rollout.reset(0)
    reference = jaxmarl_steps(n_envs, n_agents)
    for _ in range(3):
        rollout.step(0.1), reference()
    return paired(
        "collection",
        f"{n_envs} environments, {n_agents} agents",
        "env steps/s",
        lambda: rate(lambda: rollout.step(0.1), n_envs, effort.seconds),
        effort,
        reference=(REFERENCE, lambda: rate(reference, n_envs, effort.seconds)),
        target=TARGET.get(n_envs) if n_agents == 5 else None,
    )


def measure(effort: Effort) -> list[Figure]:
    """Numbers of environments, then of agents."""
    sizes = [(1, 5), (32, 5), (128, 5), (512, 5), (128, 10)]
    if effort.large:
        sizes.append((128, 20))
    return [compare(n_envs, n_agents, effort) for n_envs, n_agents in sizes]
