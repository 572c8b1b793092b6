"""The stand-in for StarCraft II, found by SC2PATH."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standin import StandIn


@pytest.fixture
def game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The game, found by SC2PATH; none of its processes may be left at the end."""
    installed = StandIn(tmp_path / "game")
    monkeypatch.setenv("SC2PATH", str(installed.path))
    monkeypatch.setenv("STANDIN", str(installed.folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    yield installed
    installed.wait_until_gone()
