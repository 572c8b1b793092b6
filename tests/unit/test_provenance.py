"""What a run was, and what a figure or table was made from."""

import hashlib
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import trama
from made_up import timing_columns
from trama.config.load import load_config
from trama.config.model import Config
from trama.data.parquet import Provenance, write_table
from trama.data.sources import write_sources
from trama.errors import TramaError
from trama.provenance import record_run

ROOT = Path(__file__).parents[2]
PROVENANCE = Provenance("small", "tables", "0123456789abcdef", None, "0.1.0", "feedbeef")


@pytest.fixture
def config() -> Config:
    return load_config(ROOT / "config/config.yaml", ROOT / "config")


def git(folder: Path, *arguments: str) -> str:
    author = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    run = subprocess.run(
        ["git", *author, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return run.stdout.strip()


def recorded(folder: Path, config: Config, root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        record_run(folder, config, ["snakemake", "all"], root).read_text()
    )
    return content


def test_a_run_is_recorded(config: Config, tmp_path: Path) -> None:
    run = recorded(tmp_path / "provenance", config, tmp_path)
    assert run["config"] == config.model_dump(mode="json")
    assert run["command"] == ["snakemake", "all"]
    assert run["python"] == sys.version
    assert run["packages"]["torch"] == version("torch")
    assert run["machine"].keys() == {"host", "system", "processor", "cores", "memory_mb"}
    assert all(run["machine"].values())
    stamp = run["started"].replace("-", "").replace(":", "").replace("+0000", "Z")
    assert [path.name for path in (tmp_path / "provenance").iterdir()] == [f"{stamp}.json"]


def test_the_commit_and_whether_it_is_what_runs(config: Config, tmp_path: Path) -> None:
    root, folder = tmp_path / "repository", tmp_path / "provenance"
    inner = root / "inner"
    inner.mkdir(parents=True)
    outside = {"version": trama.__version__, "commit": None, "changed": None}
    assert recorded(folder, config, root)["code"] == outside
    git(root, "init", "--quiet")
    (root / "code.py").write_text("a = 1\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "Begin")
    commit = git(root, "rev-parse", "HEAD")
    code = {"version": trama.__version__, "commit": commit, "changed": False}
    assert recorded(folder, config, root)["code"] == code
    (root / "results").write_text("not tracked\n")
    assert recorded(folder, config, root)["code"] == code
    (root / "code.py").write_text("a = 2\n")
    assert recorded(folder, config, root)["code"] == {**code, "changed": True}
    assert recorded(folder, config, inner)["code"] == outside  # another's repository around it


def test_sources_name_each_input(tmp_path: Path) -> None:
    path = tmp_path / "timing.parquet"
    columns = timing_columns({"a": 1.0, "b": 2.0, "c": 3.0})
    write_table(path, "timing", columns, Provenance("small", "train", "ab", 3, "0.1.0", "beef"))
    target = tmp_path / "new" / "table.sources.json"
    write_sources(target, [Path("table.csv")], [path], "all rows", PROVENANCE)
    assert json.loads(target.read_text()) == {
        "made": ["table.csv"],
        "provenance": {
            "study": "small",
            "stage": "tables",
            "params_hash": "0123456789abcdef",
            "seed": None,
            "code_version": "0.1.0",
            "environment_version": "feedbeef",
        },
        "rows": "all rows",
        "inputs": [
            {
                "file": path.as_posix(),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "rows": 3,
                "provenance": {
                    "study": "small",
                    "stage": "train",
                    "params_hash": "ab",
                    "seed": 3,
                    "code_version": "0.1.0",
                    "environment_version": "beef",
                },
            }
        ],
    }


def test_sources_of_a_foreign_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"not Parquet")
    with pytest.raises(TramaError, match="not a complete Parquet file"):
        write_sources(tmp_path / "x.json", [], [path], "all rows", PROVENANCE)
