"""Params: a changed key reaches exactly the stages whose results depend on it."""

import json
from pathlib import Path
from typing import Any

import pytest

from trama.config.load import load_config
from trama.config.model import Config
from trama.config.params import (
    ClusterParams,
    CollectParams,
    EvaluateParams,
    FiguresParams,
    PretrainParams,
    StageParams,
    TablesParams,
    TrainParams,
    cluster_params,
    collect_params,
    evaluate_params,
    figures_params,
    params_hash,
    pretrain_params,
    tables_params,
    train_params,
)

ROOT = Path(__file__).parents[2]
VARIANTS = ("vdn", "qmix", "qplex", "trama", "trama_mean_state", "trama_onehot")
BASE: dict[str, Any] = {
    "study": {"variants": list(VARIANTS)},
    "representations": {
        "uncovered": {"coverage": "none"},
        "timed": {"coverage": "time", "n_codes": 3, "n_classes": 3},
    },
}


def _config(change: dict[str, Any] | None = None) -> Config:
    path = ROOT / "config"
    overrides = json.loads(json.dumps(BASE))
    for section, values in (change or {}).items():
        held = overrides.setdefault(section, {})
        if not isinstance(values, dict):
            overrides[section] = values
            continue
        for key, value in values.items():
            if isinstance(value, dict) and key in held:
                held[key] |= value
            else:
                held[key] = value
    return load_config(path / "config.yaml", path / "presets", [], overrides)


def _all_params(config: Config) -> dict[str, dict[str, Any]]:
    """Every stage's params, of one problem and one seed."""
    params = {
        "collect": collect_params(config, "SurComb3", 0),
        "figures": figures_params(config),
        "tables": tables_params(config),
    }
    for name, representation in config.representations.items():
        if representation.embedding == "quantised":
            params[f"pretrain {name}"] = pretrain_params(config, "SurComb3", name, 0)
        params[f"cluster {name}"] = cluster_params(config, "SurComb3", name, 0)
    for name in VARIANTS:
        params[f"train {name}"] = train_params(config, "SurComb3", name, 0)
        params[f"evaluate {name}"] = evaluate_params(config, "SurComb3", name, 0)
    return params


TRAIN = {f"train {name}" for name in VARIANTS}
EVALUATE = {f"evaluate {name}" for name in VARIANTS}
PRETRAIN = {f"pretrain {name}" for name in ("vqvae", "uncovered", "timed")}
CLUSTER = {f"cluster {name}" for name in ("vqvae", "uncovered", "timed", "mean_state")}
WITH_CLASSES = {"train trama", "train trama_mean_state", "train trama_onehot"}
WITH_VQVAE = {"train trama", "train trama_onehot"}
QPLEX = {"train qplex", *WITH_CLASSES}
JOBS = {"collect", *PRETRAIN, *CLUSTER, *TRAIN, *EVALUATE}
REPORTS = {"figures", "tables"}

NARROW: list[tuple[dict[str, Any], set[str]]] = [
    ({"study": {"name": "other"}}, set()),
    ({"study": {"problems": ["SurComb4"]}}, set()),
    ({"study": {"seeds": [0, 1, 2]}}, REPORTS),
    ({"study": {"variants": [*VARIANTS, "trama_oracle"]}}, REPORTS),
    ({"study": {"seed": 9}}, JOBS | REPORTS),
    ({"device": "cpu"}, JOBS),
    ({"resources": {"train": {"threads": 2}, "collect": {"runtime": 5}}}, set()),
    ({"problems": {"SurComb3": {"starts": ["reflected"]}}}, {"collect", *TRAIN, *EVALUATE}),
    ({"problems": {"SurComb4": {"starts": ["reflected"]}}}, set()),
    ({"env": {"roster": {"zealot": {"health": 151}}}}, {"collect", *TRAIN, *EVALUATE}),
    ({"env": {"max_steps": 50}}, {"collect", *TRAIN, *EVALUATE}),
    ({"collect": {"gamma": 0.9}}, {"collect"}),
    ({"collect": {"qplex": {"heads": 2}}}, {"collect"}),
    ({"collect": {"qmix": {"mixing_size": 8}}}, set()),
    ({"collect": {"env_steps": 50_000}}, {"collect", *WITH_CLASSES}),
    (
        {"representations": {"vqvae": {"n_classes": 4}}},
        {"pretrain vqvae", "cluster vqvae", *WITH_VQVAE},
    ),
    ({"representations": {"uncovered": {"n_classes": 5}}}, {"cluster uncovered"}),
    ({"representations": {"timed": {"n_classes": 2}}}, {"cluster timed"}),
    (
        {"representations": {"mean_state": {"n_classes": 5}}},
        {"cluster mean_state", "train trama_mean_state"},
    ),
    ({"pretrain": {"updates": 9}}, PRETRAIN),
    ({"pretrain": {"learning_rate": 0.1}}, PRETRAIN),
    ({"pretrain": {"vq_weight": 0.5}}, PRETRAIN | WITH_VQVAE),
    (
        {"pretrain": {"coverage_weight": 0.5}},
        {"pretrain vqvae", "pretrain timed", *WITH_VQVAE},
    ),
    ({"pretrain": {"hidden_size": 8}}, PRETRAIN | WITH_VQVAE | CLUSTER - {"cluster mean_state"}),
    ({"cluster": {"n_init": 3}}, {"pretrain vqvae", *CLUSTER, *WITH_CLASSES}),
    ({"cluster": {"classifier": {"epochs": 3}}}, CLUSTER | WITH_CLASSES),
    ({"train": {"gamma": 0.9}}, TRAIN),
    ({"train": {"test_episodes": 8}}, TRAIN),
    ({"train": {"qplex": {"heads": 2}}}, QPLEX),
    ({"train": {"qmix": {"mixing_size": 8}}}, {"train qmix"}),
    ({"train": {"predictor": {"loss_weight": 1}}}, WITH_CLASSES),
    ({"train": {"class_representation": {"size": 8}}}, WITH_CLASSES - {"train trama_onehot"}),
    ({"train": {"vqvae_updates": {"interval_episodes": 5}}}, WITH_VQVAE),
    ({"train": {"clustering": {"initialisation": "random"}}}, WITH_CLASSES),
    ({"variants": {"qmix": {"train": {"gamma": 0.9}}}}, {"train qmix"}),
    ({"variants": {"trama": {"labels": "true_task"}}}, {"train trama"}),
    ({"evaluate": {"episodes": 9}}, EVALUATE),
    ({"figures": {"dpi": 100}}, {"figures"}),
    ({"tables": {"decimals": 3}}, {"tables"}),
]


@pytest.mark.parametrize(("change", "expected"), NARROW, ids=[str(change) for change, _ in NARROW])
def test_a_key_changes_the_stages_that_read_it(change: dict[str, Any], expected: set[str]) -> None:
    before, after = _all_params(_config()), _all_params(_config(change))
    assert {name for name in before if before[name] != after[name]} == expected


def test_params_are_plain_data_and_round_trip() -> None:
    models: dict[str, type[StageParams]] = {
        "collect": CollectParams,
        "pretrain": PretrainParams,
        "cluster": ClusterParams,
        "train": TrainParams,
        "evaluate": EvaluateParams,
        "figures": FiguresParams,
        "tables": TablesParams,
    }
    for name, params in _all_params(_config()).items():
        assert json.loads(json.dumps(params)) == params, name
        models[name.split()[0]].model_validate(params)


def test_train_params_hold_what_training_reads() -> None:
    config = _config({"variants": {"trama": {"train": {"gamma": 0.9}}}})
    trama = TrainParams.model_validate(train_params(config, "SurComb3", "trama", 3))
    assert trama.train == config.train_for("trama")
    assert trama.train.gamma == 0.9
    assert (trama.problem, trama.env, trama.seed) == (config.problems["SurComb3"], config.env, 3)
    assert trama.representation == config.representations["vqvae"]
    assert trama.cluster == config.cluster
    assert trama.pretrain is not None
    assert trama.pretrain.coverage_weight == config.pretrain.coverage_weight
    assert trama.collect_env_steps == config.collect.env_steps
    qmix = TrainParams.model_validate(train_params(config, "SurComb3", "qmix", 3))
    assert (qmix.representation, qmix.pretrain, qmix.cluster) == (None, None, None)
    assert (qmix.representation_name, qmix.collect_env_steps) == (None, None)


def test_params_hash_ignores_the_order_of_keys() -> None:
    assert params_hash({"a": 1, "b": {"c": 2, "d": 3}}) == params_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert params_hash({"a": 1}) != params_hash({"a": 2})
    assert len(params_hash({})) == 16
