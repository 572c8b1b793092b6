"""A StarCraft II to play with: the program of tests/smacv2, installed where PySC2 looks for it."""

import sys
import time
from pathlib import Path

BUILD = "Base75689"
PROGRAM = Path(__file__).parent / "smacv2/game.py"


class StandIn:
    """An installed stand-in.

    Args:
        root: folder for the installation, and for what the stand-in leaves behind.
    """

    def __init__(self, root: Path):
        self.path, self.folder = root / "StarCraftII", root / "standin"
        self.folder.mkdir(parents=True)
        self.map = self.path / "Maps/SMAC_Maps/32x32_flat.SC2Map"
        self.program = self.path / "Versions" / BUILD / "SC2_x64"
        for file in (self.map, self.program):
            file.parent.mkdir(parents=True)
        self.map.write_bytes(b"a map")
        run = f"runpy.run_path({str(PROGRAM)!r}, None, '__main__')"
        self.program.write_text(f"#!{sys.executable}\nimport runpy\n{run}\n")
        self.program.chmod(0o755)
        self.enemy("weak")

    def enemy(self, mode: str) -> None:
        """Let the computer's units be strong, weak or idle."""
        (self.folder / "enemy").write_text(mode)

    def fault(self, name: str) -> None:
        """Let a fault happen once."""
        (self.folder / f"fault_{name}").touch()

    @property
    def pids(self) -> list[int]:
        """Processes that were started, the dead included."""
        return [int(path.name.removeprefix("pid_")) for path in self.folder.glob("pid_*")]

    @property
    def seeds(self) -> list[int]:
        """Seeds of all games so far."""
        return list(map(int, (self.folder / "seeds").read_text().split()))

    def wait_until_gone(self, seconds: float = 10) -> None:
        """Fail if a process of the game is still there after a while."""
        end = time.monotonic() + seconds
        while (left := list(filter(alive, self.pids))) and time.monotonic() < end:
            time.sleep(0.05)
        assert left == []


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
