"""The table of claims: its numbers and verdicts, and why classes bring a gain or none."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from expected import (
    TASK_SETS,
    TWO_SEEDS,
    csv_of,
    four_variants,
    last_episodes,
    middle_half,
    runs_of,
    where,
)
from made_up import write_history
from made_up_study import study_config, table_of, write_study
from trama.config.model import Config
from trama.config.table_params import TableParams, claims_params
from trama.data.parquet import read_table
from trama.reporting.estimates import Estimate
from trama.reporting.tables.claims import verdicts_of
from trama.reporting.tables.class_gain import class_gain, conclusion
from trama.reporting.tables.measurement import Measurement, differences


def _verdict(low: float, high: float, bound: float) -> str:
    if low <= bound <= high:
        return "not told apart"
    return "reproduced" if low > bound else "not reproduced"


def test_claims_beside_what_was_measured(study: Path, config: Config) -> None:
    table = table_of("claims", study, config)
    frame = csv_of(table)
    assert set(frame[frame["claim"] != "use"]["variant"]) == {"trama"}
    assert table.latex("").count(r"\\") == len(table.rows) + 1 == len(frame) + 1
    accuracy, over_majority, kept = (
        where(frame, metric=metric).iloc[0]
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
    episodes = pd.concat([last_episodes(study, problem) for problem in config.study.problems])
    trained = episodes[episodes["task_set"] == "trained"]
    alike = episodes[(episodes["units_changed"] == 1) & episodes["start_trained"].eq(True)]
    assert set(alike["task_set"]) == set(TASK_SETS)  # one unit may also be missing
    for claim, rows, metrics in (
        ("gain", trained, ("win_rate", "return")),
        ("transfer", alike, ("win_rate",)),
    ):
        for over, metric in product(("qmix", "qplex"), metrics):
            row = where(frame, claim=claim, over=over, metric=f"{metric}_difference").iloc[0]
            own, other = (runs_of(rows, variant, metric) for variant in ("trama", over))
            assert row["value"] == pytest.approx(middle_half(own) - middle_half(other))
            assert row["verdict"] == _verdict(row["low"], row["high"], 0)
    verdicts = frame.groupby("claim")[["verdict", "verdict_of_claim"]]
    for _, of_claim in verdicts:
        expected = set(of_claim["verdict"])
        found = "partly" if "reproduced" in expected else "not told apart"
        if len(expected) == 1:
            found = expected.pop()
        assert set(of_claim["verdict_of_claim"]) == {found}
    assert "reproduced" in set(frame["verdict_of_claim"])  # trama has more skill than qmix
    qplex, qmix = (middle_half(runs_of(trained, name, "win_rate")) for name in ("qplex", "qmix"))
    (of_mixers,) = (text for text in table.caption if text.startswith("A gain over another mixer"))
    gap = f"{qplex - qmix:.2f}"
    assert f"win rate of ``qplex`` minus that of ``qmix`` {gap} [" in of_mixers
    assert of_mixers.endswith("], where ``qplex`` has the mixer of ``trama``.")


def test_what_a_wrong_class_costs_stands_beside_the_claims(study: Path, config: Config) -> None:
    frame = csv_of(table_of("claims", study, config))
    assert set(where(frame, claim="use")["variant"]) == {"trama", "trama_oracle"}
    files = [*study.glob("*/evaluate/*/*/given_classes.parquet")]
    given = pd.concat([read_table(file, "given_classes").to_pandas() for file in files])
    given = given[(given["given"] == "wrong_class") & (given["policy"] == "last")]
    episodes = pd.concat([last_episodes(study, problem) for problem in config.study.problems])
    trained = episodes[episodes["task_set"] == "trained"]
    for variant in ("trama", "trama_oracle"):
        row = where(frame, claim="use", variant=variant).iloc[0]
        won = trained[trained["variant"] == variant]["win_rate"].mean()
        wrong = given[given["variant"] == variant]["won"].mean()
        assert row["value"] == pytest.approx(won - wrong)
        # Runs of a seed on two problems are two: 4 pairs on 3 tasks, and 4 on 4.
        gap = runs_of(trained, variant, "win_rate") - runs_of(
            given[given["variant"] == variant], variant, "won"
        )
        parts = gap[:, :3].sum(1) / 7, -gap[:, 3:].sum(1) / 7
        interval = scipy.stats.ttest_ind(*parts, equal_var=False).confidence_interval(0.95)
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
        # The paper has nothing of it.
        assert row["verdict"] == ("seen" if row["low"] > 0 else "not told apart")


_CONCLUSIONS = [
    # What each makes of: the gain over the control, the oracle's, what a wrong class costs it, what
    # a true class gives, how often its predictor is right at the first step.
    ((0.2, 0.2, 0.0, 0.0, 0.9), "``own`` is higher in win rate than ``contr"),
    ((0.0, 0.2, 0.0, 0.3, 0.9), "with the true class given it wins more, so its predictor loses"),
    (
        (0.0, 0.2, 0.0, 0.0, 0.9),
        "nor to win more with the true class given, so its clusters may lo",
    ),
    ((-0.2, 0.0, 0.2, 0.0, 0.9), "gain, though a wrong class costs an oracle wins"),
    ((0.0, -0.2, 0.0, 0.0, 0.9), "is right on 0.90 of the agents: they see which task"),
    ((0.0, 0.0, 0.0, 0.0, 0.4), "is right on 0.40 of the agents: there is something"),
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
    assert "higher in win rate than ``control``, which starts as it does; in return no" in said


def test_a_gain_in_return_is_a_gain(tmp_path: Path) -> None:
    """Where all win in the end, the return still tells them apart."""
    said = _concluded((0.0, 0.0, 0.0, 0.0, 0.9), tmp_path, returns={"own": 0.2})
    assert said == (
        "``own`` is higher in return than ``control``, which starts as it "
        "does; in win rate no gain is seen."
    )
    # A better baseline may do without any classes.
    returns = {"own": 0.2, "better": 0.2}
    said = _concluded((0.0, 0.0, 0.0, 0.0, 0.9), tmp_path, ("better",), returns=returns)
    assert said.endswith("in win rate no gain is seen. Over ``better`` no gain is seen.")
    both = _concluded((0.2, 0.0, 0.0, 0.0, 0.9), tmp_path, returns={"own": 0.2})
    assert both.endswith("in win rate and return than ``control``, which starts as it does.")
    said = _concluded((0.0, 0.0, 0.0, 0.0, 0.9), tmp_path, returns={"oracle": 0.2})
    assert said.startswith("Oracles gain (``oracle``), and ``own`` is not seen to, nor to win")


def _concluded(
    sizes: tuple[float, ...],
    folder: Path,
    baselines: Sequence[str] = (),
    *,
    returns: Mapping[str, float] = {},
    **change: object,
) -> str:
    """The conclusion from made-up runs of effects of these sizes, which each test as they are.

    `baselines`: of which gains are measured, too; `returns`: how much more return names have than
    others.
    """
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
        pd.DataFrame(
            {
                **{**same, "task_set": "trained", "variant": name},
                **{"won": won, "episode_return": more + returns.get(name, 0.0)},
            }
        )
        for (name, won), more in zip(wins.items(), noise, strict=True)
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
    metrics = ("win_rate", "return")
    of_controls = ("control", "own", params.controls, episodes, "trained", metrics, params)
    of_baselines = ("gain", "own", baselines, episodes, "trained", metrics, params)
    found = [
        *differences(*of_baselines),
        *differences(*of_controls, start_alike=True),
        *class_gain(episodes, again, params),
    ]
    return conclusion(found, episodes, again, histories, params)


def test_claims_of_labels_need_a_random_start_beside_them(tmp_path: Path) -> None:
    variants = ["qplex", "trama", "trama_random", "trama_matched"]
    config = study_config(study={"name": "made_up", "variants": variants, "seeds": [0, 1, 2]})
    study = write_study(tmp_path, config)
    table = table_of("claims", study, config)
    # The paper has no labels that are matched.
    differences = where(csv_of(table), metric="label_consistency_difference")
    assert differences[["variant", "over"]].to_numpy().tolist() == [["trama", "trama_random"]]
    of_labels = [row[1] for row in table.rows if row[0] == "labels"]
    assert of_labels == [
        "labels kept from one clustering to the next, which starts from old centroids",
        "labels kept by trama_random, started anew",
        "labels kept, minus those of trama_random, started anew",
    ]
    # What labels that keep their meaning are worth, in pairs of runs; matched ones keep it, too.
    of_stability = where(csv_of(table), claim="stability")
    assert set(of_stability["over"]) == {"trama_random"}
    assert list(of_stability["metric"]) == ["win_rate_difference", "return_difference"]
    # A start anew is to keep fewer than the lowest end of the paper's range.
    anew = where(csv_of(table), metric="label_consistency", variant="trama_random").iloc[0]
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
        f"{metric} minus that of qplex_collected, which starts as trama does, in pairs of runs"
        for metric in ("win rate", "return")
    ]
    frame = csv_of(table)
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


def test_of_baselines_with_one_mixer_the_best_one_counts(tmp_path: Path) -> None:
    # Made-up variants win the more, the later they stand.
    strong = {"qplex_strong": {"mixer": "qplex", "train": {"learning_rate": 1e-3}}}
    names = ["qplex", "trama", "qplex_strong"]
    study = {"name": "made_up", "variants": names, "seeds": [0, 1, 2]}
    config = study_config(study=study, variants=strong)
    frame = csv_of(table_of("claims", write_study(tmp_path / "one", config), config))
    gains = where(frame, claim="gain", metric="win_rate_difference")
    verdicts = [("qplex", "reproduced"), ("qplex_strong", "not reproduced")]
    assert [*zip(gains["over"], gains["verdict"], strict=True)] == verdicts
    assert set(gains["verdict_of_claim"]) == {"not reproduced"}
    # Another algorithm counts by itself.
    study["variants"] = ["qmix", *names]
    config = study_config(study=study, variants=strong)
    frame = csv_of(table_of("claims", write_study(tmp_path / "two", config), config))
    assert set(where(frame, claim="gain")["verdict_of_claim"]) == {"partly"}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        # The smaller difference is the surer one.
        ((0.05, 0.01, 0.09), (0.06, -0.02, 0.14), "not told apart"),
        ((-0.1, -0.3, 0.1), (-0.08, -0.1, -0.06), "not reproduced"),
        ((0.05, 0.01, 0.09), (0.06, 0.02, 0.14), "reproduced"),
    ],
)
def test_what_speaks_most_against_a_claim_counts(
    one: tuple[float, float, float], other: tuple[float, float, float], expected: str
) -> None:
    of = ("win rate", "above 0")
    params = TWO_SEEDS.model_copy(update={"mixers": {"a": "qplex", "b": "qplex"}})
    found = [
        Measurement("gain", "win_rate_difference", "trama", over, *of, Estimate(*values, 3), "iqm")
        for over, values in (("a", one), ("b", other))
    ]
    assert verdicts_of(found, params) == {"gain": expected}


def test_stable_labels_stand_beside_ones_that_differ_in_nothing_else() -> None:
    anew: dict[str, object] = {"initialisation": "random"}
    of = {"mixer": "qplex", "representation": "vqvae"}
    variants = {
        "more": {**of, "train": {"clustering": {**anew, "interval_env_steps": 5000}}},
        "scratch": {**of, "train": {"clustering": anew, "start": "scratch"}},
        "mean": {**of, "representation": "mean_state", "train": {"clustering": anew}},
    }
    names = ["qplex", "trama", "trama_random", "trama_matched", *variants]
    study = {"name": "made_up", "variants": names}
    params = claims_params(study_config(study=study, variants=variants))
    assert params["started_anew"] == ["trama_random"]
    study["reference"] = "trama_random"
    params = claims_params(study_config(study=study, variants=variants))
    assert params["started_anew"] == []


def test_two_seeds_support_no_verdict(tmp_path: Path) -> None:
    config = four_variants(seeds=[0, 1])
    frame = csv_of(table_of("claims", write_study(tmp_path, config), config))
    assert set(frame["verdict"]) == {"fewer than 3 seeds"}
    assert frame["low"].isna().all()


def _last(study: Path, problem: str, seed: int, metric: str) -> float:
    path = study / problem / "train/trama" / f"seed_{seed}" / "history.parquet"
    rows = read_table(path, "history").to_pandas()
    return float(rows[rows["metric"] == metric].sort_values("env_steps")["value"].iloc[-1])
