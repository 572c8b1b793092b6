"""One finished study on the tiny preset, for the reports and the documents made from it."""

from pathlib import Path

import pytest

from clones import copy_clone, run_snakemake


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the tiny preset has run from an empty results folder. Don't change it."""
    clone = copy_clone(tmp_path_factory.mktemp("finished") / "clone")
    result = run_snakemake(clone, "--cores", "2", "--config", "preset=tiny")
    assert result.returncode == 0, result.stdout
    return clone
