"""A finished study that is archived, and restored in a fresh clone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from clones import copy_clone, named_jobs, run_snakemake
from planner import dry_runs
from tiny_jobs import ALL, EVALUATE, FIGURES, TABLES, TRAMA, Jobs
from trama.archive import sha256

pytestmark = pytest.mark.end_to_end

ARCHIVE = "archives/tiny.tar"


def command(clone: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, f"workflow/commands/{name}.py", "--preset", "tiny", *arguments],
        cwd=clone,
        capture_output=True,
        text=True,
    )


def plan(study: Path, *change: str) -> Jobs:
    return named_jobs(dry_runs(study, [["--config", "preset=tiny", *change]])[0])


def results(clone: Path) -> dict[str, str]:
    folder = clone / "results/tiny"
    return {str(p.relative_to(folder)): sha256(p) for p in folder.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def archive(finished_study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the finished study."""
    path = tmp_path_factory.mktemp("archive") / "tiny.tar"
    done = command(finished_study, "archive", "--archive", str(path))
    assert done.returncode == 0, done.stderr
    beside = ("logs", "benchmarks", "provenance")
    outputs = [name for name in results(finished_study) if Path(name).parts[0] not in beside]
    assert f": {len(outputs)} results of study tiny, " in done.stdout
    return path


@pytest.fixture
def restored(clone: Path, archive: Path) -> Path:
    """A fresh clone in which the archive was restored."""
    (clone / "archives").mkdir()
    shutil.copy(archive, clone / ARCHIVE)
    for script in (clone / "workflow/scripts").iterdir():
        script.touch()  # git gives files the time of the clone
    done = command(clone, "restore")
    assert done.returncode == 0, done.stderr
    assert "files of study tiny restored" in done.stdout
    return clone


def test_all_results_are_restored_and_count_as_done(restored: Path, finished_study: Path) -> None:
    assert results(restored) == results(finished_study)
    assert plan(restored) == {}


@pytest.mark.parametrize(
    ("change", "planned"),
    [
        ("figures={dpi: 100}", FIGURES),
        ("train={predictor: {loss_weight: 0.2}}", TRAMA),
        ("evaluate={episodes: 5}", EVALUATE),
        ("collect={gamma: 0.9}", ALL),
    ],
)
def test_later_changes_are_noticed(restored: Path, change: str, planned: Jobs) -> None:
    assert plan(restored, change) == planned


def test_an_archive_of_what_was_restored_is_the_same(restored: Path, archive: Path) -> None:
    done = command(restored, "archive", "--archive", "again.tar")
    assert done.returncode == 0, done.stderr
    assert (restored / "again.tar").read_bytes() == archive.read_bytes()


def test_another_script_runs_again(clone: Path, archive: Path) -> None:
    script = clone / "workflow/scripts/evaluate_variant.py"
    script.write_text(script.read_text() + "# another one\n")
    done = command(clone, "restore", "--archive", str(archive))
    assert "run again: ['evaluate_variant']" in done.stdout
    assert plan(clone) == EVALUATE


def test_results_that_are_there_are_kept(restored: Path, archive: Path) -> None:
    evaluation = restored / "results/tiny/SurComb3/evaluate/qmix/seed_0/episodes.parquet"
    before = evaluation.stat().st_mtime_ns
    done = command(restored, "restore")
    assert (done.returncode, evaluation.stat().st_mtime_ns) == (0, before)
    assert ": 0 files of study tiny restored" in done.stdout
    evaluation.write_bytes(b"newer work")
    (restored / "results/tiny/SurComb3/train/qmix/seed_0/policy_last.pt").unlink()
    before_all = results(restored)
    done = command(restored, "restore")
    assert done.returncode == 1
    assert "1 of its files are here already with other content, such as" in done.stderr
    assert "Traceback" not in done.stderr
    assert results(restored) == before_all


def test_unfinished_results_stay_out(copied_study: Path, tmp_path: Path) -> None:
    """Of a job that was killed there are files, and Snakemake's marks; of a foreign file none."""
    seed = "results/tiny/SurComb3/train/qmix/seed_0"
    marks = copied_study / ".snakemake/incomplete"
    for record in (copied_study / ".snakemake/metadata").rglob("*"):
        if record.is_file() and '"train_without_representation"' in record.read_text():
            mark = marks / record.relative_to(copied_study / ".snakemake/metadata")
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text('{"external_jobid": null}')
    (copied_study / seed / "foreign.bin").write_bytes(b"replay")
    assert command(copied_study, "archive").returncode == 0
    clone = copy_clone(tmp_path / "clone")
    (clone / "archives").mkdir()
    shutil.copy(copied_study / ARCHIVE, clone / ARCHIVE)
    assert command(clone, "restore").returncode == 0
    assert not (clone / seed).exists()
    planned = plan(clone)
    trained = {"train_without_representation qmix", "train_without_representation qplex"}
    assert trained <= planned.keys()
    assert not {"collect_problem", "train_with_representation trama"} & planned.keys()


def test_a_record_brings_the_runs_back_as_far_as_tables_go(copied_study: Path, clone: Path) -> None:
    kept = copied_study / "docs/results/tiny"
    (kept / "tables").mkdir(parents=True)
    (kept / "tables/experiment_other.md").write_text("Experiment other: of another machine\n")
    (kept / "tables/experiment_other.csv").write_text("statistic\n")
    foreign = copied_study / "results/tiny/SurComb3/train/own/seed_0/history.parquet"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"of no job")
    assert command(copied_study, "record").returncode == 0
    runs = [json.loads(file.read_text()) for file in (kept / "provenance").glob("*.json")]
    assert runs and not any("host" in run["machine"] for run in runs)
    assert (kept / "tables/experiment_other.md").exists()
    assert not (kept / "SurComb3/train/own").exists()
    done = command(clone, "restore", "--archive", str(kept))
    assert done.returncode == 0, done.stderr
    assert not list((clone / "results").rglob("*.pt"))
    shown = ("--", "tables")
    assert plan(clone, *shown) == TABLES
    trained = {"train_with_representation trama", "evaluate_variant qmix", "collect_problem"}
    assert trained <= plan(clone, "evaluate={episodes: 5}", *shown).keys()
    ran = run_snakemake(clone, "--cores", "2", "--config", "preset=tiny", *shown)
    assert ran.returncode == 0, ran.stdout
    for table in (copied_study / "results/tiny/tables").glob("*.csv"):
        assert (clone / "results/tiny/tables" / table.name).read_bytes() == table.read_bytes()
    # What is recorded of runs that are not here is not thrown away unasked.
    shutil.copytree(kept, clone / "docs/results/tiny", dirs_exist_ok=True)
    shutil.rmtree(clone / "results/tiny/SurComb3/evaluate/qmix")
    before = sorted((clone / "docs").rglob("*"))
    refused = command(clone, "record")
    assert refused.returncode == 1
    assert "make restore ARCHIVE=docs/results/tiny" in refused.stderr
    assert sorted((clone / "docs").rglob("*")) == before
    assert command(clone, "restore", "--archive", "docs/results/tiny").returncode == 0
    assert command(clone, "record").returncode == 0


def test_results_are_compared_with_those_of_an_archive(copied_study: Path, archive: Path) -> None:
    """What was run anew is the same but for wall times and what is said of the code."""
    history, timing = (
        copied_study / f"results/tiny/SurComb3/train/trama/seed_0/{name}.parquet"
        for name in ("history", "timing")
    )
    for file in (history, timing):
        table = pq.read_table(file)
        pq.write_table(table.replace_schema_metadata({"code_version": "another"}), file)
    rows = pq.read_table(timing)
    pq.write_table(rows.slice(1), timing)
    same = command(copied_study, "compare", "--archive", str(archive))
    assert same.returncode == 0, same.stderr
    number = int(same.stdout.split()[1])
    assert number > 20 and f"{number} of {number} files" in same.stdout
    pq.write_table(pq.read_table(history).slice(1), history)
    policy = history.with_name("policy_last.pt")
    policy.write_bytes(policy.read_bytes() + b"more")
    other = command(copied_study, "compare", "--archive", str(archive))
    assert other.returncode == 1
    assert f"{number - 2} of {number} files" in other.stdout
    for file in (history, policy):
        assert f"{file.relative_to(copied_study)}: other content" in other.stdout
    shutil.rmtree(copied_study / "results")
    nothing = command(copied_study, "compare", "--archive", str(archive))
    assert nothing.returncode != 0 and "none of its files is in results/tiny" in nothing.stderr


def test_restoring_beside_a_running_snakemake_is_refused(clone: Path, archive: Path) -> None:
    lock = clone / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    done = command(clone, "restore", "--archive", str(archive))
    assert done.returncode == 1
    assert "Snakemake runs here, or was killed" in done.stderr
    assert not (clone / "results").exists()


def test_an_archive_of_nothing_says_what_to_run(clone: Path) -> None:
    done = command(clone, "archive")
    assert done.returncode == 1
    assert "no finished job's results are there; run `make` first" in done.stderr
