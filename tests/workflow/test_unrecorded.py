"""What `slurm/recover.py` finds of work that Snakemake has no record of; this needs no SLURM."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from clones import run_snakemake

pytestmark = pytest.mark.end_to_end

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--profile", "slurm"]
ARGUMENTS = ["--config", "preset=tiny", "--", "all"]
FOLDER = "results/tiny/SurComb3/train"


def test_files_without_a_record_are_found(
    copied_study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(copied_study)
    unrecorded = runpy.run_path("slurm/recover.py")["unrecorded"]
    assert unrecorded(SNAKEMAKE, ARGUMENTS) == []

    training = sorted(str(file) for file in Path(FOLDER, "trama/seed_0").iterdir())
    evaluation = "results/tiny/SurComb3/evaluate/qmix/seed_0/episodes.parquet"
    # As they are after jobs that came to their end by themselves.
    cleaned = run_snakemake(
        copied_study, "--cleanup-metadata", *training, evaluation, *ARGUMENTS[:2]
    )
    assert cleaned.returncode == 0, cleaned.stdout
    assert sorted(unrecorded(SNAKEMAKE, ARGUMENTS)) == sorted([evaluation, *training])

    Path(training[0]).unlink()  # its job runs again, and what follows from it
    assert unrecorded(SNAKEMAKE, ARGUMENTS) == [evaluation]


def test_any_command_of_a_process_can_be_read() -> None:
    recover = runpy.run_path("slurm/recover.py")
    command = [sys.executable.encode(), b"-c", b"input()", b"caf\xe9"]  # not UTF-8
    with subprocess.Popen(command, cwd=recover["FOLDER"], stdin=subprocess.PIPE) as process:
        found = dict(recover["local_processes"]())
        process.communicate(b"\n")
    assert found[process.pid][1:3] == ["-c", "input()"]
