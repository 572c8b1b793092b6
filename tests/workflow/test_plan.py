"""What Snakemake plans in a fresh clone, and where it takes its configuration from."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from clones import ROOT, planned_jobs, run_snakemake
from tiny_jobs import COMPARED, FIGURES, TABLES

COLLECT = {"collect_problem": 1}
PRETRAIN = {**COLLECT, "pretrain_representation": 1}
CLUSTER = {**PRETRAIN, "cluster_representation": 1}
PREDICT = {"predict_classes": 1, "figure_predictor_alone": 1, "table_predictor_alone": 1}
TRAIN = {**CLUSTER, "train_without_representation": 2, "train_with_representation": 1}
EVALUATE = {**TRAIN, "evaluate_variant": 3}
OF_EVALUATION = ("results", "ood", "ood_tasks")
OF_STUDY = ("win_rates", "hyperparameters", "compute", "cost", "numbers", "findings")


def written(*tables: str) -> dict[str, int]:
    """One job of each of these tables."""
    return {f"table_{name}": 1 for name in tables}


@pytest.mark.parametrize(
    ("target", "planned"),
    [
        ("collect", COLLECT),
        ("pretrain", PRETRAIN),
        ("cluster", CLUSTER),
        ("predict", {**CLUSTER, **PREDICT}),
        ("train", TRAIN),
        ("evaluate", EVALUATE),
        ("figures", {**EVALUATE, **FIGURES}),
        ("tables", {**EVALUATE, **TABLES}),
        ("all", {**EVALUATE, **FIGURES, **TABLES}),
    ],
)
def test_a_stage_target_plans_its_prerequisites(
    clone: Path, target: str, planned: dict[str, int]
) -> None:
    assert planned_jobs(clone, "--config", "preset=tiny", "--", target) == planned


def test_a_study_without_classes_plans_no_representation(clone: Path) -> None:
    planned = planned_jobs(clone, "--config", "preset=tiny", "study={variants: [vdn, qmix]}")
    assert planned == {
        "collect_problem": 1,
        "train_without_representation": 2,
        "evaluate_variant": 2,
        **COMPARED,
        "figure_learning_curves": 1,
        **written(*OF_EVALUATION, *OF_STUDY, "ablations"),
    }


def test_mean_states_need_no_pretraining(clone: Path) -> None:
    study = "study={variants: [trama_mean_state]}"
    planned = planned_jobs(clone, "--config", "preset=tiny", study, "--", "train")
    assert planned == {
        "collect_problem": 1,
        "cluster_representation": 1,
        "train_with_representation": 1,
    }
    assert planned_jobs(clone, "--config", "preset=tiny", study, "--", "pretrain") == {}


def test_variants_share_their_representation(clone: Path) -> None:
    study = "study={variants: [trama, trama_onehot, trama_qmix]}"
    planned = planned_jobs(clone, "--config", "preset=tiny", study, "--", "train")
    assert planned == {**CLUSTER, "train_with_representation": 3}


def test_an_oracle_has_a_predictor_and_no_representation(clone: Path) -> None:
    planned = planned_jobs(clone, "--config", "preset=tiny", "study={variants: [trama_oracle]}")
    assert planned == {
        "collect_problem": 1,
        "train_without_representation": 1,
        "evaluate_variant": 1,
        **COMPARED,
        "figure_learning_curves": 1,
        "figure_predictor_accuracy": 1,
        "figure_predictor_confusion": 1,
        # There is nothing to compare it with.
        **written(*OF_EVALUATION, *OF_STUDY, "predictor", "class_use", "novelty"),
    }


def test_an_experiment_plans_its_own_runs_of_the_chain(clone: Path) -> None:
    """Those of its seeds, and no evaluation where nothing is measured of episodes."""
    planned = planned_jobs(clone, "--config", "preset=tiny", "--", "experiment_latent_space")
    n_seeds, n_representations, n_with_codebook = 5, 11, 9
    assert planned == {
        "collect_problem": n_seeds,
        "pretrain_representation": n_seeds * n_with_codebook,
        "cluster_representation": n_seeds * n_representations,
        "figure_experiment": 1,
        "table_experiment": 1,
    }
    planned = planned_jobs(clone, "--config", "preset=tiny", "--", "experiment_cost")
    assert planned["train_with_representation"] + planned["train_without_representation"] == 3 * 7
    assert "evaluate_variant" not in planned


def test_an_experiment_that_does_not_fit_is_told_of_before_anything_runs(clone: Path) -> None:
    """A misfit in one is no concern of the study's, nor of another experiment's."""
    given = ("-n", "--config", "preset=tiny", "experiments={cost: {variants: [trama_shift_25]}}")
    shift = "variants={trama_shift_25: {train: {mixture_shift: {interval_env_steps: 100_000}}}}"
    refused = run_snakemake(clone, *given, shift, "--", "experiment_cost")
    assert refused.returncode != 0
    assert "Experiment cost does not fit the configuration" in refused.stdout
    place = "variants.trama_shift_25.train.mixture_shift.interval_env_steps = 100000"
    assert f"{place}: interval_env_steps (100000)" in refused.stdout
    for target in ("experiment_conditioning", "all"):
        assert run_snakemake(clone, *given, shift, "--", target).returncode == 0


def test_experiments_on_what_the_backend_does_not_play_are_no_targets(clone: Path) -> None:
    given = ("-n", "--configfile", "config/mpe.yaml", "--", "experiments")
    planned = run_snakemake(clone, *given).stdout
    assert "experiment_particles" in planned and "SurComb" not in planned


def test_sources_of_the_configuration_in_their_order(clone: Path) -> None:
    def n_seeds(*arguments: str) -> int:
        return planned_jobs(clone, *arguments, "--", "collect")["collect_problem"]

    assert n_seeds() == 2  # the laptop preset
    assert n_seeds("--config", "preset=paper") == 5
    config = clone / "config/config.yaml"
    config.write_text(config.read_text().replace("# seeds: [0] ", "seeds: [0, 1, 2]"))
    assert n_seeds("--config", "preset=paper") == 3
    (clone / "four.yaml").write_text("study: {seeds: [0, 1, 2, 3]}\n")
    assert n_seeds("--configfile", "four.yaml") == 4
    assert n_seeds("--configfile", "four.yaml", "--config", "study={seeds: [7]}") == 1


def test_the_slurm_profile_runs_the_paper_preset_beside_other_changes(clone: Path) -> None:
    result = run_snakemake(
        clone, "--profile", "slurm", "--dry-run", "--config", "train={gamma: 0.9}", "--", "collect"
    )
    assert result.returncode == 0, result.stdout
    assert "results/paper/SurComb3/collect/seed_4/trajectories.parquet" in result.stdout


def test_parsing_imports_neither_torch_nor_jax(clone: Path, tmp_path: Path) -> None:
    for name in ("torch", "jax"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name} was imported')\n")
    environment = {"PYTHONPATH": str(tmp_path)}
    imported = subprocess.run([sys.executable, "-c", "import torch"], env=environment, check=False)
    assert imported.returncode != 0  # the trap works
    result = run_snakemake(clone, "--dry-run", "--config", "preset=paper", environment=environment)
    assert result.returncode == 0, result.stdout


def test_a_study_on_starcraft_checks_it_before_all_else(clone: Path) -> None:
    changed = ["preset=paper", "env={backend: smacv2}"]
    result = run_snakemake(clone, "--dry-run", "--config", *changed, "--", "collect")
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(": Check StarCraft II\n") == 1
    assert result.stdout.index("Check StarCraft II") < result.stdout.index("Collect baseline")
    result = run_snakemake(clone, "--dry-run", "--config", "preset=paper", "--", "collect")
    assert "StarCraft" not in result.stdout


def test_rule_script_log_and_benchmark_have_one_name() -> None:
    names = []
    for path in (ROOT / "rules").glob("*.smk"):
        for rule in re.split(r"^rule ", path.read_text(), flags=re.MULTILINE)[1:]:
            name = rule.split(":")[0]
            if "script:" in rule:
                names.append(name)
                assert f'"../workflow/scripts/{name}.py"' in rule
                # Of the whole study, it is the name alone.
                assert re.search(rf'"results/{{study}}/logs/{name}(/|\.log")', rule)
                assert re.search(rf'"results/{{study}}/benchmarks/{name}(/|\.tsv")', rule)
    scripts = {path.stem for path in (ROOT / "workflow/scripts").glob("*.py")}
    assert scripts == {*names, "entry"}


def test_no_figure_or_table_is_a_job_of_the_cluster() -> None:
    for path in (ROOT / "rules").glob("*.smk"):
        text = path.read_text()
        made = set(re.findall(r"^rule ((?:figure|table)_\w+):", text, flags=re.MULTILINE))
        local = re.search(r"^localrules:\n((?:    \w+,\n)+)", text, flags=re.MULTILINE)
        assert made <= set(re.findall(r"\w+", local[1] if local else "")), path.name
