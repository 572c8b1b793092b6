"""Write what the environment of `make test-smacv2` installs, from pyproject.toml and the lock.

The packages are those of envs/smacv2.yaml, but for SMACv2 itself, which comes from a folder.
"""

import sys
import tomllib
from pathlib import Path


def main() -> None:
    """Write `requirements.txt` and `constraints.txt` into the folder that is named."""
    folder, root = Path(sys.argv[1]), Path(__file__).resolve().parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *extras["smacv2"], *extras["test"]]
    asked = [entry for entry in asked if " @ " not in entry]
    own = {entry.split("==")[0].lower() for entry in asked}
    locked = (root / "requirements.txt").read_text().splitlines()
    others = [line for line in locked if line.split("==")[0].lower() not in own]
    (folder / "requirements.txt").write_text("\n".join(asked) + "\n")
    (folder / "constraints.txt").write_text("\n".join(others) + "\n")


if __name__ == "__main__":
    main()
