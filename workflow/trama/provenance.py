"""What a run of the pipeline was: configuration, code, packages, machine, command."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import trama
from trama.config.model import Config


def record_run(folder: Path, config: Config, command: Sequence[str], root: Path) -> Path:
    """Write all that tells one run from another to a new JSON file, named by its time.

    Args:
        folder: folder of the file; it is made if needed.
        config: the configuration in force.
        command: words of the command line.
        root: root of the repository whose code runs.

    Returns:
        The file.
    """
    started = datetime.now(UTC)
    content = {
        "started": started.isoformat(timespec="seconds"),
        "command": list(command),
        "code": {"version": trama.__version__, **_commit(root)},
        "machine": {
            "host": platform.node(),
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        },
        "python": sys.version,
        "packages": dict(sorted((d.metadata["Name"], d.version) for d in distributions())),
        "config": config.model_dump(mode="json"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{started:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def _commit(root: Path) -> dict[str, Any]:
    """Commit of the repository, and whether tracked files differ from it; None without one."""
    found = _git(root, "rev-parse", "--show-toplevel", "HEAD").splitlines()
    # A folder may lie in a repository that is not its own.
    if len(found) != 2 or Path(found[0]) != root.resolve():
        return {"commit": None, "changed": None}
    changed = bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    return {"commit": found[1], "changed": changed}


def _git(root: Path, *arguments: str) -> str:
    """What git prints; nothing where there is no git, or no repository."""
    try:
        run = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return run.stdout


def _processor() -> str:
    """Name of the processor, as Linux knows it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
