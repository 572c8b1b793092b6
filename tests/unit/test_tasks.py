"""Tasks: names, order, unit combinations."""

import pytest

from trama.config.model import Env, Problem
from trama.errors import TramaError
from trama.tasks import parse_units, tasks_of

ROSTER = Env().roster


def test_tasks_cross_combinations_and_starts_in_config_order() -> None:
    problem = Problem(units=("3s2z", "2c3z"), starts=("surrounded", "reflected"))
    assert [task.name for task in tasks_of(problem)] == [
        "3s2z surrounded",
        "3s2z reflected",
        "2c3z surrounded",
        "2c3z reflected",
    ]
    assert {(task.units, task.start) for task in tasks_of(problem)} == {
        (units, start) for units in problem.units for start in problem.starts
    }


@pytest.mark.parametrize(
    ("combination", "team"),
    [
        ("3s2z", ["stalker"] * 3 + ["zealot"] * 2),
        ("1c2s2z", ["colossus"] + ["stalker"] * 2 + ["zealot"] * 2),
        ("12z", ["zealot"] * 12),
    ],
)
def test_combination_lists_unit_types(combination: str, team: list[str]) -> None:
    assert parse_units(combination, ROSTER) == team


def test_unknown_symbol_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        TramaError, match=r"'3x2z'.*'x'.*s \(stalker\), z \(zealot\), c \(colossus\)"
    ):
        parse_units("3x2z", ROSTER)


@pytest.mark.parametrize("combination", ["", "0s", "zealots"])
def test_combination_without_units_is_refused(combination: str) -> None:
    with pytest.raises(TramaError, match="names no unit"):
        parse_units(combination, ROSTER)
