"""Where compiled programs are kept."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trama import compilation

ROOT = Path(__file__).parents[2]
KERNEL = """
import torch
from trama.networks.gru import PackedGRU
PackedGRU(2, 3)(torch.zeros(3, 2), [2, 1])
"""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Folders are found once per process."""
    compilation.compilation_cache.cache_clear()
    yield
    compilation.compilation_cache.cache_clear()


def test_a_folder_for_each_cpu_model_and_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = set()
    for model in ("one", "other"):
        monkeypatch.setattr(compilation, "_cpu_model", lambda model=model: model)
        compilation.compilation_cache.cache_clear()
        found |= {compilation.compilation_cache("jax"), compilation.compilation_cache("numba")}
    assert len(found) == 4
    assert all(folder.parent == tmp_path / "trama" and folder.is_dir() for folder in found)


def _run_kernel(cache: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": "workflow", "XDG_CACHE_HOME": str(cache)}
    return subprocess.run(
        [sys.executable, "-c", KERNEL], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_the_kernel_is_kept_there(tmp_path: Path) -> None:
    done = _run_kernel(tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "trama").glob("numba-*")
    assert any(path.suffix == ".nbc" for path in folder.rglob("*"))
    assert not list((ROOT / "workflow/trama/networks/__pycache__").glob("gru_kernels*.nb?"))


def test_without_a_place_to_write_it_is_compiled_anew(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder can be made below a file")
    done = _run_kernel(blocked)
    assert done.returncode == 0, done.stderr
    assert blocked.read_text() == "no folder can be made below a file"
