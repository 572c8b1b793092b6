"""Commands that play a trained policy, of which they get the file alone."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chain import PROBLEM, TASK_SETS, UseEnv, honest, run_evaluate
from trama.data.parquet import read_table
from trama.errors import TramaError
from trama.tasks import evaluation_tasks

COMMANDS = Path(__file__).parents[2] / "workflow/commands"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that returns the names in a command."""
    monkeypatch.syspath_prepend(COMMANDS)
    return lambda name: runpy.run_path(str(COMMANDS / f"{name}.py"))


def test_the_table_holds_the_means_of_the_evaluation(
    whole_chain: Path, use_env: UseEnv, commands: Any, tmp_path: Path, capsys: Any
) -> None:
    use_env(honest)
    run_evaluate(whole_chain, tmp_path / "episodes.parquet")
    rows = read_table(tmp_path / "episodes.parquet", "episodes").to_pandas()
    rows = rows[rows["policy"] == "last"]
    policy = whole_chain / "policy_last.pt"
    shown: dict[str, list[str]] = {}
    for units, starts in [(None, None), *((s.units, s.starts) for s in TASK_SETS.values())]:
        commands("evaluate")["_evaluate"](policy, 4, units, starts)
        title, head, *lines = capsys.readouterr().out.splitlines()
        assert title == "v on small, seed 0: 4 greedy episodes per task"
        assert " ".join(head.split()) == (
            "task win rate return length class 0 class 1 class 2 entropy agreement swap actions "
            "distance"
        )
        shown |= {" ".join(words[:2]): words[2:] for words in map(str.split, lines[:-6])}
    tasks = [task for tasks in evaluation_tasks(PROBLEM, TASK_SETS).values() for task in tasks]
    assert len(tasks) > len(PROBLEM.units) * len(PROBLEM.starts)
    for task in tasks:
        own = rows[rows["task"] == task.name]
        first = own[["won", "episode_return", "length"]].mean()
        shares = [(own["class"] == number).mean() for number in range(3)]
        measured = ["entropy", "agreement", "swap_effect", "swap_actions", "centroid_distance"]
        last = own[measured].mean()
        assert shown[task.name] == [f"{mean:.2f}" for mean in (*first, *shares, *last)]


def test_what_a_state_does_not_name_cannot_be_drawn(
    whole_chain: Path, use_env: UseEnv, commands: Any, tmp_path: Path
) -> None:
    use_env(honest)
    with pytest.raises(TramaError, match="has no feature 'ally_0_health'"):
        commands("replay")["_replay"](whole_chain / "policy_last.pt", None, 1, tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("task", "seed", "output", "message"),
    [
        ("3s2z", None, None, "Task '3s2z' must be a unit combination and a start, as '3s2z surr"),
        ("s3 surrounded", None, None, "units: 's3' must be counts and unit symbols such as 3s2z."),
        ("3s behind", None, None, "starts: 'behind' must be one of surrounded, reflected, surr"),
        (None, -1, None, "seed: -1 must be a whole number from 0 to"),
        (None, None, Path("episode.mp4"), "episode.mp4: an animation is written as GIF: let its"),
    ],
)
def test_replay_refuses_what_it_cannot_play(
    task: str | None,
    seed: int | None,
    output: Path | None,
    message: str,
    whole_chain: Path,
    commands: Any,
) -> None:
    with pytest.raises(TramaError) as caught:
        commands("replay")["_replay"](whole_chain / "policy_last.pt", task, seed, output)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "file", "options", "message"),
    [
        ("replay", "history.parquet", [], "history.parquet: cannot be read as a trained model ("),
        (
            "evaluate",
            "policy_last.pt",
            ["--units", "2s", "1q"],
            "Unit combination '1q': no unit type has the symbol 'q'.",
        ),
    ],
)
def test_a_mistake_ends_in_one_message(
    name: str, file: str, options: list[str], message: str, whole_chain: Path
) -> None:
    done = subprocess.run(
        [sys.executable, COMMANDS / f"{name}.py", whole_chain / file, *options],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr and done.stderr.count("\n") == 1
