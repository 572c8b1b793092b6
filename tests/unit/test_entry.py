"""What a rule's script settles before its stage begins."""

import os
import runpy
from pathlib import Path

import pytest

ENTRY = Path(__file__).parents[2] / "workflow/scripts/entry.py"
JOB = {"SLURM_JOB_ID": "7"}


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, None),  # no SLURM
        (JOB, ""),
        (JOB | {"SLURM_GPUS_ON_NODE": "1", "CUDA_VISIBLE_DEVICES": "2"}, "2"),
        (JOB | {"SLURM_GPUS_ON_NODE": "1"}, None),  # not by CUDA's name
        (JOB | {"CUDA_VISIBLE_DEVICES": "0"}, "0"),  # a share of one, or the user's word
    ],
)
def test_a_slurm_job_sees_only_gpus_that_it_was_given(
    given: dict[str, str], seen: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_GPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # so that the test's end takes back what is set
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    runpy.run_path(str(ENTRY))["leave_gpus_of_others"]()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == seen
