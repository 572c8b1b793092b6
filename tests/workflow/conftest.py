"""Fresh clones of the workflow, and one finished study on the tiny preset."""

import shutil
from pathlib import Path

import pytest

from clones import copy_clone, run_tiny_study


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A fresh clone in which nothing has run."""
    return copy_clone(tmp_path / "clone")


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the tiny preset has run from an empty results folder. Don't change it."""
    return run_tiny_study(tmp_path_factory.mktemp("finished") / "clone")


@pytest.fixture
def copied_study(finished_study: Path, tmp_path: Path) -> Path:
    """A copy of the finished study in another place, to be changed freely."""
    return Path(shutil.copytree(finished_study, tmp_path / "copy"))
