"""The same exact versions stand in pyproject.toml, requirements.txt and envs/."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DEPENDENCIES = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]


def locked() -> list[str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_every_version_is_exact() -> None:
    for line in locked():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9A-Za-z.]*", line), line


def from_conda(name: str) -> tuple[list[str], list[str]]:
    """What a conda environment takes from conda, and what from pip."""
    environment = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    return conda, next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))


def test_the_lock_holds_all_that_the_project_asks_for() -> None:
    # SMACv2 has an environment of its own.
    extras = [asked for name, asked in EXTRAS.items() if name != "smacv2"]
    asked = {*DEPENDENCIES, *PROJECT["build-system"]["requires"], *(d for e in extras for d in e)}
    assert asked - set(locked()) == set()


def test_the_conda_environment_of_jax_has_the_dependencies() -> None:
    _, from_pip = from_conda("trama")
    assert sorted(from_pip) == sorted(DEPENDENCIES + EXTRAS["jax"])


def test_the_conda_environment_of_smacv2_has_the_dependencies() -> None:
    from_channel, from_pip = from_conda("smacv2")
    protobuf = next(entry for entry in EXTRAS["smacv2"] if entry.startswith("protobuf"))
    assert protobuf.replace("==", "=") in from_channel
    assert sorted([*from_pip, protobuf]) == sorted(DEPENDENCIES + EXTRAS["smacv2"])
    assert not any(entry.startswith("jax") for entry in from_pip)


def test_smacv2_is_taken_at_a_fixed_commit() -> None:
    (smacv2,) = [entry for entry in EXTRAS["smacv2"] if entry.startswith("smacv2 ")]
    assert re.search(r"@[0-9a-f]{40}$", smacv2)


def test_the_version_is_the_same_wherever_it_stands() -> None:
    import trama

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert str(citation["version"]) == trama.__version__
    assert re.findall(r"^## ([0-9.]+)", changelog, re.MULTILINE)[0] == trama.__version__
