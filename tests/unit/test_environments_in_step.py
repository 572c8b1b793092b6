"""The same exact versions stand in pyproject.toml, requirements.txt and envs/trama.yaml."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = PROJECT["project"]["dependencies"]


def locked() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_every_version_is_exact() -> None:
    for line in locked():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line), line


def test_the_lock_holds_all_that_the_project_asks_for() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    asked = {*DEPENDENCIES, *PROJECT["build-system"]["requires"], *(d for e in extras for d in e)}
    assert asked - set(locked()) == set()


def test_the_conda_environment_has_the_dependencies() -> None:
    environment = yaml.safe_load((ROOT / "envs/trama.yaml").read_text())
    from_pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert from_pip == DEPENDENCIES


def test_the_version_is_the_same_wherever_it_stands() -> None:
    import trama

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert str(citation["version"]) == trama.__version__
    assert re.findall(r"^## ([0-9.]+)", changelog, re.MULTILINE)[0] == trama.__version__
