"""Tables of made-up studies: their numbers are computed again from the rows, in another way."""

import dataclasses
import io
import re
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_up import PROVENANCE, timing_columns, write_episodes, write_evaluations, write_history
from made_up_study import STUDY_TABLES, TABLES, study_config, table_of, write_study
from trama.config.model import Config, Tables
from trama.config.table_params import TableParams, claims_params
from trama.data.parquet import read_table, write_table
from trama.data.schemas import KINDS
from trama.errors import TramaError
from trama.reporting import estimates
from trama.reporting.statistics import OVERALL
from trama.reporting.tables.class_gain import class_gain, conclusion
from trama.reporting.tables.class_use import class_use
from trama.reporting.tables.label_consistency import label_consistency
from trama.reporting.tables.measured import supported_best
from trama.reporting.tables.measurement import differences
from trama.reporting.tables.results import results
from trama.reporting.tables.table import Bold, Table

VARIANTS = ("qmix", "qplex", "trama", "trama_oracle")
TASK_SETS = ("one_changed", "fewer_allies")
GIVEN = ("true_class", "random_class", "wrong_class")
ROUNDED = 0.005 + 1e-9
"""What two decimals may be off."""

TWO_SEEDS = TableParams(
    upstream={}, sources="", names=("qmix", "trama"), seeds=(0, 1), tables=Tables()
)


def _config(**study: object) -> Config:
    keys = {"name": "made_up", "variants": list(VARIANTS), "seeds": [0, 1, 2, 3], **study}
    return study_config(study=keys, evaluate={"task_sets": list(TASK_SETS)})


@pytest.fixture(scope="module")
def config() -> Config:
    """A study of four variants, four seeds and two problems."""
    return _config(problems=["SurComb3", "SurComb4"])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, config: Config) -> Path:
    """Its folder."""
    return write_study(tmp_path_factory.mktemp("study"), config)


def _episodes(study: Path, problem: str) -> pd.DataFrame:
    """All episodes of the last policies of a problem."""
    files = study.glob(f"{problem}/evaluate/*/*/episodes.parquet")
    episodes = pd.concat([read_table(file, "episodes").to_pandas() for file in files])
    episodes = episodes.rename(columns={"won": "win_rate", "episode_return": "return"})
    return episodes[episodes["policy"] == "last"]


def _runs(episodes: pd.DataFrame, variant: str, metric: str) -> np.ndarray:
    """Scores [seeds, tasks] of a variant."""
    own = episodes[episodes["variant"] == variant]
    return own.pivot_table(metric, "seed", ["problem", "task"]).to_numpy(float)


def _middle_half(scores: np.ndarray) -> float:
    ordered = np.sort(scores.ravel())
    quarter = len(ordered) // 4
    return float(ordered[quarter : len(ordered) - quarter].mean())


def _resampled(scores: np.ndarray, n: int = 4000) -> np.ndarray:
    """IQM of scores whose seeds are drawn anew, with all tasks, n times."""
    drawn = np.random.default_rng(7).integers(len(scores), size=(n, len(scores)))
    return np.array([_middle_half(scores[rows]) for rows in drawn])


def _ends(resampled: np.ndarray) -> list[float]:
    """Ends of the interval of four seeds: t of three degrees is 3.182, times sqrt(4 / 3)."""
    return np.quantile(resampled, [0.0001, 0.9999]).tolist()


def _csv(table: Table) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(table.csv("")))


def _where(frame: pd.DataFrame, **values: str) -> pd.DataFrame:
    """Rows that have these values."""
    for column, value in values.items():
        frame = frame[frame[column] == value]
    return frame


def _row(table: Table, *names: str) -> list[str]:
    (row,) = (row for row in table.rows if list(row[: len(names)]) == list(names))
    return list(row[len(names) :])


def _number(cell: str) -> float:
    return float(cell.split()[0])


def _latex_rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("%")]


def _table(rows: list[list[str]], align: str) -> Table:
    header = [f"Column {i}" for i in range(len(align))]
    return Table("A title", ["A caption."], header, align, rows, pd.DataFrame({"a": [0.1]}), "all")


def test_a_table_in_each_format(tmp_path: Path) -> None:
    rows = [["task_1", "a", "-0.10", Bold("50 %")], ["task_1", "b", "1e-4 [-1, 2]", "{x}"]]
    table = _table([*rows, ["task_2", "a", "Δ", "n/a"]], "llrr")
    table.write([tmp_path / f"t.{suffix}" for suffix in ("tex", "md", "csv", "html")], PROVENANCE)
    assert _latex_rows((tmp_path / "t.tex").read_text()) == [
        r"\begingroup\setlength{\tabcolsep}{3pt}",
        r"\begin{tabular}{@{}llrr@{}}",
        r"\toprule",
        r"Column 0 & Column 1 & Column 2 & Column 3 \\",
        r"\midrule",
        r"task\_1 & a & $-$0.10 & \textbf{50 \%} \\*",
        r" & b & 1e-4 [$-$1, 2] & \{x\} \\",
        r"\addlinespace",
        r"task\_2 & a & $\Delta$ & n/a \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\endgroup",
    ]
    assert (tmp_path / "t.md").read_text().splitlines()[:5] == [
        "A title.",
        "",
        "| Column 0 | Column 1 | Column 2 | Column 3 |",
        "| :-- | :-- | --: | --: |",
        "| task_1 | a | -0.10 | **50 %** |",
    ]
    assert (tmp_path / "t.csv").read_text() == "a\n0.1\n"
    assert '<td class="r">-0.10</td><td class="r"><b>50 %</b></td></tr>' in (
        (tmp_path / "t.html").read_text()
    )
    for suffix in ("tex", "md", "html"):
        assert "study made_up, params 0123456789abcdef" in (tmp_path / f"t.{suffix}").read_text()
    for suffix in ("tex", "md"):
        assert "A caption." in (tmp_path / f"t.{suffix}").read_text()
    with pytest.raises(ValueError, match=r"t\.pdf: no format for tables"):
        table.write([tmp_path / "t.pdf"], PROVENANCE)


def test_the_first_of_three_names_is_a_heading_in_latex() -> None:
    rows = [["set", "x", "a", "1"], ["set", "y", "a", "2"], ["other", "y", "a", "3"]]
    assert _latex_rows(_table(rows, "lllr").latex(""))[4:-3] == [
        r"\midrule",
        r"\multicolumn{3}{@{}l}{\emph{set}} \\*",
        r"x & a & 1 \\",
        r"\addlinespace",
        r"y & a & 2 \\",
        r"\addlinespace",
        r"\multicolumn{3}{@{}l}{\emph{other}} \\*",
        r"y & a & 3 \\",
    ]


def test_more_columns_than_fit_follow_below_with_the_names_again() -> None:
    rows = [["p", "a", "1", "2", "3"], ["p", "b", "4", "5", "6"]]
    wide = dataclasses.replace(_table(rows, "llrrr"), at_once=2)
    lines = _latex_rows(wide.latex(""))
    assert [line for line in lines if "&" in line] == [
        r"Column 0 & Column 1 & Column 2 & Column 3 \\",
        r"p & a & 1 & 2 \\*",
        r" & b & 4 & 5 \\",
        r"Column 0 & Column 1 & Column 4 \\",
        r"p & a & 3 \\*",
        r" & b & 6 \\",
    ]
    assert [line for line in lines if "begin{tab" in line] == [
        r"\begin{tabular}{@{}llrr@{}}",
        r"\begin{tabular}{@{}llr@{}}",
    ]
    assert "| p | a | 1 | 2 | 3 |" in wide.markdown("")


def test_what_no_page_holds_is_a_longtable_with_its_header_on_each() -> None:
    latex = _table([[str(i), "words"] for i in range(60)], "lw").latex("")
    assert r"% Needs \usepackage{booktabs,array,longtable}." in latex
    assert r"\begin{longtable}{@{}l>{\raggedright\arraybackslash}p{0.2\textwidth}@{}}" in latex
    assert latex.index(r"\endhead") < latex.index("59 & words") < latex.index(r"\end{longtable}")
    assert "tabular" not in latex


def test_results_of_two_seeds_equal_the_table_computed_by_hand(tmp_path: Path) -> None:
    files = [path for seeds in write_evaluations(tmp_path).values() for path in seeds.values()]
    table = results({"episodes": files}, TWO_SEEDS, "SurComb3")
    # The IQM of 0, .25, .5, .75 leaves out the first and the last; of two values none.
    assert table.rows == [
        ["task_a", "qmix", *["0.50 [0.25, 0.75]"] * 2, *["0.00 [-5.00, 5.00]"] * 2],
        ["task_a", "trama", *["1.00 [1.00, 1.00]"] * 2, *["0.00 [-5.00, 5.00]"] * 2],
        ["task_b", "qmix", *["0.25 [0.00, 0.50]"] * 2, *["7.00 [7.00, 7.00]"] * 2],
        ["task_b", "trama", *["0.75 [0.50, 1.00]"] * 2, *["7.00 [7.00, 7.00]"] * 2],
        [
            *(OVERALL, "qmix", "0.38 [0.12, 0.62]", "0.38 [0.12, 0.62]"),
            *("6.00 [1.00, 6.00]", "3.50 [1.00, 6.00]"),
        ],
        [
            *(OVERALL, "trama", "1.00 [0.75, 1.00]", "0.88 [0.75, 1.00]"),
            *("6.00 [1.00, 6.00]", "3.50 [1.00, 6.00]"),
        ],
    ]
    assert not any(isinstance(cell, Bold) for row in table.rows for cell in row)
    assert "2 seeds are too few for intervals" in table.caption[0]
    assert "of 2 to 4 episodes per seed and task" in table.caption[0]
    frame = _csv(table)
    assert frame["low"].isna().all()
    seeds = frame[(frame.statistic == "seed") & (frame.task == OVERALL) & (frame.variant == "qmix")]
    assert seeds[seeds.metric == "win_rate"]["value"].tolist() == [0.125, 0.625]
    assert seeds["seed"].tolist() == [0, 1, 0, 1]


def test_results_with_intervals(study: Path, config: Config) -> None:
    table = table_of("results", study, config, "SurComb3")
    episodes = _episodes(study, "SurComb3")
    episodes = episodes[episodes["task_set"] == "trained"]
    frame = _csv(table)
    tasks = list(dict.fromkeys(episodes["task"]))
    for task, variant, metric in product([*tasks, OVERALL], VARIANTS, ("win_rate", "return")):
        of_task = episodes if task == OVERALL else episodes[episodes["task"] == task]
        scores = _runs(of_task, variant, metric)
        rows = _where(frame, task=task, variant=variant, metric=metric)
        values = {s: _where(rows, statistic=s)["value"].tolist() for s in ("mean", "iqm", "seed")}
        assert values["mean"] == pytest.approx([scores.mean()])
        assert values["iqm"] == pytest.approx([_middle_half(scores)])
        assert values["seed"] == pytest.approx(scores.mean(axis=1).tolist())
        cells = _row(table, task, variant)[slice(0, 2) if metric == "win_rate" else slice(2, 4)]
        assert [_number(cell) for cell in cells] == pytest.approx(
            [_middle_half(scores), scores.mean()], abs=ROUNDED
        )
        if task == OVERALL:
            found = _where(rows, statistic="iqm")[["low", "high"]].to_numpy()[0]
            assert found == pytest.approx(_ends(_resampled(scores)), abs=0.04 * np.ptp(scores))
    assert "95 % bootstrap intervals over the 4 seeds" in table.caption[0]


def test_the_best_is_in_bold_where_no_other_variant_may_be_better(
    study: Path, config: Config
) -> None:
    table = table_of("results", study, config, "SurComb3")
    episodes = _episodes(study, "SurComb3")
    episodes = episodes[episodes["task_set"] == "trained"]
    resampled = {v: _resampled(_runs(episodes, v, "win_rate")) for v in VARIANTS}
    gaps = [resampled["trama_oracle"] - resampled[v] for v in VARIANTS[:-1]]
    assert min(_ends(gap)[0] for gap in gaps) > 0.02
    bold = {v: isinstance(_row(table, OVERALL, v)[0], Bold) for v in VARIANTS}
    assert bold == {"qmix": False, "qplex": False, "trama": False, "trama_oracle": True}


def test_the_best_that_intervals_support() -> None:
    low, high = np.linspace(0.1, 0.2, 5)[:, None], np.linspace(0.6, 0.7, 5)[:, None]

    def best(**scores: np.ndarray) -> str | None:
        return supported_best(scores, estimates.mean, 0)

    assert best(a=low, b=high) == best(b=high, a=low, c=low + 0.1) == "b"
    assert best(a=low, b=high, c=high - 0.02) is None  # c may be as good
    assert best(a=high, b=high) is None
    assert best(a=low[:2], b=high[:2]) is None  # two seeds say nothing
    assert best(a=low[:3], b=high[:3]) == "b"
    assert best(b=high) is None  # the best of one


def test_sets_of_tasks_that_were_not_trained_on(study: Path, config: Config) -> None:
    table = table_of("ood", study, config, "SurComb4")
    episodes = _episodes(study, "SurComb4")
    unseen = episodes[episodes["task_set"] != "trained"]
    groups = {name: _where(episodes, task_set=name) for name in ("trained", *TASK_SETS)}
    groups["unseen"] = unseen
    assert list(dict.fromkeys(row[0] for row in table.rows)) == ["trained", *TASK_SETS, "unseen"]
    frame = _csv(table)
    for task_set, of_set in groups.items():
        for variant in VARIANTS:
            n_tasks, distance, win_rate, episode_return, gain = _row(table, task_set, variant)
            assert int(n_tasks) == of_set["task"].nunique()
            wins = _middle_half(_runs(of_set, variant, "win_rate"))
            returns = _middle_half(_runs(of_set, variant, "return"))
            assert [_number(win_rate), _number(episode_return)] == pytest.approx(
                [wins, returns], abs=ROUNDED
            )
            if variant == "trama":
                far = _runs(of_set, variant, "centroid_distance").mean()
                assert float(distance) == pytest.approx(far, abs=ROUNDED)
            else:
                assert distance == "n/a"
            if variant in ("trama", "trama_oracle"):
                over = _middle_half(_runs(of_set, "qplex", "win_rate"))
                assert _number(gain) == pytest.approx(wins - over, abs=ROUNDED)
                keys = {"task_set": task_set, "variant": variant, "metric": "win_rate_gain"}
                exact = _where(frame, **keys, statistic="iqm")["value"]
                assert exact.tolist() == pytest.approx([wins - over])
            else:
                assert gain == "n/a"
    # SurComb4 trains on 1c2s2z, which is 2c1s2z with one unit changed, and not on its twin.
    assert "2c1s2z surrounded" in set(unseen["task"])


def test_each_task_that_was_not_trained_on(study: Path, config: Config) -> None:
    table = table_of("ood_tasks", study, config, "SurComb3")
    episodes = _episodes(study, "SurComb3")
    tasks = episodes[["task_set", "task"]].drop_duplicates()
    assert [row[:3] for row in table.rows] == [
        [task_set, task, variant]
        for task_set, task in tasks.itertuples(index=False)
        for variant in VARIANTS
    ]
    for task_set, task in tasks.itertuples(index=False):
        rows = _where(episodes, task_set=task_set, task=task)
        changed, _, win_rate, *_ = _row(table, task_set, task, "qmix")
        assert int(changed) == rows["units_changed"].iloc[0]
        wins = _middle_half(_runs(rows, "qmix", "win_rate"))
        assert _number(win_rate) == pytest.approx(wins, abs=ROUNDED)


def test_tasks_without_units_have_no_number_of_changed_ones(tmp_path: Path) -> None:
    config = study_config(
        study={"name": "small", "variants": ["qmix"], "seeds": [0]},
        evaluate={"task_sets": ["one_type"]},
    )
    study = write_study(tmp_path, config)
    (path,) = study.glob("SurComb3/evaluate/*/*/episodes.parquet")
    columns = read_table(path, "episodes").to_pydict()
    columns["units_changed"] = [0 if t == "trained" else None for t in columns["task_set"]]
    write_table(path, "episodes", columns, PROVENANCE)
    rows = table_of("ood_tasks", study, config, "SurComb3").rows
    assert {(row[0], row[3]) for row in rows} == {("trained", "0"), ("one_type", "n/a")}


def test_a_set_that_a_problem_trains_on_is_left_out(tmp_path: Path) -> None:
    config = study_config(
        study={
            **{"name": "small", "variants": ["qmix"], "seeds": [0]},
            "problems": ["SurComb3", "Other"],
        },
        problems={"Other": {"units": ["1s4z", "1c4s"]}},
        task_sets={"known": {"units": ["2z3s"]}, "new": {"units": ["5s"]}},
        evaluate={"task_sets": ["known", "new"]},
    )
    table = table_of("ood", write_study(tmp_path, config), config, "SurComb3")
    assert [row[0] for row in table.rows] == ["trained", "new", "unseen"]
    assert "There is one seed, so there are no intervals." in table.caption[0]
    assert all("[" not in cell for row in table.rows for cell in row)


def test_predictors_and_their_seeds(study: Path, config: Config) -> None:
    table = table_of("predictor", study, config, "SurComb3")
    assert [row[0] for row in table.rows] == ["trama", "trama_oracle"]
    frame = _csv(table)
    metrics = ("predictor_accuracy", "predictor_balanced_accuracy", "majority_rate")
    for column, metric in enumerate(metrics):
        values = []
        for seed in config.study.seeds:
            path = study / f"SurComb3/train/trama/seed_{seed}/history.parquet"
            history = read_table(path, "history").to_pandas()
            values.append(history[history["metric"] == metric].iloc[-1]["value"])
        own = frame[(frame["variant"] == "trama") & (frame["metric"] == metric)]
        assert own[own["statistic"] == "seed"]["value"].tolist() == pytest.approx(values)
        assert own[own["statistic"] == "mean"]["value"].item() == pytest.approx(np.mean(values))
        cell = _row(table, "trama")[column]
        assert re.fullmatch(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]", cell)
        assert _number(cell) == pytest.approx(np.mean(values), abs=ROUNDED)


def _given(study: Path, problem: str) -> pd.DataFrame:
    """All episodes of the last policies of a problem whose agents were given a class."""
    files = study.glob(f"{problem}/evaluate/*/*/given_classes.parquet")
    given = pd.concat([read_table(file, "given_classes").to_pandas() for file in files])
    return given[given["policy"] == "last"].rename(columns={"won": "win_rate"})


def test_what_policies_make_of_their_class(study: Path, config: Config) -> None:
    table = table_of("class_use", study, config, "SurComb4")
    episodes, given = _episodes(study, "SurComb4"), _given(study, "SurComb4")
    episodes = episodes[episodes["task_set"] == "trained"]
    tasks = [*dict.fromkeys(episodes["task"]), OVERALL]
    assert [row[:2] for row in table.rows] == [
        [task, variant] for task in tasks for variant in ("trama", "trama_oracle")
    ]
    frame = _csv(table)
    for task, variant in product(tasks, ("trama", "trama_oracle")):
        of_task, of_given = (
            rows if task == OVERALL else _where(rows, task=task) for rows in (episodes, given)
        )
        *wins, effect, actions = _row(table, task, variant)
        predicted = _runs(of_task, variant, "win_rate")
        expected = [
            predicted,
            *(_runs(_where(of_given, given=k), variant, "win_rate") for k in GIVEN),
        ]
        assert [_number(cell) for cell in wins] == pytest.approx(
            [_middle_half(scores) for scores in expected], abs=ROUNDED
        )
        assert all(re.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\]", cell) for cell in wins)
        swaps = [_runs(of_task, variant, m).mean() for m in ("swap_effect", "swap_actions")]
        assert [float(effect), float(actions)] == pytest.approx(swaps, abs=ROUNDED)
        rows = _where(frame, task=task, variant=variant)
        for kind, scores in zip(GIVEN, expected[1:], strict=True):
            found = _where(rows, classes=kind, metric="win_rate_difference")
            of_seeds = (scores - predicted).mean(axis=1)
            assert found[found["statistic"] == "seed"]["value"].tolist() == pytest.approx(of_seeds)
            (mean,) = found[found["statistic"] == "mean"].to_dict("records")
            assert mean["value"] == pytest.approx(of_seeds.mean())
            # Of differences, each within its run.
            rows_of = np.random.default_rng(7).integers(len(scores), size=(4000, len(scores)))
            ends = _ends(np.array([of_seeds[drawn].mean() for drawn in rows_of]))
            assert [mean["low"], mean["high"]] == pytest.approx(ends, abs=0.01)


# Wins of two seeds on two tasks, of four episodes each: with predicted and with given classes.
_PREDICTED_WINS = ((2, 1), (4, 3))
_WINS: dict[str, tuple[tuple[int, int | None], ...]] = {
    "true_class": ((4, 3), (4, 4)),
    "random_class": ((1, 1), (2, 2)),
    "wrong_class": ((0, 1), (0, None)),  # seed 1 does not know the class of task b
}


def _write_class_use(folder: Path) -> dict[str, list[Path]]:
    """Files of the variant trama with `_WINS`; each episode also has swap values."""
    found: dict[str, list[Path]] = {"episodes": [], "given_classes": []}
    for seed in (0, 1):
        path = folder / "evaluate" / "trama" / f"seed_{seed}" / "episodes.parquet"
        counts = dict(zip(("a", "b"), _PREDICTED_WINS[seed], strict=True))
        rows = [
            ("last", "trained", task, 1.0, i < wins)
            for task, wins in counts.items()
            for i in range(4)
        ]
        write_episodes(path, [*rows, ("best", "trained", "a", 1.0, True)])
        columns = read_table(path, "episodes").to_pydict()
        # Means of 0.2 and 0.4 on task a, of 1.0 on task b.
        columns["swap_effect"] = [0.1 + 0.2 * seed, 0.3 + 0.2 * seed] * 2 + [1.0] * 4 + [9.0]
        columns["swap_actions"] = [0.5, 0.5, 0.0, 1.0] + [seed / 2] * 4 + [1.0]
        write_table(path, "episodes", columns, PROVENANCE)
        found["episodes"].append(path)
        given = [
            {"task": task, "given": kind, "won": i < wins, "episode": i}
            for kind in GIVEN
            for task, wins in zip(("a", "b"), _WINS[kind][seed], strict=True)
            if wins is not None
            for i in range(4)
        ]
        same: dict[str, object] = {
            "problem": "SurComb3",
            "variant": "trama",
            "seed": seed,
            "class": 0,
            "length": 9,
        }
        same |= {"policy": "last", "episode_return": 0.0}
        names = KINDS["given_classes"].schema.names
        columns = {name: [(same | row)[name] for row in given] for name in names}
        write_table(path.with_name("given_classes.parquet"), "given_classes", columns, PROVENANCE)
        found["given_classes"].append(path.with_name("given_classes.parquet"))
    return found


def test_class_use_of_two_seeds_equals_the_table_computed_by_hand(tmp_path: Path) -> None:
    params = TWO_SEEDS.model_copy(update={"names": ("trama",), "given_classes": GIVEN})
    files = _write_class_use(tmp_path)
    table = class_use(files, params, "SurComb3")
    assert table.header[2:] == [
        *("Predicted", "True class", "Random class", "Wrong class", "Effect", "Actions")
    ]
    assert table.rows == [
        [
            *("a", "trama", "0.75 [0.50, 1.00]", "1.00 [1.00, 1.00]", "0.38 [0.25, 0.50]"),
            *("0.00 [0.00, 0.00]", "0.30", "0.50"),
        ],
        [
            *("b", "trama", "0.50 [0.25, 0.75]", "0.88 [0.75, 1.00]", "0.38 [0.25, 0.50]"),
            *("n/a", "1.00", "0.25"),
        ],
        # The IQM of .25, .5, .75, 1 leaves out the first and the last, and so on.
        [
            *(OVERALL, "trama", "0.62 [0.38, 0.88]", "1.00 [0.88, 1.00]", "0.38 [0.25, 0.50]"),
            *("n/a", "0.65", "0.38"),
        ],
    ]
    frame = _where(_csv(table), task=OVERALL, metric="win_rate_difference", statistic="mean")
    assert dict(zip(frame["classes"], frame["value"], strict=True)) == {
        "true_class": 0.3125,
        "random_class": -0.25,
    }
    few = class_use(files, params.model_copy(update={"given_classes": ()}), "SurComb3")
    assert [row[2:] for row in few.rows] == [[row[2], *row[6:]] for row in table.rows]
    assert "instead" in table.caption[0] and "instead" not in few.caption[0]


def test_the_predictor_alone(study: Path, config: Config) -> None:
    table = table_of("predictor_alone", study, config, "SurComb3")
    assert [row[0] for row in table.rows] == ["true tasks", "clusters of vqvae"]
    frames = [
        read_table(path, "predictor_accuracy").to_pandas()
        for path in sorted(study.glob("SurComb3/representation/vqvae/*/predictor_accuracy.parquet"))
    ]
    frame = _csv(table)
    for (name, *cells), labels in zip(table.rows, ("true_task", "clusters"), strict=True):
        held_out = [_where(f, labels=labels, split="held_out") for f in frames]
        trained = [_where(f, labels=labels, split="trained") for f in frames]
        expected = {
            **{
                column: np.mean([f[f["step"].isna()][column].item() for f in held_out])
                for column in ("accuracy", "balanced_accuracy", "majority_rate")
            },
            "first_accuracy": np.mean([f[f["step"] == 0]["accuracy"].item() for f in held_out]),
            "trained_accuracy": np.mean([f[f["step"].isna()]["accuracy"].item() for f in trained]),
        }
        for cell, (metric, value) in zip(cells, expected.items(), strict=True):
            assert _number(cell) == pytest.approx(value, abs=ROUNDED)
            exact = _where(frame, labels=name, metric=metric, statistic="mean")["value"]
            assert exact.tolist() == pytest.approx([value])
        assert _where(frame, labels=name, metric="accuracy", statistic="seed")[
            "value"
        ].tolist() == (pytest.approx([f[f["step"].isna()]["accuracy"].item() for f in held_out]))


def _wins_of_pairs(novel: np.ndarray, trained: np.ndarray) -> float:
    """Share of the pairs of which the novel one has the higher score."""
    return float(np.heaviside(novel[:, None] - trained, 0.5).mean())


def test_detection_is_the_share_of_pairs_that_a_score_orders_rightly(
    study: Path, config: Config
) -> None:
    table = table_of("novelty", study, config, "SurComb3")
    episodes = _episodes(study, "SurComb3")
    unseen = episodes[episodes["task_set"] != "trained"]
    groups = {name: _where(unseen, task_set=name) for name in TASK_SETS} | {"unseen": unseen}
    for changed in sorted(unseen["units_changed"].unique()):
        name = f"{changed} unit{'s' if changed > 1 else ''} changed"
        groups[name] = unseen[unseen["units_changed"] == changed]
    assert list(groups)[-2:] == ["1 unit changed", "2 units changed"]
    classes = ("trama", "trama_oracle")
    assert [row[:2] for row in table.rows] == [[g, v] for g in groups for v in classes]
    for (group, rows), variant in product(groups.items(), classes):
        n_tasks, _, *cells = _row(table, group, variant)
        of_variant = _where(rows, variant=variant)
        assert int(n_tasks) == of_variant["task"].nunique()
        trained = _where(episodes, variant=variant, task_set="trained")
        for score, cell in zip(
            ("confidence", "energy", "disagreement", "distance"), cells, strict=True
        ):
            areas = np.array(
                [
                    [
                        _wins_of_pairs(
                            of_task[score].to_numpy(),
                            trained[trained["seed"] == seed][score].to_numpy(),
                        )
                        for _, of_task in of_seed.groupby("task")
                    ]
                    for seed, of_seed in of_variant.groupby("seed")
                ]
            )
            assert _number(cell) == pytest.approx(_middle_half(areas), abs=ROUNDED)
            low, high = map(float, re.findall(r"[\d.]+", cell)[1:])
            assert [low, high] == pytest.approx(_ends(_resampled(areas)), abs=0.01 + ROUNDED)
    # Two of the made-up scores: the more units are changed, the larger.
    assert _number(_row(table, "2 units changed", "trama")[2]) > 0.85
    alone = table_of("novelty", study, config, "SurComb4")
    assert alone.rows != table.rows


def test_policies_without_scores_are_not_shown_in_numbers(tmp_path: Path) -> None:
    """A training that had no labels yet has no scores of novelty in one of its seeds."""
    config = _config(seeds=[0, 1])
    study = write_study(tmp_path, config)
    path = study / "SurComb3/evaluate/trama/seed_1/episodes.parquet"
    columns = read_table(path, "episodes").to_pydict()
    columns["energy"] = [None] * len(columns["energy"])
    write_table(path, "episodes", columns, PROVENANCE)
    table = table_of("novelty", study, config, "SurComb3")
    _, _, confidence, energy, *_ = _row(table, "unseen", "trama")
    assert energy == "n/a" and confidence != "n/a"
    assert "n/a" not in _row(table, "unseen", "trama_oracle")


def test_falling_back_beside_predicted_classes_and_the_baseline(tmp_path: Path) -> None:
    config = study_config(
        study={
            "name": "made_up",
            "variants": ["qplex", "trama", "trama_oracle"],
            "seeds": [0, 1, 2],
        },
        evaluate={"task_sets": list(TASK_SETS), "fallback": {"score": "energy", "quantile": 0.9}},
        variants={"trama": {"train": {"class_representation": {"dropout": 0.2}}}},
    )
    study = write_study(tmp_path, config)
    table = table_of("fallback", study, config, "SurComb3")
    assert "logsumexp" in table.caption[0] and "above the 90 % quantile" in table.caption[0]
    episodes = _episodes(study, "SurComb3")
    files = study.glob("SurComb3/evaluate/*/*/fallback.parquet")
    again = pd.concat([read_table(file, "fallback").to_pandas() for file in files])
    again = again[again["policy"] == "last"].rename(columns={"won": "win_rate"})
    assert set(again["variant"]) == {"trama"}
    groups = ["trained", *TASK_SETS, "unseen", "1 unit changed", "2 units changed"]
    assert [row[:2] for row in table.rows] == [[group, "trama"] for group in groups]
    frame = _csv(table)
    for group in groups:
        if group == "unseen":
            chosen = episodes["task_set"] != "trained"
        elif group.endswith(" changed"):
            chosen = (episodes["units_changed"] == int(group[0])) & (
                episodes["task_set"] != "trained"
            )
        else:
            chosen = episodes["task_set"] == group
        tasks = set(episodes["task"][chosen])
        own, other = (rows[rows["task"].isin(tasks)] for rows in (episodes, again))
        predicted, fallen = _runs(own, "trama", "win_rate"), _runs(other, "trama", "win_rate")
        baseline = _runs(own, "qplex", "win_rate")
        n_tasks, *wins, class_free, difference, beside, gain = _row(table, group, "trama")
        assert int(n_tasks) == len(tasks)
        assert [_number(cell) for cell in wins] == pytest.approx(
            [_middle_half(predicted), _middle_half(fallen)], abs=ROUNDED
        )
        share = _runs(other, "trama", "class_free").mean()
        assert float(class_free) == pytest.approx(share, abs=ROUNDED)
        assert _number(difference) == pytest.approx((fallen - predicted).mean(), abs=ROUNDED)
        assert float(beside) == pytest.approx(_middle_half(baseline), abs=ROUNDED)
        expected = _middle_half(fallen) - _middle_half(baseline)
        assert _number(gain) == pytest.approx(expected, abs=ROUNDED)
        rows = _where(frame, task_set=group, metric="win_rate_gain", statistic="iqm")
        assert rows["value"].item() == pytest.approx(expected) and set(rows["classes"]) == {
            "fallback"
        }


def test_label_consistency_beside_chance(tmp_path: Path) -> None:
    values = {
        ("trama", 0): [(100, 0.8, 0.4), (200, 0.9, 0.5)],
        ("trama", 1): [(100, 0.6, 0.3)],
        ("other", 0): [],  # all clusterings were refused
        ("other", 1): [(100, 0.5, 0.5)],
    }
    files = []
    for (variant, seed), clusterings in values.items():
        rows: list[tuple[int, str, str | None, int | None, float]] = [(0, "ari", None, None, 0.0)]
        for env_steps, kept, chance in clusterings:
            rows.append((env_steps, "label_consistency", None, None, kept))
            rows.append((env_steps, "label_consistency_chance", None, None, chance))
        path = tmp_path / variant / f"seed_{seed}" / "history.parquet"
        files.append(write_history(path, rows))
    starts = {"trama": "centroids", "other": "matched"}
    params = TWO_SEEDS.model_copy(update={"initialisations": starts})
    table = label_consistency({"histories": files}, params, "SurComb3")
    assert table.rows == [
        ["trama", "1.5", "0.72 [0.60, 0.85]", "0.38 [0.30, 0.45]", "0.60", "from old centroids"],
        ["other", "0.5", "n/a", "n/a", "0.50", "anew, matched"],
    ]
    frame = _csv(table)
    each = frame[(frame["statistic"] == "clustering") & (frame["metric"] == "label_consistency")]
    columns = ["variant", "seed", "env_steps", "value"]
    assert each[columns].to_numpy().tolist() == [
        ["trama", 0, 100, 0.8],
        ["trama", 0, 200, 0.9],
        ["trama", 1, 100, 0.6],
        ["other", 1, 100, 0.5],
    ]


def test_clusters_of_each_representation_and_seed(study: Path, config: Config) -> None:
    table = table_of("clusters", study, config, "SurComb3")
    assert table.rows == [
        ["vqvae", str(seed), "0.47", "0.00", "0.35", "57", "0.20", "0.50"]
        for seed in config.study.seeds
    ]
    assert _csv(table)["ari"].tolist() == [0.471] * len(config.study.seeds)


def test_variants_beside_the_reference_over_all_problems(study: Path, config: Config) -> None:
    table = table_of("ablations", study, config)
    start = "start scratch instead of collect"
    assert [row[:2] for row in table.rows] == [
        ["qmix", f"no trajectory classes; mixer qmix instead of qplex; {start}"],
        ["qplex", f"no trajectory classes; {start}"],
        ["trama", "reference"],
        ["trama_oracle", "true tasks as classes instead of clusters of vqvae"],
    ]
    assert _row(table, "trama")[2:] == ["n/a"] * 3
    episodes = pd.concat([_episodes(study, problem) for problem in config.study.problems])
    episodes = episodes[episodes["task_set"] == "trained"]
    frame = _csv(table)
    for variant in ("qmix", "qplex", "trama_oracle"):
        for metric in ("win_rate", "return"):
            own, other = (_runs(episodes, v, metric) for v in (variant, "trama"))
            assert own.shape == (4, 3 + 4)
            row = _where(frame, variant=variant, metric=f"{metric}_difference", statistic="iqm")
            assert row["value"].item() == pytest.approx(_middle_half(own) - _middle_half(other))
            gaps = np.subtract.outer(_resampled(own, 1000), _resampled(other, 1000))
            # What 2,000 resamples have at their ends is among the outermost 3 in 1,000 of all.
            lowest, low, high, highest = np.quantile(gaps, [0, 0.003, 0.997, 1])
            assert lowest <= row["low"].item() <= low and high <= row["high"].item() <= highest
        wins = [_runs(episodes, v, "win_rate") for v in (variant, "trama")]
        pairs = [
            (x > y) + (x == y) / 2
            for task in range(7)
            for x, y in product(wins[0][:, task], wins[1][:, task])
        ]
        row = _where(frame, variant=variant, metric="win_rate_improvement")
        assert row["value"].item() == pytest.approx(np.mean(pairs))
        assert _number(_row(table, variant)[4]) == pytest.approx(np.mean(pairs), abs=ROUNDED)


def _verdict(low: float, high: float, bound: float) -> str:
    if low <= bound <= high:
        return "not told apart"
    return "reproduced" if low > bound else "not reproduced"


def test_claims_beside_what_was_measured(study: Path, config: Config) -> None:
    table = table_of("claims", study, config)
    frame = _csv(table)
    assert set(frame[frame["claim"] != "use"]["variant"]) == {"trama"}
    assert table.latex("").count(r"\\") == len(table.rows) + 1 == len(frame) + 1
    accuracy, over_majority, kept = (
        _where(frame, metric=metric).iloc[0]
        for metric in (
            *("predictor_accuracy", "predictor_accuracy_over_majority"),
            "label_consistency",
        )
    )
    last = {
        metric: np.array(
            [
                [_last(study, problem, seed, metric) for problem in config.study.problems]
                for seed in config.study.seeds
            ]
        )
        for metric in ("predictor_accuracy", "majority_rate")
    }
    assert accuracy["value"] == pytest.approx(last["predictor_accuracy"].mean())
    gap = last["predictor_accuracy"] - last["majority_rate"]
    assert over_majority["value"] == pytest.approx(gap.mean())
    for row, bound in ((accuracy, 0.8), (over_majority, 0), (kept, 0.7)):
        assert row["low"] < row["value"] < row["high"]
        assert row["verdict"] == _verdict(row["low"], row["high"], bound)
    episodes = pd.concat([_episodes(study, problem) for problem in config.study.problems])
    trained = episodes[episodes["task_set"] == "trained"]
    alike = episodes[(episodes["units_changed"] == 1) & episodes["start_trained"].eq(True)]
    assert set(alike["task_set"]) == set(TASK_SETS)  # one unit may also be missing
    for claim, rows, metrics in (
        ("gain", trained, ("win_rate", "return")),
        ("transfer", alike, ("win_rate",)),
    ):
        for over, metric in product(("qmix", "qplex"), metrics):
            row = _where(frame, claim=claim, over=over, metric=f"{metric}_difference").iloc[0]
            own, other = (_runs(rows, variant, metric) for variant in ("trama", over))
            assert row["value"] == pytest.approx(_middle_half(own) - _middle_half(other))
            assert row["verdict"] == _verdict(row["low"], row["high"], 0)
    verdicts = frame.groupby("claim")[["verdict", "verdict_of_claim"]]
    for _, of_claim in verdicts:
        expected = set(of_claim["verdict"])
        found = "partly" if "reproduced" in expected else "not told apart"
        if len(expected) == 1:
            found = expected.pop()
        assert set(of_claim["verdict_of_claim"]) == {found}
    assert "reproduced" in set(frame["verdict_of_claim"])  # trama has more skill than qmix


def test_what_a_wrong_class_costs_stands_beside_the_claims(study: Path, config: Config) -> None:
    frame = _csv(table_of("claims", study, config))
    rows = _where(frame, claim="use").set_index("variant")
    assert set(rows.index) == {"trama", "trama_oracle"}
    files = [*study.glob("*/evaluate/*/*/given_classes.parquet")]
    given = pd.concat([read_table(file, "given_classes").to_pandas() for file in files])
    given = given[(given["given"] == "wrong_class") & (given["policy"] == "last")]
    episodes = pd.concat([_episodes(study, problem) for problem in config.study.problems])
    trained = episodes[episodes["task_set"] == "trained"]
    for variant, row in rows.iterrows():
        won = trained[trained["variant"] == variant]["win_rate"].mean()
        wrong = given[given["variant"] == variant]["won"].mean()
        assert row["value"] == pytest.approx(won - wrong)
        assert row["verdict"] == _verdict(row["low"], row["high"], 0)


_CONCLUSIONS = [
    # What each makes of: the gain over the control, the oracle's, what a wrong class costs it, what
    # a true class gives, how often its predictor is right at the first step.
    ((0.2, 0.2, 0.0, 0.0, 0.9), "Classes bring a gain: ``own`` wins more than ``control``, which"),
    ((0.0, 0.2, 0.0, 0.3, 0.9), "with the true class given it wins more, so its predictor loses"),
    ((0.0, 0.2, 0.0, 0.0, 0.9), "nor to win more with the true class given, so its clusters lose"),
    ((-0.2, 0.0, 0.2, 0.0, 0.9), "gain, though a wrong class costs an oracle wins"),
    ((0.0, -0.2, 0.0, 0.0, 0.9), "right on 0.90 of the agents at the first step: they see which"),
    ((0.0, 0.0, 0.0, 0.0, 0.4), "right on 0.40 of the agents at the first step: there is somethi"),
]


@pytest.mark.parametrize(("sizes", "expected"), _CONCLUSIONS)
def test_why_classes_bring_a_gain_or_none(
    sizes: tuple[float, ...], expected: str, tmp_path: Path
) -> None:
    assert expected in _concluded(sizes, tmp_path)


def test_what_was_not_measured_supports_no_conclusion(tmp_path: Path) -> None:
    of_oracle, nothing = (0.0, 0.2, 0.0, 0.3, 0.9), (0.0, 0.0, 0.0, 0.0, 0.9)
    assert _concluded(nothing, tmp_path, oracles=()) == ""
    assert _concluded(nothing, tmp_path, controls=()) == ""
    assert _concluded(nothing, tmp_path, given_classes=("true_class",)) == ""
    said = _concluded(of_oracle, tmp_path, given_classes=("wrong_class",))
    assert said == "Oracles gain (``oracle``), and ``own`` is not seen to."
    # A gain over one of two controls is one.
    said = _concluded((0.2, 0.2, 0.0, 0.0, 0.9), tmp_path, controls=("control", "better"))
    assert "wins more than ``control``, which starts as it does" in said


def _concluded(sizes: tuple[float, ...], folder: Path, **change: object) -> str:
    """The conclusion from made-up runs of effects of these sizes, which each test as they are."""
    gain, of_oracle, lost, truth, right = sizes
    noise = np.array([[0.0, 0.02, 0.04], [0.02, 0.0, 0.04], [0.04, 0.02, 0.0], [0.0, 0.04, 0.02]])
    levels = {"control": 0.5, "own": 0.5 + gain, "oracle": 0.5 + of_oracle, "better": 0.5 + gain}
    wins = {n: level + more for (n, level), more in zip(levels.items(), noise, strict=True)}
    given = {
        ("own", "wrong_class"): wins["own"] - lost,
        ("own", "true_class"): wins["own"] + truth,
        ("oracle", "wrong_class"): wins["oracle"] - lost,
        ("oracle", "true_class"): wins["oracle"],
    }
    same = {"problem": "P", "policy": "last", "task": "t", "seed": [0, 1, 2], "file": "f"}
    episodes = pd.concat(
        pd.DataFrame({**same, "task_set": "trained", "variant": name, "won": won})
        for name, won in wins.items()
    )
    again = pd.concat(
        pd.DataFrame({**same, "variant": name, "given": kind, "won": won})
        for (name, kind), won in given.items()
    )
    path = folder / "history.parquet"
    write_history(path, [(9, "predictor_accuracy", None, step, right) for step in (0, 1)])
    histories = {"P": {"oracle": {seed: path for seed in range(3)}}}
    params = TWO_SEEDS.model_copy(
        update={
            **{"names": (*wins,), "seeds": (0, 1, 2), "reference": "own"},
            **{"controls": ("control",), "oracles": ("oracle",)},
            "given_classes": ("true_class", "wrong_class"),
            **change,
        }
    )
    of_controls = ("control", "own", params.controls, episodes, "trained", ("win_rate",), params)
    found = [*differences(*of_controls, start_alike=True), *class_gain(episodes, again, params)]
    return conclusion(found, episodes, again, histories, params)


def test_claims_of_labels_need_a_random_start_beside_them(tmp_path: Path) -> None:
    variants = ["qplex", "trama", "trama_random", "trama_matched"]
    config = study_config(study={"name": "made_up", "variants": variants, "seeds": [0, 1, 2]})
    study = write_study(tmp_path, config)
    table = table_of("claims", study, config)
    # The paper has no labels that are matched.
    differences = _where(_csv(table), metric="label_consistency_difference")
    assert differences[["variant", "over"]].to_numpy().tolist() == [["trama", "trama_random"]]
    of_labels = [row[1] for row in table.rows if row[0] == "labels"]
    assert of_labels == [
        "labels kept from one clustering to the next, which starts from old centroids",
        "labels kept by trama_random, started anew",
        "labels kept, minus those of trama_random, started anew",
    ]
    # A start anew is to keep fewer than the lowest end of the paper's range.
    anew = _where(_csv(table), metric="label_consistency", variant="trama_random").iloc[0]
    opposite = {"reproduced": "not reproduced", "not reproduced": "reproduced"}
    found = _verdict(anew["low"], anew["high"], 0.7)
    assert anew["verdict"] == opposite.get(found, found)
    rows = table_of("label_consistency", study, config, "SurComb3").rows
    assert [(row[0], row[-1]) for row in rows] == [
        ("trama", "from old centroids"),
        ("trama_random", "anew"),
        ("trama_matched", "anew, matched"),
    ]


def test_a_control_that_starts_as_trama_does_shows_what_classes_alone_are_worth(
    tmp_path: Path,
) -> None:
    """It decides none of the paper's claims; one that starts otherwise is no control."""
    variants = {
        "qmix_collected": {"mixer": "qmix", "train": {"start": "collect"}},
        "qplex_replay": {"mixer": "qplex", "train": {"start": "replay"}},
    }
    names = ["trama", "qplex_collected", *variants, "qplex"]
    study = {"name": "made_up", "variants": names, "seeds": [0, 1, 2]}
    config = study_config(study=study, variants=variants)
    params = TableParams.model_validate(claims_params(config))
    assert (params.without_classes, params.controls) == (("qplex",), ("qplex_collected",))
    table = table_of("claims", write_study(tmp_path, config), config)
    alone = [row[1] for row in table.rows if row[0] == "control"]
    assert alone == [
        f"{metric} minus that of qplex_collected, which starts as trama does"
        for metric in ("win rate", "return")
    ]
    frame = _csv(table)
    others = {claim: set(rows["over"]) for claim, rows in frame.groupby("claim")}
    assert others["gain"] == others["transfer"] == {"qplex"}
    assert others["control"] == {"qplex_collected"}
    # Of another mixer, however it starts.
    of_qmix = {
        "qmix_replay": {"mixer": "qmix", "train": {"start": "replay"}},
        "trama_replay": {"mixer": "qplex", "representation": "vqvae", "train": {"start": "replay"}},
        "qplex_replay": variants["qplex_replay"],
    }
    study = {"variants": [*of_qmix, "qplex"], "reference": "trama_replay"}
    params = TableParams.model_validate(claims_params(study_config(study=study, variants=of_qmix)))
    assert params.controls == ("qplex_replay",)


def test_two_seeds_support_no_verdict(tmp_path: Path) -> None:
    config = _config(seeds=[0, 1])
    frame = _csv(table_of("claims", write_study(tmp_path, config), config))
    assert set(frame["verdict"]) == {"fewer than 3 seeds"}
    assert frame["low"].isna().all()


def _last(study: Path, problem: str, seed: int, metric: str) -> float:
    path = study / problem / "train/trama" / f"seed_{seed}" / "history.parquet"
    rows = read_table(path, "history").to_pandas()
    return float(rows[rows["metric"] == metric].sort_values("env_steps")["value"].iloc[-1])


def test_hyperparameters_are_those_that_jobs_used(study: Path) -> None:
    config = study_config(
        study={"name": "made_up", "variants": ["qmix", "qplex", "trama"], "seeds": [0]},
        variants={"qmix": {"train": {"gamma": 0.9}}},
    )
    table = table_of("hyperparameters", study, config)
    rows = [tuple(row) for row in table.rows]
    assert ("train", "gamma", "0.99", "0.9", "qmix") in rows
    assert ("train", "gamma", "0.99", "0.99", "qplex, trama") in rows
    assert ("train", "qmix.mixing_size", "32", "32", "qmix") in rows
    assert ("train", "learning_rate", "5e-4", "2e-3", "all") in rows
    assert ("representation", "n_codes", "256", "256", "trama") in rows
    assert ("cluster", "classifier.hidden_sizes", "64, 32", "64, 32", "trama") in rows
    assert ("env", "smax.max_steps", "", "100", "all") in rows
    keys = {(section, key) for section, key, *_ in rows}
    assert not keys & {("train", "rmsprop_alpha"), ("train", "checkpoint_minutes")}
    frame = _csv(table)
    gamma = frame[(frame["section"] == "train") & (frame["key"] == "gamma")]
    assert dict(zip(gamma["variant"], gamma["value"], strict=True)) == {
        **{"qmix": "0.9", "qplex": "0.99", "trama": "0.99"}
    }


def test_compute_from_timings_histories_and_benchmark_files(study: Path, config: Config) -> None:
    table = table_of("compute", study, config)
    assert [row[:3] for row in table.rows[:3]] == [
        ["SurComb3", "collect", ""],
        ["SurComb3", "cluster", "vqvae"],
        ["SurComb3", "train", "qmix"],
    ]
    timings = [
        read_table(path, "timing").to_pandas().set_index("phase")["seconds"]
        for path in sorted(study.glob("SurComb3/train/qmix/*/timing.parquet"))
    ]
    minutes, speed, updates, *_, memory = _row(table, "SurComb3", "train", "qmix")
    seconds = [timing.sum() for timing in timings]
    assert float(minutes) == pytest.approx(np.mean(seconds) / 60, abs=0.05)
    assert float(speed) == pytest.approx(np.mean([200_000 / s for s in seconds]), abs=0.5)
    assert updates == "2,400"
    files = study.glob("benchmarks/train_*/SurComb3/qmix/seed_*.tsv")
    largest = max(pd.read_csv(file, sep="\t")["max_rss"].item() for file in files)
    assert float(memory.replace(",", "")) == pytest.approx(largest, abs=0.5)
    # A study may have lost its benchmark files.
    assert _row(table, "SurComb3", "cluster", "vqvae") == ["n/a"] * 8


def test_cost_of_the_parts_of_a_training(study: Path, config: Config) -> None:
    table = table_of("cost", study, config)
    assert [row[:2] for row in table.rows] == [
        [problem, variant] for problem in config.study.problems for variant in VARIANTS
    ]
    timings = [
        read_table(path, "timing").to_pandas().set_index("phase")["seconds"]
        for path in sorted(study.glob("SurComb4/train/trama/*/timing.parquet"))
    ]
    assert len(timings) == 4
    minutes, *shares = _row(table, "SurComb4", "trama")
    total = np.array([timing.sum() for timing in timings])
    assert float(minutes) == pytest.approx(total.mean() / 60, abs=0.05)
    # In the order of the columns; no training of this study wrote a checkpoint.
    phases = ("environment", "play", "update", "predictor", "label", "vqvae", "cluster", "test")
    for cell, phase in zip(shares[:-1], phases, strict=True):
        share, memory = cell.removesuffix(")").split(" (")
        seconds = np.array([timing[phase] for timing in timings])
        assert float(share) == pytest.approx(100 * (seconds / total).mean(), abs=0.05)
        assert float(memory) == pytest.approx(seconds.max(), abs=0.5)  # as MB are made up
    assert shares[-1] == "n/a"
    baseline = _row(table, "SurComb4", "qmix")[1:]
    assert [phase for phase, share in zip(phases, baseline, strict=False) if share == "n/a"] == [
        *("predictor", "label", "vqvae", "cluster")
    ]
    frame = _where(_csv(table), problem="SurComb4", variant="trama", phase="cluster")
    seconds = np.array([timing["cluster"] for timing in timings])
    assert frame["seed"].tolist() == [0, 1, 2, 3]
    assert frame["seconds"].tolist() == pytest.approx(seconds.tolist())
    assert frame["share"].tolist() == pytest.approx((seconds / total).tolist())


def test_a_part_that_one_seed_alone_had_counts_for_all(tmp_path: Path) -> None:
    config = study_config(study={"name": "small", "variants": ["qmix"], "seeds": [0, 1]})
    study = write_study(tmp_path, config)
    for seed, phases in ((0, {"play": 3.0}), (1, {"play": 5.0, "checkpoint": 1.0})):
        columns = timing_columns(phases)
        path = study / "SurComb3/train/qmix" / f"seed_{seed}" / "timing.parquet"
        write_table(path, "timing", columns, PROVENANCE)
    ((_, _, minutes, *shares),) = table_of("cost", study, config).rows
    assert (minutes, shares[1], shares[-1]) == ("0.1", "91.7 (5)", "8.3 (1)")


@pytest.fixture(scope="module")
def macros(study: Path, config: Config) -> dict[str, str]:
    """The macros of the study, by name, as LaTeX has them."""
    latex = table_of("numbers", study, config).latex("")
    found = re.findall(r"^\\newcommand{\\([A-Za-z]+)}{([^%]*)}% \S", latex, re.MULTILINE)
    assert len(found) == latex.count(r"\newcommand")
    return dict(found)


def test_numbers_are_those_of_the_tables(
    study: Path, config: Config, macros: dict[str, str]
) -> None:
    def shown(name: str) -> str:
        value, low, high = (macros[f"{name}{end}"] for end in ("", "Low", "High"))
        return f"{value} [{low}, {high}]".replace(r"\ensuremath{-}", "-")

    assert macros["StudySeeds"] == "4"
    results = _row(table_of("results", study, config, "SurComb4"), OVERALL, "trama")
    names = ("WinRate", "MeanWinRate", "Return", "MeanReturn")
    assert [shown(f"TramaSurCombFour{name}") for name in names] == results
    table = table_of("ood", study, config, "SurComb3")
    _, distance, wins, returns, gain = _row(table, "fewer_allies", "trama")
    assert macros["TramaSurCombThreeFewerAlliesDistance"] == distance
    prefix = "TramaSurCombThreeFewerAllies"
    assert [shown(f"{prefix}{n}") for n in ("WinRate", "Return", "WinRateGain")] == [
        *(wins, returns, gain)
    ]
    assert shown("TramaSurCombThreeUnseenWinRate") == _row(table, "unseen", "trama")[2]
    assert "QmixSurCombThreeUnseenWinRateGain" not in macros
    _, wins, difference, of_return, better = _row(table_of("ablations", study, config), "qmix")
    assert shown("QmixWinRate") == wins
    assert shown("QmixWinRateDifference") == difference
    assert difference.startswith("-")
    assert shown("QmixReturnDifference") == of_return
    assert shown("QmixImprovement") == better
    accuracy, balanced, majority = _row(
        table_of("predictor", study, config, "SurComb3"), "trama_oracle"
    )
    assert shown("TramaOracleSurCombThreePredictorAccuracy") == accuracy
    assert shown("TramaOracleSurCombThreePredictorBalancedAccuracy") == balanced
    assert shown("TramaOracleSurCombThreeMajorityRate") == majority
    _, kept, chance, *_ = _row(table_of("label_consistency", study, config, "SurComb3"), "trama")
    assert shown("TramaSurCombThreeLabelConsistency") == kept
    assert shown("TramaSurCombThreeLabelConsistencyChance") == chance
    assert shown("VqvaeSurCombThreeAri") == "0.47 [0.47, 0.47]"
    _, *given, effect, actions = _row(
        table_of("class_use", study, config, "SurComb3"), OVERALL, "trama_oracle"
    )
    prefix = "TramaOracleSurCombThree"
    with_given = [f"{prefix}With{kind}Class" for kind in ("True", "Random", "Wrong")]
    assert [shown(f"{name}WinRate") for name in with_given] == given
    assert [macros[f"{prefix}Swap{name}"] for name in ("Effect", "Actions")] == [effect, actions]
    use = _where(
        _csv(table_of("class_use", study, config, "SurComb3")),
        **{"task": OVERALL, "variant": "trama_oracle", "metric": "win_rate_difference"},
        **{"classes": "wrong_class", "statistic": "mean"},
    )
    difference = shown(f"{prefix}WithWrongClassWinRateDifference")
    assert difference.startswith("-") and _number(difference) == pytest.approx(
        use["value"].item(), abs=ROUNDED
    )
    assert not [name for name in macros if name.startswith("QmixSurCombThreeWith")]


def test_without_intervals_no_macro_has_their_name(tmp_path: Path) -> None:
    config = _config(seeds=[0, 1], variants=["qmix", "trama"])
    study = write_study(tmp_path, config)
    macros = {row[0]: row[1] for row in table_of("numbers", study, config).rows}
    assert not [name for name in macros if name.endswith(("Low", "High"))]
    shown = _row(table_of("results", study, config, "SurComb3"), OVERALL, "qmix")[1]
    name = r"\QmixSurCombThreeMeanWinRate"
    ends = macros[f"{name}LowestSeed"], macros[f"{name}HighestSeed"]
    assert shown == f"{macros[name]} [{', '.join(ends)}]"


def test_macros_of_one_name_are_an_error(tmp_path: Path) -> None:
    config = study_config(
        study={"name": "small", "variants": ["qmix"], "seeds": [0]},
        task_sets={"mean": {"units": ["5s"]}},
        evaluate={"task_sets": ["mean"]},
    )
    study = write_study(tmp_path, config)
    message = (
        r"the macro \\QmixSurCombThreeMeanWinRate would be both `win rate of qmix on SurComb3, "
        "mean` and `win rate of qmix on the tasks mean of SurComb3, IQM`"
    )
    with pytest.raises(TramaError, match=message):
        table_of("numbers", study, config)


def test_intervals_have_the_same_bytes_each_time(study: Path, config: Config) -> None:
    one, other = (table_of("results", study, config, "SurComb3") for _ in range(2))
    assert (one.latex(""), one.csv("")) == (other.latex(""), other.csv(""))


def test_a_run_that_never_had_classes_costs_no_table(
    study: Path, config: Config, tmp_path: Path
) -> None:
    """As one whose first clusterings all collapsed."""
    changed = Path(shutil.copytree(study, tmp_path / "made_up"))
    run = "SurComb3/{}/trama/seed_2"
    history = changed / run.format("train") / "history.parquet"
    write_history(history, [(240_000, "test_win_rate", None, None, 0.5)])
    episodes = changed / run.format("evaluate") / "episodes.parquet"
    columns = read_table(episodes, "episodes").to_pydict()
    columns["centroid_distance"] = [None] * len(columns["centroid_distance"])
    write_table(episodes, "episodes", columns, PROVENANCE)
    for name in TABLES:
        if name not in ("novelty", "fallback", "predictor_alone"):
            table = table_of(name, changed, config, "SurComb3")
            assert table.rows
            if name == "predictor":
                assert [row[1] == "n/a" for row in table.rows] == [True, False]
                assert "Left out: ``trama``" in table.caption[-1]
            if name == "ood":
                assert {row[3] for row in table.rows if row[1] == "trama"} == {"n/a"}
    for name in STUDY_TABLES:
        table = table_of(name, changed, config)
        assert table.rows
        if name == "claims":
            claims = {row[0] for row in table.rows}
            assert "gain" in claims and not claims & {"predictor", "labels"}
            assert "Left out: ``trama``" in " ".join(table.caption)
