"""docs/RESULTS.md: what it says of recorded studies, found in their files alone."""

import gzip
import json
import textwrap
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from made_up_study import study_config
from trama.archive import COMPRESSED, FORMAT
from trama.reporting.comparisons import NOTE

COMMANDS = Path(__file__).parents[2] / "workflow/commands"
VERDICTS = """\
claim,metric,variant,over,verdict,verdict_of_claim,value,low,high,n_seeds
labels,label_consistency,trama,n/a,reproduced,reproduced,0.875,,,2
labels,label_consistency,trama_random,n/a,reproduced,reproduced,0.25,,,2
gain,win_rate_difference,trama,qmix,reproduced,partly,0.5,0.375,0.625,2
gain,return_difference,trama,qmix,not told apart,partly,-0.5,-1,2,2
gain,win_rate_difference,trama,qplex,reproduced,partly,0.25,0.125,0.375,2
control,win_rate_difference,trama,alike,not told apart,partly,0.25,-0.5,1,2
control,return_difference,trama,alike,seen,partly,0.5,0.25,0.75,2
predictor,predictor_accuracy,trama,n/a,not reproduced,partly,0.5,0.25,0.75,2
predictor,predictor_accuracy_over_majority,trama,n/a,reproduced,partly,0.25,0.125,0.375,2
use,win_rate_lost_with_wrong_class,trama,n/a,not told apart,partly,0.25,-0.125,0.375,2
use,win_rate_lost_with_wrong_class,oracle,n/a,seen,partly,0.5,0.25,0.75,2
"""
WIN_RATES = """\
variant,metric,statistic,value,low,high,n_seeds
trama,win_rate,mean,0.9,0.8,1,3
trama,win_rate_rise,iqm,0.5,0.25,0.75,3
trama,win_rate_rise,mean,0.25,0.125,0.375,3
qplex,win_rate_rise,mean,0.25,-0.125,0.375,3
few,win_rate_rise,mean,0.25,,,2
"""
DIFFERENCES = """\
problem,name,measure,over,than_on,statistic,seed,value,low,high,n_seeds
P,a,win_rate,,,mean,,0.5,0.4,0.6,3
P,a,return,,,iqm,,6,5,8,3
P,a,return,,,mean,,7,5,9,3
P,b,return,,,iqm,,9,8,10,3
P,b,return,,,mean,,9,8,10,3
P,b,return,a,,difference,,2,1,3,3
P,c,return,a,,difference,,-0.5,-1,1,3
P,d,return,a,,difference,,0.25,-1,1,3
P,e,return,e,,difference,,0.004,0.001,0.007,3
Q,b,return,a,,difference,,0.25,-1,1,3
R,a,return,,,mean,,4,3,5,3
R,b,return,a,,difference,,0.1,-1,1,3
R,c,return,a,,difference,,-0.05,-1,1,3
Q,b,return,a,P,difference,,0.25,0.1,1,3
Q,a,return,,P,difference,,-5,-6,-4,3
P,b,win_rate,a,,difference,,2,1,3,3
P,b,ari,,,mean,,2,1,3,3
"""
HYPERPARAMETERS = """\
section,key,variant,value,published
collect,batch_size,trama,16,32
collect,random_episodes,trama,64,100
collect,gamma,trama,0.99,0.99
train,batch_size,trama,16,32
train,batch_size,trama_paper,32,32
train,td_lambda,trama,0.6,
"""


@pytest.fixture
def results_page(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, which the command imports from its own folder."""
    monkeypatch.syspath_prepend(COMMANDS)
    monkeypatch.chdir(COMMANDS.parents[1])
    import results_page

    return results_page


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A study of the claims on one problem with two seeds and one experiment."""
    study = tmp_path / "results/kept"
    config = study_config().model_dump(mode="json")
    config["collect"]["learning_rate"] = 1e-3
    config["train"]["no_longer_a_key"] = {"inner": 5}
    config["env"]["mpe"]["no_longer_a_key"] = 5  # of another backend
    config["representations"]["vqvae"]["n_codes"] = 7
    config["representations"]["mean_state"]["n_classes"] = 7  # of which no run is recorded
    jobs = {}
    for number, commit in enumerate("bcdef"):
        started = f"2026-01-0{number + 1}T03:00:00+00:00"
        run = {"started": started, "code": {"version": "1", "commit": commit * 40}}
        of_run = config if commit == "f" else {}
        _write(study / f"provenance/{number}.json", json.dumps({**run, "config": of_run}))
        # The first run made representations, the two that follow trainings, the others none.
        at = {"starttime": datetime.fromisoformat(started).timestamp() + 60}
        stage = ("representation/vqvae", "train/trama")[number > 0]
        if commit in "bcd":
            jobs[f"results/kept/SurComb3/{stage}/seed_{number}/any.parquet"] = at
    manifest = {"format": FORMAT, "study": "kept", "files": {}, "notes": {"records": jobs}}
    (study / COMPRESSED).write_bytes(gzip.compress(json.dumps(manifest).encode()))
    for seed in range(2):
        _write(study / f"SurComb3/train/trama/seed_{seed}/history.parquet")
        _write(study / f"SurComb3/representation/vqvae/seed_{seed}/cluster_metrics.parquet")
        _write(study / f"SurComb3/representation/vqvae_chosen/seed_{seed}/cluster_metrics.parquet")
    _write(study / "tables/SurComb3_results.csv")
    _write(study / "tables/study_claims.csv", VERDICTS)
    _write(study / "tables/study_claims.md", "<!-- from -->\nStudy claims: the claims.\n\n| a |\n")
    _write(study / "tables/study_ablations.csv", "reference,value\ntrama,1\n")
    _write(study / "tables/study_hyperparameters.csv", HYPERPARAMETERS)
    own = "Experiment own.\n\n| b |\n\nWhich of ``a``\nand b?\n\nMore.\n"
    _write(study / "tables/experiment_own.md", own)
    _write(study / "tables/experiment_own.csv", DIFFERENCES)
    for name in ("experiment_own", "other"):
        _write(study / f"figures/{name}.png")
        _write(study / f"figures/{name}.caption.rst", f"What ``{name}`` shows.")
    return tmp_path / "results"


def _write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_page_begins_with_verdicts_questions_and_what_was_not_run(
    results_page: SimpleNamespace, recorded: Path
) -> None:
    page = "\n".join(results_page.page(recorded))
    short, left, study = page.split("\n## ")[1:]
    steps = f"{study_config().train.env_steps:,}"
    assert f"| Claim | [kept](#study-kept): SurComb3, 2 seeds, {steps} env steps |" in short
    assert "from clustering to clustering | reproduced: 0.88 |\n| **gain**: TRAMA wins" in short
    over = "0.50 [0.38, 0.62] over `qmix`, 0.25 [0.12, 0.38] over `qplex`"
    assert f"| partly: {over} |" in short
    # In part by the return alone.
    alike = "0.25 [-0.50, 1.00] over `alike`, return 0.50 [0.25, 0.75] over `alike`"
    assert f"| partly: {alike} |" in short
    # Of something else, or of another variant.
    better = "predictor accuracy over majority 0.25 [0.12, 0.38]"
    assert f"| partly: 0.50 [0.25, 0.75], {better} |" in short
    assert "| partly: 0.25 [-0.12, 0.38], 0.50 [0.25, 0.75] of `oracle` |" in short
    collected = f"{study_config().collect.env_steps:,}"  # as no variant is trained for it
    assert f"- **own** ([kept](#study-kept), {collected} env steps, 3 seeds): Which of" in short
    assert (
        "Which of `a` and b? Return, minus `a`: "
        "on `P` (7.00) higher for `b` 2.00, 2 not told apart, by -0.50 to 0.25; "
        "none of 2 told apart on `Q`, `R` (4.00), by -0.05 to 0.25; "
        "minus the same policies with the classes that they predict: "
        "on `P` higher for `e` 0.004. "
        "Win rate, minus `a`: on `P` (0.50) higher for `b` 2.00.\n" in short  # and no ARI
    )
    assert left.startswith("Not run") and "- preset `claims`, 0 of 180 runs" in left
    assert "- experiment `particles`, 0 of " in left  # of a configuration file
    # A study is called as its folder is, whatever its configuration said.
    assert "### Study kept: the claims\n" in study and "<!--" not in study
    shown = study.count("![experiment own](results/kept/figures/experiment_own.png)")
    assert shown == 1 and "![other]" not in study
    assert "All figures (2), with their captions: [results/kept/FIGURES.md](" in study


def test_how_differences_are_shown_stands_on_the_page_once(
    results_page: SimpleNamespace, recorded: Path
) -> None:
    note = textwrap.fill(NOTE, 100)
    for name in "xy":
        text = f"Experiment {name}.\n\n| a |\n| b |\n\nWhich of {name}?\n\nFound\nit.\n\n{note}\n"
        _write(recorded / f"kept/tables/experiment_{name}.md", text)
        _write(recorded / f"kept/tables/experiment_{name}.csv", DIFFERENCES.splitlines()[0])
    page = "\n".join(results_page.page(recorded))
    assert page.count(NOTE) == 1
    assert f"## How differences are shown\n\n{NOTE}\n\n## Study kept" in page
    pointer = "Found\nit.\n\n[How differences are shown](#how-differences-are-shown).\n"
    assert f"| a |\n| b |\n\nWhich of x?\n\n{pointer}\n### Experiment y\n" in page
    assert page.count(pointer) == 2
    # An experiment of too few seeds.
    assert "Which of y? No difference is told.\n" in page


def test_of_many_differences_their_number_and_range_are_told(
    results_page: SimpleNamespace,
) -> None:
    gap = {"measure": "ari", "problem": "P", "than_on": "", "statistic": "difference"}
    rows = [
        {**gap, "name": name, "over": "a", "n_seeds": "3", "low": "1", "high": "9", "value": value}
        for name, value in zip("bcdef", "23456", strict=True)
    ]
    found = results_page.found_in(rows)
    assert found == "ARI, minus `a`: on `P` higher for 5, by 2.00 to 6.00."


def test_problems_are_compared_where_an_experiment_has_nothing_else_to(
    results_page: SimpleNamespace,
) -> None:
    of = {"name": "a", "measure": "ari", "over": "", "low": "-6", "high": "-4", "n_seeds": "3"}
    mean = {**of, "problem": "P", "than_on": "", "statistic": "mean", "value": "7"}
    gap = {**of, "problem": "Q", "than_on": "P", "statistic": "difference", "value": "-5"}
    found = results_page.found_in([mean, gap])
    assert found == "ARI, minus the same on `P`: `a` 7.00; on `Q` lower for `a` -5.00."


def test_an_experiment_that_measured_nothing_found_nothing(results_page: SimpleNamespace) -> None:
    assert results_page.found_in([]) == ""


def test_a_study_says_how_its_settings_differ_from_those_of_now(
    results_page: SimpleNamespace, recorded: Path
) -> None:
    said = results_page.how_it_ran(recorded / "kept")
    assert (
        "Trained by code ccccccc (2026-01-02) to ddddddd (2026-01-03). Last run on 2026-01-05, "
        "code fffffff. Of `trama`, other than published: `collect.random_episodes` 64 (100), "
        "`train.batch_size` 16 (32); why," in said
    )
    now = study_config().collect.learning_rate
    assert said.endswith(
        "Defined by preset `laptop`. Where it differs from that as it is now: "
        f"`collect.learning_rate` 0.001 (now {now}), "
        "`representations.vqvae.n_codes` 7 (now 256), "
        "`train.no_longer_a_key.inner` 5 (now absent).\n"
    )
    assert "Number of classes (K): `vqvae` 3, `vqvae_chosen` from the data." in said
    assert said.startswith("Trainings of ") and "Backend `smax`." in said
    _write(recorded / "kept/tables/study_win_rates.csv", WIN_RATES)
    said = results_page.how_it_ran(recorded / "kept")
    assert "may order them otherwise: `trama` 0.25 [0.12, 0.38]. Trained by code" in said
    (recorded / "kept/tables/study_win_rates.csv").unlink()
    for seed in range(2):
        (recorded / f"kept/SurComb3/train/trama/seed_{seed}/history.parquet").unlink()
    said = results_page.how_it_ran(recorded / "kept")
    assert said.startswith("No trainings; trajectories of ") and "no_longer_a_key" not in said
    assert "Clustered by code bbbbbbb (2026-01-01). Last run" in said
    (recorded / "kept" / COMPRESSED).unlink()
    said = results_page.how_it_ran(recorded / "kept")
    assert "Backend `smax`. Last run on 2026-01-05" in said


def test_a_study_of_a_configuration_file_is_set_beside_that(
    results_page: SimpleNamespace, recorded: Path
) -> None:
    file = recorded / "kept/provenance/4.json"
    run = json.loads(file.read_text(encoding="utf-8"))
    config = results_page.read_config(files=[COMMANDS.parents[1] / "config/memory.yaml"])
    run["config"] = config.model_dump(mode="json")
    run["config"]["train"]["td_lambda"] = 0.25
    _write(file, json.dumps(run))
    assert results_page.how_it_ran(recorded / "kept").endswith(
        "Defined by `config/memory.yaml`. Where it differs from that as it is now: "
        f"`train.td_lambda` 0.25 (now {config.train.td_lambda}).\n"
    )


def test_a_study_of_another_backend_than_its_preset_differs_in_the_backend_alone(
    results_page: SimpleNamespace, recorded: Path
) -> None:
    file = recorded / "kept/provenance/4.json"
    run = json.loads(file.read_text(encoding="utf-8"))
    run["config"]["env"] = {**study_config().model_dump(mode="json")["env"], "backend": "mpe"}
    _write(file, json.dumps(run))
    said = results_page.how_it_ran(recorded / "kept")
    assert "`env.backend` mpe (now smax)" in said and said.count("`env.") == 1


def test_the_page_of_figures_has_each_with_its_caption(
    results_page: SimpleNamespace, recorded: Path
) -> None:
    page = "\n".join(results_page.figures_page(recorded / "kept"))
    for name in ("experiment own", "other"):
        file = name.replace(" ", "_")
        assert f"![{name}](figures/{file}.png)\n\nWhat `{file}` shows." in page
