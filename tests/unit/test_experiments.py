"""What experiments measure, of made-up runs."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_up import PROVENANCE, write_cluster_metrics, write_history
from made_up_study import study_config, write_study
from trama.config import figure_params, table_params
from trama.config.figure_params import FigureParams
from trama.config.model import Config
from trama.config.table_params import TableParams
from trama.data.parquet import read_table, write_table
from trama.reporting import experiments, statistics, style, words
from trama.reporting.estimates import Estimate
from trama.reporting.figures.experiment import experiment as figure_experiment
from trama.reporting.statistics import Inputs
from trama.reporting.tables.experiment import experiment as table_experiment

VARIANTS = ["qmix", "trama", "trama_oracle"]
MEASURES = ["win_rate", "ood_win_rate", "predictor_accuracy", "label_consistency"]
MEASURES += ["train_minutes", "classes_share", "cluster_seconds", "cluster_mb"]
MEASURES += ["true_class_win_rate", "wrong_class_win_rate"]
PROBLEMS = ["SurComb3", "SurComb4"]


@pytest.fixture(scope="module")
def config() -> Config:
    own = {"question": "Which one?", "problems": PROBLEMS, "seeds": [0, 1, 2]}
    own |= {"variants": VARIANTS, "measures": MEASURES}
    study = {"name": "made_up", "variants": VARIANTS, "seeds": [0, 1, 2], "problems": PROBLEMS}
    sets = {"task_sets": ["one_changed"]}
    return study_config(study=study, evaluate=sets, experiments={"own": own})


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Inputs:
    study = write_study(tmp_path_factory.mktemp("study"), config)
    stages = dict.fromkeys(("episodes", "given_classes"), "evaluate")
    stages |= dict.fromkeys(("history", "timing"), "train")
    return {
        kind: [
            study / problem / stage / variant / f"seed_{seed}" / f"{kind}.parquet"
            for problem in PROBLEMS
            for variant in VARIANTS
            for seed in (0, 1, 2)
            if kind != "given_classes" or variant != "qmix"
        ]
        for kind, stage in stages.items()
    }


def test_a_table_has_each_problem_and_name_with_the_numbers_of_its_runs(
    inputs: Inputs, config: Config
) -> None:
    params = TableParams.model_validate(table_params.experiment_params(config, "own"))
    table = table_experiment(inputs, params, "own")
    assert [row[:2] for row in table.rows] == [[p, v] for p in PROBLEMS for v in VARIANTS]
    tidy = pd.read_csv(io.StringIO(table.csv("")))
    means = tidy[tidy["statistic"] == "mean"].set_index(["problem", "name", "measure"])["value"]
    for path in inputs["episodes"]:
        assert path.is_file()
    for problem, variant in (("SurComb4", "qmix"), ("SurComb3", "trama")):
        own = [p for p in inputs["episodes"] if {problem, variant} <= set(p.parts)]
        rows = pd.concat(read_table(path, "episodes").to_pandas() for path in own)
        rows = rows[rows["policy"] == "last"]
        for measure, task_set in (("win_rate", "trained"), ("ood_win_rate", "one_changed")):
            of_set = rows[rows["task_set"] == task_set]
            assert means[problem, variant, measure] == pytest.approx(of_set["won"].mean())
        own = [p for p in inputs["timing"] if {problem, variant} <= set(p.parts)]
        seconds = [
            read_table(path, "timing").to_pandas().set_index("phase")["seconds"] for path in own
        ]
        minutes = np.mean([of.sum() / 60 for of in seconds])
        share = np.mean(
            [
                of[of.index.isin(["predictor", "label", "cluster", "vqvae"])].sum() / of.sum()
                for of in seconds
            ]
        )
        assert means[problem, variant, "train_minutes"] == pytest.approx(minutes)
        assert means[problem, variant, "classes_share"] == pytest.approx(share)
        if variant == "trama":
            clustering = np.mean([of["cluster"] for of in seconds])
            assert means[problem, variant, "cluster_seconds"] == pytest.approx(clustering)
            assert means[problem, variant, "cluster_mb"] == pytest.approx(clustering)  # made up so
        else:
            assert (problem, variant, "cluster_seconds") not in means.index
    own = [p for p in inputs["given_classes"] if {"SurComb3", "trama"} <= set(p.parts)]
    given = pd.concat(read_table(path, "given_classes").to_pandas() for path in own)
    for kind in ("true_class", "wrong_class"):
        won = given[(given["policy"] == "last") & (given["given"] == kind)]["won"]
        assert means["SurComb3", "trama", f"{kind}_win_rate"] == pytest.approx(won.mean())
    assert ("SurComb3", "qmix", "true_class_win_rate") not in means.index
    keys = ["problem", "name", "measure", "over", "than_on"]
    assert [*tidy.columns][:7] == ["experiment", *keys, "statistic"]
    assert "gap" not in tidy.columns
    tidy[keys] = tidy[keys].fillna("")
    differences = tidy[tidy["statistic"] == "difference"].set_index(keys)["value"]
    gain = means["SurComb4", "trama", "win_rate"] - means["SurComb4", "qmix", "win_rate"]
    assert differences["SurComb4", "trama", "win_rate", "qmix", ""] == pytest.approx(gain)
    gain -= means["SurComb3", "trama", "win_rate"] - means["SurComb3", "qmix", "win_rate"]
    assert differences["SurComb4", "trama", "win_rate", "qmix", "SurComb3"] == pytest.approx(gain)
    more = means["SurComb4", "qmix", "train_minutes"] - means["SurComb3", "qmix", "train_minutes"]
    assert differences["SurComb4", "qmix", "train_minutes", "", "SurComb3"] == pytest.approx(more)
    assert "On ``SurComb4``, minus the same on ``SurComb3``. " in "\n".join(table.caption)
    # A baseline has no predictor.
    accuracy = 2 + MEASURES.index("predictor_accuracy")
    assert [row[accuracy] == "n/a" for row in table.rows] == [True, False, False] * 2


def test_the_csv_has_the_numbers_of_the_cells(tmp_path: Path) -> None:
    paths = []
    for seed in (0, 1, 2):
        path = tmp_path / f"SurComb3/representation/vqvae/seed_{seed}/cluster_metrics.parquet"
        write_cluster_metrics(path, quantised=True)
        paths.append(path)
    measures = ["ari", "right_number"]
    own = {"question": "?", "problems": ["SurComb3"], "representations": ["vqvae"]}
    config = study_config(experiments={"own": {**own, "measures": measures}})
    params = TableParams.model_validate(table_params.experiment_params(config, "own"))
    table = table_experiment({"cluster_metrics": paths}, params, "own")
    rows = pd.read_csv(io.StringIO(table.csv(""))).set_index(["measure", "statistic"])
    for measure, statistic, cell in zip(measures, ("iqm", "share"), table.rows[0][2:], strict=True):
        value, low, high = rows.loc[(measure, statistic), ["value", "low", "high"]].to_numpy().T
        assert f"{value.item():.2f} [{low.item():.2f}, {high.item():.2f}]" == cell
    assert ("right_number", "iqm") not in rows.index
    assert len(rows.loc[[("right_number", "seed")]]) == 3


def test_of_a_history_a_series_counts_as_its_mean_and_the_rest_as_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "SurComb3/train/trama/seed_0/history.parquet"
    rows = [
        (steps, metric, None, None, value)
        for steps, value in ((10, 0.2), (20, 0.6))
        for metric in ("label_consistency", "ari", "test_win_rate")
    ]
    write_history(path, [*rows, (20, "ari", "3s2z surrounded", None, 0.9)])
    measures = ["label_consistency", "ari", "learning_win_rate"]
    scores = experiments.measured({"history": [path]}, measures, "last", [], {})["SurComb3"]
    # Nothing until the first test at 10 env steps, and 0.4 in the 10 steps after it.
    assert scores["learning_win_rate"]["trama"] == pytest.approx(np.array([[0.2]]))
    assert scores["label_consistency"]["trama"] == pytest.approx(np.array([[0.4]]))
    assert scores["ari"]["trama"] == pytest.approx(np.array([[0.6]]))


def test_representations_are_measured_by_their_clusters(tmp_path: Path) -> None:
    paths = []
    for name in ("vqvae", "mean_state"):
        paths.append(tmp_path / f"SurComb3/representation/{name}/seed_0/cluster_metrics.parquet")
        write_cluster_metrics(paths[-1], quantised=name == "vqvae")
    measures = ["ari", "codes_in_use", "n_classes", "right_number"]
    inputs = {"cluster_metrics": paths}
    found = experiments.measured(inputs, measures, "last", [], {"SurComb3": 3})["SurComb3"]
    assert set(found["ari"]) == {"vqvae", "mean_state"}
    assert set(found["codes_in_use"]) == {"vqvae"}
    n_classes = len(statistics.class_shares(paths[0]))
    assert found["n_classes"]["vqvae"] == n_classes
    assert found["right_number"]["vqvae"] == float(n_classes == 3)


@pytest.mark.parametrize(("ari", "found"), [(0.79, 0.0), (0.8, 1.0), (1.0, 1.0)])
def test_clusters_find_the_tasks_where_they_mostly_agree(
    ari: float, found: float, tmp_path: Path
) -> None:
    path = tmp_path / "SurComb3/train/trama/seed_0/history.parquet"
    write_history(path, [(10, "ari", None, None, ari)])
    measured = experiments.measured({"history": [path]}, ["tasks_found"], "last", [], {})
    assert measured["SurComb3"]["tasks_found"]["trama"].tolist() == [[found]]
    # A share of seeds is no interquartile mean, which leaves the one of four that fails out.
    assert experiments.estimate("tasks_found", np.array([[1.0], [1], [1], [0]]), 0).value == 0.75


def test_captions_explain_what_is_measured_alone() -> None:
    assert experiments.explained(["win_rate"]) == (
        " Win rate: greedy episodes on the problem's own tasks."
    )
    assert "ARI; NMI: agreement" in experiments.explained(["nmi", "ari"])
    assert experiments.explained(["silhouette"]) == ""


@pytest.mark.parametrize(("n_problems", "n_measures"), [(1, 4), (2, 5), (2, 6)])
def test_a_figure_has_a_panel_for_each_measure(
    inputs: Inputs, config: Config, n_problems: int, n_measures: int
) -> None:
    """The longer list stands at the axis, the other one in the legend."""
    params = FigureParams.model_validate(figure_params.experiment_params(config, "own"))
    names = params.names[:n_problems]
    change = {"names": names if n_problems == 1 else params.names}
    params = params.model_copy(update={**change, "measures": tuple(MEASURES[:n_measures])})
    with style.figure_style():
        drawing = figure_experiment(inputs, params, "own")
    shown = [axes for axes in drawing.figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == [
        experiments.TITLES[m] for m in MEASURES[:n_measures]
    ]
    ticks = [label.get_text() for label in shown[0].get_yticklabels()]
    assert ticks == (PROBLEMS if n_problems == 1 else VARIANTS)
    assert "Which one?" in drawing.caption
    legend = [text.get_text() for of in drawing.figure.legends for text in of.get_texts()]
    assert legend == ([] if n_problems == 1 else PROBLEMS)


def test_a_changed_run_makes_only_its_experiments_anew(config: Config) -> None:
    def hashes(config: Config) -> dict[str, object]:
        return {
            name: table_params.experiment_params(config, name)["upstream"]
            for name in config.experiments
        }

    before = hashes(config)
    vqvae = config.representations["vqvae"].model_copy(update={"n_codes": 8})
    changed = config.model_copy(
        update={"representations": {**config.representations, "vqvae": vqvae}}
    )
    after = hashes(changed)
    assert before["own"] != after["own"]
    codes = config.experiments["latent_space"]
    assert "vqvae" in codes.representations and before["latent_space"] != after["latent_space"]
    only = config.experiments["own"].model_copy(update={"variants": ("qmix",)})
    for one in (config, changed):
        one.experiments["own"] = only
    assert (
        table_params.experiment_params(config, "own")["upstream"]
        == table_params.experiment_params(changed, "own")["upstream"]
    )


def test_files_of_another_seed_than_all_have_leave_the_name_out(tmp_path: Path) -> None:
    paths = []
    for seed, metrics in ((0, ["ari", "nmi", "class_size"]), (1, ["nmi", "class_size"])):
        paths.append(tmp_path / f"P/representation/r/seed_{seed}/cluster_metrics.parquet")
        columns = {
            "metric": metrics,
            "class": [*[None] * (len(metrics) - 1), 0],
            "value": [0.5] * len(metrics),
        }
        write_table(paths[-1], "cluster_metrics", columns, PROVENANCE)
    found = experiments.measured({"cluster_metrics": paths}, ["ari", "nmi"], "last", [], {})["P"]
    assert found["ari"] == {} and set(found["nmi"]) == {"r"}


def test_small_differences_have_a_third_decimal() -> None:
    assert words.difference(Estimate(0.004, -0.0002, 0.007, 3)) == "0.004 [0.000, 0.007]"
    assert words.difference(Estimate(0.04, -0.1, 0.18, 3)) == "0.04 [-0.10, 0.18]"
    assert words.difference(Estimate(0.5, None, None, 2)) == "0.50"
    # An interval beside zero does not seem to reach it.
    assert words.difference(Estimate(0.2, 0.0034, 0.4, 3)) == "0.200 [0.003, 0.400]"
    assert words.difference(Estimate(-0.2, -0.4, -0.0004, 3)) == "-0.2000 [-0.4000, -0.0004]"
