"""Snakemake itself is killed while its SLURM jobs run, and `slurm/recover.py` goes on."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slurm.cluster import Cluster, wait_until
from slurm.cluster import run as call
from slurm.site import RECOVER, Run, Site

GRES = [
    "set-resources:",
    '  train_without_representation: {gpu: 0, gres: "gpu:1"}',
    '  train_with_representation: {gpu: 0, gres: "gpu:1"}',
]


def ask_by_gres(site: Site) -> None:
    """Take the profile's other way to ask for GPUs."""
    for line in GRES:
        site.edit_profile(f"# {line}", line)


def sleeper(cluster: Cluster, name: str, folder: Path) -> str:
    """Id of a small running job of that name in that folder."""
    options = [f"--job-name={name}", f"--chdir={folder}", "--mem=50", "--output=/dev/null"]
    job = call("sbatch", "--parsable", *options, "--wrap", "sleep 600").strip()
    wait_until(lambda: cluster.jobs()[job]["JobState"] == "RUNNING", 30, "a job runs")
    return job


@contextmanager
def drawing(site: Site) -> Iterator[None]:
    """Meanwhile a process runs that draws a figure, as the killed Snakemake would have left it."""
    script = site.clone / ".snakemake/scripts/tmp.figure.py"
    script.write_text("import time; time.sleep(600)")
    process = subprocess.Popen([sys.executable, script], cwd=site.clone)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def watch(cluster: Cluster, run: Run) -> None:
    """Wait for the run's end; no two jobs for the same outputs may have processes meanwhile."""
    comments: dict[str, str] = {}
    while run.process.poll() is None:
        alive = cluster.processes().keys()
        if alive - comments.keys():
            comments = {id: job.get("Comment", id) for id, job in cluster.jobs().items()}
        outputs = [comments[job] for job in alive]
        assert len(outputs) == len(set(outputs)), outputs
        time.sleep(0.2)


@pytest.fixture
def interrupted(cluster: Cluster, copied: Site) -> Iterator[tuple[Site, Run]]:
    """A study whose Snakemake was killed while both trainings run as jobs."""
    shutil.rmtree(copied.results / "SurComb3/train")
    logs = list((copied.results / "logs").glob("train_*/SurComb3/*/seed_0.log"))
    assert len(logs) == 2
    for log in logs:
        log.unlink()
    ask_by_gres(copied)
    with copied.started() as run:
        wait_until(lambda: all(log.is_file() for log in logs), 180, "both trainings run")
    yield copied, run
    cluster.cancel_all()


def test_orphans_are_cancelled_and_the_study_ends(
    cluster: Cluster, interrupted: tuple[Site, Run], tmp_path: Path
) -> None:
    site, killed = interrupted
    orphans = cluster.jobs(killed.name)
    assert [job["JobState"] for job in orphans.values()] == ["RUNNING", "RUNNING"]
    assert {job["TresPerNode"] for job in orphans.values()} == {"gres:gpu:1"}
    # Of the same folder but not Snakemake's; of the same name, as in a copy, but elsewhere.
    others = [sleeper(cluster, "other", site.clone), sleeper(cluster, killed.name, tmp_path)]

    with site.started() as again:
        again.process.wait()
    assert again.code != 0
    assert "Directory cannot be locked" in again.output

    with site.started(RECOVER) as recovered:
        with drawing(site):
            wait_until(lambda: "waiting for figures" in recovered.output, 120, "orphans are gone")
            assert not cluster.processes().keys() & orphans.keys()
            assert any((site.clone / ".snakemake/locks").iterdir())
        watch(cluster, recovered)
    assert recovered.code == 0, recovered.output
    assert site.has_last_tables()
    jobs = cluster.jobs()
    assert {jobs[job]["JobState"] for job in orphans} == {"CANCELLED"}
    assert {jobs[job]["JobState"] for job in others} == {"RUNNING"}


def test_a_running_snakemake_is_left_alone(cluster: Cluster, copied: Site) -> None:
    (copied.results / "SurComb3/evaluate/qplex/seed_0/episodes.parquet").unlink()
    with copied.started() as run:
        wait_until(lambda: run.submitted, 60, "a job is submitted")
        refused = copied.run(RECOVER)
        assert refused.code == 1
        assert "Snakemake is running in this folder" in refused.output
        assert cluster.active() == run.submitted
    cluster.cancel_all()
