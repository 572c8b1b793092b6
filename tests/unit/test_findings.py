"""The main findings of a small made-up study, against numbers computed by hand."""

import re
from collections.abc import Sequence
from pathlib import Path

import docutils.core
import pytest

from made_up import PROVENANCE, write_cluster_metrics, write_episodes, write_history
from trama.config.model import Tables
from trama.config.table_params import TableParams
from trama.reporting.statistics import Inputs
from trama.reporting.tables.findings import findings, write_findings

# Wins of 4 episodes on task a and of 2 on task b, by seed, in Q1 of a study of two variants.
EQUAL = {"qplex": [(1, 0)] * 3, "trama": [(3, 1)] * 3}
APART = {"qplex": [(1, 0), (3, 1)], "trama": [(4, 2), (4, 1)]}
Wins = dict[str, list[tuple[int, int]]]


def _params(n_seeds: int, **more: object) -> TableParams:
    given = {
        "upstream": {},
        "sources": "",
        "names": ("qplex", "trama"),
        "seeds": tuple(range(n_seeds)),
        "tables": Tables(decimals=3, policy="last"),
        "reference": "trama",
        "baselines": {"trama": "qplex"},
        "with_predictor": ("trama",),
        "task_sets": ("near", "far"),
    }
    return TableParams.model_validate(given | more)


def _write(folder: Path, problems: dict[str, Wins]) -> Inputs:
    """Write a study; on the one task of the set `near` all seeds win half of the episodes."""
    inputs: dict[str, list[Path]] = {"episodes": [], "histories": [], "cluster_metrics": []}
    for problem, wins in problems.items():
        for variant, of_seeds in wins.items():
            for seed, (in_a, in_b) in enumerate(of_seeds):
                run = Path(variant, f"seed_{seed}")
                rows = [("last", "trained", "a", 0.0, i < in_a) for i in range(4)]
                rows += [("last", "trained", "b", 0.0, i < in_b) for i in range(2)]
                rows += [("last", "near", "c", 0.0, i < 1) for i in range(2)]
                rows += [("best", "trained", "a", 0.0, True)]
                path = folder / problem / "evaluate" / run / "episodes.parquet"
                inputs["episodes"].append(write_episodes(path, rows, problem))
                path = folder / problem / "train" / run / "history.parquet"
                inputs["histories"].append(_write_history(path, variant, seed))
        for seed in range(len(of_seeds)):
            path = folder / problem / "representation/vqvae" / f"seed_{seed}"
            path /= "cluster_metrics.parquet"
            inputs["cluster_metrics"].append(write_cluster_metrics(path, quantised=True))
    return inputs


def _write_history(path: Path, variant: str, seed: int) -> Path:
    rows: list[tuple[int, str, str | None, int | None, float]] = [
        (n, "test_win_rate", None, None, 0.5) for n in (0, 30_000 + seed)
    ]
    if variant == "trama":
        for env_steps, kept in ((10_000, 0.5), (20_000, 1.0)):
            rows.append((env_steps, "label_consistency", None, None, kept))
            rows.append((env_steps, "label_consistency_chance", None, None, 0.375))
            rows.append((env_steps, "predictor_accuracy", None, None, kept - 0.125))
            rows.append((env_steps, "predictor_balanced_accuracy", None, None, kept - 0.25))
            rows.append((env_steps, "majority_rate", None, None, 0.625))
    return write_history(path, rows)


def _rows(block: str) -> list[list[str]]:
    """Cells of a list-table."""
    return [re.findall(r"- ?(.*)", row) for row in block.split("   * ")[1:]]


def _table(blocks: Sequence[str], number: int = 0) -> list[list[str]]:
    return [_rows(block) for block in blocks if block.startswith(".. list-table::")][number]


def test_findings_of_seeds_that_are_equal_have_intervals_of_no_width(tmp_path: Path) -> None:
    blocks = findings(_write(tmp_path, {"Q1": EQUAL}), _params(3), "made_up")
    # qplex scores 1/4 on task a and 0 on b: of six scores the IQM leaves out one of each.
    # Of two runs the one of qplex has a lower score on either task.
    assert _table(blocks) == [
        ["Variant", "Env steps", "Win rate", "Difference", "P(improvement)"],
        [
            "``qplex``",
            "30,000 to 30,002",
            "0.125 [0.125, 0.125]",
            "-0.500 [-0.500, -0.500]",
            "0.000 [0.000, 0.000]",
        ],
        ["``trama``", "30,000 to 30,002", "0.625 [0.625, 0.625]", "reference", ""],
    ]
    # No task of the set `far` was played.
    half, none = "0.500 [0.500, 0.500]", "0.000 [0.000, 0.000]"
    assert _table(blocks, 1) == [
        ["Task set", "Tasks", "``qplex``", "``trama``", "Gain of ``trama``"],
        ["``near``", "1", half, half, none],
    ]
    text = " ".join("\n".join(blocks).split())
    for sentence in (
        "3 seeds (0, 1, 2)",
        "95 % bootstrap intervals over the 3 seeds",
        "2 trained tasks, 2 to 4 episodes per seed and task",
        "Gain of ``trama`` over ``qplex``: 0.500 [0.500, 0.500], "
        "P(improvement) 1.000 [1.000, 1.000].",
        "Win rates on tasks that were not trained on:",
        "accuracy 0.875 [0.875, 0.875], balanced over the classes 0.750 [0.750, 0.750], naming "
        "the most frequent class alone 0.625 [0.625, 0.625].",
        "0.750 [0.750, 0.750] kept, 0.375 [0.375, 0.375] by chance.",
        "(ARI) 0.471 [0.471, 0.471]",
        "From 15 files that were made by version 0.1.0 in environment feedbeef.",
    ):
        assert sentence in text
    assert "All problems" not in text


def test_findings_of_two_seeds_have_their_range(tmp_path: Path) -> None:
    blocks = findings(_write(tmp_path, {"Q1": APART}), _params(2), "made_up")
    # Of four scores the IQM leaves out one at each end: of 0, 1/4, 1/2, 3/4 and of 1/2, 1, 1, 1.
    # On task a trama wins all four pairs of runs; on task b three, and one is a tie.
    assert [row[2:] for row in _table(blocks)[1:]] == [
        ["0.375 [0.125, 0.625]", "-0.625", "0.062"],
        ["1.000 [0.750, 1.000]", "reference", ""],
    ]
    text = " ".join("\n".join(blocks).split())
    assert "the lowest and the highest seed; 2 seeds are too few for intervals" in text
    assert "Gain of ``trama`` over ``qplex``: 0.625, P(improvement) 0.938." in text


def test_findings_over_several_problems(tmp_path: Path) -> None:
    inputs = _write(tmp_path, {"Q1": EQUAL, "Q2": {**EQUAL, "qplex": [(4, 2)] * 3}})
    blocks = findings(inputs, _params(3), "made_up")
    titles = [block.splitlines()[0] for block in blocks if block.endswith("---")]
    assert titles == ["``Q1``", "``Q2``", "All problems together"]
    # Per seed 1/4, 0, 1, 1: of twelve scores the IQM leaves out three at each end.
    assert [row[2] for row in _table(blocks, -1)[1:]] == [
        "0.625 [0.625, 0.625]",
        "0.625 [0.625, 0.625]",
    ]
    assert _table(blocks, -1)[1][4] == "0.500 [0.500, 0.500]"


@pytest.mark.parametrize("wins", [EQUAL, APART])
def test_findings_are_valid_restructured_text(tmp_path: Path, wins: Wins) -> None:
    inputs = _write(tmp_path, {"Q1": wins})
    text, sources = tmp_path / "findings.rst", tmp_path / "findings.sources.json"
    write_findings(
        inputs,
        _params(len(wins["trama"])),
        "made_up",
        text=text,
        sources=sources,
        provenance=PROVENANCE,
    )
    strict = {"halt_level": 1, "report_level": 1}
    page = docutils.core.publish_parts(text.read_text(), writer="html", settings_overrides=strict)[
        "html_body"
    ]
    assert page.count("<tr>") == 3 + 2
    assert str(inputs["episodes"][0]) in sources.read_text()
