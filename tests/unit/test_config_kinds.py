"""Kinds of tasks, told apart by their keys, and the backends that play them."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from trama.config.backends import Backend, Env, Smax
from trama.config.describe import Place, field_place, fields_of, names, place_at, plain, sections_of
from trama.config.model import Config
from trama.config.params import collect_params
from trama.config.problems import Tasks, UnitProblem, UnitTasks, UnitTaskSet, one_of


class Scenes(Tasks):
    """Tasks by their names alone."""

    kind = "scenes"
    told_by = "scenes"

    scenes: tuple[str, ...] = Field(..., strict=False)
    starts: int = 1
    env: dict[str, Any] = Field(default={})

    @property
    def n_tasks(self) -> int:
        """One by each name."""
        return len(self.scenes)


class Stage(Backend):
    """A backend without units."""

    plays = (Scenes,)

    max_steps: int = 7
    speed: float = 1.0

    @property
    def episode_limit(self) -> int:
        """All of them."""
        return self.max_steps


class TwoBackends(Env):
    """Section env with a second backend."""

    backend: Literal["smax", "stage"] = "smax"  # type: ignore[assignment]
    stage: Stage = Stage()


Either = Annotated[UnitProblem | Scenes, one_of(UnitProblem, Scenes)]
EitherSet = Annotated[UnitTaskSet | Scenes, one_of(UnitTaskSet, Scenes)]


class TwoKinds(Config):
    """A configuration with a second kind of problems and task sets."""

    problems: dict[str, Either]  # type: ignore[assignment]
    task_sets: dict[str, EitherSet] = Field(default={})  # type: ignore[assignment]
    env: TwoBackends = TwoBackends()


BATTLES, SCENES = {"units": ["2s", "1s1z"]}, {"scenes": ["one", "two"]}


def config(problem: str, task_sets: tuple[str, ...] = (), **env: Any) -> TwoKinds:
    """Both kinds side by side, of which the study uses one."""
    return TwoKinds.model_validate(
        {
            "study": {"problems": [problem], "variants": ["vdn"]},
            "problems": {"Battles": BATTLES, "Scenes": SCENES},
            "task_sets": {"battles": {"units": ["1s"]}, "scenes": {"scenes": ["three"]}},
            "variants": {"vdn": {"mixer": "vdn"}},
            "evaluate": {"task_sets": list(task_sets)},
            "env": env,
        }
    )


def test_keys_tell_the_kind() -> None:
    made = config("Battles")
    assert made.problems == {
        "Battles": UnitProblem(units=("2s", "1s1z")),
        "Scenes": Scenes(scenes=("one", "two")),
    }
    dumped = made.model_dump(mode="json")["problems"]
    read = {name: TypeAdapter(Either).validate_python(given) for name, given in dumped.items()}
    assert read == made.problems


@pytest.mark.parametrize(
    ("given", "path", "message"),
    [
        ({"starts": 3}, (), "give units (unit combinations) or scenes (scenes)"),
        ({"scnes": ["one"]}, (), "give units (unit combinations) or scenes (scenes)"),
        (["one"], (), "must be a mapping"),
        (BATTLES | SCENES, ("scenes",), "is a key of scenes, but units makes these unit comb"),
        (SCENES | {"starts": "x"}, ("starts",), "valid integer"),
        (BATTLES | {"starts": 3}, ("starts",), "valid tuple"),
    ],
)
def test_what_tells_no_kind_or_two_is_an_error_at_its_place(
    given: Any, path: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Either).validate_python(given)
    (error,) = caught.value.errors()
    assert error["loc"] == path
    assert message in error["msg"]


@pytest.mark.parametrize(
    ("problem", "task_sets", "backend", "path", "message"),
    [
        ("Scenes", (), "smax", ("study", "problems", 0), "plays unit combinations: set env.backend "
         "to stage"),
        ("Battles", (), "stage", ("study", "problems", 0), "plays scenes: set env.backend to smax"),
        ("Scenes", ("battles",), "stage", ("evaluate", "task_sets", 0), "has unit combinations"),
    ],
)  # fmt: skip
def test_a_backend_must_play_what_the_study_uses(
    problem: str, task_sets: tuple[str, ...], backend: str, path: Any, message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        config(problem, task_sets, backend=backend)
    (error,) = caught.value.errors()
    assert error["loc"] == path
    assert message in error["msg"] and f"backend {backend}" in error["msg"]
    assert ("env", "backend") in error["ctx"]["others"]


def test_tasks_of_another_kind_do_not_suit_a_problem_of_units() -> None:
    found = UnitProblem(units=("2s",)).unplayable(Scenes(scenes=("one",)))
    assert found == ((), "has scenes")


def test_params_hold_the_section_of_the_chosen_backend_alone() -> None:
    played = config("Scenes", ("scenes",), backend="stage", stage={"speed": 2.0})
    assert collect_params(played, "Scenes", 0)["env"] == {
        "backend": "stage",
        "device": "cpu",
        "stage": {"max_steps": 7, "speed": 2.0},
    }
    assert collect_params(config("Battles"), "Battles", 0)["env"].keys() == {
        "backend",
        "device",
        "smax",
    }


def test_a_problem_of_another_kind_overrides_the_section_of_its_backend() -> None:
    given = config("Scenes", backend="stage").model_dump(exclude_unset=True)
    given["problems"]["Scenes"]["env"] = {"stage": {"max_steps": 3}}
    made = TwoKinds.model_validate(given)
    assert isinstance(made.env_for("Scenes"), TwoBackends)
    assert made.env_for("Scenes").episode_limit == 3
    params = collect_params(made, "Scenes", 0)
    assert params["env"]["stage"] == {"max_steps": 3, "speed": 1.0}
    assert params["problem"] == {"scenes": ["one", "two"], "starts": 1}


def test_the_episode_limit_is_that_of_the_chosen_backend() -> None:
    assert TwoBackends().episode_limit == 101
    assert TwoBackends(smax=Smax(max_steps=5)).episode_limit == 6
    assert TwoBackends(backend="stage").episode_limit == 7


def test_units_of_an_unused_problem_may_be_those_of_any_backend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Stage, "units", {"a": "actor"})
    monkeypatch.setattr(Stage, "plays", (UnitTasks,))
    definitions = {"Battles": BATTLES, "Actors": {"units": ["2a"]}}
    base = {
        "problems": definitions,
        "variants": {"vdn": {"mixer": "vdn"}},
    }
    study = {"problems": ["Battles"], "variants": ["vdn"]}
    TwoKinds.model_validate({**base, "study": study})
    for name, backend in (("Actors", "smax"), ("Battles", "stage")):
        with pytest.raises(ValidationError, match=f"no unit type of backend {backend} has symbol"):
            TwoKinds.model_validate(
                {**base, "study": study | {"problems": [name]}, "env": {"backend": backend}}
            )


def test_all_kinds_are_described() -> None:
    field: FieldInfo = TwoKinds.model_fields["problems"]
    assert sections_of(field) == (UnitProblem, Scenes)
    place = place_at(("problems", "Mine"), TwoKinds)
    assert place is not None
    assert names(place) == ("units", "starts", "env", "scenes")
    assert plain(place) == "a mapping of keys to values"
    assert place_at(("problems", "Mine", "scenes"), TwoKinds) == field_place(
        Scenes.model_fields["scenes"]
    )
    assert plain(Place(int | None)) == "a whole number, or nothing"
    keys = {key for key, _ in fields_of(TwoKinds, nested=True)}
    assert {"problems.<name>.units", "problems.<name>.scenes", "env.stage.speed"} <= keys
    schema = TwoKinds.model_json_schema()["properties"]["problems"]["additionalProperties"]
    assert [kind["$ref"] for kind in schema["anyOf"]] == ["#/$defs/UnitProblem", "#/$defs/Scenes"]
