"""The estimate of what a run would cost, before it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from tiny_jobs import FIGURES, TABLES

SHOWN = len(FIGURES) + len(TABLES)


def estimate(clone: Path, preset: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "workflow/commands/estimate.py", "--preset", preset, *more],
        cwd=clone,
        capture_output=True,
        text=True,
    )


def rows(text: str) -> dict[str, list[str]]:
    """Rule -> the words of its row."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[2:-2]}


def test_a_file_over_the_configuration_names_another_study(clone: Path) -> None:
    done = estimate(clone, "laptop", "--configfile", "config/tuning.yaml")
    assert done.stdout.startswith("Study tuning: "), done.stderr
    found = rows(done.stdout)  # preset laptop has two seeds, this file one
    assert int(found["train_with_representation"][0]) == 1
    assert int(found["train_without_representation"][0]) == 2


def test_a_fresh_clone_of_the_paper_preset(clone: Path) -> None:
    done = estimate(clone, "paper")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        f"Study paper: {45 + SHOWN} of {45 + SHOWN} jobs are to be done.\n"
    )
    found = rows(done.stdout)
    assert {rule: int(row[0]) for rule, row in found.items()} == {
        "collect_problem": 5,
        "pretrain_representation": 5,
        "cluster_representation": 5,
        "train_without_representation": 10,
        "train_with_representation": 5,
        "evaluate_variant": 15,
        **FIGURES,
        **TABLES,
        "total": 45 + SHOWN,
    }
    for rule, (_, wall, cpu, gpu, disk, *origin) in found.items():
        trains = rule.startswith("train_")
        threads = 1 if rule.startswith(("figure", "table")) else 4
        if rule != "total":
            assert float(cpu) == pytest.approx(threads * float(wall), abs=0.025)
            assert float(gpu) == (float(wall) if trains else 0)
            assert origin == ["rates"]
        else:
            columns = [[row[i] for r, row in found.items() if r != "total"] for i in (1, 2, 3, 4)]
            sums = [sum(map(float, column)) for column in columns]
            assert [float(x) for x in (wall, cpu, gpu, disk)] == pytest.approx(sums, abs=6)
    assert float(found["train_with_representation"][1]) > 1
    assert not (clone / "results").exists()


def test_an_experiment(clone: Path) -> None:
    done = estimate(clone, "laptop", "--target", "experiment_predictor_alone")
    assert done.returncode == 0, done.stderr
    found = rows(done.stdout)
    assert {rule: int(row[0]) for rule, row in found.items()} == {
        **dict.fromkeys(("collect_problem", "pretrain_representation"), 12),
        **dict.fromkeys(("cluster_representation", "predict_classes"), 12),
        **dict.fromkeys(("figure_experiment", "table_experiment"), 1),
        "total": 50,
    }
    assert 0.1 < float(found["total"][1]) < 1
    unknown = estimate(clone, "laptop", "--target", "experiment_no")
    assert unknown.returncode != 0 and "experiment_no" in unknown.stderr


def test_a_broken_configuration_ends_in_its_message(clone: Path) -> None:
    (clone / "config/config.yaml").write_text("study: {seeds: [no]}\n")
    done = estimate(clone, "tiny")
    assert done.returncode == 1
    assert "study.seeds" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.end_to_end
def test_finished_jobs_do_not_count(finished_study: Path) -> None:
    done = estimate(finished_study, "tiny")
    assert (done.returncode, done.stdout) == (0, "Study tiny: nothing is left to be done.\n")


@pytest.mark.end_to_end
def test_finished_jobs_tell_the_cost_of_others(copied_study: Path) -> None:
    config = copied_study / "config/config.yaml"
    config.write_text(config.read_text().replace("# seeds: [0] ", "seeds: [0, 1] "))
    done = estimate(copied_study, "tiny")
    assert f"Study tiny: {9 + SHOWN} of {18 + SHOWN} jobs are to be done." in done.stdout
    origins = {rule: " ".join(row[5:]) for rule, row in rows(done.stdout).items()}
    # Figures and tables show the new seed, so that none of them is finished.
    for rule, origin in origins.items():
        shown = rule.startswith(("figure", "table"))
        assert origin == ("" if rule == "total" else "rates" if shown else "this study")
    measured = copied_study / "results/tiny/benchmarks/collect_problem/SurComb3/seed_0.tsv"
    measured.write_text("s\tmax_rss\n7200.0\t1.0\n")
    assert rows(estimate(copied_study, "tiny").stdout)["collect_problem"][1] == "2.00"
