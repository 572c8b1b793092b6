"""The real chain on the tiny preset, its jobs killed at random moments, against one left alone."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clones import copy_clone, run_snakemake

ARGUMENTS = ("--cores", "1", "--rerun-incomplete", "--config", "preset=tiny")
# A checkpoint after every step: half of a training's time goes into writing them.
OFTEN = "preset: tiny\ntrain: {checkpoint_minutes: 1.0e-9}\n"
# Rule, kills, and the seconds of work within which they come.
KILLS = [
    ("collect_problem", 2, 2.0),
    ("pretrain_representation", 1, 0.5),
    ("train_with_representation", 5, 3.0),  # comes first: its priority is higher
    ("train_without_representation", 3, 3.0),
    ("evaluate_variant", 1, 0.5),
]
UNREPEATABLE = (
    *("timing.parquet", "study_compute.", "study_cost."),
    *("/logs/", "/benchmarks/", "/provenance/"),
)


def results_of(clone: Path) -> dict[str, bytes]:
    """Contents of all results that two runs have in common."""
    paths = (path for path in (clone / "results").rglob("*") if path.is_file())
    names = {str(path.relative_to(clone)): path for path in paths}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not any(part in f"/{name}" for part in UNREPEATABLE)
    }


def processes_of(rule: str, clone: Path) -> list[int]:
    """Processes that run the script of a rule in that clone."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode().split("\0")
            here = Path(os.readlink(entry / "cwd")) == clone
        except OSError:
            continue
        if here and any(part.endswith(f".{rule}.py") for part in command[1:3]):
            found.append(int(entry.name))
    return found


def kill_once(rule: str, clone: Path, delay: float) -> str:
    """Run the chain, kill the rule's job that many seconds after it began to work; its log."""
    running = subprocess.Popen(
        [sys.executable, "-m", "snakemake", *ARGUMENTS, "--configfile", "often.yaml"],
        cwd=clone,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    log = ""
    until = time.monotonic() + 300
    try:
        while running.poll() is None and time.monotonic() < until:
            for process in processes_of(rule, clone):
                logs = list((clone / "results/tiny/logs" / rule).rglob("*.log"))
                newest = max(logs, key=lambda path: path.stat().st_mtime, default=None)
                text = newest.read_text() if newest else ""
                if " of " not in text:  # the line that a job's progress begins with
                    continue
                time.sleep(delay)
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:  # too late: sooner in the rule's next job
                    delay /= 4
                    continue
                log = newest.read_text() if newest else ""
                break
            if log:
                break
            time.sleep(0.05)
        running.wait(timeout=120)
    finally:
        running.kill()
    assert log, f"no job of {rule} was seen"
    assert running.returncode == 1
    return log


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the chain runs without a kill."""
    return copy_clone(tmp_path_factory.mktemp("alone") / "clone")


@pytest.fixture(scope="module")
def killed(
    tmp_path_factory: pytest.TempPathFactory, alone: Path
) -> Iterator[tuple[Path, list[str]]]:
    """A clone whose jobs were killed and which was then run to the end, and the trainings' logs."""
    clone = copy_clone(tmp_path_factory.mktemp("killed") / "clone").resolve()
    (clone / "often.yaml").write_text(OFTEN)
    moments = random.Random(0)
    logs = []
    for rule, times, seconds in KILLS:
        for _ in range(times):
            text = kill_once(rule, clone, moments.uniform(0.0, seconds))
            if rule.startswith("train"):
                logs.append(text)
    result = run_snakemake(clone, *ARGUMENTS)
    assert result.returncode == 0, result.stdout
    yield clone, logs


def test_a_killed_study_ends_in_the_same_bytes(killed: tuple[Path, list[str]], alone: Path) -> None:
    result = run_snakemake(alone, *ARGUMENTS)
    assert result.returncode == 0, result.stdout
    found, expected = results_of(killed[0]), results_of(alone)
    assert sorted(found) == sorted(expected)
    assert [name for name in found if found[name] != expected[name]] == []
    assert not any("/checkpoints/" in name for name in found)


def test_trainings_went_on_from_their_checkpoints(killed: tuple[Path, list[str]]) -> None:
    reached = [
        re.findall(r"going on from the checkpoint at (\d+) env steps", text) for text in killed[1]
    ]
    steps = [int(found[0]) for found in reached if found]
    # The first kill of each variant finds no checkpoint before it; later ones do.
    assert len(steps) >= 4
    assert max(steps) > 100
