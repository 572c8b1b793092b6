"""Where compiled programs are kept between processes, for XLA and for Numba."""

import atexit
import hashlib
import importlib.metadata
import os
import platform
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

_CPU_FIELDS = ("vendor_id", "cpu family", "model", "model name", "flags", "Features")


@cache
def compilation_cache(compiler: Literal["jax", "numba"]) -> Path:
    """Return the folder of a compiler's programs: one per CPU model and version of the compiler.

    Machine code for one CPU may crash on another, and home directories are shared in clusters.
    The folder lies below XDG_CACHE_HOME (default ``~/.cache``); where nothing can be written there,
    it is a temporary one that goes with the process.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cpu = hashlib.sha256(_cpu_model().encode()).hexdigest()[:12]
    version = importlib.metadata.version(compiler)
    folder = root / "trama" / f"{compiler}-{version}-{platform.machine()}-{cpu}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError:
        temporary = tempfile.mkdtemp(prefix="trama-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        return Path(temporary)


def _cpu_model() -> str:
    try:
        first_cpu = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return platform.processor()
    # Virtual machines hide the exact model, but not the instruction sets: take those in as well.
    lines = (line.partition(":") for line in first_cpu.splitlines())
    return "\n".join(value for name, _, value in lines if name.strip() in _CPU_FIELDS)
