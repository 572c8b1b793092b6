"""What each stage's result depends on, and nothing else: the `params` of the rules.

A builder returns a plain mapping that can be written as JSON. Keys of a section that the stage
does not read in this case (say, `qplex` for a QMIX run) are left out of it, so that editing them
does not re-run the stage; `<Stage>Params.model_validate` of the mapping gives them their defaults
back, which nothing reads. `upstream` are the hashes of the params of the jobs that made the
stage's inputs: equal hashes mean the same configuration all the way up.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from trama.config.backends import Env, GamePatience
from trama.config.experiments import (
    OF_CLUSTERS,
    OF_EVALUATIONS,
    OF_HISTORIES,
    OF_PREDICTORS,
    OF_TIMINGS,
)
from trama.config.model import (
    Classifier,
    Cluster,
    Collect,
    Config,
    Criterion,
    Evaluate,
    MixerName,
    Predict,
    Pretrain,
    Representation,
    Train,
    Variant,
)
from trama.config.problems import Problem, TaskSet
from trama.config.relations import unused_optimiser_keys, unused_train_keys
from trama.config.sections import Name, Section, Seed
from trama.config.trees import without

Params = dict[str, Any]

ALGORITHM_VERSIONS: dict[str, int] = {
    "collect": 4,
    "pretrain": 1,
    "cluster": 4,
    "predict": 1,
    "train": 7,
    "evaluate": 6,
}
"""One number per stage; raise it with a library change that alters the stage's results."""

_RUN_KEYS = ("checkpoint_minutes", "keep_checkpoint")
"""Keys of section train that do not alter its results."""

# Tuples arrive as lists from Snakemake.
Names = Annotated[tuple[Name, ...], Field(strict=False)]
Seeds = Annotated[tuple[Seed, ...], Field(strict=False)]


SOURCES: dict[str, tuple[str, ...]] = {
    "figures": (
        *("captions", "detection", "estimates", "experiments", "outputs"),
        *("statistics", "style", "words"),
        *(f"figures/{module}" for module in ("clusterings", "drawing", "parts")),
    ),
    "tables": (
        *("captions", "comparisons", "detection", "differences", "estimates"),
        *("experiments", "outputs", "statistics", "words"),
        *("tables/class_gain", "tables/measured", "tables/measurement", "tables/table"),
    ),
}
"""Modules of trama.reporting that figures, and tables, are made with, beside the module of its own
that each has in `figures` or `tables`. They are cheap to make anew."""

_REPORTING = Path(__file__).parents[1] / "reporting"


class JobParams(Section):
    """Params of a stage that runs once per problem and seed on the PyTorch device.

    `upstream` holds, by stage, the hashes of the params that its inputs were made with.
    """

    algorithm_version: int
    study_seed: Seed
    problem_name: Name
    seed: Seed
    device: Literal["auto", "cpu", "cuda"]
    upstream: dict[str, str] = Field(default={})


class CollectParams(JobParams):
    """Params of stage collect."""

    problem: Problem
    env: Env
    collect: Collect


class PretrainParams(JobParams):
    """Params of stage pretrain; `cluster_n_init` is None unless coverage is time_class."""

    representation_name: Name
    representation: Representation
    pretrain: Pretrain
    cluster_n_init: int | None


class FirstCluster(Section):
    """Section cluster without the keys that only the re-clusterings of train read."""

    max_trajectories: int
    n_init: int
    classifier: Classifier
    criteria: Annotated[tuple[Criterion, ...], Field(strict=False)] = ()


class ClusterParams(JobParams):
    """Params of stage cluster; `pretrain` (hidden_size alone is kept) is None for mean_state."""

    representation_name: Name
    representation: Representation
    pretrain: Pretrain | None
    cluster: FirstCluster


class PredictParams(JobParams):
    """Params of stage predict.

    `network` and `hidden_size` are those of the predictor in section train, `n_classes` are the
    representation's.
    """

    representation_name: Name
    n_classes: int
    problem: Problem
    env: Env
    network: Literal["flat", "entities"]
    hidden_size: int
    predict: Predict


class TrainVariant(Section):
    """The part of a variant's definition that is not in its merged section train.

    `labels` is None for a baseline.
    """

    mixer: MixerName
    labels: Literal["clusters", "true_task"] | None


class TrainParams(JobParams):
    """Params of stage train.

    `train` has the variant's overrides merged in. `collect_env_steps` is None for a training that
    learns nothing from the collected trajectories, the four before it without a representation,
    and `pretrain` (loss weights and hidden_size) also for mean_state.
    """

    variant_name: Name
    variant: TrainVariant
    problem: Problem
    env: Env
    train: Train
    representation_name: Name | None
    representation: Representation | None
    pretrain: Pretrain | None
    cluster: Cluster | None
    collect_env_steps: int | None


class RunSettings(Section):
    """How a job runs, which does not alter its results: no params, so a change re-runs nothing."""

    replay_on_device: bool = False
    checkpoint_minutes: float = 5.0
    keep_checkpoint: bool = False
    patience: GamePatience = GamePatience()

    def of(self, env: Env) -> Env:
        """Settings of an environment with the patience that this run has with games."""
        games = env.smacv2.model_copy(update={"patience": self.patience})
        return env.model_copy(update={"smacv2": games})


class EvaluateParams(JobParams):
    """Params of stage evaluate; the policies' files hold the sizes of their networks.

    `task_sets` are the definitions of those that `evaluate` names.
    """

    variant_name: Name
    problem: Problem
    env: Env
    evaluate: Evaluate
    task_sets: dict[Name, TaskSet]


class CheckStarcraftParams(Section):
    """Params of the check of StarCraft II: what it plays."""

    problem: Problem
    env: Env


class ReportParams(Section):
    """Params of a figure or table.

    `names` (variants or representations) and `seeds` fix the order in which they are shown, and
    `sources` is a hash of the library that shows them; `upstream` holds one hash of all the jobs
    of a stage whose files it reads.
    """

    upstream: dict[str, str]
    sources: str
    names: Names
    seeds: Seeds


def collect_params(config: Config, problem: str, seed: int) -> Params:
    """Params of stage collect for one problem and seed."""
    collect = config.collect
    unused = {("qmix",), ("qplex",)} - {(collect.mixer,)}
    unused |= {(key,) for key, _ in unused_optimiser_keys(collect)}
    return {
        **_job("collect", config, problem, seed),
        **_environment(config, problem, tests=False),
        "collect": _dump(collect, unused),
    }


def pretrain_params(config: Config, problem: str, representation: str, seed: int) -> Params:
    """Params of stage pretrain for one problem, quantised representation and seed.

    K counts only with coverage J(t,k), where pretrain clusters for its labels: n_classes, or the
    largest one that may be chosen.
    """
    definition = config.representations[representation]
    by_class = definition.coverage == "time_class"
    numbers = {("n_classes",), ("class_number",)}
    settings = _representation(definition, set() if by_class else numbers)
    if settings.pop("class_number", None) is not None:
        settings["n_classes"] = definition.most_classes
    return {
        **_job("pretrain", config, problem, seed),
        "upstream": {"collect": params_hash(collect_params(config, problem, seed))},
        "representation_name": representation,
        "representation": settings,
        "pretrain": _dump(config.pretrain, _unused_coverage(definition)),
        "cluster_n_init": config.cluster.n_init if by_class else None,
    }


def cluster_params(config: Config, problem: str, representation: str, seed: int) -> Params:
    """Params of stage cluster for one problem, representation and seed."""
    definition = config.representations[representation]
    upstream = {"collect": params_hash(collect_params(config, problem, seed))}
    if definition.has_codebook:
        pretrained = pretrain_params(config, problem, representation, seed)
        upstream["pretrain"] = params_hash(pretrained)
    unused = {("min_trajectories",), ("min_clusters",)}
    if not config.cluster.criteria:
        unused.add(("criteria",))
    return {
        **_job("cluster", config, problem, seed),
        "upstream": upstream,
        "representation_name": representation,
        "representation": _representation(definition),
        "pretrain": _pretrain_part(config, definition, {"hidden_size"}),
        "cluster": _dump(config.cluster, unused),
    }


def predict_params(config: Config, problem: str, representation: str, seed: int) -> Params:
    """Params of stage predict for one problem, representation and seed."""
    upstream = {
        "collect": params_hash(collect_params(config, problem, seed)),
        "cluster": params_hash(cluster_params(config, problem, representation, seed)),
    }
    return {
        **_job("predict", config, problem, seed),
        "upstream": upstream,
        **_environment(config, problem, tests=False),
        "representation_name": representation,
        "n_classes": config.representations[representation].most_classes,
        "network": config.train.network,
        "hidden_size": config.train.predictor.hidden_size,
        "predict": _dump(config.predict),
    }


def train_params(config: Config, problem: str, variant: str, seed: int) -> Params:
    """Params of stage train for one problem, variant and seed."""
    definition: Variant = config.variants[variant]
    name = definition.representation
    representation = None if name is None else config.representations[name]
    train = config.train_for(variant)
    unused = {path for path, _ in unused_train_keys(definition, representation, train)}
    unused |= {(key,) for key in _RUN_KEYS}
    if not train.mixture_shift.amount:
        unused.add(("mixture_shift",))
    if not train.weight_average_decay:
        unused.add(("weight_average_decay",))
    upstream = {"collect": params_hash(collect_params(config, problem, seed))}
    starts_warm = config.starts_warm(variant)
    if name is not None and starts_warm:
        upstream["cluster"] = params_hash(cluster_params(config, problem, name, seed))
    params = {
        **_job("train", config, problem, seed),
        "upstream": upstream,
        **_environment(config, problem),
        "variant_name": variant,
        "variant": {
            "mixer": definition.mixer,
            "labels": definition.labels if definition.has_classes else None,
        },
        "train": _dump(train, unused),
        "representation_name": name,
        "representation": None,
        "pretrain": None,
        "cluster": None,
        "collect_env_steps": None,
    }
    params["train"]["start"] = config.start_of(variant)
    if config.learns_from_collected(variant):
        params["collect_env_steps"] = config.collect.env_steps
        params["train"]["env_steps"] = config.own_env_steps(variant)
    if representation is not None:
        loss = {"hidden_size", "vq_weight", "commitment_weight", "coverage_weight"}
        # A training that starts cold reads nothing of pretraining.
        unread = () if starts_warm else (("relabel_rounds",),)
        params["representation"] = _representation(representation, unread)
        params["pretrain"] = _pretrain_part(config, representation, loss)
        # Where no clustering begins by k-means++ there are no starts to count.
        continued = train.clustering.initialisation == "centroids"
        one_number = representation.class_number is None
        of_cluster = {("criteria",)}
        if starts_warm and continued and one_number:
            of_cluster.add(("n_init",))
        params["cluster"] = _dump(config.cluster, of_cluster)
    return params


def checkpoint_key(settings: Params) -> str:
    """Hash of all params of a training but its length: what its checkpoints depend on."""
    train = {key: value for key, value in settings["train"].items() if key != "env_steps"}
    return params_hash({**settings, "train": train})


def run_settings(config: Mapping[str, Any], variant: str | None = None) -> RunSettings:
    """How the jobs of a configuration run, given as plain data; a variant may override it."""
    train = config["train"]
    if variant is not None:
        train = {**train, **config["variants"][variant]["train"]}
    keys = {key: train[key] for key in _RUN_KEYS}
    patience = GamePatience.model_validate(config["env"]["smacv2"]["patience"])
    return RunSettings(replay_on_device=config["replay_on_device"], patience=patience, **keys)


def evaluate_params(config: Config, problem: str, variant: str, seed: int) -> Params:
    """Params of stage evaluate for one problem, variant and seed."""
    evaluate = _dump(config.evaluate)
    if not config.drops_class(variant):
        del evaluate["fallback"]
        evaluate["given_classes"] = [k for k in evaluate["given_classes"] if k != "no_class"]
    if not config.variants[variant].has_classes:
        del evaluate["given_classes"]
    return {
        **_job("evaluate", config, problem, seed),
        "upstream": {"train": params_hash(train_params(config, problem, variant, seed))},
        **_environment(config, problem),
        "variant_name": variant,
        "evaluate": evaluate,
        "task_sets": {name: _dump(config.task_sets[name]) for name in config.evaluate.task_sets},
    }


def params_hash(params: Mapping[str, Any]) -> str:
    """16 hexadecimal digits that tell params apart; the order of keys does not matter."""
    text = json.dumps(params, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sources(stage: str, name: str, folder: Path = _REPORTING) -> str:
    """16 hexadecimal digits that tell the texts of the modules of a figure or table apart."""
    digest = hashlib.sha256()
    for module in (*SOURCES[stage], f"{stage}/{name}"):
        digest.update(hashlib.sha256((folder / f"{module}.py").read_bytes()).digest())
    return digest.hexdigest()[:16]


def _job(stage: str, config: Config, problem: str, seed: int) -> Params:
    return {
        "algorithm_version": ALGORITHM_VERSIONS[stage],
        "study_seed": config.study.seed,
        "problem_name": problem,
        "seed": seed,
        "device": config.device,
    }


def check_starcraft_params(config: Config) -> Params:
    """Params of the check of StarCraft II, which plays the study's first problem."""
    return _environment(config, config.study.problems[0])


_BUILDERS = {
    "cluster": cluster_params,
    "predict": predict_params,
    "train": train_params,
    "evaluate": evaluate_params,
}


def of_all(stage: str, config: Config, problem: str, names: Sequence[str]) -> dict[str, str]:
    """One hash, by `stage`, of its jobs for all `names` and the study's seeds, in any order."""
    build = _BUILDERS[stage]
    hashes = {
        f"{name} {seed}": params_hash(build(config, problem, name, seed))
        for name in names
        for seed in config.study.seeds
    }
    return {stage: params_hash(hashes)}


def of_study(config: Config, **names: Sequence[str]) -> dict[str, str]:
    """One hash, by stage, of its jobs for the `names` on all problems, in any order."""
    return {
        stage: params_hash(
            {problem: of_all(stage, config, problem, of) for problem in config.study.problems}
        )
        for stage, of in names.items()
    }


def compared(config: Config, experiment: str) -> tuple[dict[str, str], Params]:
    """What the figure and the table of an experiment depend on: hashes of jobs, and params."""
    definition = config.experiments[experiment]
    study = config.with_study_of(experiment)
    upstream: dict[str, str] = {}
    if definition.representations:
        upstream = of_study(study, cluster=definition.representations)
        if definition.measures_any(OF_PREDICTORS):
            upstream |= of_study(study, predict=definition.representations)
    elif definition.measures_any((*OF_HISTORIES, *OF_CLUSTERS, *OF_TIMINGS)):
        upstream |= of_study(study, train=definition.variants)
    more: Params = {
        "question": definition.question,
        "problems": list(definition.problems),
        "measures": list(definition.measures),
    }
    if definition.measures_any(OF_EVALUATIONS):
        upstream |= of_study(study, evaluate=definition.variants)
        more["task_sets"] = list(config.evaluate.task_sets)
    if "right_number" in definition.measures:
        more["n_combinations"] = {
            name: config.problems[name].n_combinations for name in definition.problems
        }
    return upstream, more


def with_classes(config: Config) -> list[str]:
    """The study's variants that have a predictor."""
    return [name for name in config.study.variants if config.variants[name].has_classes]


def with_clusterings(config: Config) -> list[str]:
    """The study's variants that cluster their trajectories anew during training."""
    return [name for name in config.study.variants if config.variants[name].representation]


def baselines(config: Config) -> dict[str, str]:
    """The baseline of each of the study's variants with classes that has one."""
    found = {name: config.baseline_of(name) for name in config.study.variants}
    return {name: over for name, over in found.items() if over is not None}


def report_params(
    stage: Literal["figures", "tables"],
    config: Config,
    upstream: dict[str, str],
    names: Sequence[str],
    keys: set[str],
    name: str,
) -> Params:
    """Params of the figure or table `name` that reads those `keys` of section figures or tables.

    Snakemake compares the inputs of two runs as sets: the order of names and seeds stands here.
    """
    section: Section = getattr(config, stage)
    return {
        "upstream": upstream,
        "sources": sources(stage, name),
        "names": list(names),
        "seeds": list(config.study.seeds),
        stage: section.model_dump(mode="json", include=keys),
    }


def _environment(config: Config, problem: str, *, tests: bool = True) -> Params:
    """The problem, and of section env, its overrides merged in, what its environments depend on.

    `tests`: whether there are tests or evaluations.
    """
    definition, env = config.problems[problem], config.env_for(problem)
    unused = env.unused_keys(definition)
    if not tests:
        unused |= {(env.backend, key) for key in env.settings.test_keys}
    return {"problem": _dump(definition, {("env",)}), "env": _dump(env, unused)}


def _dump(section: Section, unused: Collection[tuple[str, ...]] = ()) -> Params:
    """The section as plain data, without the key paths in `unused`."""
    return without(section.model_dump(mode="json"), unused)


def _representation(
    representation: Representation, unused: Collection[tuple[str, ...]] = ()
) -> Params:
    return _dump(representation, {*unused, *((key,) for key in representation.unused_keys)})


def _unused_coverage(representation: Representation) -> set[tuple[str, ...]]:
    return {("coverage_weight",)} if representation.coverage == "none" else set()


def _pretrain_part(
    config: Config, representation: Representation, keys: Collection[str]
) -> Params | None:
    """`keys` of section pretrain, as far as the representation has a VQ-VAE that reads them."""
    if not representation.has_codebook:
        return None
    part = _dump(config.pretrain, _unused_coverage(representation))
    return {key: value for key, value in part.items() if key in keys}
