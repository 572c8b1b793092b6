"""Clones of the repository, and Snakemake run in them."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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


def planned_jobs(clone: Path, *arguments: str) -> dict[str, int]:
    """The jobs that a dry run plans, as {rule: number}, without the stage targets' own."""
    result = run_snakemake(clone, "--dry-run", *arguments)
    assert result.returncode == 0, result.stdout
    statistics = re.search(r"^Job stats:\n(.*?)^total ", result.stdout, re.DOTALL | re.MULTILINE)
    if statistics is None:
        assert "Nothing to be done" in result.stdout
        return {}
    rows = [line.split() for line in statistics[1].splitlines()[2:]]
    return {rule: int(count) for rule, count in rows if "_" in rule}
