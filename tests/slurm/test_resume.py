"""A training that SLURM stops twice, by scancel and by a time limit, against one left alone."""

import math
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from slurm.cluster import Cluster, wait_until
from slurm.cluster import run as call
from slurm.site import HASTE, Run, Site

LEAD = 120  # seconds from SIGTERM to the limit, as the profile asks for
EARLY = 30  # seconds that SLURM may send it earlier, as seen
STEPS = 100000  # the first job is cancelled long before
TRAINING = "SurComb3/train/trama/seed_0"
RESULTS = ("policy_last.pt", "policy_best.pt", "history.parquet", "embeddings.parquet")
CONFIG = (
    "--config",
    "preset=tiny",
    "study={variants: [trama]}",
    f"train={{env_steps: {STEPS}}}",
    "resources={train: {threads: 1, mem_mb: 2000, runtime: 15, gpu: 1}}",
    "--",
    f"results/tiny/{TRAINING}/policy_last.pt",
)
LOCAL = ("-m", "snakemake", "--cores", "1")


class Stopped(NamedTuple):
    """A training that ended after it was stopped twice, and the same one left alone.

    Attributes:
        limit: seconds after its start at which the second job's limit was.
        reached: env steps at which the jobs say that they were stopped.
        resumed: env steps from which the jobs after them say that they went on.
    """

    site: Site
    alone: Site
    run: Run
    limit: int
    reached: list[int]
    resumed: list[int]


def copy_without_training(finished: Site, target: Path) -> Site:
    """A copy of the study that has to train its one variant for longer."""
    site = finished.copy(target)
    shutil.rmtree(site.results / "SurComb3/train")
    shutil.rmtree(site.results / "logs")
    return site


def log_of(site: Site) -> str:
    """The log of the training's present or last attempt; empty before it begins."""
    file = site.results / "logs/train_with_representation/SurComb3/trama/seed_0.log"
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def begun(site: Site) -> bool:
    """Whether the training's present or last attempt says that it has played."""
    return re.search(r"\b[1-9]\d* of \d+ env steps", log_of(site)) is not None


def resumed_at(site: Site) -> int:
    """Env steps from which the training's present or last attempt goes on; 0 before it does."""
    found = re.search(r"going on from the checkpoint at (\d+) env steps", log_of(site))
    return int(found[1]) if found else 0


def stopped_at(site: Site, job: str) -> int:
    """Env steps at which the training was stopped in that SLURM job."""
    [file] = (site.clone / ".snakemake/slurm_logs").rglob(f"{job}.log")
    found = re.search(
        r"stopped by SIGTERM at (\d+) env steps; the next run goes on from here", file.read_text()
    )
    assert found, file.read_text()
    return int(found[1])


def pid_of_training(cluster: Cluster, job: str) -> int:
    """The process of a running job that trains, not those that started it."""
    [pid] = [
        pid
        for pid in cluster.processes()[job]
        if b"/.snakemake/scripts/" in Path("/proc", str(pid), "cmdline").read_bytes()
    ]
    return pid


@contextmanager
def held(pid: int) -> Iterator[None]:
    """Meanwhile the process does nothing, unless SLURM wakes it to take a signal."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it took the signal, and ended
            os.kill(pid, signal.SIGCONT)


def is_signalled(cluster: Cluster, job: str, limit: int) -> bool:
    """Whether a job's SIGTERM has come: it has ended of it, or has run for as long."""
    return job not in cluster.active() or run_time(cluster, job) > limit - LEAD


def set_limit(cluster: Cluster, job: str) -> int:
    """Give a running job the shortest limit whose signal is still to come; its seconds.

    A limit that the job asks for could come before a slow machine has begun to train.
    """
    limit = math.ceil((run_time(cluster, job) + EARLY + LEAD) / 60)
    call("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}")
    return 60 * limit


def run_time(cluster: Cluster, job: str) -> int:
    """Seconds that a job has run."""
    hours, minutes, seconds = map(int, cluster.jobs()[job]["RunTime"].split(":"))
    return 3600 * hours + 60 * minutes + seconds


@pytest.fixture(scope="module")
def stopped(
    cluster: Cluster, finished: tuple[Site, Run], tmp_path_factory: pytest.TempPathFactory
) -> Stopped:
    folder = tmp_path_factory.mktemp("resume")
    site = copy_without_training(finished[0], folder / "stopped")
    alone = copy_without_training(finished[0], folder / "alone")
    with (
        alone.started(LOCAL, CONFIG) as local,
        site.started(arguments=(*HASTE, *CONFIG)) as run,
    ):
        wait_until(lambda: begun(site), 180, "the training begins")
        time.sleep(5)
        call("scancel", *run.submitted)
        wait_until(lambda: resumed_at(site), 180, "the training goes on")
        resumed = [resumed_at(site)]
        second = run.submitted[1]
        with held(pid_of_training(cluster, second)):  # else a fast machine trains to the end
            limit = set_limit(cluster, second)
            wait_until(lambda: is_signalled(cluster, second, limit), limit, "SIGTERM comes")
        run.process.wait()
        assert run.code == 0, run.output
        local.process.wait()
        assert local.code == 0, local.output
    resumed.append(resumed_at(site))
    reached = [stopped_at(site, job) for job in run.submitted[:2]]
    return Stopped(site, alone, run, limit, reached, resumed)


def test_both_are_retried(cluster: Cluster, stopped: Stopped) -> None:
    jobs = [cluster.jobs()[job] for job in stopped.run.submitted]
    assert [job["JobState"] for job in jobs] == ["CANCELLED", "FAILED", "COMPLETED"]


def test_the_signal_leaves_two_minutes(cluster: Cluster, stopped: Stopped) -> None:
    ended = run_time(cluster, stopped.run.submitted[1])
    assert ended < stopped.limit - LEAD + 15  # which the last step and the checkpoint may take


def test_each_retry_goes_on_where_the_job_was_stopped(stopped: Stopped) -> None:
    assert stopped.resumed == stopped.reached
    assert 0 < stopped.reached[0] < stopped.reached[1] < STEPS


@pytest.mark.parametrize("name", RESULTS)
def test_the_results_are_those_of_an_uninterrupted_run(stopped: Stopped, name: str) -> None:
    found, expected = (
        (site.results / TRAINING / name).read_bytes() for site in (stopped.site, stopped.alone)
    )
    assert found == expected


def test_no_checkpoint_is_left(stopped: Stopped) -> None:
    assert not list((stopped.site.results / "checkpoints").rglob("*.pt"))
