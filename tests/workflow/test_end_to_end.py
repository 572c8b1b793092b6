"""One real run of the whole chain on the tiny preset, from an empty results folder."""

import csv
import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from PIL import Image, ImageSequence

import tiny_jobs
from clones import copy_clone, planned_jobs, run_snakemake
from trama.archive import sha256
from trama.config.load import load_config
from trama.config.params import (
    cluster_params,
    collect_params,
    evaluate_params,
    params_hash,
    pretrain_params,
    train_params,
)
from trama.data.parquet import (
    Provenance,
    code_version,
    environment_version,
    read_provenance,
    read_table,
)

pytestmark = pytest.mark.end_to_end

VARIANTS = ["qmix", "qplex", "trama"]
FIGURES = [rule.removeprefix("figure_") for rule in tiny_jobs.FIGURES]
STUDY_FIGURES = ["aggregates", "performance_profiles"]
FIGURE_FILES = [f"{'study' if name in STUDY_FIGURES else 'SurComb3'}_{name}" for name in FIGURES]
TABLES = ["results", "ood", "ood_tasks", "clusters", "predictor", "class_use"]
TABLES += ["novelty", "label_consistency"]
STUDY_TABLES = ["win_rates", "ablations", "claims", "hyperparameters", "compute", "cost", "numbers"]
TABLE_FILES = [
    *(f"SurComb3_{name}" for name in TABLES),
    *("numbers" if name == "numbers" else f"study_{name}" for name in STUDY_TABLES),
]


def files_of(clone: Path) -> set[Path]:
    return {path.relative_to(clone) for path in clone.rglob("*") if path.is_file()}


def test_a_second_run_does_nothing_and_says_so(finished_study: Path) -> None:
    result = run_snakemake(finished_study, "--cores", "2", "--config", "preset=tiny")
    assert result.returncode == 0
    assert "Nothing to be done" in result.stdout


def test_moving_the_folder_plans_nothing(copied_study: Path) -> None:
    assert planned_jobs(copied_study, "--config", "preset=tiny") == {}


def test_a_run_writes_below_its_study_alone(finished_study: Path, tmp_path: Path) -> None:
    made = files_of(finished_study) - files_of(copy_clone(tmp_path / "clone"))
    elsewhere = {
        path
        for path in made
        if path.parts[:2] != ("results", "tiny")
        and path.parts[0] != ".snakemake"
        and "__pycache__" not in path.parts
    }
    assert elsewhere == set()


@pytest.mark.parametrize("name", FIGURE_FILES)
def test_figures_are_pictures(finished_study: Path, name: str) -> None:
    figure = finished_study / "results/tiny/figures" / name
    assert figure.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
    assert figure.with_suffix(".png").read_bytes().startswith(b"\x89PNG\r\n")
    assert "SurComb3" in figure.with_suffix(".caption.rst").read_text()


@pytest.mark.parametrize("name", TABLE_FILES)
def test_tables_have_rows_in_each_format(finished_study: Path, name: str) -> None:
    table = finished_study / "results/tiny/tables" / name
    line = r"\newcommand" if name == "numbers" else r"\toprule"
    assert line in table.with_suffix(".tex").read_text()
    assert "\n| :-- |" in table.with_suffix(".md").read_text()
    with table.with_suffix(".csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) > 0


def test_the_table_of_results_has_every_variant_and_task(finished_study: Path) -> None:
    with (finished_study / "results/tiny/tables/SurComb3_results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    tasks = {"3s2z surrounded", "2c3z surrounded", "2c3s surrounded"}
    for metric in ("win_rate", "return"):
        found = {(row["variant"], row["task"]) for row in rows if row["metric"] == metric}
        assert {(variant, task) for variant in VARIANTS for task in tasks} < found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_policy_is_evaluated_on_every_task(finished_study: Path, variant: str) -> None:
    path = finished_study / f"results/tiny/SurComb3/evaluate/{variant}/seed_0/episodes.parquet"
    episodes = read_table(path, "episodes").to_pandas()
    n_tasks = {"trained": 3, "tiny_units": 2, "tiny_starts": 2}
    assert (episodes.groupby(["policy", "task"]).size() == 4).all()
    tasks = episodes.groupby(["policy", "task_set"])["task"].nunique()
    assert tasks.to_dict() == {(p, s): n for p in ("last", "best") for s, n in n_tasks.items()}
    assert episodes["episode_return"].between(0, 20 + 1e-5).all()  # float32 rewards
    assert set(episodes["variant"]) == {variant}
    assert read_provenance(path).study == "tiny"
    steps = read_table(path.with_name("predictions.parquet"), "predictions").to_pandas()
    given = read_table(path.with_name("given_classes.parquet"), "given_classes").to_pandas()
    again = read_table(path.with_name("fallback.parquet"), "fallback")
    assert again.num_rows == 0  # no variant can
    of_classes = episodes[
        [
            *("class", "entropy", "agreement", "swap_effect", "swap_actions", "centroid_distance"),
            *("confidence", "energy", "disagreement", "distance"),
        ]
    ]
    if variant == "trama":
        assert of_classes.notna().all(axis=None)
        assert steps.groupby(["policy", "task"]).ngroups == 2 * 7
        assert set(given.groupby(["policy", "task", "given"]).size()) == {4}
    else:
        assert of_classes.isna().all(axis=None) and steps.empty and given.empty


def test_a_policy_is_played_from_its_file_alone(finished_study: Path, tmp_path: Path) -> None:
    """As the stage played it; and it is drawn."""
    results = finished_study / "results/tiny/SurComb3"
    policy = tmp_path / "policy.pt"
    shutil.copy(results / "train/trama/seed_0/policy_last.pt", policy)

    def command(name: str, *options: str) -> list[str]:
        file = finished_study / f"workflow/commands/{name}.py"
        done = subprocess.run(
            [sys.executable, file, policy, *options], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    episodes = read_table(results / "evaluate/trama/seed_0/episodes.parquet", "episodes")
    rows = episodes.to_pandas().query("policy == 'last' and task_set == 'trained'")
    lines = command("evaluate", "--episodes", "4")
    shown = {" ".join(words[:2]): words[2:5] for words in map(str.split, lines[2:5])}
    assert shown == {
        task: [f"{own[name].mean():.2f}" for name in ("won", "episode_return", "length")]
        for task, own in rows.groupby("task")
    }
    _, animation, sheet = command("replay", "--task", "3s2z reflected")
    with Image.open(tmp_path / "policy_3s2z_reflected.gif") as gif:
        n_frames = sum(1 for _ in ImageSequence.Iterator(gif))
    assert animation == f"{tmp_path}/policy_3s2z_reflected.gif: {n_frames} frames"
    assert sheet == f"{tmp_path}/policy_3s2z_reflected.png: contact sheet"
    with Image.open(tmp_path / "policy_3s2z_reflected.png") as picture:
        picture.load()


def test_every_parquet_file_says_what_made_it(finished_study: Path) -> None:
    config = load_config(
        finished_study / "config/config.yaml",
        finished_study / "config",
        overrides={"preset": "tiny"},
    )
    by_variant = {"train": train_params, "evaluate": evaluate_params}
    results = finished_study / "results/tiny"
    files = sorted(results.rglob("*.parquet"))
    for path in files:
        problem, stage, *name, seed, file = path.relative_to(results).parts
        assert (problem, seed) == ("SurComb3", "seed_0")
        if stage == "collect":
            params = collect_params(config, problem, 0)
        elif stage in by_variant:
            params = by_variant[stage](config, problem, name[0], 0)
        elif file == "vqvae_history.parquet":
            stage, params = "pretrain", pretrain_params(config, problem, name[0], 0)
        else:
            stage, params = "cluster", cluster_params(config, problem, name[0], 0)
        assert read_provenance(path) == Provenance(
            study="tiny",
            stage=stage,
            params_hash=params_hash(params),
            seed=0,
            code_version=code_version(),
            environment_version=environment_version(),
        )
    assert len(files) == 30


def test_the_study_says_what_ran(finished_study: Path) -> None:
    config = load_config(
        finished_study / "config/config.yaml",
        finished_study / "config",
        overrides={"preset": "tiny"},
    )
    runs = sorted((finished_study / "results/tiny/provenance").iterdir())
    run = json.loads(runs[0].read_text())
    assert run["config"] == config.model_dump(mode="json")
    assert run["command"] == ["snakemake", "--cores", "2", "--config", "preset=tiny"]
    # A clone of the tests is no repository; a second run that did nothing has no record.
    assert run["code"] == {"version": code_version(), "commit": None, "changed": None}
    assert len(runs) == 1


@pytest.mark.parametrize(
    "name",
    [f"figures/{n}" for n in FIGURE_FILES] + [f"tables/{n}" for n in [*TABLE_FILES, "findings"]],
)
def test_figures_and_tables_name_their_inputs(finished_study: Path, name: str) -> None:
    folder, stem = name.split("/")
    path = finished_study / "results/tiny" / folder / f"{stem}.sources.json"
    sources = json.loads(path.read_text())
    made = [f for f in path.parent.glob(f"{stem}.*") if f != path]
    assert {finished_study / file for file in sources["made"]} == set(made)
    for source in sources["inputs"]:
        file = finished_study / source["file"]
        assert source["sha256"] == sha256(file)
        assert source["provenance"] == asdict(read_provenance(file))
        # A short training may not have clustered.
        assert source["rows"] > 0 or "train" in source["file"]
    inputs = [Path(source["file"]) for source in sources["inputs"]]
    episodes = {("evaluate", v, "episodes") for v in VARIANTS}
    of_trama = {("train", "trama", "history")}
    given = {("evaluate", "trama", "given_classes")}
    histories = {("train", v, "history") for v in VARIANTS}
    clusters = {("representation", "vqvae", "cluster_metrics")}
    read = {
        "learning_curves": histories,
        "predictor_accuracy": of_trama,
        "embeddings": {
            *(("representation", "vqvae", "embeddings"), ("train", "trama", "embeddings")),
        },
        "codebook": {("representation", "vqvae", "codebook"), ("train", "trama", "codebook")},
        "predictor_confusion": {("evaluate", "trama", "predictions")},
        "ood_gain": {("evaluate", v, "episodes") for v in ("trama", "qplex")},
        **dict.fromkeys(["task_win_rates", *STUDY_FIGURES], episodes),
        **dict.fromkeys(["results", "ood", "ood_tasks"], episodes),
        **dict.fromkeys(["ablations", "hyperparameters"], episodes),
        **dict.fromkeys(["predictor", "label_consistency"], of_trama),
        "class_use": {("evaluate", "trama", "episodes"), *given},
        "novelty": {("evaluate", "trama", "episodes")},
        "clusters": clusters,
        "compute": {
            *(episodes | histories | clusters),
            *(("train", v, "timing") for v in VARIANTS),
            *(("collect", "seed_0", kind) for kind in ("timing", "history")),
            ("representation", "vqvae", "vqvae_history"),
        },
        "cost": {("train", v, "timing") for v in VARIANTS},
        "claims": episodes | of_trama | given,
        "numbers": episodes | clusters | of_trama | given,
        "win_rates": episodes | histories,
        "findings": episodes | clusters | histories,
    }
    name = stem.removeprefix("SurComb3_").removeprefix("study_")
    assert {(*p.parts[3:5], p.stem) for p in inputs} == read[name]
    # A picture tells the same hash of the params.
    if folder == "figures":
        picture = path.with_name(f"{stem}.png").read_bytes()
        assert sources["provenance"]["params_hash"].encode() in picture


def test_every_declared_output_exists(finished_study: Path) -> None:
    result = run_snakemake(finished_study, "--summary", "--config", "preset=tiny")
    lines = result.stdout.splitlines()
    header = next(n for n, line in enumerate(lines) if line.startswith("output_file\t"))
    rows = [line.split("\t") for line in lines[header + 1 :] if line.startswith("results/")]
    jobs = {path.stem for path in (finished_study / "workflow/scripts").glob("*_*.py")}
    # Of another backend, of targets of their own, and of variants that learn without a class.
    others = {"check_starcraft", "figure_experiment", "table_experiment", "predict_classes"}
    others |= {f"{kind}_predictor_alone" for kind in ("figure", "table")} | {"table_fallback"}
    assert {row[2] for row in rows} == jobs - others
    assert [row[0] for row in rows if not (finished_study / row[0]).is_file()] == []


def test_evaluation_figures_and_tables_are_repeatable(copied_study: Path) -> None:
    results = copied_study / "results/tiny"

    def content() -> dict[Path, bytes]:
        files = [*results.glob("*/evaluate/**/*.parquet")]
        files += [*results.glob("figures/*"), *results.glob("tables/*")]
        # The tables of wall times are the only ones that are not repeatable, and not made again.
        timed = ("study_compute.", "study_cost.")
        return {f: f.read_bytes() for f in files if not f.name.startswith(timed)}

    before = content()
    tables = [name for name in [*TABLES, *STUDY_TABLES] if name not in ("compute", "cost")]
    rules = ["evaluate_variant", "table_findings"]
    rules += [*(f"figure_{n}" for n in FIGURES), *(f"table_{n}" for n in tables)]
    written = {path: path.stat().st_mtime_ns for path in before}
    result = run_snakemake(
        copied_study, "--cores", "2", "--config", "preset=tiny", "--forcerun", *rules
    )
    assert result.returncode == 0, result.stdout
    assert content() == before
    # Figures and tables have a file of their caption and one of their sources, too; the findings
    # have the latter.
    assert len(before) == 4 * len(VARIANTS) + (2 + 2) * len(FIGURES) + (4 + 2) * len(tables) + 2
    assert all(path.stat().st_mtime_ns > time for path, time in written.items())


def test_every_job_leaves_a_log_and_a_benchmark(finished_study: Path) -> None:
    results = finished_study / "results/tiny"
    jobs = {
        path.relative_to(results / "logs").with_suffix("") for path in results.glob("logs/**/*.log")
    }
    of_runs = 3 + 2 * len(VARIANTS)
    assert len(jobs) == of_runs + len(tiny_jobs.FIGURES) + len(tiny_jobs.TABLES)
    measured = results.glob("benchmarks/**/*.tsv")
    assert {path.relative_to(results / "benchmarks").with_suffix("") for path in measured} == jobs


def test_a_broken_input_ends_in_one_clear_message(copied_study: Path) -> None:
    seed = "SurComb3/collect/seed_0"
    trajectories = copied_study / "results/tiny" / seed / "trajectories.parquet"
    trajectories.write_bytes(trajectories.read_bytes()[:1000])
    result = run_snakemake(copied_study, "--cores", "1", "--config", "preset=tiny", "--", "cluster")
    assert result.returncode != 0
    assert "Traceback" not in result.stdout
    assert f"ERROR: results/tiny/{seed}/trajectories.parquet" in result.stdout
    # Snakemake removes what a failed job was to write, and repeats its log, which stays.
    log = "results/tiny/logs/pretrain_representation/SurComb3/vqvae/seed_0.log"
    assert "trajectories.parquet" in (copied_study / log).read_text()


def test_a_study_is_recorded_for_the_repository(copied_study: Path) -> None:
    command = [sys.executable, "workflow/commands/record.py", "--preset", "tiny"]
    done = subprocess.run(command, cwd=copied_study, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (copied_study / "docs/RESULTS.md").read_text()
    assert "## Study tiny" in page and "fewer than 3 seeds" in page
    assert "Trainings of 4,500 env steps, the 1,500 of stage collect included" in page
    left = page.split("## Not run")[1].split("\n## ")[0]
    assert "- experiment `labels`, 0 of 18 runs: How do labels" in left
    assert "- preset `claims`, 0 of 180 runs" in left and "preset `tiny`" not in left
    kept = copied_study / "docs/results/tiny"
    assert "[results/tiny/FIGURES.md](results/tiny/FIGURES.md)" in page
    shown = re.findall(r"!\[.*?\]\((.*?)\)", (kept / "FIGURES.md").read_text())
    assert len(shown) == len(FIGURES) and all((kept / file).is_file() for file in shown)
    for file in ("train/trama/seed_0/history", "evaluate/qmix/seed_0/episodes"):
        own = Path(f"SurComb3/{file}.parquet")
        assert (kept / own).read_bytes() == (copied_study / "results/tiny" / own).read_bytes()
    assert not list(kept.rglob("*.pt"))
    for name in ("study_claims", "study_win_rates", "study_ablations", "SurComb3_class_use"):
        (copied_study / f"results/tiny/tables/{name}.md").unlink()
    failed = subprocess.run(command, cwd=copied_study, capture_output=True, text=True)
    assert failed.returncode == 1 and "there is neither study_win_rates.md nor" in failed.stderr


def test_an_experiment_of_finished_runs_is_a_figure_and_a_table(
    copied_study: Path, tmp_path: Path
) -> None:
    """It shows the numbers of the runs, in the order in which it names them."""
    extra = tmp_path / "own.yaml"
    extra.write_text(
        "preset: tiny\nexperiments: {own: {question: Which wins, problems: [SurComb3], "
        "seeds: [0], variants: [trama, qmix], measures: [win_rate, ari, train_minutes]}}"
    )
    given = ("--configfile", str(extra))
    planned = planned_jobs(copied_study, *given, "--", "experiment_own")
    assert planned == {"figure_experiment": 1, "table_experiment": 1}
    result = run_snakemake(copied_study, "--cores", "2", *given, "--", "experiment_own")
    assert result.returncode == 0, result.stdout
    results = copied_study / "results/tiny"
    with (results / "tables/experiment_own.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = {
        (row["name"], row["measure"]): float(row["value"])
        for row in rows
        if row["statistic"] == "mean"
    }
    assert set(shown) == {
        *(
            (name, measure)
            for name in ("trama", "qmix")
            for measure in ("win_rate", "train_minutes")
        ),
        ("trama", "ari"),
    }
    for name in ("trama", "qmix"):
        run = results / f"SurComb3/evaluate/{name}/seed_0/episodes.parquet"
        rows_of_run = read_table(run, "episodes").to_pandas()
        last = rows_of_run.query("policy == 'last' and task_set == 'trained'")
        assert shown[name, "win_rate"] == pytest.approx(last["won"].mean())
        seconds = read_table(results / f"SurComb3/train/{name}/seed_0/timing.parquet", "timing")
        minutes = seconds.to_pandas()["seconds"].sum() / 60
        assert shown[name, "train_minutes"] == pytest.approx(minutes)
    assert planned_jobs(copied_study, *given, "--", "experiment_own") == {}
    changed = ("--config", "experiments={own: {measures: [win_rate]}}")
    assert planned_jobs(copied_study, *given, *changed, "--", "experiment_own") == planned
    assert "Which wins" in (results / "figures/experiment_own.caption.rst").read_text()
    assert (results / "figures/experiment_own.pdf").read_bytes().startswith(b"%PDF-")
    table = (results / "tables/experiment_own.md").read_text()
    assert table.index("| trama |") < table.index("| qmix |")
    recorded = [sys.executable, "workflow/commands/record.py", "--preset", "tiny"]
    subprocess.run(recorded, cwd=copied_study, check=True, capture_output=True)
    page = (copied_study / "docs/RESULTS.md").read_text()
    own = page.split("### Experiment own\n")[1].split("### ")[0]
    assert "Which wins" in own and "![experiment own](results/tiny/figures/" in own
