"""Params: a changed key reaches exactly the stages whose results depend on it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trama.config import figure_params
from trama.config.backends import Noise
from trama.config.figure_params import FigureParams, embeddings_params, learning_curves_params
from trama.config.load import load_config
from trama.config.model import Config
from trama.config.params import (
    SOURCES,
    ClusterParams,
    CollectParams,
    EvaluateParams,
    PredictParams,
    PretrainParams,
    TrainParams,
    cluster_params,
    collect_params,
    evaluate_params,
    params_hash,
    predict_params,
    pretrain_params,
    sources,
    train_params,
)
from trama.config.sections import Section
from trama.config.table_params import (
    TableParams,
    ablations_params,
    claims_params,
    class_use_params,
    clusters_params,
    compute_params,
    cost_params,
    findings_params,
    hyperparameters_params,
    label_consistency_params,
    novelty_params,
    numbers_params,
    ood_params,
    predictor_alone_params,
    predictor_params,
    results_params,
    win_rates_params,
)

ROOT = Path(__file__).parents[2]
VARIANTS = ("vdn", "qmix", "qplex", "trama", "trama_mean_state", "trama_onehot", "trama_oracle")
UNIT = {
    "speed": 3,
    "damage": 9,
    "range": 5,
    "sight": 9,
    "radius": 0.4,
    "health": 45,
    "cooldown": 0.6,
}
BASE: dict[str, Any] = {
    "study": {"variants": list(VARIANTS)},
    # Afresh: k-means++ starts count for this variant.
    "variants": {"trama_onehot": {"train": {"clustering": {"initialisation": "random"}}}},
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
    return load_config(path / "config.yaml", path, [], overrides)


def _all_params(config: Config) -> dict[str, dict[str, Any]]:
    """Every stage's params, of one problem and one seed."""
    params = {
        "collect": collect_params(config, "SurComb3", 0),
        "figure aggregates": figure_params.aggregates_params(config),
        "figure performance_profiles": figure_params.performance_profiles_params(config),
        "table results": results_params(config, "SurComb3"),
        "table ood": ood_params(config, "SurComb3"),
        "table label_consistency": label_consistency_params(config, "SurComb3"),
        "table clusters": clusters_params(config, "SurComb3"),
        "table predictor": predictor_params(config, "SurComb3"),
        "table predictor_alone": predictor_alone_params(config, "SurComb3"),
        "table class_use": class_use_params(config, "SurComb3"),
        "table novelty": novelty_params(config, "SurComb3"),
    }
    for name in FIGURES_OF_A_PROBLEM:
        build = getattr(figure_params, f"{name}_params")
        params[f"figure {name}"] = build(config, "SurComb3")
    for name in REPRESENTATIONS:
        if config.representations[name].has_codebook:
            params[f"pretrain {name}"] = pretrain_params(config, "SurComb3", name, 0)
        params[f"cluster {name}"] = cluster_params(config, "SurComb3", name, 0)
        params[f"predict {name}"] = predict_params(config, "SurComb3", name, 0)
    for name in VARIANTS:
        params[f"train {name}"] = train_params(config, "SurComb3", name, 0)
        params[f"evaluate {name}"] = evaluate_params(config, "SurComb3", name, 0)
    return params


FIGURES_OF_A_PROBLEM = (
    *("learning_curves", "task_win_rates", "embeddings", "codebook", "predictor_accuracy"),
    *("predictor_alone", "predictor_confusion", "label_consistency", "ood_gain"),
)
TRAIN = {f"train {name}" for name in VARIANTS}
EVALUATE = {f"evaluate {name}" for name in VARIANTS}
REPRESENTATIONS = ("vqvae", "uncovered", "timed", "mean_state")
PRETRAIN = {f"pretrain {name}" for name in REPRESENTATIONS[:3]}
CLUSTER = {f"cluster {name}" for name in REPRESENTATIONS}
PREDICT = {f"predict {name}" for name in REPRESENTATIONS}
WITH_VQVAE = {"train trama", "train trama_onehot"}
WITH_CLUSTERS = {"train trama_mean_state", *WITH_VQVAE}
WITH_CLASSES = {"train trama_oracle", *WITH_CLUSTERS}
EVALUATE_CLASSES = {name.replace("train", "evaluate") for name in WITH_CLASSES}
QPLEX = {"train qplex", *WITH_CLASSES}
JOBS = {"collect", *PRETRAIN, *CLUSTER, *PREDICT, *TRAIN, *EVALUATE}
# Those that know the environment.
PLAYING = {"collect", *PREDICT, *TRAIN, *EVALUATE}
# Figures of the evaluation: of all variants, and of some.
OF_ALL_EPISODES = {f"figure {n}" for n in ("task_win_rates", "aggregates", "performance_profiles")}
OF_ALL_PROBLEMS = {"figure aggregates", "figure performance_profiles"}
OF_EVALUATION = OF_ALL_EPISODES | {"figure predictor_confusion", "figure ood_gain"}
FIGURES = {*(f"figure {name}" for name in FIGURES_OF_A_PROBLEM), *OF_ALL_EPISODES}
TABLES = {
    f"table {name}"
    for name in (
        *("results", "ood", "clusters", "predictor", "predictor_alone", "class_use", "novelty"),
        "label_consistency",
    )
}
# In the names of representations.
OF_REPRESENTATIONS = {"table clusters", "table predictor_alone", "figure predictor_alone"}
# In the order, and the looks, of the study's variants.
OF_VARIANTS = {
    *OF_ALL_EPISODES,
    *(f"figure {n}" for n in ("learning_curves", "predictor_accuracy", "label_consistency")),
    *("table results", "table ood"),
}
OF_STUDY = {
    "win_rates": win_rates_params,
    "ablations": ablations_params,
    "claims": claims_params,
    "hyperparameters": hyperparameters_params,
    "compute": compute_params,
    "cost": cost_params,
    "numbers": numbers_params,
    "findings": findings_params,
}
# Those that set variants beside the reference.
OF_REFERENCE = {"ablations", "claims", "numbers", "findings"}

USED = {"cluster vqvae", "cluster mean_state"}
# What each stage takes inputs from, in the order of the stages.
INPUTS: dict[str, set[str]] = {
    **{name: {"collect"} for name in PRETRAIN},
    **{f"cluster {n}": {"collect", f"pretrain {n}"} for n in ("vqvae", "uncovered", "timed")},
    "cluster mean_state": {"collect"},
    **{f"predict {name}": {"collect", f"cluster {name}"} for name in REPRESENTATIONS},
    **{name: {"collect"} for name in TRAIN - WITH_CLUSTERS},
    **{name: {"collect", "cluster vqvae"} for name in WITH_VQVAE},
    "train trama_mean_state": {"collect", "cluster mean_state"},
    **{f"evaluate {name}": {f"train {name}"} for name in VARIANTS},
    "figure learning_curves": TRAIN,
    "figure embeddings": USED | WITH_CLUSTERS,
    "figure codebook": {"cluster vqvae", *WITH_VQVAE},
    "figure predictor_accuracy": WITH_CLASSES,
    "figure predictor_alone": {"predict vqvae", "predict mean_state"},
    "figure label_consistency": WITH_CLUSTERS,
    "figure predictor_confusion": EVALUATE_CLASSES,
    "figure ood_gain": {name.replace("train", "evaluate") for name in QPLEX},
    **{name: EVALUATE for name in OF_ALL_EPISODES},
    "table results": EVALUATE,
    "table ood": EVALUATE,
    "table label_consistency": WITH_CLUSTERS,
    "table clusters": USED,
    "table predictor": WITH_CLASSES,
    "table predictor_alone": {"predict vqvae", "predict mean_state"},
    "table class_use": EVALUATE_CLASSES,
    "table novelty": EVALUATE_CLASSES,
}

NARROW: list[tuple[dict[str, Any], set[str]]] = [
    ({"study": {"name": "other"}}, set()),
    ({"study": {"problems": ["SurComb4"]}}, OF_ALL_PROBLEMS),
    ({"study": {"seeds": [0, 1, 2]}}, FIGURES | TABLES),
    ({"study": {"variants": [*VARIANTS[1:], "vdn"]}}, OF_VARIANTS),
    (
        {"study": {"variants": [*VARIANTS, "trama_qmix"]}},
        (FIGURES | TABLES) - OF_REPRESENTATIONS,
    ),
    (
        {"study": {"variants": [name for name in VARIANTS if name != "trama_mean_state"]}},
        (FIGURES | TABLES) - {"figure codebook"},
    ),
    # The table of clusters has no bootstrap.
    ({"study": {"seed": 9}}, JOBS | FIGURES | TABLES - {"table clusters"}),
    ({"device": "cpu"}, JOBS),
    ({"resources": {"train": {"threads": 2}, "collect": {"runtime": 5}}}, set()),
    ({"problems": {"SurComb3": {"starts": ["reflected"]}}}, PLAYING),
    ({"problems": {"SurComb4": {"starts": ["reflected"]}}}, set()),
    (
        {"problems": {"SurComb3": {"env": {"smax": {"hide_unit_types": True}}}}},
        PLAYING,
    ),
    ({"problems": {"SurComb4": {"env": {"smax": {"hide_unit_types": True}}}}}, set()),
    # What it is anyway, and what is overridden at another problem.
    ({"problems": {"SurComb3": {"env": {"smax": {"max_steps": 100, "dist_ratio": 0.5}}}}}, set()),
    ({"problems": {"SurComb3": {"env": {"smax": {"roster": {"zealot": {"health": 150}}}}}}}, set()),
    ({"env": {"smax": {"roster": {"zealot": {"health": 151}}}}}, PLAYING),
    ({"env": {"smax": {"max_steps": 50}}}, PLAYING),
    ({"env": {"smax": {"noise": {"damage": 0.1}}}}, PLAYING),
    ({"env": {"smax": {"noise": {"damage": 0.0, "enemy": 0.0}}}}, set()),
    ({"problems": {"SurComb3": {"env": {"smax": {"noise": {"enemy": 0.0}}}}}}, set()),
    ({"env": {"smax": {"roster": {"marine": {**UNIT, "symbol": "m"}}}}}, set()),
    ({"collect": {"gamma": 0.9}}, {"collect"}),
    ({"collect": {"qplex": {"heads": 2}}}, {"collect", *WITH_CLASSES}),  # as they start from it
    ({"collect": {"qmix": {"mixing_size": 8}}}, set()),
    ({"collect": {"std_floor": 0.02}}, {"collect"}),
    ({"collect": {"rmsprop_alpha": 0.9}}, set()),  # the preset chooses adam
    ({"collect": {"optimiser": "rmsprop"}}, {"collect"}),
    ({"collect": {"env_steps": 50_000}}, {"collect", *WITH_CLASSES}),
    (
        {"representations": {"vqvae": {"n_classes": 4}}},
        {"pretrain vqvae", "cluster vqvae", "predict vqvae", *WITH_VQVAE},
    ),
    (
        {"representations": {"uncovered": {"n_classes": 5}}},
        {"cluster uncovered", "predict uncovered"},
    ),
    ({"representations": {"timed": {"n_classes": 2}}}, {"cluster timed", "predict timed"}),
    (
        {"representations": {"mean_state": {"n_classes": 5}}},
        {"cluster mean_state", "predict mean_state", "train trama_mean_state"},
    ),
    ({"pretrain": {"updates": 9}}, PRETRAIN),
    ({"pretrain": {"learning_rate": 0.1}}, PRETRAIN),
    ({"pretrain": {"vq_weight": 0.5}}, PRETRAIN | WITH_VQVAE),
    (
        {"pretrain": {"coverage_weight": 0.5}},
        {"pretrain vqvae", "pretrain timed", *WITH_VQVAE},
    ),
    ({"pretrain": {"hidden_size": 8}}, PRETRAIN | WITH_VQVAE | CLUSTER - {"cluster mean_state"}),
    ({"cluster": {"n_init": 3}}, {"pretrain vqvae", *CLUSTER, "train trama_onehot"}),
    ({"cluster": {"min_trajectories": 400}}, WITH_CLUSTERS),
    ({"cluster": {"min_clusters": 2}}, WITH_CLUSTERS),
    ({"cluster": {"max_trajectories": 600}}, CLUSTER | WITH_CLUSTERS),
    ({"cluster": {"classifier": {"epochs": 3}}}, CLUSTER | WITH_CLUSTERS),
    ({"predict": {"updates": 9}}, PREDICT),
    ({"train": {"predictor": {"hidden_size": 8}}}, WITH_CLASSES | PREDICT),
    ({"train": {"network": "flat"}}, TRAIN | PREDICT),
    ({"cluster": {"criteria": ["gap"]}}, CLUSTER),
    ({"train": {"gamma": 0.9}}, TRAIN),
    ({"train": {"mixture_shift": {"amount": 0.5}}}, TRAIN),
    ({"train": {"mixture_shift": {"amount": 0.0, "interval_env_steps": 9}}}, set()),
    ({"train": {"test_episodes": 8}}, TRAIN | {"figure learning_curves"}),
    ({"train": {"qplex": {"heads": 2}}}, QPLEX),
    ({"train": {"qmix": {"mixing_size": 8}}}, {"train qmix"}),
    ({"train": {"predictor": {"loss_weight": 1}}}, WITH_CLASSES),
    ({"train": {"mixer_states": "raw"}}, TRAIN - {"train vdn"}),
    ({"train": {"start": "collect"}}, TRAIN - WITH_CLASSES),
    ({"train": {"start": "scratch"}}, WITH_CLASSES),
    ({"train": {"warm_start": False}}, WITH_CLUSTERS),
    ({"train": {"class_representation": {"size": 8}}}, WITH_CLASSES - {"train trama_onehot"}),
    ({"train": {"vqvae_updates": {"interval_episodes": 5}}}, WITH_VQVAE),
    ({"train": {"clustering": {"interval_episodes": 90}}}, WITH_CLUSTERS),
    ({"variants": {"qmix": {"train": {"gamma": 0.9}}}}, {"train qmix"}),
    ({"train": {"rmsprop_eps": 0.1}}, set()),
    ({"variants": {"qmix": {"train": {"optimiser": "rmsprop"}}}}, {"train qmix"}),
    ({"evaluate": {"episodes": 9}}, EVALUATE),
    (
        {"evaluate": {"task_sets": ["one_type"]}},
        EVALUATE | {"table ood", "table novelty", "figure ood_gain"},
    ),
    ({"task_sets": {"one_type": {"units": ["5s", "5z"]}}}, EVALUATE),
    ({"task_sets": {"own": {"units": ["5s"]}}}, set()),  # nobody names it
    (
        {"evaluate": {"given_classes": ["wrong_class"]}},
        EVALUATE_CLASSES | {"table class_use"},
    ),
    # No variant learns without a class, so that none can be given none.
    (
        {"evaluate": {"given_classes": ["true_class", "random_class", "wrong_class", "no_class"]}},
        {"table class_use"},
    ),
    ({"evaluate": {"fallback": {"quantile": 0.9}}}, set()),
    # Those that also learn without a class are evaluated with the fallback, too.
    (
        {"train": {"class_representation": {"dropout": 0.1}}},
        WITH_CLASSES | EVALUATE_CLASSES,
    ),
    (
        {
            "variants": {"trama": {"train": {"class_representation": {"dropout": 0.1}}}},
            "evaluate": {"fallback": {"score": "energy"}, "given_classes": ["no_class"]},
        },
        {"train trama", *EVALUATE_CLASSES, "table class_use"},
    ),
    ({"study": {"reference": "qmix"}}, {"figure aggregates"}),
    ({"figures": {"dpi": 100}}, FIGURES),
    ({"figures": {"smoothing": 3}}, {"figure learning_curves"}),
    ({"figures": {"policy": "best"}}, OF_EVALUATION),
    ({"figures": {"formats": ["pdf"]}}, set()),  # another format is another output
    ({"tables": {"decimals": 3}}, TABLES),
    (
        {"tables": {"policy": "best"}},
        {"table results", "table ood", "table class_use", "table novelty"},
    ),
]


@pytest.mark.parametrize(("change", "expected"), NARROW, ids=[str(change) for change, _ in NARROW])
def test_a_key_changes_the_stages_that_read_it(change: dict[str, Any], expected: set[str]) -> None:
    """In their own params; in `upstream` it changes what takes inputs from them, and no more."""
    before, after = _all_params(_config()), _all_params(_config(change))
    assert {name for name in before if _own(before[name]) != _own(after[name])} == expected
    rerun = set(expected)
    for name in INPUTS:
        if INPUTS[name] & rerun:
            rerun.add(name)
    assert {name for name in before if before[name] != after[name]} == rerun


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"parallel_games": 3}, TRAIN | EVALUATE),  # games at a time, of tests alone
        ({"patience": {"attempts": 7}}, set()),
        ({"num_fov_actions": 8}, set()),
        ({"min_attack_range": 1.0}, set()),
        ({"reward_scale_rate": 10.0}, {"collect", *PREDICT, *TRAIN, *EVALUATE}),
    ],
)
def test_a_key_of_starcraft_changes_the_stages_that_read_it(
    change: dict[str, Any], expected: set[str]
) -> None:
    game = {"use_unit_ranges": False, "conic_fov": False}
    before, after = (
        _all_params(_config({"env": {"backend": "smacv2", "smacv2": game | more}}))
        for more in ({}, change)
    )
    assert {name for name in before if _own(before[name]) != _own(after[name])} == expected


def _own(params: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in params.items() if key != "upstream"}


def test_a_number_of_classes_that_is_chosen() -> None:
    """Pretraining has the largest one, whatever chooses; n_classes is read nowhere."""

    def params(**number: Any) -> dict[str, dict[str, Any]]:
        chosen = {"representations": {"vqvae_chosen": {"class_number": number}}}
        config = _config(chosen)
        of = ("SurComb3", "vqvae_chosen", 0)
        return {
            "pretrain": _own(pretrain_params(config, *of)),
            "cluster": _own(cluster_params(config, *of)),
            "train": _own(train_params(config, "SurComb3", "trama_chosen", 0)),
        }

    first, other, fewer = params(), params(criterion="value"), params(most=5)
    assert first["pretrain"]["representation"]["n_classes"] == 8
    assert "class_number" not in first["pretrain"]["representation"]
    assert fewer["pretrain"]["representation"]["n_classes"] == 5
    assert first["pretrain"] == other["pretrain"]
    for stage in ("cluster", "train"):
        assert "n_classes" not in first[stage]["representation"]
        assert other[stage]["representation"]["class_number"] == {"criterion": "value", "most": 8}
        assert fewer[stage]["representation"]["class_number"]["most"] == 5
    # A new number is fitted by k-means++, also from a warm start.
    assert "n_init" in first["train"]["cluster"]


def test_keys_of_chosen_numbers_stand_in_no_params_that_do_without() -> None:
    config = _config()
    for settings in _all_params(config).values():
        assert "class_number" not in (settings.get("representation") or {})
        assert "criteria" not in (settings.get("cluster") or {})
    named = _config({"cluster": {"criteria": ["gap"]}})
    assert cluster_params(named, "SurComb3", "vqvae", 0)["cluster"]["criteria"] == ["gap"]


def test_upstream_has_the_hashes_of_the_inputs() -> None:
    params = _all_params(_config({"study": {"seeds": [0]}}))
    hashes = {name: params_hash(values) for name, values in params.items()}
    assert "upstream" not in params["collect"]
    assert params["train trama"]["upstream"] == {
        "collect": hashes["collect"],
        "cluster": hashes["cluster vqvae"],
    }
    assert params["train qmix"]["upstream"] == {"collect": hashes["collect"]}
    assert params["cluster mean_state"]["upstream"] == {"collect": hashes["collect"]}
    assert params["predict mean_state"]["upstream"] == {
        "collect": hashes["collect"],
        "cluster": hashes["cluster mean_state"],
    }
    assert params["evaluate vdn"]["upstream"] == {"train": hashes["train vdn"]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tables": {"decimals": 3}}, OF_REFERENCE | {"win_rates"}),
        ({"tables": {"policy": "best"}}, OF_REFERENCE | {"win_rates"}),
        ({"study": {"reference": "qplex"}}, OF_REFERENCE),
        ({"variants": {"qmix": {"train": {"gamma": 0.9}}}}, set(OF_STUDY)),
        ({"study": {"problems": ["SurComb3", "SurComb4"]}}, set(OF_STUDY)),
        ({"problems": {"SurComb4": {"starts": ["reflected"]}}}, set()),
        ({"figures": {"dpi": 100}}, set()),
        ({"resources": {"tables": {"threads": 2}}}, set()),
    ],
    # The order of a set is not the same in all processes that share the tests out.
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_tables_of_the_study_follow_what_they_show(
    change: dict[str, Any], expected: set[str]
) -> None:
    before, after = _config(), _config(change)
    changed = {name for name, build in OF_STUDY.items() if build(before) != build(after)}
    assert changed == expected


def test_a_report_follows_its_problem_and_all_seeds() -> None:
    config = _config({"problems": {"SurComb4": {"starts": ["reflected"]}}})
    for build in (learning_curves_params, embeddings_params, results_params, predictor_params):
        assert build(config, "SurComb3") == build(_config(), "SurComb3")
        assert build(config, "SurComb4") != build(_config(), "SurComb4")
        seeds = [build(_config({"study": {"seeds": [0, s]}}), "SurComb3") for s in (1, 2)]
        assert seeds[0]["upstream"] != seeds[1]["upstream"]


def test_params_are_plain_data_and_round_trip() -> None:
    models: dict[str, type[Section]] = {
        "collect": CollectParams,
        "pretrain": PretrainParams,
        "cluster": ClusterParams,
        "predict": PredictParams,
        "train": TrainParams,
        "evaluate": EvaluateParams,
        "figure": FigureParams,
        "table": TableParams,
    }
    all_params = _all_params(_config())
    all_params |= {f"table {name}": build(_config()) for name, build in OF_STUDY.items()}
    for name, params in all_params.items():
        assert json.loads(json.dumps(params)) == params, name
        models[name.split()[0]].model_validate(params)


def test_train_params_hold_what_training_reads() -> None:
    config = _config({"variants": {"trama": {"train": {"gamma": 0.9}}}})
    trama = TrainParams.model_validate(train_params(config, "SurComb3", "trama", 3))
    own = config.train_for("trama").env_steps - config.collect.env_steps
    resolved = {"env_steps": own, "start": "collect"}
    assert trama.train == config.train_for("trama").model_copy(update=resolved)
    assert trama.train.gamma == 0.9
    assert (trama.problem, trama.env, trama.seed) == (config.problems["SurComb3"], config.env, 3)
    assert trama.representation == config.representations["vqvae"]
    assert trama.cluster == config.cluster  # the starts of k-means++ are the default, and not read
    assert trama.pretrain is not None
    assert trama.pretrain.coverage_weight == config.pretrain.coverage_weight
    assert trama.collect_env_steps == config.collect.env_steps
    qmix = TrainParams.model_validate(train_params(config, "SurComb3", "qmix", 3))
    assert (qmix.representation, qmix.pretrain, qmix.cluster) == (None, None, None)
    assert (qmix.representation_name, qmix.collect_env_steps) == (None, None)
    assert qmix.variant.labels is None
    assert qmix.train.env_steps == config.train.env_steps


def test_a_cold_start_takes_nothing_from_the_stages_before() -> None:
    config = _config({"variants": {"trama": {"train": {"warm_start": False}}}})
    params = train_params(config, "SurComb3", "trama", 3)
    cold = TrainParams.model_validate(params)
    assert cold.upstream.keys() == {"collect"} and cold.collect_env_steps is None
    assert cold.representation == config.representations["vqvae"]
    assert "n_init" in params["cluster"]  # its first clustering begins by k-means++
    assert "relabel_rounds" not in params["representation"]  # of pretraining


def test_starts_count_for_clusterings_that_begin_anew() -> None:
    reads = {"trama": False, "trama_random": True, "trama_matched": True}
    config = _config({"study": {"variants": list(reads)}})
    params = {name: train_params(config, "SurComb3", name, 0)["cluster"] for name in reads}
    assert {name: "n_init" in cluster for name, cluster in params.items()} == reads


def test_collected_episodes_in_the_replay_count_as_env_steps() -> None:
    config = _config({"variants": {"qmix": {"train": {"start": "collect"}}}})
    qmix = TrainParams.model_validate(train_params(config, "SurComb3", "qmix", 3))
    assert qmix.collect_env_steps == config.collect.env_steps
    assert qmix.train.env_steps + config.collect.env_steps == config.train.env_steps


@pytest.mark.parametrize(
    ("variant", "changes", "start"),
    [
        ("trama", {}, "collect"),
        ("trama_oracle", {}, "collect"),
        ("trama", {"warm_start": False}, "scratch"),
        ("trama", {"start": "scratch"}, "scratch"),
        ("trama", {"start": "replay"}, "replay"),
        ("qplex", {}, "scratch"),
        ("qplex", {"start": "collect"}, "collect"),
        ("qmix", {"start": "collect"}, "replay"),  # collect learns with qplex
        ("trama", {"network": "flat"}, "replay"),
        ("trama", {"hidden_size": 32}, "replay"),
        ("trama", {"qplex": {"heads": 2}}, "replay"),
        ("trama", {"mixer_states": "raw"}, "replay"),
        ("trama", {"qplex": {"attention_regulariser": 0.5}}, "collect"),
    ],
)
def test_a_training_goes_on_from_the_networks_of_collect_where_it_can(
    variant: str, changes: dict[str, Any], start: str
) -> None:
    config = _config({"variants": {variant: {"train": changes}}})
    assert config.start_of(variant) == start
    assert train_params(config, "SurComb3", variant, 0)["train"]["start"] == start


def test_an_oracle_takes_nothing_from_a_representation() -> None:
    params = train_params(_config(), "SurComb3", "trama_oracle", 3)
    assert {"predictor", "class_representation"} <= params["train"].keys()
    assert not {"vqvae_updates", "clustering"} & params["train"].keys()
    oracle = TrainParams.model_validate(params)
    assert oracle.variant.labels == "true_task"
    assert (oracle.representation, oracle.pretrain, oracle.cluster) == (None, None, None)
    assert oracle.representation_name is None


def test_evaluate_params_hold_the_named_task_sets_in_their_order() -> None:
    names = ["one_type", "fewer_allies"]
    config = _config({"evaluate": {"task_sets": names}})
    params = EvaluateParams.model_validate(evaluate_params(config, "SurComb3", "qmix", 0))
    assert params.evaluate == config.evaluate
    assert params.task_sets == {name: config.task_sets[name] for name in names}
    swapped = _config({"evaluate": {"task_sets": names[::-1]}})
    # A task that two sets name belongs to the first one.
    assert params_hash(evaluate_params(swapped, "SurComb3", "qmix", 0)) != params_hash(
        evaluate_params(config, "SurComb3", "qmix", 0)
    )


def test_clustering_of_fewer_trajectories_than_the_default_minimum() -> None:
    config = _config({"cluster": {"min_trajectories": 8, "max_trajectories": 9}})
    params = ClusterParams.model_validate(cluster_params(config, "SurComb3", "vqvae", 0))
    assert params.cluster.max_trajectories == 9


def test_an_environment_has_the_unit_types_of_its_problem() -> None:
    config = _config({"problems": {"Two": {"units": ["3z1s", "2z2s"]}}})
    params = CollectParams.model_validate(collect_params(config, "Two", 0))
    assert list(params.env.smax.roster) == ["stalker", "zealot"]  # in the roster's order
    assert params.env.smax.roster["zealot"] == config.env.smax.roster["zealot"]


def test_params_hold_the_problems_own_environment() -> None:
    env = {"smax": {"max_steps": 50, "roster": {"zealot": {"health": 90}}}}
    config = _config({"problems": {"Two": {"units": ["3z1s", "2z2s"], "env": env}}})
    plain = _config({"problems": {"Two": {"units": ["3z1s", "2z2s"]}}})
    models: list[tuple[type[CollectParams | TrainParams | EvaluateParams], dict[str, Any]]] = [
        (CollectParams, collect_params(config, "Two", 0)),
        (TrainParams, train_params(config, "Two", "trama", 0)),
        (EvaluateParams, evaluate_params(config, "Two", "trama", 0)),
    ]
    for model, params in models:
        assert set(params["problem"]) == {"units", "starts"}
        read = model.model_validate(params)
        assert read.problem == plain.problems["Two"]
        assert read.env.smax.max_steps == 50 and read.env.episode_limit == 51
        assert read.env.smax.roster["zealot"].health == 90
        assert list(read.env.smax.roster) == ["stalker", "zealot"]
    assert collect_params(plain, "Two", 0)["problem"] == models[0][1]["problem"]


def test_noise_is_in_the_params_where_there_is_some() -> None:
    noise = {"damage": 0.2, "cooldown": 0.0, "starts": 0.0, "enemy": 0.0}
    quiet = {"units": ["5s"], "env": {"smax": {"noise": {"damage": 0.0}}}}
    config = _config({"env": {"smax": {"noise": noise}}, "problems": {"Quiet": quiet}})
    assert collect_params(config, "SurComb3", 0)["env"]["smax"]["noise"] == noise
    params = collect_params(config, "Quiet", 0)
    assert "noise" not in params["env"]["smax"]
    assert CollectParams.model_validate(params).env.smax.noise == Noise()


def test_sources_are_all_modules_of_the_report(tmp_path: Path) -> None:
    """What a fresh import of each figure and table imports of the reporting library."""
    modules = {
        "figures": [f"figures.{name.removeprefix('figure ')}" for name in sorted(FIGURES)],
        "tables": [f"tables.{n.removeprefix('table ')}" for n in sorted({*TABLES, *OF_STUDY})],
    }
    for stage, names in modules.items():
        names.append(f"{stage}.experiment")
    code = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"trama.reporting.{name}")
    found = {m.removeprefix("trama.reporting.") for m in sys.modules if "trama.reporting." in m}
    print(*sorted(m.replace(".", "/") for m in found if m not in ("figures", "tables")))
    for module in [m for m in sys.modules if m.startswith("trama.reporting")]:
        del sys.modules[module]
"""
    run = subprocess.run(
        [sys.executable, "-c", code, *modules["figures"], *modules["tables"]],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "workflow"), "HOME": str(tmp_path)},
    )
    found = iter([set(line.split()) for line in run.stdout.splitlines()])
    for stage, names in modules.items():
        of_stage = {name.replace(".", "/"): next(found) for name in names}
        assert set.union(*of_stage.values()) == {*SOURCES[stage], *of_stage}
        for own, imported in of_stage.items():
            assert own in imported <= {*SOURCES[stage], own}


def test_sources_change_with_a_text(tmp_path: Path) -> None:
    def found() -> dict[str, str]:
        return {
            "learning_curves": sources("figures", "learning_curves", tmp_path),
            "embeddings": sources("figures", "embeddings", tmp_path),
            "results": sources("tables", "results", tmp_path),
            "clusters": sources("tables", "clusters", tmp_path),
        }

    shutil.copytree(ROOT / "workflow/trama/reporting", tmp_path, dirs_exist_ok=True)
    assert found()["results"] == sources("tables", "results")
    for module, edited in (
        ("style", {"learning_curves", "embeddings"}),
        ("figures/embeddings", {"embeddings"}),
        ("tables/results", {"results"}),
        ("tables/table", {"results", "clusters"}),
    ):
        before = found()
        path = tmp_path / f"{module}.py"
        path.write_text(path.read_text() + "# edited\n")
        assert {name for name, digest in found().items() if digest != before[name]} == edited


def test_params_hash_ignores_the_order_of_keys() -> None:
    assert params_hash({"a": 1, "b": {"c": 2, "d": 3}}) == params_hash(
        {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert params_hash({"a": 1}) != params_hash({"a": 2})
    assert len(params_hash({})) == 16
