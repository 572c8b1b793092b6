"""Clones of the repository, and Snakemake run in them."""

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from planner import DryRun, dry_runs

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("representation", "variant")
NOT_IN_A_CLONE = ("results", "__pycache__", "*.egg-info", ".*")


def copy_clone(target: Path) -> Path:
    """Copy the repository's files, times included, without environments, caches and results."""
    shutil.copytree(ROOT, target, ignore=shutil.ignore_patterns(*NOT_IN_A_CLONE))
    return target


def run_snakemake(
    clone: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Snakemake in a clone; standard error and output come together as `stdout`."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=clone,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
    )


def run_tiny_study(target: Path) -> Path:
    """Run the tiny preset in a fresh clone, which is returned, from an empty results folder."""
    clone = copy_clone(target)
    result = run_snakemake(clone, "--cores", "2", "--config", "preset=tiny")
    assert result.returncode == 0, result.stdout
    return clone


def planned_jobs(clone: Path, *arguments: str) -> dict[str, int]:
    """The jobs that a dry run plans, as {rule: number}, without the stage targets' own."""
    return dict(Counter(rule for rule, _ in _jobs(dry_runs(clone, [arguments])[0])))


def named_jobs(run: DryRun) -> dict[str, int]:
    """The jobs that a dry run planned, as {rule and its variant or representation: number}."""
    return dict(
        Counter(
            " ".join([rule, *(wildcards[key] for key in NAMES if key in wildcards)])
            for rule, wildcards in _jobs(run)
        )
    )


def _jobs(run: DryRun) -> list[tuple[str, dict[str, str]]]:
    """Rule and wildcards of the planned jobs; a stage target, which is a job too, has none."""
    assert run.returncode == 0, run.output
    return [(rule, dict(wildcards)) for rule, wildcards in run.jobs if wildcards]
