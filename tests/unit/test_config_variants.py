"""What the study's variants are made of, in words and in the names of LaTeX macros."""

import json
from pathlib import Path
from typing import Any

import pytest

from trama.config.describe import fields_of, published
from trama.config.load import load_config
from trama.config.macros import letters
from trama.config.model import Config
from trama.config.variants import changes, hyperparameters
from trama.errors import TramaError

CONFIG = Path(__file__).parents[2] / "config"


def _config(**overrides: Any) -> Config:
    return load_config(CONFIG / "config.yaml", CONFIG, [], overrides)


def test_changes_of_the_reference_in_words() -> None:
    config = _config(
        study={
            "variants": [
                *("vdn", "qplex", "trama", "trama_qmix", "trama_mean_state", "trama_onehot"),
                *("trama_oracle", "small", "slow"),
            ]
        },
        representations={"small": {"states": "weighted", "n_codes": 32, "n_classes": 3}},
        variants={
            "small": {"mixer": "qplex", "representation": "small"},
            "slow": {
                "mixer": "qplex",
                "representation": "vqvae",
                "train": {"learning_rate": 1e-5, "clustering": {"initialisation": "random"}},
            },
        },
    )
    assert config.reference == "trama"
    assert changes(config) == {
        "vdn": [
            *("no trajectory classes", "mixer vdn instead of qplex"),
            "start scratch instead of collect",
        ],
        "qplex": ["no trajectory classes", "start scratch instead of collect"],
        "trama": [],
        "trama_qmix": ["mixer qmix instead of qplex", "start replay instead of collect"],
        "trama_mean_state": [
            "clusters of mean_state as classes instead of clusters of vqvae",
            "embedding mean_state instead of quantised",
        ],
        "trama_onehot": ["class_representation.kind one_hot instead of learned"],
        "trama_oracle": ["true tasks as classes instead of clusters of vqvae"],
        "small": [
            "clusters of small as classes instead of clusters of vqvae",
            "n_codes 32 instead of 256",
        ],
        "slow": [
            "learning_rate 1e-5 instead of 2e-3",
            "clustering.initialisation random instead of centroids",
        ],
    }


def test_changes_of_a_reference_without_classes() -> None:
    config = _config(study={"variants": ["qplex", "trama"], "reference": "qplex"})
    assert changes(config) == {
        "qplex": [],
        "trama": [
            "clusters of vqvae as classes",
            "start collect instead of scratch",
        ],
    }


def test_defaults_are_the_published_values() -> None:
    """But for a range."""
    other = {}
    for key, field in fields_of(Config, nested=True):
        value = published(field)
        default = field.default
        if value is None:
            continue
        if isinstance(default, tuple):
            default = ", ".join(map(str, default))
        if isinstance(default, bool | None):
            same = value == json.dumps(default)
        elif isinstance(default, int | float):
            same = value.replace(".", "").replace("e-", "").isdigit() and float(value) == default
        else:
            same = value == default
        if not same:
            other[key] = value
    assert other == {"train.env_steps": "2 to 5 million"}


def test_hyperparameters_have_a_value_for_each_variant_that_uses_them() -> None:
    rows = {(row["section"], row["key"]): row for row in hyperparameters(_config())}
    assert rows["train", "gamma"]["values"] == dict.fromkeys(("qmix", "qplex", "trama"), "0.99")
    assert rows["train", "gamma"]["published"] == "0.99"
    assert set(rows["train", "predictor.loss_weight"]["values"]) == {"trama"}
    assert rows["collect", "env_steps"]["published"] == "100000"
    assert rows["pretrain", "updates"]["published"] is None
    assert rows["env", "smax.max_steps"]["values"] == dict.fromkeys(
        ("qmix", "qplex", "trama"), "100"
    )
    assert not [key for section, key in rows if "roster" in key or "task_sets" in key]


def test_a_shift_of_the_mixture_stands_beside_those_without() -> None:
    variants = {
        "shifted": {"mixer": "qplex", "train": {"mixture_shift": {"amount": 0.5}}},
        "same": {"mixer": "qplex", "train": {"mixture_shift": {"amount": 0.0}}},
    }
    config = _config(study={"variants": ["qplex", "shifted", "same"]}, variants=variants)
    assert changes(config) == {
        "qplex": [],
        "shifted": ["mixture_shift.amount 0.5 instead of 0"],
        "same": [],
    }
    rows = {row["key"]: row["values"] for row in hyperparameters(config)}
    assert rows["mixture_shift.amount"] == {"qplex": "0", "shifted": "0.5", "same": "0"}
    assert rows["mixture_shift.interval_env_steps"] == {"shifted": "30000"}
    without = _config(study={"variants": ["qplex", "same"]}, variants=variants)
    assert "mixture_shift.amount" not in {row["key"] for row in hyperparameters(without)}


def test_hyperparameters_name_the_problems_where_these_differ() -> None:
    hidden = {"units": ["3s2z", "2c3z"], "env": {"smax": {"hide_unit_types": True}}}
    same = {"hide_unit_types": True, "max_steps": 100, "noise": {"damage": 0.2}}
    one_type = {"units": ["5s"], "env": {"smax": same}}
    config = _config(
        study={"problems": ["SurComb3", "Hidden", "One"]},
        problems={"Hidden": hidden, "One": one_type},
        evaluate={"task_sets": []},
    )
    rows = {(row["section"], row["key"]): row for row in hyperparameters(config)}
    names = ("qmix", "qplex", "trama")
    assert rows["env", "smax.hide_unit_types"]["values"] == dict.fromkeys(
        names, "false on SurComb3; true on Hidden, One"
    )
    assert rows["env", "smax.max_steps"]["values"] == dict.fromkeys(names, "100")
    assert rows["env", "smax.noise.damage"]["values"] == dict.fromkeys(names, "0.2 on One")
    assert not [key for section, key in rows if "roster" in key]


def test_hyperparameters_that_one_problem_reads_name_it() -> None:
    config = _config(
        env={"backend": "mpe"},
        study={"problems": ["Particles", "Spread"]},
        problems={"Spread": {"scenarios": ["spread_2"]}},
        evaluate={"task_sets": []},
        collect={"env_steps": 40_000},
    )
    rows = {(row["section"], row["key"]): row for row in hyperparameters(config)}
    assert set(rows["env", "mpe.words"]["values"].values()) == {"3 on Particles"}
    assert set(rows["env", "mpe.max_steps"]["values"].values()) == {"25"}


@pytest.mark.parametrize(
    ("names", "word"),
    [
        (("trama", "SurComb3"), "TramaSurCombThree"),
        (("trama_qmix", "reSurComb4"), "TramaQmixReSurCombFour"),
        (("k10",), "KOneZero"),
        (("_a__b_",), "AB"),
    ],
)
def test_letters_of_names(names: tuple[str, ...], word: str) -> None:
    assert letters(*names) == word


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {
                "variants": {"trama_2": {"mixer": "vdn"}, "tramaTwo": {"mixer": "vdn"}},
                "study": {"variants": ["trama_2", "tramaTwo"]},
            },
            r"trama_2 and tramaTwo would have the same LaTeX macros, \\TramaTwo\.\.\.",
        ),
        (
            {
                "variants": {"a": {"mixer": "vdn"}, "a_b": {"mixer": "vdn"}},
                "problems": {"b_c": {"units": ["3s"]}, "c": {"units": ["3s"]}},
                "study": {"variants": ["a", "a_b"], "problems": ["b_c", "c"]},
                "evaluate": {"task_sets": []},
            },
            r"a on b_c and a_b on c would have the same LaTeX macros, \\ABC\.\.\.",
        ),
    ],
)
def test_names_of_one_macro_are_an_error_before_anything_runs(
    overrides: dict[str, Any], message: str
) -> None:
    with pytest.raises(TramaError, match=message) as error:
        _config(**overrides)
    assert "rename one of them" in str(error.value)


def test_definitions_that_the_study_does_not_use_may_clash() -> None:
    _config(variants={"tra_ma": {"mixer": "vdn"}, "traMa": {"mixer": "vdn"}})


def test_a_task_set_has_no_name_that_stands_for_others() -> None:
    with pytest.raises(TramaError, match="ood stands for all task sets together"):
        _config(task_sets={"ood": {"units": ["5s"]}})
