"""Statistics of a small made-up study."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_up import write_episodes, write_evaluations, write_history
from trama.errors import TramaError
from trama.reporting import estimates, statistics
from trama.reporting.statistics import OVERALL, Curve, Files


def test_paths_are_arranged_by_name_and_seed() -> None:
    paths = [f"r/train/{name}/seed_{seed}/h.parquet" for name in "ba" for seed in (10, 2)]
    files = statistics.by_name_and_seed(paths)
    assert list(files) == ["b", "a"]
    assert files["a"] == {10: Path(paths[2]), 2: Path(paths[3])}


def test_running_mean_looks_back_alone() -> None:
    smooth = statistics.running_mean(Curve(np.arange(4), np.array([1.0, 2.0, 6.0, 1.0])), 3)
    np.testing.assert_allclose(smooth.y, [1, 1.5, 3, 3])
    assert smooth.x.tolist() == [0, 1, 2, 3]


def test_mean_curve_of_equal_and_of_shifted_points() -> None:
    first = Curve(np.array([0, 10, 20]), np.array([0.0, 1.0, 2.0]))
    same = statistics.mean_curve([first, Curve(first.x, np.array([2.0, 2.0, 2.0]))])
    assert same.x.tolist() == [0, 10, 20]
    np.testing.assert_allclose(same.y, [1, 1.5, 2])
    shifted = statistics.mean_curve([first, Curve(np.array([5, 15, 25]), np.zeros(3))])
    assert shifted.x.tolist() == [5, 10, 15, 20]
    np.testing.assert_allclose(shifted.y, [0.25, 0.5, 0.75, 1.0])


def test_values_of_a_history(tmp_path: Path) -> None:
    history = write_history(
        tmp_path / "history.parquet",
        [
            (20, "test_win_rate", None, None, 0.5),
            (10, "test_win_rate", None, None, 0.25),
            (20, "test_win_rate", "task_a", None, 1.0),
            (10, "predictor_accuracy", None, 0, 0.1),
            (20, "predictor_accuracy", None, 1, 0.4),
            (20, "predictor_accuracy", None, 0, 0.3),
            (20, "predictor_accuracy", None, None, 0.35),
        ],
    )
    curve = statistics.learning_curve(history, "test_win_rate")
    assert (curve.x.tolist(), curve.y.tolist()) == ([10, 20], [0.25, 0.5])
    assert statistics.final_value(history, "test_win_rate") == 0.5
    steps = statistics.final_curve_within_episode(history, "predictor_accuracy")
    assert (steps.x.tolist(), steps.y.tolist()) == ([0, 1], [0.3, 0.4])
    assert statistics.final_value(history, "predictor_accuracy") == 0.35
    with pytest.raises(TramaError, match="no row of metric `test_win_rate` by time step"):
        statistics.final_curve_within_episode(history, "test_win_rate")
    with pytest.raises(TramaError, match="no row of metric `majority_rate`;") as error:
        statistics.final_value(history, "majority_rate")
    assert str(history) in str(error.value)


def test_aligned_curves_have_their_points_in_common() -> None:
    first, second = (
        Curve(np.array([0, 10, 20]), np.arange(3.0)),
        Curve(np.array([5, 15]), np.ones(2)),
    )
    x, values = statistics.aligned([first, second])
    assert x.tolist() == [5, 10, 15]
    assert values.tolist() == [[0.5, 1, 1.5], [1, 1, 1]]


def _read(files: Files, *more: Path) -> pd.DataFrame:
    paths = [path for seeds in files.values() for path in seeds.values()]
    return statistics.read_episodes([*paths, *more])


def test_scores_are_the_means_of_a_run_on_a_task(tmp_path: Path) -> None:
    episodes = _read(write_evaluations(tmp_path))
    tasks, wins = statistics.scores(episodes, "last", "win_rate")
    assert tasks == [("SurComb3", "task_a"), ("SurComb3", "task_b")]
    assert list(wins) == ["qmix", "trama"]
    assert wins["qmix"].tolist() == [[0.25, 0.0], [0.75, 0.5]]
    assert wins["trama"].tolist() == [[1.0, 1.0], [1.0, 0.5]]
    returns = statistics.scores(episodes, "last", "return").values["trama"]
    assert returns.tolist() == [[-5, 7], [5, 7]]
    lengths = statistics.scores(episodes, "best", "length")
    assert lengths.tasks == [("SurComb3", "task_a")]
    assert lengths.values["qmix"].tolist() == [[40], [40]]


def test_scores_of_task_sets_are_apart_or_together(tmp_path: Path) -> None:
    episodes = _read(write_evaluations(tmp_path))
    ood = statistics.scores(episodes, "last", "win_rate", "ood")
    assert ood.tasks == [("SurComb3", "x")]
    assert ood.values["trama"].tolist() == [[1], [1]]
    both = statistics.scores(episodes, "last", "win_rate", ["trained", "ood"])
    assert [task for _, task in both.tasks] == ["task_a", "task_b", "x"]
    assert both.values["qmix"].tolist() == [[0.25, 0, 1], [0.75, 0.5, 1]]


def _one_task(folder: Path, problem: str, runs: dict[tuple[str, int], bool]) -> list[Path]:
    """Evaluate runs (variant, seed) on one task of a problem, one episode each, won or not."""
    rows = "last", "trained", "3s2z surrounded", 1.0
    return [
        write_episodes(
            folder / problem / v / f"seed_{s}" / "episodes.parquet", [(*rows, won)], problem
        )
        for (v, s), won in runs.items()
    ]


def test_scores_over_several_problems(tmp_path: Path) -> None:
    runs = {(variant, seed): seed == 2 for variant in ("trama", "qmix") for seed in (10, 2)}
    won = dict.fromkeys(runs, True)
    paths = _one_task(tmp_path, "Second", runs) + _one_task(tmp_path, "First", won)
    tasks, values = statistics.scores(statistics.read_episodes(paths), "last", "win_rate")
    # The same task twice, as each problem trains its own policies.
    assert tasks == [("Second", "3s2z surrounded"), ("First", "3s2z surrounded")]
    assert list(values) == ["trama", "qmix"]
    assert values["trama"].tolist() == [[1, 1], [0, 1]]  # seeds 2 and 10


def test_scores_of_runs_that_differ_are_an_error(tmp_path: Path) -> None:
    runs = {("qmix", 0): True, ("qmix", 1): True, ("trama", 0): True}
    paths = _one_task(tmp_path, "SurComb3", runs)
    with pytest.raises(TramaError, match="`trama` with seed 1 was not evaluated on `SurComb3`"):
        statistics.scores(statistics.read_episodes(paths), "last", "win_rate")
    other = _one_task(tmp_path, "SurComb4", {("qmix", 0): True, ("trama", 0): True})
    episodes = statistics.read_episodes([paths[0], paths[2], other[0]])
    with pytest.raises(TramaError, match="`trama` with seed 0 was not evaluated on `SurComb4`"):
        statistics.scores(episodes, "last", "win_rate")

    files = write_evaluations(tmp_path)
    lacking = write_episodes(
        tmp_path / "a" / "vdn" / "seed_0" / "episodes.parquet",
        [("last", "trained", "task_a", 1.0, True)],
    )
    complete = write_episodes(
        tmp_path / "a" / "vdn" / "seed_1" / "episodes.parquet",
        [("last", "trained", task, 1.0, True) for task in ("task_a", "task_b")],
    )
    with pytest.raises(TramaError, match="no episode of policy `last` on task `task_b`") as error:
        statistics.scores(_read(files, lacking, complete), "last", "win_rate")
    assert str(error.value).startswith(str(lacking))


def test_scores_without_the_policy_or_task_set_say_so(tmp_path: Path) -> None:
    episodes = _read(write_evaluations(tmp_path))
    message = r"episodes\.parquet: no episode of policy `worst` and task set `trained`"
    with pytest.raises(TramaError, match=message):
        statistics.scores(episodes, "worst", "win_rate")
    with pytest.raises(TramaError, match="task set `far`, `near`"):
        statistics.scores(episodes, "last", "win_rate", ["far", "near"])


def test_a_run_that_two_files_hold_is_an_error(tmp_path: Path) -> None:
    files = write_evaluations(tmp_path)
    copy = tmp_path / "copy.parquet"
    copy.write_bytes(files["trama"][1].read_bytes())
    message = r"copy\.parquet: evaluates `trama` with seed 1 on `SurComb3`, as .*episodes\.parquet"
    with pytest.raises(TramaError, match=message):
        _read(files, copy)


def test_scores_of_a_metric_that_some_variants_lack(tmp_path: Path) -> None:
    episodes = _read(write_evaluations(tmp_path))
    episodes["entropy"] = np.where(episodes["variant"] == "trama", 0.25, np.nan)
    assert list(statistics.scores(episodes, "last", "entropy").values) == ["trama"]
    of_a_run = episodes.assign(entropy=episodes["entropy"].where(episodes["seed"] > 0))
    assert statistics.scores(of_a_run, "last", "entropy").values == {}
    episodes.loc[episodes["episode"] == 0, "entropy"] = np.nan
    with pytest.raises(TramaError, match="no `entropy` in some episodes of task `task_a`"):
        statistics.scores(episodes, "last", "entropy")


def test_results_equal_the_table_computed_by_hand(tmp_path: Path) -> None:
    table = statistics.results(_read(write_evaluations(tmp_path)), "last", study_seed=0)
    rows = {(r.task, r.variant, r.metric): r for r in table.itertuples()}
    assert set(table["problem"]) == {"SurComb3"}
    assert list(dict.fromkeys(table["task"])) == ["task_a", "task_b", OVERALL]
    # task, variant, metric: IQM, mean, lowest and highest seed, episodes per seed
    expected = {
        ("task_a", "qmix", "win_rate"): (0.5, 0.5, 0.25, 0.75, 4),
        ("task_b", "qmix", "win_rate"): (0.25, 0.25, 0, 0.5, 2),
        # Tasks weigh the same although one has twice the episodes; of 0, .25, .5, .75 the IQM
        # leaves out the first and the last.
        (OVERALL, "qmix", "win_rate"): (0.375, 0.375, 0.125, 0.625, 6),
        (OVERALL, "trama", "win_rate"): (1, 0.875, 0.75, 1, 6),
        ("task_a", "qmix", "return"): (0, 0, -5, 5, 4),
        (OVERALL, "trama", "return"): (6, 3.5, 1, 6, 6),
    }
    assert len(rows) == 3 * 2 * 2
    for key, values in expected.items():
        row = rows[key]
        found = (row.iqm, row.mean, row.lowest, row.highest, row.episodes_per_seed)
        assert found == pytest.approx(values)
        assert row.n_seeds == 2
    # Two seeds: no interval.
    assert table[["iqm_low", "iqm_high", "mean_low", "mean_high"]].isna().all(axis=None)


def test_results_of_three_seeds_have_the_intervals_of_their_scores(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [
        write_episodes(
            tmp_path / problem / "qmix" / f"seed_{seed}" / "episodes.parquet",
            [
                ("last", "trained", task, float(rng.normal()), bool(rng.random() < 0.5))
                for task in tasks
                for _ in range(10)
            ],
            problem,
        )
        for problem, tasks in (("First", ("a", "b")), ("Second", ("c",)))
        for seed in range(3)
    ]
    episodes = statistics.read_episodes(paths)
    table = statistics.results(episodes, "last", study_seed=5)
    assert len(table) == (3 + 2) * 2
    rows = {(r["problem"], r["task"], r["metric"]): r for r in table.to_dict("records")}
    seed = statistics.bootstrap_seed(5)
    first = episodes[episodes["problem"] == "First"]
    values = statistics.scores(first, "last", "return").values["qmix"]
    assert values.shape == (3, 2)
    for name, statistic in (("iqm", estimates.iqm), ("mean", estimates.mean)):
        row = rows["First", OVERALL, "return"]
        expected = estimates.estimate(values, statistic, seed)
        assert (row[name], row[f"{name}_low"], row[f"{name}_high"]) == expected[:3]
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]


def test_results_leave_out_problems_without_such_tasks(tmp_path: Path) -> None:
    other = _one_task(
        tmp_path, "SurComb4", {(v, s): True for v in ("qmix", "trama") for s in (0, 1)}
    )
    table = statistics.results(_read(write_evaluations(tmp_path), *other), "last", 0, "ood")
    assert set(table["problem"]) == {"SurComb3"}
    assert set(table["task"]) == {"x", OVERALL}
