"""Tables of made-up studies: their numbers are computed again from the rows, in another way."""

import re
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expected import (
    ROUNDED,
    TASK_SETS,
    TWO_SEEDS,
    VARIANTS,
    csv_of,
    ends,
    four_variants,
    last_episodes,
    middle_half,
    number,
    resampled_iqm,
    row_of,
    runs_of,
    where,
)
from made_up import PROVENANCE, timing_columns, write_episodes, write_evaluations, write_history
from made_up_study import STUDY_TABLES, TABLES, study_config, table_of, write_study
from trama.config.model import Config
from trama.data.parquet import read_table, write_table
from trama.data.schemas import KINDS
from trama.errors import TramaError
from trama.reporting import estimates, statistics
from trama.reporting.statistics import OVERALL
from trama.reporting.tables import measured
from trama.reporting.tables.class_use import class_use
from trama.reporting.tables.label_consistency import label_consistency
from trama.reporting.tables.measured import supported_best
from trama.reporting.tables.results import results
from trama.reporting.tables.table import Bold

GIVEN = ("true_class", "random_class", "wrong_class")


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
    frame = csv_of(table)
    assert frame["low"].isna().all()
    seeds = frame[(frame.statistic == "seed") & (frame.task == OVERALL) & (frame.variant == "qmix")]
    assert seeds[seeds.metric == "win_rate"]["value"].tolist() == [0.125, 0.625]
    assert seeds["seed"].tolist() == [0, 1, 0, 1]


def test_results_with_intervals(study: Path, config: Config) -> None:
    table = table_of("results", study, config, "SurComb3")
    episodes = last_episodes(study, "SurComb3")
    episodes = episodes[episodes["task_set"] == "trained"]
    frame = csv_of(table)
    tasks = list(dict.fromkeys(episodes["task"]))
    for task, variant, metric in product([*tasks, OVERALL], VARIANTS, ("win_rate", "return")):
        of_task = episodes if task == OVERALL else episodes[episodes["task"] == task]
        scores = runs_of(of_task, variant, metric)
        rows = where(frame, task=task, variant=variant, metric=metric)
        values = {s: where(rows, statistic=s)["value"].tolist() for s in ("mean", "iqm", "seed")}
        assert values["mean"] == pytest.approx([scores.mean()])
        assert values["iqm"] == pytest.approx([middle_half(scores)])
        assert values["seed"] == pytest.approx(scores.mean(axis=1).tolist())
        cells = row_of(table, task, variant)[slice(0, 2) if metric == "win_rate" else slice(2, 4)]
        assert [number(cell) for cell in cells] == pytest.approx(
            [middle_half(scores), scores.mean()], abs=ROUNDED
        )
        if task == OVERALL:
            found = where(rows, statistic="iqm")[["low", "high"]].to_numpy()[0]
            assert found == pytest.approx(ends(resampled_iqm(scores)), abs=0.04 * np.ptp(scores))
    assert "95 % bootstrap intervals over the 4 seeds" in table.caption[0]


def test_the_best_is_in_bold_where_no_other_variant_may_be_better(
    study: Path, config: Config
) -> None:
    table = table_of("results", study, config, "SurComb3")
    episodes = last_episodes(study, "SurComb3")
    episodes = episodes[episodes["task_set"] == "trained"]
    resampled = {v: resampled_iqm(runs_of(episodes, v, "win_rate")) for v in VARIANTS}
    gaps = [resampled["trama_oracle"] - resampled[v] for v in VARIANTS[:-1]]
    assert min(ends(gap)[0] for gap in gaps) > 0.02
    bold = {v: isinstance(row_of(table, OVERALL, v)[0], Bold) for v in VARIANTS}
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
    episodes = last_episodes(study, "SurComb4")
    ood = episodes[episodes["task_set"] != "trained"]
    groups = {name: where(episodes, task_set=name) for name in ("trained", *TASK_SETS)}
    groups["ood"] = ood
    assert list(dict.fromkeys(row[0] for row in table.rows)) == ["trained", *TASK_SETS, "ood"]
    frame = csv_of(table)
    for task_set, of_set in groups.items():
        for variant in VARIANTS:
            n_tasks, distance, win_rate, episode_return, gain = row_of(table, task_set, variant)
            assert int(n_tasks) == of_set["task"].nunique()
            wins = middle_half(runs_of(of_set, variant, "win_rate"))
            returns = middle_half(runs_of(of_set, variant, "return"))
            assert [number(win_rate), number(episode_return)] == pytest.approx(
                [wins, returns], abs=ROUNDED
            )
            if variant == "trama":
                far = runs_of(of_set, variant, "centroid_distance").mean()
                assert float(distance) == pytest.approx(far, abs=ROUNDED)
            else:
                assert distance == "n/a"
            if variant in ("trama", "trama_oracle"):
                over = middle_half(runs_of(of_set, "qplex", "win_rate"))
                assert number(gain) == pytest.approx(wins - over, abs=ROUNDED)
                keys = {"task_set": task_set, "variant": variant, "metric": "win_rate_gain"}
                exact = where(frame, **keys, statistic="iqm")["value"]
                assert exact.tolist() == pytest.approx([wins - over])
            else:
                assert gain == "n/a"
    # SurComb4 trains on 1c2s2z, which is 2c1s2z with one unit changed, and not on its twin.
    assert "2c1s2z surrounded" in set(ood["task"])


def test_each_task_that_was_not_trained_on(study: Path, config: Config) -> None:
    table = table_of("ood_tasks", study, config, "SurComb3")
    episodes = last_episodes(study, "SurComb3")
    tasks = episodes[["task_set", "task"]].drop_duplicates()
    assert [row[:3] for row in table.rows] == [
        [task_set, task, variant]
        for task_set, task in tasks.itertuples(index=False)
        for variant in VARIANTS
    ]
    for task_set, task in tasks.itertuples(index=False):
        rows = where(episodes, task_set=task_set, task=task)
        changed, _, win_rate, *_ = row_of(table, task_set, task, "qmix")
        assert int(changed) == rows["units_changed"].iloc[0]
        wins = middle_half(runs_of(rows, "qmix", "win_rate"))
        assert number(win_rate) == pytest.approx(wins, abs=ROUNDED)


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
    assert [row[0] for row in table.rows] == ["trained", "new", "ood"]
    assert "There is one seed, so there are no intervals." in table.caption[0]
    assert all("[" not in cell for row in table.rows for cell in row)


def test_predictors_and_their_seeds(study: Path, config: Config) -> None:
    table = table_of("predictor", study, config, "SurComb3")
    assert [row[0] for row in table.rows] == ["trama", "trama_oracle"]
    frame = csv_of(table)
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
        cell = row_of(table, "trama")[column]
        assert re.fullmatch(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]", cell)
        assert number(cell) == pytest.approx(np.mean(values), abs=ROUNDED)


def _given(study: Path, problem: str) -> pd.DataFrame:
    """All episodes of the last policies of a problem whose agents were given a class."""
    files = study.glob(f"{problem}/evaluate/*/*/given_classes.parquet")
    given = pd.concat([read_table(file, "given_classes").to_pandas() for file in files])
    return given[given["policy"] == "last"].rename(columns={"won": "win_rate"})


def test_what_policies_make_of_their_class(study: Path, config: Config) -> None:
    table = table_of("class_use", study, config, "SurComb4")
    episodes, given = last_episodes(study, "SurComb4"), _given(study, "SurComb4")
    episodes = episodes[episodes["task_set"] == "trained"]
    tasks = [*dict.fromkeys(episodes["task"]), OVERALL]
    assert [row[:2] for row in table.rows] == [
        [task, variant] for task in tasks for variant in ("trama", "trama_oracle")
    ]
    frame = csv_of(table)
    for task, variant in product(tasks, ("trama", "trama_oracle")):
        of_task, of_given = (
            rows if task == OVERALL else where(rows, task=task) for rows in (episodes, given)
        )
        *wins, effect, actions = row_of(table, task, variant)
        predicted = runs_of(of_task, variant, "win_rate")
        expected = [
            predicted,
            *(runs_of(where(of_given, given=k), variant, "win_rate") for k in GIVEN),
        ]
        assert [number(cell) for cell in wins] == pytest.approx(
            [middle_half(scores) for scores in expected], abs=ROUNDED
        )
        assert all(re.fullmatch(r"[\d.]+ \[[\d.]+, [\d.]+\]", cell) for cell in wins)
        swaps = [runs_of(of_task, variant, m).mean() for m in ("swap_effect", "swap_actions")]
        assert [float(effect), float(actions)] == pytest.approx(swaps, abs=ROUNDED)
        rows = where(frame, task=task, variant=variant)
        for kind, scores in zip(GIVEN, expected[1:], strict=True):
            found = where(rows, classes=kind, metric="win_rate_difference")
            of_seeds = (scores - predicted).mean(axis=1)
            assert found[found["statistic"] == "seed"]["value"].tolist() == pytest.approx(of_seeds)
            (mean,) = found[found["statistic"] == "mean"].to_dict("records")
            assert mean["value"] == pytest.approx(of_seeds.mean())
            # Of differences, each within its run.
            rows_of = np.random.default_rng(7).integers(len(scores), size=(4000, len(scores)))
            low_high = ends(np.array([of_seeds[drawn].mean() for drawn in rows_of]))
            assert [mean["low"], mean["high"]] == pytest.approx(low_high, abs=0.01)


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
        *("Predicted", "True class", "Random class", "Wrong class"),
        *("Change of values", "Changed actions"),
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
    frame = where(csv_of(table), task=OVERALL, metric="win_rate_difference", statistic="mean")
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
    frame = csv_of(table)
    for (name, *cells), labels in zip(table.rows, ("true_task", "clusters"), strict=True):
        held_out = [where(f, labels=labels, split="held_out") for f in frames]
        trained = [where(f, labels=labels, split="trained") for f in frames]
        expected = {
            **{
                column: np.mean([f[f["step"].isna()][column].item() for f in held_out])
                for column in ("accuracy", "balanced_accuracy", "majority_rate")
            },
            "first_accuracy": np.mean([f[f["step"] == 0]["accuracy"].item() for f in held_out]),
            "trained_accuracy": np.mean([f[f["step"].isna()]["accuracy"].item() for f in trained]),
        }
        for cell, (metric, value) in zip(cells, expected.items(), strict=True):
            assert number(cell) == pytest.approx(value, abs=ROUNDED)
            exact = where(frame, labels=name, metric=metric, statistic="mean")["value"]
            assert exact.tolist() == pytest.approx([value])
        assert where(frame, labels=name, metric="accuracy", statistic="seed")["value"].tolist() == (
            pytest.approx([f[f["step"].isna()]["accuracy"].item() for f in held_out])
        )


def _wins_of_pairs(novel: np.ndarray, trained: np.ndarray) -> float:
    """Share of the pairs of which the novel one has the higher score."""
    return float(np.heaviside(novel[:, None] - trained, 0.5).mean())


def test_detection_is_the_share_of_pairs_that_a_score_orders_rightly(
    study: Path, config: Config
) -> None:
    table = table_of("novelty", study, config, "SurComb3")
    episodes = last_episodes(study, "SurComb3")
    ood = episodes[episodes["task_set"] != "trained"]
    groups = {name: where(ood, task_set=name) for name in TASK_SETS} | {"ood": ood}
    for changed in sorted(ood["units_changed"].unique()):
        name = f"{changed} unit{'s' if changed > 1 else ''} changed"
        groups[name] = ood[ood["units_changed"] == changed]
    assert list(groups)[-2:] == ["1 unit changed", "2 units changed"]
    classes = ("trama", "trama_oracle")
    assert [row[:2] for row in table.rows] == [[g, v] for g in groups for v in classes]
    for (group, rows), variant in product(groups.items(), classes):
        n_tasks, _, *cells = row_of(table, group, variant)
        of_variant = where(rows, variant=variant)
        assert int(n_tasks) == of_variant["task"].nunique()
        trained = where(episodes, variant=variant, task_set="trained")
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
            assert number(cell) == pytest.approx(middle_half(areas), abs=ROUNDED)
            low, high = map(float, re.findall(r"[\d.]+", cell)[1:])
            assert [low, high] == pytest.approx(ends(resampled_iqm(areas)), abs=0.01 + ROUNDED)
    # Two of the made-up scores: the more units are changed, the larger.
    assert number(row_of(table, "2 units changed", "trama")[2]) > 0.85
    alone = table_of("novelty", study, config, "SurComb4")
    assert alone.rows != table.rows


def test_policies_without_scores_are_not_shown_in_numbers(tmp_path: Path) -> None:
    """A training that had no labels yet has no scores of novelty in one of its seeds."""
    config = four_variants(seeds=[0, 1])
    study = write_study(tmp_path, config)
    path = study / "SurComb3/evaluate/trama/seed_1/episodes.parquet"
    columns = read_table(path, "episodes").to_pydict()
    columns["energy"] = [None] * len(columns["energy"])
    write_table(path, "episodes", columns, PROVENANCE)
    table = table_of("novelty", study, config, "SurComb3")
    _, _, confidence, energy, *_ = row_of(table, "ood", "trama")
    assert energy == "n/a" and confidence != "n/a"
    assert "n/a" not in row_of(table, "ood", "trama_oracle")


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
    episodes = last_episodes(study, "SurComb3")
    files = study.glob("SurComb3/evaluate/*/*/fallback.parquet")
    again = pd.concat([read_table(file, "fallback").to_pandas() for file in files])
    again = again[again["policy"] == "last"].rename(columns={"won": "win_rate"})
    assert set(again["variant"]) == {"trama"}
    groups = ["trained", *TASK_SETS, "ood", "1 unit changed", "2 units changed"]
    assert [row[:2] for row in table.rows] == [[group, "trama"] for group in groups]
    frame = csv_of(table)
    for group in groups:
        if group == "ood":
            chosen = episodes["task_set"] != "trained"
        elif group.endswith(" changed"):
            chosen = (episodes["units_changed"] == int(group[0])) & (
                episodes["task_set"] != "trained"
            )
        else:
            chosen = episodes["task_set"] == group
        tasks = set(episodes["task"][chosen])
        own, other = (rows[rows["task"].isin(tasks)] for rows in (episodes, again))
        predicted, fallen = runs_of(own, "trama", "win_rate"), runs_of(other, "trama", "win_rate")
        baseline = runs_of(own, "qplex", "win_rate")
        n_tasks, *wins, class_free, difference, beside, gain = row_of(table, group, "trama")
        assert int(n_tasks) == len(tasks)
        assert [number(cell) for cell in wins] == pytest.approx(
            [middle_half(predicted), middle_half(fallen)], abs=ROUNDED
        )
        share = runs_of(other, "trama", "class_free").mean()
        assert float(class_free) == pytest.approx(share, abs=ROUNDED)
        assert number(difference) == pytest.approx((fallen - predicted).mean(), abs=ROUNDED)
        assert float(beside) == pytest.approx(middle_half(baseline), abs=ROUNDED)
        expected = middle_half(fallen) - middle_half(baseline)
        assert number(gain) == pytest.approx(expected, abs=ROUNDED)
        rows = where(frame, task_set=group, metric="win_rate_gain", statistic="iqm")
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
    frame = csv_of(table)
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
    assert csv_of(table)["ari"].tolist() == [0.471] * len(config.study.seeds)


def test_win_rates_by_problem_and_what_the_end_of_training_still_brought(
    study: Path, config: Config
) -> None:
    table = table_of("win_rates", study, config)
    problems = [*config.study.problems]
    assert table.header == ["Variant", *problems, "All problems", "Gain", "Last fifth"]
    assert table.latex("").count(r"\begin{tabular}") == 2  # as a page is not wide enough
    frame = csv_of(table)
    episodes = {problem: last_episodes(study, problem) for problem in problems}
    episodes["All problems"] = pd.concat(episodes.values())
    for name, rows in episodes.items():
        won = runs_of(rows[rows["task_set"] == "trained"], "trama", "win_rate")
        of_all = where(frame, problem=name, variant="trama", metric="win_rate")
        found = where(of_all, statistic="iqm")
        assert found["value"].item() == pytest.approx(middle_half(won))
        assert found["low"].item() < found["value"].item() < found["high"].item()
    of_all = episodes["All problems"]
    own, other = (
        middle_half(runs_of(of_all[of_all["task_set"] == "trained"], variant, "win_rate"))
        for variant in ("trama", "qplex")
    )
    gain = where(frame, variant="trama", metric="win_rate_gain", statistic="iqm")
    assert gain["value"].item() == pytest.approx(own - other)
    assert row_of(table, "trama")[-2].startswith(f"{own - other:.2f} [")
    assert row_of(table, "qmix")[-2] == "n/a"
    assert "``trama`` over ``qplex``" in table.caption[0]
    # Tests of the made-up trainings are at 40,000, 140,000 and 240,000 env steps.
    histories = [
        read_table(path, "history").to_pandas() for path in study.glob("*/train/trama/*/history.*")
    ]
    gained = [
        rows["value"].iloc[-1] - rows["value"].iloc[-2]
        for rows in (where(each, metric="test_win_rate") for each in histories)
    ]
    assert len(gained) == len(problems) * len(config.study.seeds)
    found = where(frame, variant="trama", metric="win_rate_rise", statistic="mean")
    assert found["value"].item() == pytest.approx(np.mean(gained))
    assert row_of(table, "trama")[-1].startswith(f"{np.mean(gained):.2f} [")


def test_what_tests_gained_after_four_fifths_of_a_training(tmp_path: Path) -> None:
    tests: list[tuple[int, str, str | None, int | None, float]] = [
        (steps, "test_win_rate", None, None, steps**2 / 1e4) for steps in range(0, 101, 10)
    ]
    path = write_history(tmp_path / "train/trama/seed_0/history.parquet", tests)
    found = statistics.rises({"trama": {0: path}}, "test_win_rate")
    assert found["trama"].tolist() == [[pytest.approx(1.0 - 0.64)]]
    write_history(path, tests[-1:])
    assert statistics.rises({"trama": {0: path}}, "test_win_rate") == {}


def test_variants_beside_the_reference_over_all_problems(study: Path, config: Config) -> None:
    table = table_of("ablations", study, config)
    start = "start scratch instead of collect"
    assert [row[:2] for row in table.rows] == [
        ["qmix", f"no trajectory classes; mixer qmix instead of qplex; {start}"],
        ["qplex", f"no trajectory classes; {start}"],
        ["trama", "reference"],
        ["trama_oracle", "true tasks as classes instead of clusters of vqvae"],
    ]
    assert row_of(table, "trama")[2:] == ["n/a"] * 3
    episodes = pd.concat([last_episodes(study, problem) for problem in config.study.problems])
    episodes = episodes[episodes["task_set"] == "trained"]
    frame = csv_of(table)
    for variant in ("qmix", "qplex", "trama_oracle"):
        for metric in ("win_rate", "return"):
            own, other = (runs_of(episodes, v, metric) for v in (variant, "trama"))
            assert own.shape == (4, 3 + 4)
            row = where(frame, variant=variant, metric=f"{metric}_difference", statistic="iqm")
            assert row["value"].item() == pytest.approx(middle_half(own) - middle_half(other))
            gaps = np.subtract.outer(*(resampled_iqm(x, 1000, (3, 4)) for x in (own, other)))
            # Satterthwaite's 5.56 degrees of 3 and 4 tasks: t 2.495 times sqrt(4 / 3) leaves 2 in
            # 1,000 at each end; 10,000 resamples find that between a half and 5.
            lowest, low, high, highest = np.quantile(gaps, [0.0005, 0.005, 0.995, 0.9995])
            assert lowest <= row["low"].item() <= low and high <= row["high"].item() <= highest
        wins = [runs_of(episodes, v, "win_rate") for v in (variant, "trama")]
        pairs = [
            (x > y) + (x == y) / 2
            for task in range(7)
            for x, y in product(wins[0][:, task], wins[1][:, task])
        ]
        row = where(frame, variant=variant, metric="win_rate_improvement")
        assert row["value"].item() == pytest.approx(np.mean(pairs))
        assert number(row_of(table, variant)[4]) == pytest.approx(np.mean(pairs), abs=ROUNDED)


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
    frame = csv_of(table)
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
    minutes, speed, updates, *_, memory = row_of(table, "SurComb3", "train", "qmix")
    seconds = [timing.sum() for timing in timings]
    assert float(minutes) == pytest.approx(np.mean(seconds) / 60, abs=0.05)
    assert float(speed) == pytest.approx(np.mean([200_000 / s for s in seconds]), abs=0.5)
    assert updates == "2,400"
    files = study.glob("benchmarks/train_*/SurComb3/qmix/seed_*.tsv")
    largest = max(pd.read_csv(file, sep="\t")["max_rss"].item() for file in files)
    assert float(memory.replace(",", "")) == pytest.approx(largest, abs=0.5)
    # A study may have lost its benchmark files.
    assert row_of(table, "SurComb3", "cluster", "vqvae") == ["n/a"] * 8


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
    minutes, *shares = row_of(table, "SurComb4", "trama")
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
    baseline = row_of(table, "SurComb4", "qmix")[1:]
    assert [phase for phase, share in zip(phases, baseline, strict=False) if share == "n/a"] == [
        *("predictor", "label", "vqvae", "cluster")
    ]
    frame = where(csv_of(table), problem="SurComb4", variant="trama", phase="cluster")
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
    results = row_of(table_of("results", study, config, "SurComb4"), OVERALL, "trama")
    names = ("WinRate", "MeanWinRate", "Return", "MeanReturn")
    assert [shown(f"TramaSurCombFour{name}") for name in names] == results
    table = table_of("ood", study, config, "SurComb3")
    _, distance, wins, returns, gain = row_of(table, "fewer_allies", "trama")
    assert macros["TramaSurCombThreeFewerAlliesDistance"] == distance
    prefix = "TramaSurCombThreeFewerAllies"
    assert [shown(f"{prefix}{n}") for n in ("WinRate", "Return", "WinRateGain")] == [
        *(wins, returns, gain)
    ]
    assert shown("TramaSurCombThreeOodWinRate") == row_of(table, "ood", "trama")[2]
    assert "QmixSurCombThreeOodWinRateGain" not in macros
    _, wins, difference, of_return, better = row_of(table_of("ablations", study, config), "qmix")
    assert shown("QmixWinRate") == wins
    assert shown("QmixWinRateDifference") == difference
    assert difference.startswith("-")
    assert shown("QmixReturnDifference") == of_return
    assert shown("QmixImprovement") == better
    accuracy, balanced, majority = row_of(
        table_of("predictor", study, config, "SurComb3"), "trama_oracle"
    )
    assert shown("TramaOracleSurCombThreePredictorAccuracy") == accuracy
    assert shown("TramaOracleSurCombThreePredictorBalancedAccuracy") == balanced
    assert shown("TramaOracleSurCombThreeMajorityRate") == majority
    _, kept, chance, *_ = row_of(table_of("label_consistency", study, config, "SurComb3"), "trama")
    assert shown("TramaSurCombThreeLabelConsistency") == kept
    assert shown("TramaSurCombThreeLabelConsistencyChance") == chance
    assert shown("VqvaeSurCombThreeAri") == "0.47 [0.47, 0.47]"
    _, *given, effect, actions = row_of(
        table_of("class_use", study, config, "SurComb3"), OVERALL, "trama_oracle"
    )
    prefix = "TramaOracleSurCombThree"
    with_given = [f"{prefix}With{kind}Class" for kind in ("True", "Random", "Wrong")]
    assert [shown(f"{name}WinRate") for name in with_given] == given
    assert [macros[f"{prefix}Swap{name}"] for name in ("Effect", "Actions")] == [effect, actions]
    use = where(
        csv_of(table_of("class_use", study, config, "SurComb3")),
        **{"task": OVERALL, "variant": "trama_oracle", "metric": "win_rate_difference"},
        **{"classes": "wrong_class", "statistic": "mean"},
    )
    difference = shown(f"{prefix}WithWrongClassWinRateDifference")
    assert difference.startswith("-") and number(difference) == pytest.approx(
        use["value"].item(), abs=ROUNDED
    )
    assert not [name for name in macros if name.startswith("QmixSurCombThreeWith")]


def test_without_intervals_no_macro_has_their_name(tmp_path: Path) -> None:
    config = four_variants(seeds=[0, 1], variants=["qmix", "trama"])
    study = write_study(tmp_path, config)
    macros = {row[0]: row[1] for row in table_of("numbers", study, config).rows}
    assert not [name for name in macros if name.endswith(("Low", "High"))]
    shown = row_of(table_of("results", study, config, "SurComb3"), OVERALL, "qmix")[1]
    name = r"\QmixSurCombThreeMeanWinRate"
    both = macros[f"{name}LowestSeed"], macros[f"{name}HighestSeed"]
    assert shown == f"{macros[name]} [{', '.join(both)}]"


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


def test_differences_have_the_decimals_that_tell_them_from_zero() -> None:
    assert measured.difference_text(0.02, 0.0034, 0.03, 2) == "0.020 [0.003, 0.030]"
    assert measured.difference_text(0.02, -0.0034, 0.03, 2) == "0.02 [0.00, 0.03]"
    assert measured.difference_text(0.02, None, None, 2) == "0.02"
