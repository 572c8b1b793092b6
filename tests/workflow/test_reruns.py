"""What a change other than a key's plans in a finished study (from dry runs)."""

import os
import re
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from clones import named_jobs
from planner import dry_runs
from tiny_jobs import (
    ALL,
    BASELINE_SHOWN,
    CLASSES_SHOWN,
    CLUSTER,
    CLUSTERINGS_SHOWN,
    CLUSTERS_SHOWN,
    EVALUATE,
    EVALUATIONS_SHOWN,
    FIGURES,
    GAIN,
    PRETRAIN,
    QMIX,
    QPLEX,
    TABLES,
    TRAIN,
    TRAMA,
    Jobs,
    each,
    trained,
)

pytestmark = pytest.mark.end_to_end

SCRIPTS: dict[str, Jobs] = {
    "check_starcraft": {},  # only of studies with backend smacv2
    # Of the target `predict`.
    "predict_classes": {},
    "figure_predictor_alone": {},
    "table_predictor_alone": {},
    # Of experiments, and of variants that learn without a class.
    "figure_experiment": {},
    "table_experiment": {},
    "table_fallback": {},
    "collect_problem": ALL,
    "pretrain_representation": PRETRAIN,
    "cluster_representation": CLUSTER,
    "train_with_representation": TRAMA,
    "train_without_representation": QMIX | QPLEX,
    "evaluate_variant": EVALUATE,
    **{rule: each(rule) for rule in FIGURES | TABLES},
}
VERSIONS: dict[str, Jobs] = {
    "collect": ALL,
    "pretrain": PRETRAIN,
    "cluster": CLUSTER,
    "predict": {},  # of a target of its own
    "train": TRAIN,
    "evaluate": EVALUATE,
}
DELETED: dict[str, Jobs] = {
    "SurComb3/collect/seed_0": ALL,
    "SurComb3/collect/seed_0/trajectories.parquet": ALL,
    "SurComb3/representation/vqvae/seed_0": PRETRAIN,
    "SurComb3/representation/vqvae/seed_0/centroids.parquet": CLUSTER,
    "SurComb3/train/qmix/seed_0": QMIX,
    "SurComb3/train/trama/seed_0": TRAMA,
    "SurComb3/evaluate/qmix/seed_0": {**each("evaluate_variant qmix"), **EVALUATIONS_SHOWN},
    "figures": FIGURES,
    "tables/SurComb3_results.csv": each("table_results"),
    "logs": {},
    "benchmarks": {},
}


def plan(study: Path, *change: str) -> Jobs:
    return named_jobs(dry_runs(study, [["--config", "preset=tiny", *change]])[0])


def touch(paths: Iterable[Path]) -> None:
    """Make files newer than all others; not all file systems tell apart times within a second."""
    later = time.time() + 2
    for path in paths:
        os.utime(path, (later, later))


def test_the_table_has_every_script(finished_study: Path) -> None:
    scripts = {path.stem for path in (finished_study / "workflow/scripts").glob("*.py")}
    assert scripts == {*SCRIPTS, "entry"}


@pytest.mark.parametrize("rule", SCRIPTS)
def test_touching_a_script_plans_its_rule_and_what_follows(copied_study: Path, rule: str) -> None:
    touch([copied_study / f"workflow/scripts/{rule}.py"])
    assert plan(copied_study) == SCRIPTS[rule]


def test_touching_all_else_plans_nothing(copied_study: Path) -> None:
    scripts = {copied_study / f"workflow/scripts/{rule}.py" for rule in SCRIPTS}
    results = set((copied_study / "results").rglob("*"))
    others = set(copied_study.rglob("*")) - scripts - results
    touch(others)
    assert plan(copied_study) == {}


@pytest.mark.parametrize("stage", ["collect", "representation", "train", "evaluate"])
def test_touching_results_plans_nothing(copied_study: Path, stage: str) -> None:
    touch((copied_study / "results/tiny/SurComb3" / stage).rglob("*"))
    assert plan(copied_study) == {}


def test_the_profile_s_bound_on_checksums_is_in_force(copied_study: Path) -> None:
    profile = copied_study / "profiles/default/config.yaml"
    profile.write_text("max-checksum-file-size: 100kB\n")
    touch((copied_study / "results/tiny/SurComb3/collect").rglob("*"))
    assert plan(copied_study) == PRETRAIN  # trajectories are larger, state statistics are not


@pytest.mark.parametrize(
    ("module", "planned"),
    [
        ("figures/embeddings", each("figure_embeddings")),
        ("style", FIGURES),
        ("tables/results", each("table_results")),
        ("tables/ood", each("table_ood", "table_ood_tasks")),
        ("tables/measured", TABLES),
        ("tables/table", TABLES),
        ("statistics", {**FIGURES, **TABLES}),
    ],
)
def test_editing_a_library_of_the_report_plans_what_it_makes(
    copied_study: Path, module: str, planned: Jobs
) -> None:
    path = copied_study / f"workflow/trama/reporting/{module}.py"
    path.write_text(path.read_text() + "# edited\n")
    assert plan(copied_study) == planned


@pytest.mark.parametrize("stage", VERSIONS)
def test_raising_an_algorithm_version_plans_the_stage_and_what_follows(
    copied_study: Path, stage: str
) -> None:
    path = copied_study / "workflow/trama/config/params.py"
    text, n_raised = re.subn(rf'(    "{stage}": )(\d+),', r"\g<1>9\2,", path.read_text())
    assert n_raised == 1
    path.write_text(text)
    assert plan(copied_study) == VERSIONS[stage]


@pytest.mark.parametrize("name", DELETED)
def test_deleted_output_is_planned_with_what_follows(copied_study: Path, name: str) -> None:
    path = copied_study / "results/tiny" / name
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    assert plan(copied_study) == DELETED[name]


def test_new_seeds_leave_the_others_alone(finished_study: Path) -> None:
    assert plan(finished_study, "study={seeds: [0, 1]}") == ALL
    assert plan(finished_study, "study={seeds: [0, 1, 2]}") == {
        job: 1 if job in FIGURES | TABLES else 2 for job in ALL
    }


def test_the_order_of_variants_is_that_of_curves_and_rows(finished_study: Path) -> None:
    planned = {
        **each("figure_predictor_accuracy", "figure_label_consistency"),
        **BASELINE_SHOWN,
    }
    assert plan(finished_study, "study={variants: [qplex, qmix, trama]}") == planned


def test_a_new_variant_and_its_new_representation(finished_study: Path) -> None:
    planned = plan(
        finished_study,
        "representations={small: {n_codes: 32, n_classes: 3}}",
        "variants={trama_small: {mixer: qplex, representation: small}}",
        "study={variants: [qmix, qplex, trama, trama_small]}",
    )
    assert planned == {
        **each("pretrain_representation small", "cluster_representation small"),
        **trained("trama_small", "train_with_representation"),
        **BASELINE_SHOWN,
        **CLASSES_SHOWN,
        **CLUSTERINGS_SHOWN,
        **CLUSTERS_SHOWN,
        **GAIN,
    }


def test_definitions_that_the_study_does_not_use_plan_nothing(finished_study: Path) -> None:
    unused = [
        "problems={More: {units: [1s1z]}, SurComb4: {starts: [reflected]}}",
        "representations={small: {n_codes: 32}, mean_state: {n_classes: 2}}",
        "variants={trama_small: {mixer: qplex, representation: small}, vdn: {mixer: qmix}}",
        "env={smax: {roster: {marine: {symbol: m, speed: 3, damage: 9, range: 5, sight: 9, "
        "radius: 0.4, health: 45, cooldown: 0.6}}}}",
    ]
    assert plan(finished_study, *unused) == {}
