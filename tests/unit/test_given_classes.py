"""Policies that are given a class instead of predicting it, in stage evaluate."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from chain import PROBLEM, SPEC, UseEnv, honest, run_evaluate
from fakes import CLASS_SPEC, CPU, ClassGame, FakeEnv
from trama.config.backends import Env
from trama.config.model import Evaluate, GivenClass
from trama.config.problems import Problem, UnitProblem
from trama.data.parquet import read_table
from trama.learning.model import TrainedModel
from trama.learning.policy import Policy, PolicySizes
from trama.stages.evaluate import drawn_classes
from trama.tasks import Task, tasks_of

TWO_TASKS = UnitProblem(units=("2s", "2z"), starts=("surrounded",))
KINDS: tuple[GivenClass, ...] = ("true_class", "random_class", "wrong_class")


def _obedient() -> Policy:
    """A policy for `ClassGame` whose action is the number of its class; it predicts class 1."""
    policy = Policy(PolicySizes(3, 2, 3, 4, 3, 5, "one_hot", conditioning="hypernetwork"))
    with torch.no_grad():
        for weight in policy.parameters():
            weight.zero_()
        assert policy.predictor is not None and policy.class_representation is not None
        assert isinstance(policy.predictor.head, torch.nn.Linear)
        policy.predictor.head.bias[1] = 1.0
        assert policy.class_representation.into_head is not None
        by_class = policy.class_representation.into_head.weight.view(3, 5, 3)
        by_class[:, -1] = torch.eye(3)
    return policy


def _model(class_of_task: dict[str, int | None]) -> TrainedModel:
    return TrainedModel(
        policy=_obedient(),
        test_win_rate=0.5,
        problem_name="small",
        problem=TWO_TASKS,
        env=Env(),
        variant_name="v",
        seed=0,
        study_seed=0,
        representation=None,
        class_of_task=class_of_task,
        novelty=None,
    )


class _OneTask(ClassGame):
    """Always the same task."""

    def __init__(self, rng: np.random.Generator, task: int):
        super().__init__(rng)
        self.task = task


@pytest.fixture
def class_games(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stage play `ClassGame`: of the tasks of `TWO_TASKS`, the one of the same number."""

    def make_env(
        problem: Problem, env: Env, n_envs: int, threads: int, tasks: Sequence[Task]
    ) -> FakeEnv:
        number = tasks_of(TWO_TASKS).index(tasks[0])
        spec = replace(CLASS_SPEC, tasks=(tasks[0].name,))
        return FakeEnv(spec, n_envs, lambda rng: _OneTask(rng, number), lambda *_: 0)

    monkeypatch.setattr("trama.stages.evaluate.make_env", make_env)


def _evaluated(folder: Path, model: TrainedModel, n_episodes: int) -> tuple[pd.DataFrame, ...]:
    """Episodes with predicted and with given classes of the last policy."""
    for which in ("last", "best"):
        model.save(folder / f"policy_{which}.pt")
    settings = Evaluate(episodes=n_episodes, policies=("last",))
    path = folder / "a.parquet"
    run_evaluate(folder, path, problem=TWO_TASKS, task_sets={}, evaluate=settings)
    given = path.with_name("a_given_classes.parquet")
    return tuple(
        read_table(file, kind).to_pandas()
        for file, kind in ((path, "episodes"), (given, "given_classes"))
    )


def test_an_obedient_policy_wins_with_the_true_class_and_loses_with_a_wrong_one(
    class_games: None, tmp_path: Path
) -> None:
    tasks = [task.name for task in tasks_of(TWO_TASKS)]
    model = _model({name: number for number, name in enumerate(tasks)})
    episodes, given = _evaluated(tmp_path, model, 60)
    # It predicts class 1 alone, and any other class is another action.
    assert episodes.groupby("task")["won"].mean().to_dict() == {tasks[0]: 0.0, tasks[1]: 1.0}
    assert (episodes["class"] == 1).all() and (episodes["swap_actions"] == 1).all()
    # Values are 1 for the class's action and 0 for the others: two of three change by one.
    assert episodes["swap_effect"].unique() == pytest.approx(2 / 3 / np.eye(3).std(), rel=0.01)
    assert len(given) == 2 * 3 * 60
    for (true, task), kind in product(enumerate(tasks), KINDS):
        rows = given[(given["task"] == task) & (given["given"] == kind)]
        used = rows["class"]
        assert rows["episode"].tolist() == list(range(60))
        assert (rows["won"] == (used == true)).all()
        shares = [(used == number).mean() for number in range(3)]
        expected = {
            "true_class": np.eye(3)[true],
            "random_class": np.full(3, 1 / 3),
            "wrong_class": np.eye(3)[1 - true],  # class 2 stands for no task
        }[kind]
        # Four standard deviations of a share.
        assert shares == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 60))
        assert np.array_equal(np.equal(shares, 0), expected == 0)
    returns = 3.0 * given["won"] + 1.8 * (given["class"] == 2)  # action 2 pays a little
    np.testing.assert_allclose(given["episode_return"], returns, rtol=1e-6)


def test_a_task_whose_class_is_unknown_has_no_true_and_no_wrong_one() -> None:
    first, second = tasks_of(TWO_TASKS)
    model = _model({first.name: None, second.name: 2, "third": 0})
    assert list(drawn_classes(model, first, KINDS, 5)) == ["random_class"]
    assert list(drawn_classes(model, second, KINDS, 5)) == [*KINDS]
    assert list(drawn_classes(model, second, ("wrong_class",), 5)) == ["wrong_class"]
    assert drawn_classes(model, second, (), 5) == {}
    baseline = replace(model, policy=Policy(PolicySizes(3, 2, 3, 4)), class_of_task={})
    assert drawn_classes(baseline, second, KINDS, 5) == {}
    # Of one class alone, none is wrong.
    # No class is given to those that learnt without one alone.
    every: tuple[GivenClass, ...] = (*KINDS, "no_class")
    assert list(drawn_classes(model, second, every, 5)) == [*KINDS]
    sizes = replace(model.policy.sizes, class_dropout=0.1)
    drawn = drawn_classes(replace(model, policy=Policy(sizes)), first, every, 5)
    assert list(drawn) == ["random_class", "no_class"]
    assert drawn["no_class"].tolist() == [3] * 5
    single = replace(model, policy=Policy(PolicySizes(3, 2, 3, 4, 1)), class_of_task={"x": 0})
    assert list(drawn_classes(single, replace(first, name="x"), KINDS, 5)) == [*KINDS[:2]]


def test_only_classes_in_use_are_given() -> None:
    first, _ = tasks_of(TWO_TASKS)
    policy = Policy(PolicySizes(3, 2, 3, 4, 6), some_classes=True)
    policy.use_classes(np.array([1, 3, 4]))
    # Two tasks share class 1; class 5 was kept of a task and is no longer in use.
    of_tasks = {first.name: 3, "second": 1, "third": 1, "fourth": 5, "fifth": None}
    model = replace(_model(of_tasks), policy=policy)
    drawn = drawn_classes(model, first, KINDS, 200)
    assert set(drawn["true_class"].tolist()) == {3}
    assert set(drawn["random_class"].tolist()) == {1, 3, 4}
    assert set(drawn["wrong_class"].tolist()) == {1}


def test_draws_differ_between_runs_and_tasks_and_are_repeatable() -> None:
    first, second = tasks_of(TWO_TASKS)
    model = _model({first.name: 0, second.name: 0})
    drawn = [
        drawn_classes(of, task, ("random_class",), 30)["random_class"].tolist()
        for of, task in [
            *((model, first), (model, second), (replace(model, seed=1), first)),
            (replace(model, variant_name="w"), first),
        ]
    ]
    assert len(set(map(tuple, drawn))) == 4
    again = drawn_classes(model, first, KINDS[::-1], 30)["random_class"].tolist()
    assert again == drawn[0]  # whatever else is drawn


def test_episodes_of_given_classes_are_the_evaluation_s_own(
    use_env: UseEnv, whole_chain: Path, tmp_path: Path
) -> None:
    """They start from the same seeds; the games' lengths do not depend on what agents do."""
    made = use_env(honest)
    folder = Path(shutil.copytree(whole_chain, tmp_path / "chain"))
    for name in "ab":
        run_evaluate(folder, tmp_path / f"{name}.parquet")
    files = [(tmp_path / f"{name}_given_classes.parquet").read_bytes() for name in "ab"]
    assert files[0] == files[1]
    episodes = read_table(tmp_path / "a.parquet", "episodes").to_pandas()
    given = read_table(tmp_path / "a_given_classes.parquet", "given_classes").to_pandas()
    keys = ["policy", "task", "episode"]
    for kind in KINDS:
        rows = given[given["given"] == kind].merge(episodes, on=keys, suffixes=("", "_free"))
        assert len(rows) == 2 * len(SPEC.tasks) * 4
        assert rows["length"].tolist() == rows["length_free"].tolist()
    played = [(env.only, tuple(env.seeds)) for env in made]
    assert len(played) == 2 * 2 * (5 + 3 * len(SPEC.tasks))
    assert len(set(played)) == 5  # one start for each task
    # Task sets have no true class, and are not played with given ones.
    assert set(given["task"]) == {task.name for task in tasks_of(PROBLEM)}
    for which in ("last", "best"):
        model = TrainedModel.load(folder / f"policy_{which}.pt", CPU)
        true = given[(given["given"] == "true_class") & (given["policy"] == which)]
        assert true.groupby("task")["class"].unique().explode().to_dict() == model.class_of_task
    settings = Evaluate(episodes=4, given_classes=())
    run_evaluate(folder, tmp_path / "c.parquet", evaluate=settings, task_sets={})
    none = read_table(tmp_path / "c_given_classes.parquet", "given_classes")
    assert none.num_rows == 0
    trained = episodes[episodes["task_set"] == "trained"].reset_index(drop=True)
    without = read_table(tmp_path / "c.parquet", "episodes").to_pandas()
    pd.testing.assert_frame_equal(without, trained)  # no given class changes the evaluation
