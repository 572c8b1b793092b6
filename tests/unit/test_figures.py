"""Figures of a small made-up study."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from made_up import (
    PROVENANCE,
    TASKS,
    VARIANTS,
    write_cluster_metrics,
    write_histories,
    write_representations,
)
from trama.config.model import Figures
from trama.config.params import FigureParams
from trama.data.parquet import write_table
from trama.reporting import statistics, style
from trama.reporting.figures.drawing import Draw, Drawing, Inputs, make_figure
from trama.reporting.figures.embeddings import embeddings
from trama.reporting.figures.learning_curves import learning_curves
from trama.reporting.figures.predictor_accuracy import predictor_accuracy
from trama.reporting.statistics import Files


def _params(**figures: object) -> FigureParams:
    section = {"formats": ("pdf", "png"), "dpi": 100} | figures
    return FigureParams(
        upstream={},
        sources="",
        names=VARIANTS,
        seeds=(0, 1),
        figures=Figures.model_validate(section),
    )


def _draw(draw: Draw, inputs: Inputs, **figures: object) -> Drawing:
    with style.figure_style():
        return draw(inputs, _params(**figures), "SurComb3")


def _files(*kinds: Files) -> list[Path]:
    """All files of some kinds, in order."""
    return [path for files in kinds for seeds in files.values() for path in seeds.values()]


def _lines(axes: Axes, thicker_than: float) -> dict[str, np.ndarray]:
    """Return the points [n, 2] of the labelled lines above a width."""
    return {
        str(line.get_label()): np.asarray(line.get_xydata())
        for line in axes.get_lines()
        if line.get_linewidth() > thicker_than
    }


def _legend(figure: Figure) -> tuple[str, list[str]]:
    (legend,) = figure.legends
    return legend.get_title().get_text(), [text.get_text() for text in legend.get_texts()]


def test_learning_curves_show_every_seed_and_the_mean(tmp_path: Path) -> None:
    histories = write_histories(tmp_path)
    figure = _draw(learning_curves, {"histories": _files(histories)}).figure
    win_rate, test_return = figure.axes
    assert win_rate.get_xlabel() == test_return.get_xlabel() == "Environment steps"
    assert (win_rate.get_ylabel(), test_return.get_ylabel()) == ("Test win rate", "Test return")
    assert win_rate.get_ylim() == (0, 1)
    assert _legend(figure) == ("2 seeds: mean and each seed, no interval", list(VARIANTS))
    assert len(win_rate.get_lines()) == 3 * (2 + 1)
    curves = [
        statistics.learning_curve(path, "test_win_rate") for path in histories["qplex"].values()
    ]
    drawn = _lines(win_rate, 1)
    np.testing.assert_allclose(drawn["qplex"][:, 0], curves[0].x)
    np.testing.assert_allclose(drawn["qplex"][:, 1], (curves[0].y + curves[1].y) / 2)


def test_learning_curves_of_three_seeds_carry_no_note(tmp_path: Path) -> None:
    histories = _files(write_histories(tmp_path, 3))
    figure = _draw(learning_curves, {"histories": histories}, smoothing=5).figure
    assert _legend(figure)[0] == ""
    assert figure.axes[0].get_ylabel() == "Test win rate (mean of 5 tests)"


def test_predictor_accuracy_shows_the_last_measure_and_the_majority_rate(tmp_path: Path) -> None:
    trama = list(write_histories(tmp_path)["trama"].values())
    figure = _draw(predictor_accuracy, {"histories": trama}).figure
    (axes,) = figure.axes
    assert axes.get_xlabel() == "Time step within the episode"
    assert axes.get_ylabel() == "Predictor accuracy"
    assert _legend(figure)[1] == ["trama", "majority rate"]
    drawn = _lines(axes, 0.8)
    mean = np.mean(
        [
            statistics.final_curve_within_episode(path, "predictor_accuracy").y[:100]
            for path in trama
        ],
        axis=0,
    )
    np.testing.assert_allclose(drawn.pop("trama")[:, 1], mean)
    (majority,) = drawn.values()
    np.testing.assert_allclose(majority[:, 1], 0.43)
    # The variant looks as in the other figures, though it is the only one here.
    colours = {line.get_color() for line in axes.get_lines()}
    assert colours == {style.looks(VARIANTS)["trama"].colour}


def test_embeddings_are_shown_by_class_and_by_true_task(tmp_path: Path) -> None:
    points, metrics = map(_files, write_representations(tmp_path))
    figure = _draw(embeddings, {"embeddings": points, "cluster_metrics": metrics}).figure
    assert [axes.get_title() for axes in figure.axes] == [
        title
        for name in ("vqvae", "mean_state")
        for seed in (0, 1)
        for title in (f"{name}, seed {seed}: class", f"{name}, seed {seed}: true task (ARI 0.47)")
    ]
    legends = [axes.get_legend() for axes in figure.axes[:2]]
    assert [[text.get_text() for text in legend.get_texts()] for legend in legends if legend] == [
        ["class 0", "class 1", "class 2"],
        list(TASKS),
    ]
    for axes in figure.axes:
        drawn = np.concatenate([np.asarray(c.get_offsets()) for c in axes.collections])
        assert len(drawn) == 900
        np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=1e-6)
        assert drawn[:, 0].var() > drawn[:, 1].var()


@pytest.mark.parametrize("matrix", [np.ones((5, 4)), np.arange(5.0)[:, None], np.ones((5, 1))])
def test_collapsed_and_one_dimensional_embeddings_are_drawn(
    matrix: np.ndarray, tmp_path: Path
) -> None:
    columns = {
        "env_steps": [0] * 5,
        "episode": list(range(5)),
        "task": ["a"] * 5,
        "label": [0] * 5,
        "embedding": matrix,
    }
    folder = tmp_path / "vqvae" / "seed_0"
    write_table(folder / "e.parquet", "embeddings", columns, PROVENANCE)
    metrics = write_cluster_metrics(folder / "m.parquet", quantised=True)
    inputs = {"embeddings": [folder / "e.parquet"], "cluster_metrics": [metrics]}
    share = "100%" if np.ptp(matrix) else "0%"
    assert _draw(embeddings, inputs).figure.axes[0].get_xlabel() == f"PC 1 ({share})"


def test_looks_differ_in_greyscale() -> None:
    looks = style.looks([f"variant_{i}" for i in range(8)])
    assert len(set(looks.values())) == 8
    assert len({look.marker for look in looks.values()}) == 8


def _draw_all(folder: Path) -> dict[str, Path]:
    """Make all figures; their files by name."""
    histories = write_histories(folder)
    points, metrics = map(_files, write_representations(folder))
    draws: dict[Draw, Inputs] = {
        learning_curves: {"histories": _files(histories)},
        predictor_accuracy: {"histories": list(histories["trama"].values())},
        embeddings: {"embeddings": points, "cluster_metrics": metrics},
    }
    for draw, inputs in draws.items():
        name = draw.__name__
        make_figure(
            draw,
            inputs,
            _params(),
            "SurComb3",
            files=[folder / "figures" / f"{name}.{suffix}" for suffix in ("pdf", "png")],
            caption=folder / "figures" / f"{name}.caption.rst",
            sources=folder / "figures" / f"{name}.sources.json",
            provenance=PROVENANCE,
        )
    return {path.name: path for path in (folder / "figures").iterdir()}


def test_figures_are_byte_identical_undated_and_hold_their_fonts(tmp_path: Path) -> None:
    first, second = _draw_all(tmp_path / "a"), _draw_all(tmp_path / "b")
    assert len(first) == 3 * 4
    for name, path in first.items():
        content = path.read_bytes()
        if path.suffix != ".json":  # which names the folder
            assert content == second[name].read_bytes(), name
        if path.suffix == ".pdf":
            assert b"CreationDate" not in content
            assert b"/FontFile2" in content
            assert b"/Type3" not in content
