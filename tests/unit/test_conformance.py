"""What every backend promises by the docstrings of `VectorEnv`, `EnvSpec` and `Step`."""

import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, get_args

import numpy as np
import pytest

from backends import BACKENDS, SMAX, Subject, parts_of, play, random_actions
from trama import environments
from trama.config.backends import Env
from trama.environments import Step, VectorEnv
from trama.environments.base import equal_chances
from trama.errors import TramaError
from trama.tasks import tasks_of


@pytest.fixture(scope="module", params=BACKENDS)
def subject(request: pytest.FixtureRequest) -> Subject:
    """Each backend in turn."""
    found: Subject = request.param
    return found


@pytest.fixture(scope="module")
def env(subject: Subject) -> Iterator[VectorEnv]:
    """Its environments. Reset them first."""
    with subject.make() as made:
        yield made


class Moment(NamedTuple):
    """A step with the true tasks that were running before and after it."""

    before: np.ndarray
    step: Step
    after: np.ndarray


@pytest.fixture(scope="module")
def moments(subject: Subject, env: VectorEnv) -> list[Moment]:
    """Random play."""
    return [Moment(before, step, env.task) for before, step in play(env, 4, subject.n_steps)]


def first_actions(env: VectorEnv, seed: int = 0) -> np.ndarray:
    """Start episodes, and return the first available action of each agent."""
    return env.reset(seed).available_actions.argmax(2)


# --- which there are -----------------------------------------------------------------------------


def test_every_backend_of_the_config_can_be_made_and_is_tried_here() -> None:
    named = set(get_args(Env.model_fields["backend"].annotation))
    assert set(environments.BACKENDS) == set(Env().backends) == named
    tried: list[Any] = [parameter.values[0] for parameter in BACKENDS]
    assert {subject.env.backend for subject in tried} == named


def test_the_backend_of_the_config_is_the_one_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[Any, ...]] = []
    monkeypatch.setitem(environments.BACKENDS, "smax", lambda *arguments: made.append(arguments))
    SMAX.make(3, SMAX.others)
    SMAX.make(3)
    expected = (SMAX.problem, SMAX.env, 3, 2)
    assert made == [(*expected, SMAX.others), (*expected, tasks_of(SMAX.problem))]


# --- what is shown -------------------------------------------------------------------------------


def test_spec_matches_the_arrays(subject: Subject, env: VectorEnv) -> None:
    spec, n_envs = env.spec, subject.n_envs
    step = env.step(first_actions(env))
    shapes = [
        (n_envs, spec.n_agents, spec.obs_size),
        (n_envs, spec.state_size),
        (n_envs, spec.n_agents, spec.n_actions),
    ]
    kinds = [np.float32, np.float32, np.bool_]
    for seen in (env.reset(0), step.observation, step.last):
        assert [array.shape for array in seen] == shapes
        assert [array.dtype for array in seen] == kinds
    assert [array.shape for array in step[2:]] == [(n_envs,)] * 5
    assert [array.dtype for array in step[2:]] == [
        np.float32, np.bool_, np.bool_, np.bool_, np.int32
    ]  # fmt: skip
    assert (env.task.shape, env.task.dtype, env.n_envs) == ((n_envs,), np.int32, n_envs)
    assert len(spec.state_features) == len(set(spec.state_features)) == spec.state_size
    assert len(spec.actions) == len(set(spec.actions)) == spec.n_actions
    assert spec.agent_features.shape[0] == spec.n_agents
    assert spec.agent_features.min() >= 0 and spec.agent_features.max() < spec.state_size
    assert spec.tasks == tuple(task.name for task in tasks_of(subject.problem))


def test_the_episode_limit_is_that_of_the_config(subject: Subject, env: VectorEnv) -> None:
    assert env.spec.episode_limit == subject.env.episode_limit


def test_numbers_are_finite_and_observations_fit_half_precision(moments: list[Moment]) -> None:
    for _, step, _ in moments:
        for seen in (step.observation, step.last):
            assert np.isfinite(seen.state).all()
            assert np.abs(seen.obs).max() <= 65504  # false of NaN, too
        assert np.isfinite(step.reward).all()


def test_every_agent_has_an_action_at_all_times(moments: list[Moment]) -> None:
    for _, step, _ in moments:
        assert step.observation.available_actions.any(2).all()
        assert step.last.available_actions.any(2).all()


# --- how episodes end ----------------------------------------------------------------------------


def test_an_episode_ends_once_and_for_one_reason(moments: list[Moment], env: VectorEnv) -> None:
    length = np.zeros(env.n_envs, int)
    n_ended = np.zeros(env.n_envs, int)
    for _, step, _ in moments:
        length += 1
        ended = step.terminated | step.truncated
        assert not (step.terminated & step.truncated).any()
        assert not (step.won & ~ended).any()
        # The time limit is nothing else, and nobody outlasts it.
        assert (length[step.truncated] == env.spec.episode_limit).all()
        assert (length[~ended] < env.spec.episode_limit).all()
        length[ended] = 0
        n_ended += ended
    assert n_ended.min() > 0


def test_last_is_what_followed_and_observation_the_start_of_the_next(
    moments: list[Moment],
) -> None:
    for _, step, _ in moments:
        ended = step.terminated | step.truncated
        for now, last in zip(step.observation, step.last, strict=True):
            assert np.array_equal(now[~ended], last[~ended])
        assert (step.observation.state[ended] != step.last.state[ended]).any(1).all()


def test_a_step_has_the_task_of_its_episode_which_never_changes(
    moments: list[Moment], env: VectorEnv
) -> None:
    n_changed = 0
    for before, step, after in moments:
        assert np.array_equal(step.task, before)
        assert step.task.min() >= 0 and step.task.max() < len(env.spec.tasks)
        changed = before != after
        assert not (changed & ~(step.terminated | step.truncated)).any()
        n_changed += changed.sum()
    assert n_changed > 0


def test_given_tasks_are_played_under_their_names(subject: Subject, env: VectorEnv) -> None:
    with subject.make(tasks=subject.others) as other:
        assert other.spec.tasks == tuple(task.name for task in subject.others)
        assert not set(other.spec.tasks) & set(env.spec.tasks)
        for name in ("n_agents", "obs_size", "state_size", "n_actions", "episode_limit"):
            assert getattr(other.spec, name) == getattr(env.spec, name)
        step = other.step(first_actions(other))
        assert step.task.min() >= 0 and step.task.max() < len(subject.others)


# --- chances of tasks ----------------------------------------------------------------------------


def one_task(env: VectorEnv, number: int) -> np.ndarray:
    """Chances of which this task has all."""
    return np.eye(len(env.spec.tasks))[number]


def test_chances_of_tasks_act_from_the_next_episode_on(subject: Subject, env: VectorEnv) -> None:
    rng = np.random.default_rng(1)
    seen, running = env.reset(6), env.task
    with subject.make() as other:
        assert np.array_equal(other.reset(6).state, seen.state)
        last = len(other.spec.tasks) - 1
        other.set_task_chances(one_task(other, last))
        assert np.array_equal(other.task, running)  # it goes on
        begun = np.zeros(other.n_envs, np.bool_)
        for _ in range(subject.n_steps):
            step = other.step(random_actions(rng, seen))
            assert np.array_equal(step.task, np.where(begun, last, running))
            begun |= step.terminated | step.truncated
            assert np.array_equal(other.task, np.where(begun, last, running))
            seen = step.observation
        assert begun.all()
        other.set_task_chances(one_task(other, 0).astype(np.float32))
        other.reset(6)
        assert not other.task.any()
        other.reset(7)  # which they outlast
        assert not other.task.any()


def test_a_snapshot_has_the_chances_of_tasks(subject: Subject) -> None:
    """Or none: then they are equal, whatever they were before in the environments."""
    rng = np.random.default_rng(3)
    with subject.make() as env, subject.make() as other:
        seen = env.reset(5)
        usual = {name: part.copy() for name, part in env.snapshot().items()}
        env.set_task_chances(one_task(env, 1))
        shifted = {name: part.copy() for name, part in env.snapshot().items()}
        env.set_task_chances(one_task(env, 0))
        for each in (env, other):
            fresh = each.restore(shifted)
        if fresh is not None:  # episodes that were lost, as these games cannot be saved
            seen = fresh
        for _ in range(subject.n_steps):
            actions = random_actions(rng, seen)
            step, same = env.step(actions), other.step(actions)
            for one, two in zip(parts_of(step), parts_of(same), strict=True):
                assert np.array_equal(one, two)
            seen = step.observation
        assert (env.task == 1).all() and (other.task == 1).all()
        env.restore(usual)
        with subject.make() as third:
            assert np.array_equal(env.reset(8).state, third.reset(8).state)
            assert np.array_equal(env.task, third.task)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda equal: equal[1:], "of shape"),
        (lambda equal: equal[None], "of shape"),
        (lambda equal: equal * 0.99, "sum 1"),
        (lambda equal: equal - np.eye(len(equal))[0] + np.eye(len(equal))[1], "at least 0"),
        (lambda equal: np.full(len(equal), np.nan), "at least 0"),
    ],
)
def test_what_are_no_chances_of_tasks_is_refused(
    env: VectorEnv, change: Callable[[np.ndarray], np.ndarray], message: str
) -> None:
    with pytest.raises(TramaError, match=f"chances must be .*{message}"):
        env.set_task_chances(change(equal_chances(len(env.spec.tasks))))


# --- seeds ---------------------------------------------------------------------------------------


def as_bytes(env: VectorEnv, seed: int, n_steps: int) -> list[bytes]:
    """All arrays of random play."""
    return [part.tobytes() for _, step in play(env, seed, n_steps) for part in parts_of(step)]


def test_same_seed_same_bytes(subject: Subject, env: VectorEnv, moments: list[Moment]) -> None:
    """In the same environments again, and in others."""
    n_steps = len(moments) // 2
    first = [part.tobytes() for moment in moments[:n_steps] for part in parts_of(moment.step)]
    assert as_bytes(env, 4, n_steps) == first
    with subject.make() as other:
        assert as_bytes(other, 4, n_steps) == first


@pytest.mark.parametrize("other", [6, 5 + 2**32, 5 + 2**62])
def test_other_seed_other_episodes(env: VectorEnv, other: int) -> None:
    assert not np.array_equal(env.reset(5).state, env.reset(other).state)


def test_environments_of_a_batch_differ(env: VectorEnv) -> None:
    assert len(np.unique(env.reset(5).state, axis=0)) == env.n_envs


def test_stream_of_an_environment_does_not_depend_on_their_number(
    subject: Subject, env: VectorEnv
) -> None:
    few = subject.n_envs // 2
    with subject.make(few) as small:
        rng = np.random.default_rng(0)
        many_seen, few_seen = env.reset(9), small.reset(9)
        n_ended = np.zeros(few, int)
        for _ in range(subject.n_steps):
            for one, other in zip(many_seen, few_seen, strict=True):
                assert np.array_equal(one[:few], other)
            actions = random_actions(rng, many_seen)
            step, small_step = env.step(actions), small.step(actions[:few])
            for one, other in zip(step[2:], small_step[2:], strict=True):
                assert np.array_equal(one[:few], other)
            many_seen, few_seen = step.observation, small_step.observation
            n_ended += small_step.terminated | small_step.truncated
    assert n_ended.min() > 0  # restarts were compared too


# --- snapshots -----------------------------------------------------------------------------------


def test_a_snapshot_goes_on_with_the_same_bytes(subject: Subject, env: VectorEnv) -> None:
    """Also in other environments, after the episodes went on, and with the same checks.

    Of games that cannot be saved, the episodes of the snapshot are lost, and others begin.
    """
    rng = np.random.default_rng(3)
    seen = env.reset(5)
    for _ in range(20):
        seen = env.step(random_actions(rng, seen)).observation
    snapshot = {name: part.copy() for name, part in env.snapshot().items()}
    later, state = [], rng.bit_generator.state
    with subject.make() as other:
        fresh = other.restore(snapshot)
        if fresh is not None:
            again = env.restore(snapshot)
            assert again is not None
            for one, two, old in zip(fresh, again, seen, strict=True):
                assert np.array_equal(one, two) and one.shape == old.shape
            assert not np.array_equal(fresh.state, seen.state)
            assert np.array_equal(env.task, other.task)
            return
        for played in (env, other):
            rng.bit_generator.state = state
            observation, steps = seen, []
            for _ in range(subject.n_steps):
                step = played.step(random_actions(rng, observation))
                observation = step.observation
                steps.append([part.tobytes() for part in parts_of(step)])
            later.append(steps)
        assert later[0] == later[1]
        other.restore(snapshot)
        available = seen.available_actions
        wrong = np.where(available.all(2), env.spec.n_actions, available.argmin(2))
        with pytest.raises(TramaError, match="is not available"):
            other.step(wrong)


# --- errors --------------------------------------------------------------------------------------


def test_nothing_runs_before_a_reset_nor_after_close(subject: Subject) -> None:
    with subject.make(subject.n_envs // 2) as env:
        for _ in range(2):
            with pytest.raises(TramaError, match="reset"):
                env.step(np.zeros((env.n_envs, env.spec.n_agents), int))
            with pytest.raises(TramaError, match="reset"):
                _ = env.task
            with pytest.raises(TramaError, match="reset"):
                env.snapshot()
            env.step(first_actions(env))
            env.close()
        env.step(first_actions(env))


@pytest.mark.parametrize(("missing", "kind"), [((1, 0), int), ((0, 1), int), ((0, 0), float)])
def test_actions_must_be_integers_for_every_agent(
    env: VectorEnv, missing: tuple[int, int], kind: type
) -> None:
    actions = first_actions(env)
    n_envs, n_agents = actions.shape
    shape = f"({n_envs}, {n_agents})"
    with pytest.raises(TramaError, match=re.escape(f"integers of shape {shape}")):
        env.step(actions[missing[0] :, missing[1] :].astype(kind))


def test_an_unavailable_action_is_located_and_nothing_has_moved(env: VectorEnv) -> None:
    available = env.reset(0).available_actions
    n_envs, n_agents, n_actions = available.shape
    wrong = [[n_envs - 1, n_agents - 1, -1], [0, n_agents - 1, n_actions]]
    wrong += np.argwhere(~available)[-1:].tolist()
    for e, agent, action in wrong:
        actions = available.argmax(2)
        actions[e, agent] = action
        allowed = np.flatnonzero(available[e, agent]).tolist()
        message = f"Action {action} of agent {agent} in environment {e} is not available"
        with pytest.raises(TramaError, match=re.escape(message) + f".*{re.escape(str(allowed))}"):
            env.step(actions)
    step = env.step(available.argmax(2))
    first = env.step(first_actions(env))
    assert [one.tobytes() for one in parts_of(step)] == [one.tobytes() for one in parts_of(first)]
