"""Tasks: names, order, unit combinations."""

import pytest
from pydantic import TypeAdapter

from backends import CONFIG
from trama.config.backends import Smax
from trama.config.problems import Problem, UnitProblem, UnitTaskSet
from trama.errors import TramaError
from trama.tasks import (
    Task,
    evaluation_tasks,
    likeness,
    parse_units,
    tasks_of,
    unit_tasks,
    units_changed,
)

UNITS = Smax().units


def test_tasks_cross_combinations_and_starts_in_config_order() -> None:
    problem = UnitProblem(units=("3s2z", "2c3z"), starts=("surrounded", "reflected"))
    assert [task.name for task in tasks_of(problem)] == [
        "3s2z surrounded",
        "3s2z reflected",
        "2c3z surrounded",
        "2c3z reflected",
    ]
    assert {(task.units, task.start) for task in unit_tasks(tasks_of(problem))} == {
        (units, start) for units in problem.units for start in problem.starts
    }


@pytest.mark.parametrize("name", CONFIG["problems"])
def test_a_problem_knows_the_number_of_its_tasks(name: str) -> None:
    problem: Problem = TypeAdapter(Problem).validate_python(CONFIG["problems"][name])
    assert problem.n_tasks == len(tasks_of(problem))


def test_an_evaluation_has_each_task_once_and_none_of_training_in_a_set() -> None:
    """Whatever the order of a team's units."""
    problem = UnitProblem(units=("3s2z", "2c3z"), starts=("surrounded", "reflected"))
    sets = {
        "one": UnitTaskSet(units=("2z3s", "2s"), starts=("surrounding", "reflected")),
        "two": UnitTaskSet(units=("3s2z", "3z2c"), starts=("surrounding", "surrounded")),
        "three": UnitTaskSet(units=("2c3z",), starts=("surrounding",)),
    }
    found = evaluation_tasks(problem, sets)
    assert list(found) == ["trained", "one", "two", "three"]
    assert found["trained"] == tasks_of(problem)
    assert {name: [task.name for task in found[name]] for name in sets} == {
        "one": ["2z3s surrounding", "2s surrounding", "2s reflected"],
        "two": ["3z2c surrounding"],
        "three": [],
    }


@pytest.mark.parametrize(
    ("units", "changed"),
    [
        *(("3s2z", 0), ("2z3s", 0), ("2s3z", 1), ("4s1z", 1), ("2c1s2z", 1)),
        *(("3c1s1z", 2), ("5s", 2), ("5c", 3), ("2s1z", 2), ("2c2z", 1), ("1c", 4)),
    ],
)
def test_units_changed_are_counted_from_the_nearest_trained_team(units: str, changed: int) -> None:
    assert units_changed(units, ("3s2z", "2c3z", "2c3s")) == changed


def test_likeness_is_that_of_units_and_start_where_there_are_any() -> None:
    problem = UnitProblem(units=("3s2z",), starts=("reflected",))
    others = tasks_of(UnitTaskSet(units=("2s3z",), starts=("surrounded", "reflected")))
    assert [likeness(task, problem) for task in others] == [(1, False), (1, True)]
    assert likeness(Task("spread"), problem) == (None, None)


def test_a_task_without_units_is_no_battle() -> None:
    battles = tasks_of(UnitProblem(units=("1s",)))
    assert unit_tasks(battles) == list(battles)
    with pytest.raises(TramaError, match="'spread' has no units"):
        unit_tasks([*battles, Task("spread")])


@pytest.mark.parametrize(
    ("combination", "team"),
    [
        ("3s2z", ["stalker"] * 3 + ["zealot"] * 2),
        ("1c2s2z", ["colossus"] + ["stalker"] * 2 + ["zealot"] * 2),
        ("12z", ["zealot"] * 12),
    ],
)
def test_combination_lists_unit_types(combination: str, team: list[str]) -> None:
    assert parse_units(combination, UNITS) == team


def test_unknown_symbol_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        TramaError, match=r"'3x2z'.*'x'.*s \(stalker\), z \(zealot\), c \(colossus\)"
    ):
        parse_units("3x2z", UNITS)


@pytest.mark.parametrize("combination", ["", "0s", "zealots"])
def test_combination_without_units_is_refused(combination: str) -> None:
    with pytest.raises(TramaError, match="names no unit"):
        parse_units(combination, UNITS)
