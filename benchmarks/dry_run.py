"""Dry run of the paper preset, where nothing has been run."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import ROOT, Effort, Figure, paired, seconds_of

TARGET_SECONDS = 5.0
REFERENCE = "dry run of a Snakefile with one empty rule"


def measure(effort: Effort) -> list[Figure]:
    """Wall time of the whole command."""
    snakemake = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all"]

    def run(*arguments: str) -> float:
        return seconds_of(
            lambda: subprocess.run(
                [*snakemake, *arguments], cwd=ROOT, capture_output=True, check=True
            )
        )

    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "Snakefile"
        empty.write_text("rule all:\n")
        paper = ("--config", "preset=paper", "study={name: benchmark}")
        return [
            paired(
                "dry_run",
                "dry run of the paper preset",
                "s",
                lambda: run("--snakefile", str(ROOT / "Snakefile"), *paper),
                effort,
                reference=(
                    REFERENCE,
                    lambda: run("--snakefile", str(empty), "--directory", folder),
                ),
                target=TARGET_SECONDS,
            )
        ]
