"""A whole made-up study of any configuration, in the layout and with the columns of a real one.

Its numbers are random but for this: variants differ in skill, tasks in how hard they are.
"""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from made_up import (
    PROVENANCE,
    timing_columns,
    write_cluster_metrics,
    write_history,
    write_predictor_accuracy,
)
from trama.config import table_params
from trama.config.load import load_config
from trama.config.model import Config
from trama.config.params import Params
from trama.config.table_params import (
    TableParams,
    beside_fallback,
    with_clusterings,
    with_fallback,
)
from trama.data.parquet import read_table, write_table
from trama.data.schemas import KINDS
from trama.reporting.detection import SCORES
from trama.reporting.statistics import Inputs
from trama.reporting.tables.ablations import ablations
from trama.reporting.tables.claims import claims
from trama.reporting.tables.class_use import class_use
from trama.reporting.tables.clusters import clusters
from trama.reporting.tables.compute import compute
from trama.reporting.tables.cost import cost
from trama.reporting.tables.fallback import fallback
from trama.reporting.tables.hyperparameters import hyperparameters
from trama.reporting.tables.label_consistency import label_consistency
from trama.reporting.tables.novelty import novelty
from trama.reporting.tables.numbers import numbers
from trama.reporting.tables.ood import ood, ood_tasks
from trama.reporting.tables.predictor import predictor
from trama.reporting.tables.predictor_alone import predictor_alone
from trama.reporting.tables.results import results
from trama.reporting.tables.table import Make, Table
from trama.reporting.tables.win_rates import win_rates
from trama.seeds import derive_seed
from trama.tasks import evaluation_tasks, likeness, tasks_of

TABLES: dict[str, Make] = {
    "results": results,
    "ood": ood,
    "ood_tasks": ood_tasks,
    "clusters": clusters,
    "predictor": predictor,
    "predictor_alone": predictor_alone,
    "class_use": class_use,
    "novelty": novelty,
    "fallback": fallback,
    "label_consistency": label_consistency,
}
"""Tables of a problem, by name."""

STUDY_TABLES: dict[str, Make] = {
    "win_rates": win_rates,
    "ablations": ablations,
    "claims": claims,
    "hyperparameters": hyperparameters,
    "compute": compute,
    "cost": cost,
    "numbers": numbers,
}
"""Tables of the whole study, by name."""

_CONFIG = Path(__file__).parents[1] / "config"
_PHASES = ("environment", "play", "update", "test")
_PHASES_OF_CLASSES = ("label", "predictor", "vqvae", "cluster")
_METRICS_OF_CLASSES = (
    *("predictor_accuracy", "predictor_balanced_accuracy", "majority_rate"),
    *("label_consistency", "label_consistency_chance"),
)
_N_EPISODES = 20


def study_config(**overrides: Any) -> Config:
    """The default configuration with the keys of some sections changed."""
    return load_config(_CONFIG / "config.yaml", _CONFIG, [], overrides)


def write_study(folder: Path, config: Config) -> Path:
    """Write what tables read of a finished study, and return its folder."""
    study = folder / config.study.name
    for problem, seed in product(config.study.problems, config.study.seeds):
        below = f"seed_{seed}"
        _write_learning(study, Path(problem, "collect", below), classes=False)
        for name in config.used_representations:
            path = study / problem / "representation" / name / below
            quantised = config.representations[name].has_codebook
            write_cluster_metrics(path / "cluster_metrics.parquet", quantised=quantised)
            write_predictor_accuracy(path / "predictor_accuracy.parquet", seed)
        for name in config.study.variants:
            classes = config.variants[name].has_classes
            _write_learning(study, Path(problem, "train", name, below), classes=classes)
            _write_episodes(study / problem / "evaluate" / name / below, config)
            if classes:
                _write_given_classes(study / problem / "evaluate" / name / below, config)
            if config.falls_back(name):
                _write_fallback(study / problem / "evaluate" / name / below)
    return study


def table_of(name: str, study: Path, config: Config, problem: str | None = None) -> Table:
    """Make a table of a study that `write_study` wrote, of a problem or of all."""
    if problem is None:
        params: Params = getattr(table_params, f"{name}_params")(config)
        make, of, below = STUDY_TABLES[name], config.study.name, "*"
    else:
        builder = "ood" if name == "ood_tasks" else name
        params = getattr(table_params, f"{builder}_params")(config, problem)
        make, of, below = TABLES[name], problem, problem
    return make(_inputs(name, study, config, below), TableParams.model_validate(params), of)


def _inputs(name: str, study: Path, config: Config, below: str) -> Inputs:
    """Files of each kind, in the order of the configuration."""
    problems = config.study.problems if below == "*" else [below]

    def files(stage: str, names: list[str], file: str) -> list[Path]:
        return [
            study / problem / stage / variant / f"seed_{seed}" / f"{file}.parquet"
            for problem in problems
            for variant in names
            for seed in config.study.seeds
        ]

    variants = list(config.study.variants)
    learned = [v for v in variants if config.variants[v].has_classes]
    if name == "label_consistency":
        learned = with_clusterings(config)
    trained = variants if name == "win_rates" else learned
    of_episodes = {
        **dict.fromkeys(("class_use", "novelty"), learned),
        "fallback": beside_fallback(config),
    }
    inputs = {
        "episodes": files("evaluate", of_episodes.get(name, variants), "episodes"),
        "fallback": files("evaluate", with_fallback(config), "fallback"),
        "given_classes": files("evaluate", learned, "given_classes"),
        "cluster_metrics": files("representation", config.used_representations, "cluster_metrics"),
        "histories": files("train", trained, "history"),
    }
    if name == "predictor_alone":
        representations = config.used_representations
        inputs["accuracies"] = files("representation", representations, "predictor_accuracy")
    if name == "cost":
        inputs["timings"] = files("train", variants, "timing")
    if name == "compute":
        for stage, jobs in (("collect", [""]), ("train", variants)):
            inputs[f"{stage}_timings"] = files(stage, jobs, "timing")
            inputs[f"{stage}_histories"] = files(stage, jobs, "history")
    return inputs


def _rng(folder: Path) -> np.random.Generator:
    return np.random.default_rng(derive_seed(0, *folder.parts[-4:]))


def _write_learning(study: Path, job: Path, *, classes: bool) -> None:
    """Write history, wall times and benchmark file of a job of collect or train.

    `job` is where it writes, below the study's folder.
    """
    rng = _rng(study / job)
    phases = [*_PHASES, *(_PHASES_OF_CLASSES if classes else ())]
    timing = timing_columns(dict(zip(phases, rng.uniform(10, 900, len(phases)), strict=True)))
    write_table(study / job / "timing.parquet", "timing", timing, PROVENANCE)
    rows: list[tuple[int, str, str | None, int | None, float]] = [
        (env_steps, metric, None, None, float(rng.uniform()))
        for env_steps in (40_000, 140_000, 240_000)
        for metric in ("test_win_rate", *(_METRICS_OF_CLASSES if classes else ()))
    ]
    write_history(study / job / "history.parquet", rows)
    problem, stage, *below = job.parts
    rule = "collect_problem" if stage == "collect" else "train_without_representation"
    benchmark = study.joinpath("benchmarks", rule, problem, *below).with_suffix(".tsv")
    benchmark.parent.mkdir(parents=True, exist_ok=True)
    benchmark.write_text(f"s\tmax_rss\n100\t{rng.uniform(500, 4000)}\n")


def _write_episodes(folder: Path, config: Config) -> None:
    """Write the test episodes of a run."""
    rng, novel = _rng(folder), _rng(folder / "novelty")
    problem, _, variant, seed = folder.parts[-4:]
    definition = config.problems[problem]
    classes = config.variants[variant].has_classes
    clusters = config.variants[variant].representation is not None
    skill = list(config.study.variants).index(variant) / len(config.study.variants)
    sets = {name: config.task_sets[name] for name in config.evaluate.task_sets}
    rows = []
    for policy in config.evaluate.policies:
        for task_set, tasks in evaluation_tasks(definition, sets).items():
            for task in tasks:
                alike = likeness(task, definition)
                changed = alike.units_changed or 0
                for episode in range(_N_EPISODES):
                    won = rng.random() < max(skill + 0.2 - 0.1 * changed, 0.02)
                    rows.append(
                        {
                            "problem": problem,
                            "variant": variant,
                            "seed": int(seed.removeprefix("seed_")),
                            "policy": policy,
                            "task_set": task_set,
                            "task": task.name,
                            **alike._asdict(),
                            "episode": episode,
                            "episode_return": 8 * rng.random() + 10 * won,
                            "length": 40,
                            "won": won,
                            "class": int(rng.integers(3)) if classes else None,
                            "entropy": rng.random() if classes else None,
                            "agreement": rng.random() if classes else None,
                            **{s: novel.normal(changed) if classes else None for s in SCORES},
                            "swap_effect": rng.random() if classes else None,
                            "swap_actions": rng.random() if classes else None,
                            "centroid_distance": 1 + changed + rng.random() if clusters else None,
                        }
                    )
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    write_table(folder / "episodes.parquet", "episodes", columns, PROVENANCE)


def _write_fallback(folder: Path) -> None:
    """Write the episodes of a run again, of agents that might use no class; half are won."""
    rng = _rng(folder / "fallback")
    columns = read_table(folder / "episodes.parquet", "episodes").to_pydict()
    columns["won"] = [bool(rng.random() < 0.5) for _ in columns["won"]]
    columns["class_free"] = rng.random(len(columns["won"]))
    columns = {name: columns[name] for name in KINDS["fallback"].schema.names}
    write_table(folder / "fallback.parquet", "fallback", columns, PROVENANCE)


def _write_given_classes(folder: Path, config: Config) -> None:
    """Write the test episodes of a run in which agents were given a class: the true one wins."""
    rng = _rng(folder / "given")
    problem, _, variant, seed = folder.parts[-4:]
    share = {"true_class": 0.8, "random_class": 0.4, "wrong_class": 0.2, "no_class": 0.3}
    rows = [
        {
            "problem": problem,
            "variant": variant,
            "seed": int(seed.removeprefix("seed_")),
            "policy": policy,
            "task": task.name,
            "given": kind,
            "class": int(rng.integers(3)),
            "episode": episode,
            "episode_return": 8 * rng.random(),
            "length": 40,
            "won": bool(rng.random() < share[kind]),
        }
        for policy in config.evaluate.policies
        for task in tasks_of(config.problems[problem])
        for kind in config.evaluate.given_classes
        for episode in range(_N_EPISODES)
    ]
    columns = {name: [row[name] for row in rows] for name in KINDS["given_classes"].schema.names}
    write_table(folder / "given_classes.parquet", "given_classes", columns, PROVENANCE)
