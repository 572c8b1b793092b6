"""Figures of a small made-up study, of two seeds (no intervals) and of three."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from made_up import (
    OTHER_TASKS,
    PROVENANCE,
    TASKS,
    VARIANTS,
    write_figure_inputs,
    write_history,
)
from trama.config.figure_params import FigureParams
from trama.config.model import Figures
from trama.data.parquet import read_table, write_table
from trama.errors import TramaError
from trama.reporting import estimates, statistics, style
from trama.reporting.figures.drawing import Draw, Drawing, make_figure
from trama.reporting.outputs import Outputs
from trama.reporting.statistics import Inputs

# Those in which seeds are drawn, or intervals over them.
OF_SEEDS = (
    *("learning_curves", "task_win_rates", "predictor_accuracy", "label_consistency"),
    *("predictor_alone", "ood_gain", "aggregates", "performance_profiles"),
)
OF_STUDY = ("aggregates", "performance_profiles")
SEED = statistics.bootstrap_seed(0)

Study = dict[str, dict[str, list[Path]]]
"""Inputs of each figure."""


@pytest.fixture(scope="module")
def two_seeds(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_figure_inputs(tmp_path_factory.mktemp("two"), 2)


@pytest.fixture(scope="module")
def three_seeds(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return write_figure_inputs(tmp_path_factory.mktemp("three"), 3)


def _params(name: str, n_seeds: int, **figures: object) -> FigureParams:
    return FigureParams(
        upstream={},
        sources="",
        names=("trama",) if name in ("embeddings", "codebook") else VARIANTS,
        seeds=tuple(range(n_seeds)),
        figures=Figures.model_validate({"dpi": 100} | figures),
        problems=("SurComb3",),
        task_sets=(*OTHER_TASKS, "empty"),
        baselines={"trama": "qplex"},
        reference="trama",
        representations={"trama": "vqvae"},
        test_episodes=dict.fromkeys(VARIANTS, 32),
    )


def _function(name: str) -> Draw:
    draw: Draw = getattr(import_module(f"trama.reporting.figures.{name}"), name)
    return draw


def _draw(name: str, inputs: Inputs, n_seeds: int, **figures: object) -> Drawing:
    with style.figure_style():
        of = "made_up" if name in OF_STUDY else "SurComb3"
        return _function(name)(inputs, _params(name, n_seeds, **figures), of)


def _caption(drawing: Drawing) -> str:
    """The caption in one line."""
    return " ".join(drawing.caption)


def _notes(figure: Figure) -> str:
    """What a figure says in its legends' titles and below its axes."""
    titles = [legend.get_title().get_text() for legend in figure.legends]
    return " ".join([*titles, figure.get_supxlabel()])


def _lines(axes: Axes, colour: str, wider_than: float) -> list[np.ndarray]:
    """Points [n, 2] of the lines of a colour above a width."""
    return [
        np.asarray(line.get_xydata())
        for line in axes.get_lines()
        if line.get_color() == colour and line.get_linewidth() > wider_than
    ]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.\d\d", text)]


def _as_told(found: estimates.Estimate) -> list[float]:
    """An estimate as a caption has it."""
    return [round(float(x), 2) for x in found[:3] if x is not None]


@pytest.mark.parametrize("name", OF_SEEDS)
def test_few_seeds_have_no_interval_and_the_figure_says_so(name: str, two_seeds: Study) -> None:
    drawing = _draw(name, two_seeds[name], 2)
    assert "2 seeds: too few for intervals" in _notes(drawing.figure)
    assert "2 seeds: too few for intervals" in _caption(drawing)
    assert "[" not in _caption(drawing)
    assert not any(axes.collections for axes in drawing.figure.axes)  # no band


@pytest.mark.parametrize("name", OF_SEEDS)
def test_three_seeds_have_intervals(name: str, three_seeds: Study) -> None:
    drawing = _draw(name, three_seeds[name], 3)
    assert "seeds" not in _notes(drawing.figure)
    assert re.search(r"\d \[-?\d+\.\d\d, -?\d+\.\d\d\]", _caption(drawing))
    assert "95 % bootstrap intervals over the 3 seeds" in _caption(drawing)


def test_learning_curves_are_each_seed_or_their_iqm(two_seeds: Study, three_seeds: Study) -> None:
    colour = style.looks(VARIANTS)["qplex"].colour
    for study, n_seeds in ((two_seeds, 2), (three_seeds, 3)):
        inputs = study["learning_curves"]
        drawing = _draw("learning_curves", inputs, n_seeds)
        win_rate, test_return = drawing.figure.axes
        assert win_rate.get_xlabel() == test_return.get_xlabel() == "Environment steps"
        assert (win_rate.get_ylabel(), win_rate.get_ylim()) == ("Test win rate", (0, 1))
        files = statistics.by_name_and_seed(inputs["histories"])["qplex"].values()
        curves = [statistics.learning_curve(path, "test_win_rate") for path in files]
        values = np.stack([curve.y for curve in curves])
        drawn = _lines(win_rate, colour, 0.6)
        expected = values if n_seeds == 2 else values.mean(axis=0, keepdims=True)
        np.testing.assert_allclose([line[:, 1] for line in drawn], expected, atol=1e-9)
        found = estimates.estimate(values[:, -1:], estimates.iqm, SEED)
        told = re.search(r"win rate at the last test.*?``qplex`` ([^`]*)", _caption(drawing))
        assert told
        assert _numbers(told[1])[0] == pytest.approx(found.value, abs=0.005)
        told_interval = _numbers(told[1])
    assert told_interval == _as_told(found)
    smooth = _draw("learning_curves", inputs, 3, smoothing=5).figure
    assert smooth.axes[0].get_ylabel() == "Test win rate (mean of 5 tests)"


def test_the_predictor_alone_by_step_on_tasks_and_clusters(three_seeds: Study) -> None:
    inputs = three_seeds["predictor_alone"]
    drawing = _draw("predictor_alone", inputs, 3)
    (axes,) = drawing.figure.axes
    names = ["true tasks", "clusters of vqvae", "clusters of mean_state"]
    looks = style.looks(names)
    files = statistics.by_name_and_seed(inputs["accuracies"])["vqvae"].values()
    for name, labels in zip(names, ("true_task", "clusters", "clusters"), strict=True):
        frames = [read_table(path, "predictor_accuracy").to_pandas() for path in files]
        frames = [f[(f["labels"] == labels) & (f["split"] == "held_out")] for f in frames]
        by_step = np.stack([f[f["step"] < 40]["accuracy"].to_numpy() for f in frames])
        (line,) = _lines(axes, looks[name].colour, 1.0)
        np.testing.assert_allclose(line, np.stack([np.arange(40), by_step.mean(0)], 1))
        overall = np.array([[f[f["step"].isna()]["accuracy"].item()] for f in frames])
        (told,) = (text for text in drawing.caption if text.startswith(f"{name}, "))
        found = estimates.estimate(overall, estimates.mean, SEED)
        assert _numbers(told)[:3] == _as_told(found)
    assert "upper bound" in _caption(drawing)


def test_captions_have_the_numbers_of_the_episodes(three_seeds: Study) -> None:
    rows = pd.concat(
        read_table(path, "episodes").to_pandas() for path in three_seeds["aggregates"]["episodes"]
    )
    rows = rows[rows["policy"] == "last"]
    means = rows.groupby(["variant", "task", "seed"])["won"].mean()

    def scores(variant: str, tasks: list[str]) -> np.ndarray:
        return np.stack([means[variant][task].to_numpy() for task in tasks], axis=1)

    def told(name: str, start: str, of: str) -> list[float]:
        """The numbers that a caption has in the paragraph of that start, of a variant or set."""
        caption = _draw(name, three_seeds[name], 3).caption
        assert "30 episodes per seed and task" in caption[0]
        (paragraph,) = (text for text in caption if text.startswith(start))
        found = re.search(rf"``{of}`` (-?\d.*?\])", paragraph)
        assert found, paragraph
        return _numbers(found[1])

    trained = list(TASKS)
    of_trama, of_qplex = scores("trama", trained), scores("qplex", trained)
    overall = _as_told(estimates.estimate(of_trama, estimates.iqm, SEED))
    assert told("task_win_rates", "Win rate (IQM), overall:", "trama") == overall
    assert told("aggregates", "IQM:", "trama") == overall
    one = estimates.estimate(scores("trama", trained[:1]), estimates.iqm, SEED)
    assert told("task_win_rates", f"Win rate (IQM), {trained[0]}:", "trama") == _as_told(one)
    gap = estimates.estimate(of_trama, estimates.optimality_gap, SEED)
    assert told("aggregates", "Optimality gap:", "trama") == _as_told(gap)
    improvement = estimates.probability_of_improvement(of_qplex, of_trama, SEED)
    assert told("aggregates", "P(improvement):", "qplex") == _as_told(improvement)
    share, *_ = told("performance_profiles", "Share of runs with a win rate above 0.5:", "trama")
    assert share == round((of_trama > 0.5).mean(), 2)
    others = [task for task, *_ in OTHER_TASKS["fewer_allies"]]
    of_both = scores("trama", others), scores("qplex", others)
    gain = estimates.difference(*of_both, estimates.iqm, SEED)
    assert told("ood_gain", "``trama`` over ``qplex``", "fewer_allies") == _as_told(gain)


def test_the_policy_of_the_config_is_shown(three_seeds: Study) -> None:
    last, best = (
        _caption(_draw("task_win_rates", three_seeds["task_win_rates"], 3, policy=policy))
        for policy in ("last", "best")
    )
    assert "of the best policies" in best
    assert _numbers(last) != _numbers(best)


def test_gains_stand_at_the_distance_of_their_task(three_seeds: Study, tmp_path: Path) -> None:
    inputs = three_seeds["ood_gain"]
    (axes,) = _draw("ood_gain", inputs, 3).figure.axes
    assert axes.get_xlabel().startswith("Distance to the nearest centroid")
    frames = [read_table(path, "episodes").to_pandas() for path in inputs["episodes"][:3]]
    rows = pd.concat(frames)
    rows = rows[rows["policy"] == "last"]
    distances = rows.groupby("task")["centroid_distance"].mean()
    markers = [line for line in axes.get_lines() if line.get_marker() not in ("None", None, "")]
    places = [float(np.ravel(line.get_xdata())[0]) for line in markers]
    np.testing.assert_allclose(sorted(places), sorted(distances), atol=1e-3)
    # A trained task is another marker, an open one.
    filled = [line.get_markerfacecolor() != "white" for line in markers]
    assert filled == [False] * len(TASKS) + [True] * 4

    # Without a representation: by the units that differ.
    drawing = _draw("ood_gain", _without(inputs, tmp_path, "centroid_distance"), 3)
    (axes,) = drawing.figure.axes
    assert axes.get_xlabel() == "Units that differ from a trained task"
    assert "least number of units" in _caption(drawing)
    assert "n/a" not in _caption(drawing)


@pytest.mark.parametrize("changed", [0, None])
def test_tasks_without_units_stand_in_a_place_of_their_own(
    changed: int | None, three_seeds: Study, tmp_path: Path
) -> None:
    """`changed`: of the trained tasks."""
    inputs = _without(three_seeds["ood_gain"], tmp_path, "centroid_distance")
    for path in inputs["episodes"]:
        table = read_table(path, "episodes").to_pydict()
        table["units_changed"] = [changed if t == "trained" else None for t in table["task_set"]]
        write_table(path, "episodes", table, PROVENANCE)
    drawing = _draw("ood_gain", inputs, 3)
    (axes,) = drawing.figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == (
        ["n/a"] if changed is None else ["0", "n/a"]
    )
    ticks = axes.get_xticks()
    assert list(ticks) == ([0] if changed is None else [0, 1])
    markers = [line for line in axes.get_lines() if line.get_marker() not in ("None", None, "")]
    places = [float(np.ravel(line.get_xdata())[0]) for line in markers]
    assert np.abs(np.subtract(places[: len(TASKS)], 0)).max() < 0.5
    assert np.abs(np.subtract(places[len(TASKS) :], ticks[-1])).max() < 0.5
    caption = _caption(drawing)
    assert "n/a: tasks without units" in caption
    assert "nan" not in caption and "rank correlation" not in caption


def _without(inputs: Inputs, folder: Path, column: str) -> dict[str, list[Path]]:
    """Copies of the evaluations in which a column is null."""
    for path in inputs["episodes"]:
        table = read_table(path, "episodes").to_pydict()
        table[column] = [None] * len(table["task"])
        write_table(folder.joinpath(*path.parts[-3:]), "episodes", table, PROVENANCE)
    return {"episodes": [folder.joinpath(*path.parts[-3:]) for path in inputs["episodes"]]}


def test_classes_are_numbered_alike_in_all_runs(three_seeds: Study) -> None:
    drawing = _draw("predictor_confusion", three_seeds["predictor_confusion"], 3)
    first, *_, last = [np.asarray(axes.images[0].get_array()) for axes in drawing.figure.axes[:4]]
    # Each run's classes have other numbers; each task has its own class in the end.
    own = 1 / 3 + 0.6 * (1 - np.exp(-24 / 8))
    np.testing.assert_allclose(last, np.where(np.eye(3), own, (1 - own) / 2))
    np.testing.assert_allclose(first, 1 / 3)
    assert "0.00 [0.00, 0.00] at step 0" in _caption(drawing)


def test_embeddings_are_shown_by_class_and_task_before_and_in_training(two_seeds: Study) -> None:
    drawing = _draw("embeddings", two_seeds["embeddings"], 2)
    (block,) = drawing.figure.subfigs
    titles = [axes.get_title().split("\n")[0] for axes in block.axes[:3]]
    assert titles == [
        "before training (50k steps)",
        "first clustering (100k steps)",
        "last clustering (200k steps)",
    ]
    legends = [axes.get_legend() for axes in block.axes if axes.get_legend()]
    assert [[text.get_text() for text in legend.get_texts()] for legend in legends if legend] == [
        ["class 0", "class 1", "class 2"],
        list(TASKS),
    ]
    for axes in block.axes:
        drawn = np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections])
        assert len(drawn) == 900
        np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=1e-6)
        assert drawn[:, 0].var() > drawn[:, 1].var()


@pytest.mark.parametrize("matrix", [np.ones((5, 4)), np.arange(5.0)[:, None], np.ones((5, 1))])
def test_collapsed_embeddings_and_a_training_without_clusterings(
    matrix: np.ndarray, tmp_path: Path
) -> None:
    columns: dict[str, Any] = {
        "env_steps": [0] * 5,
        "episode": list(range(5)),
        "task": ["a"] * 5,
        "label": [0] * 5,
        "embedding": matrix,
    }
    before = tmp_path / "vqvae" / "seed_0" / "e.parquet"
    during = tmp_path / "trama" / "seed_0" / "e.parquet"
    write_table(before, "embeddings", columns, PROVENANCE)
    none = {name: values[:0] for name, values in columns.items()}
    write_table(during, "embeddings", none, PROVENANCE)
    drawing = _draw("embeddings", {"before": [before], "during": [during]}, 1)
    axes = drawing.figure.subfigs[0].axes
    share = "100%" if np.ptp(matrix) else "0%"
    assert axes[0].get_xlabel() == f"PC 1 ({share})"
    assert axes[1].get_title() == "first clustering: none"
    assert "last clustering, mean over seeds: no such clustering" in _caption(drawing)


def test_codes_stand_by_the_class_that_uses_them(two_seeds: Study) -> None:
    inputs = two_seeds["codebook"]
    drawing = _draw("codebook", inputs, 2)
    by_class, by_task = (np.asarray(axes.images[0].get_array()) for axes in drawing.figure.axes[:2])
    assert by_class.shape == by_task.shape == (3, 24)
    np.testing.assert_allclose(by_class.sum(axis=1), 1)
    np.testing.assert_allclose(by_task.sum(axis=1), 1)
    owner = by_class.argmax(axis=0)
    assert (np.diff(owner) >= 0).all()
    rows = read_table(inputs["before"][0], "codebook").to_pandas()
    of_class = rows[rows["label"] == 0].groupby("code")["count"].sum()
    expected = np.sort((of_class / of_class.sum()).to_numpy())[::-1]
    np.testing.assert_allclose(by_class[0, owner == 0], expected)
    assert "codes in use 24.00 (24.00, 24.00)" in _caption(drawing)
    assert "overlap of classes 0.00" in _caption(drawing)


def test_label_consistency_of_trainings_that_hardly_cluster(tmp_path: Path) -> None:
    """Of seeds that have no clustering at the same env steps, and of none that has any."""
    metrics = ("label_consistency", "label_consistency_chance")
    histories = [
        write_history(
            tmp_path / variant / f"seed_{seed}" / "history.parquet",
            [(steps, metric, None, None, 0.5 + 0.1 * seed) for metric in metrics]
            if variant == "trama"
            else [(steps, "test_win_rate", None, None, 0.5)],
        )
        for variant in ("trama", "qplex")
        for seed, steps in ((0, 1000), (1, 2000))
    ]
    caption = _caption(_draw("label_consistency", {"histories": histories}, 2))
    assert "``trama``: label consistency 0.55 (0.50, 0.60)" in caption
    assert "``qplex``: no accepted clustering." in caption


def _without_last(path: Path, kind: str, target: Path) -> Path:
    """Copy an evaluation without the policy `last`."""
    table = read_table(path, kind)
    rows = table.filter(pc.not_equal(table["policy"], "last"))
    write_table(target, kind, rows.to_pydict(), PROVENANCE)
    return target


def test_an_input_that_lacks_what_is_shown_is_one_clear_error(
    three_seeds: Study, tmp_path: Path
) -> None:
    short = write_history(
        tmp_path / "trama" / "seed_0" / "h.parquet", [(0, "td_loss", None, None, 1)]
    )
    with pytest.raises(TramaError, match=r"h\.parquet: no row of metric `.*raise train"):
        _draw("learning_curves", {"histories": [short]}, 1)
    # A training that never had classes has nothing to show of them.
    assert "Left out: ``trama``" in _caption(_draw("predictor_accuracy", {"histories": [short]}, 1))
    whole = read_table(three_seeds["predictor_alone"]["accuracies"][0], "predictor_accuracy")
    without = tmp_path / "vqvae" / "seed_0" / "p.parquet"
    rows = whole.filter(pc.equal(whole["labels"], "clusters")).to_pydict()
    write_table(without, "predictor_accuracy", rows, PROVENANCE)
    with pytest.raises(
        TramaError, match=r"p\.parquet: no row .*labels `true_task`.*`predict` again"
    ):
        _draw("predictor_alone", {"accuracies": [without]}, 1)
    lacking = tmp_path / "evaluate" / "trama" / "seed_0"
    for name, kind in (("task_win_rates", "episodes"), ("predictor_confusion", "predictions")):
        path = next(p for p in three_seeds[name][kind] if "trama/seed_0" in p.as_posix())
        copy = _without_last(path, kind, lacking / path.name)
        with pytest.raises(TramaError, match=rf"{kind}\.parquet: no .* of policy `last`"):
            _draw(name, {kind: [copy]}, 1)
    with pytest.raises(TramaError, match=r"none\.parquet: there is no such file"):
        _draw("aggregates", {"episodes": [tmp_path / "none.parquet"]}, 1)


def _lightness(colour: str) -> float:
    """CIE L*, 0 to 100: what is left of a colour in greyscale."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def test_colours_differ_in_greyscale_and_stand_out_from_white() -> None:
    lightness = [_lightness(colour) for colour in style.PALETTE]
    assert np.diff(sorted(lightness)).min() > 10
    assert np.abs(np.diff(lightness)).min() > 20
    assert max(lightness) < 75
    looks = style.looks([f"variant_{i}" for i in range(8)])
    assert len(set(looks.values())) == 8
    assert len({look.marker for look in looks.values()}) == 8


def _make(name: str, inputs: Inputs, folder: Path) -> dict[str, bytes]:
    """Make a figure as PDF; the content of its files by their suffix."""
    files = {suffix: folder / f"{name}.{suffix}" for suffix in ("pdf", "caption.rst", "json")}
    make_figure(
        _function(name),
        inputs,
        _params(name, 3),
        "made_up" if name in OF_STUDY else "SurComb3",
        Outputs([files["pdf"]], files["caption.rst"], files["json"]),
        PROVENANCE,
    )
    return {suffix: path.read_bytes() for suffix, path in files.items()}


@pytest.mark.parametrize("name", [*OF_SEEDS, "embeddings", "codebook", "predictor_confusion"])
def test_a_figure_is_undated_and_holds_its_fonts(
    name: str, three_seeds: Study, tmp_path: Path
) -> None:
    files = _make(name, three_seeds[name], tmp_path)
    assert b"CreationDate" not in files["pdf"]
    assert b"/FontFile2" in files["pdf"]
    assert b"/Type3" not in files["pdf"]
    assert max(map(len, files["caption.rst"].decode().splitlines())) <= 100


def test_equal_inputs_give_equal_bytes(three_seeds: Study, tmp_path: Path) -> None:
    first, second = (_make("ood_gain", three_seeds["ood_gain"], tmp_path / n) for n in ("a", "b"))
    assert (first["pdf"], first["caption.rst"]) == (second["pdf"], second["caption.rst"])
