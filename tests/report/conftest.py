"""One finished study on the tiny preset, for the reports and the documents made from it."""

from pathlib import Path

import pytest

from clones import run_tiny_study


@pytest.fixture(scope="session")
def finished_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the tiny preset has run from an empty results folder. Don't change it."""
    return run_tiny_study(tmp_path_factory.mktemp("finished") / "clone")
