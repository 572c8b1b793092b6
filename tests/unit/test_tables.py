"""Tables of a small made-up study."""

import io
from pathlib import Path

import pandas as pd

from made_up import PROVENANCE, write_evaluations, write_histories, write_representations
from trama.config.model import Tables
from trama.config.params import TableParams
from trama.reporting.statistics import OVERALL, Files
from trama.reporting.tables.clusters import clusters
from trama.reporting.tables.predictor import predictor
from trama.reporting.tables.results import results
from trama.reporting.tables.table import Table

_PARAMS = TableParams(
    upstream={}, sources="", names=("qmix", "trama"), seeds=(0, 1), tables=Tables()
)


def _all(files: Files) -> list[Path]:
    return [path for seeds in files.values() for path in seeds.values()]


def _written(table: Table, folder: Path, suffix: str) -> str:
    """Write a table in a format and return its text."""
    path = folder / f"table.{suffix}"
    table.write([path], PROVENANCE)
    return path.read_text()


def _latex_rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("%")]


def test_results_as_latex_markdown_and_csv(tmp_path: Path) -> None:
    table = results({"episodes": _all(write_evaluations(tmp_path))}, _PARAMS, "SurComb3")
    latex, markdown, csv = (_written(table, tmp_path, suffix) for suffix in ("tex", "md", "csv"))
    assert _latex_rows(latex) == [
        r"\begin{tabular}{llrrrr}",
        r"\toprule",
        r"Task & Variant & Win rate & Return & Seeds & Episodes per seed \\",
        r"\midrule",
        r"task\_a & qmix & 0.50 [0.25, 0.75] & 0.00 [$-$5.00, 5.00] & 2 & 4 \\",
        r" & trama & 1.00 [1.00, 1.00] & 0.00 [$-$5.00, 5.00] & 2 & 4 \\",
        r"\addlinespace",
        r"task\_b & qmix & 0.25 [0.00, 0.50] & 7.00 [7.00, 7.00] & 2 & 2 \\",
        r" & trama & 0.75 [0.50, 1.00] & 7.00 [7.00, 7.00] & 2 & 2 \\",
        r"\addlinespace",
        r"overall & qmix & 0.38 [0.12, 0.62] & 3.50 [1.00, 6.00] & 2 & 6 \\",
        r" & trama & 0.88 [0.75, 1.00] & 3.50 [1.00, 6.00] & 2 & 6 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    assert "study made_up, params 0123456789abcdef" in latex
    assert "| task_a | qmix | 0.50 [0.25, 0.75] | 0.00 [-5.00, 5.00] | 2 | 4 |" in markdown
    frame = pd.read_csv(io.StringIO(csv))
    row = frame[(frame.task == OVERALL) & (frame.variant == "qmix") & (frame.metric == "win_rate")]
    assert row[["mean", "min", "max"]].to_numpy().tolist() == [[0.375, 0.125, 0.625]]
    assert set(frame["policy"]) == {"last"}


def test_clusters_table(tmp_path: Path) -> None:
    metrics = write_representations(tmp_path)[1]
    table = clusters({"cluster_metrics": _all(metrics)}, _PARAMS, "SurComb3")
    latex = _latex_rows(_written(table, tmp_path, "tex"))
    assert r"vqvae & 0 & 0.47 & 0.00 & 0.35 & 57 & 0.20 & 0.50 \\" in latex
    assert r"mean\_state & 0 & 0.47 & 0.00 & 0.35 & n/a & 0.20 & 0.50 \\" in latex
    frame = pd.read_csv(io.StringIO(_written(table, tmp_path, "csv")))
    assert frame["ari"].tolist() == [0.471] * 4
    assert frame["codes_in_use"].isna().tolist() == [False, False, True, True]


def test_predictor_table(tmp_path: Path) -> None:
    histories = write_histories(tmp_path)["trama"]
    table = predictor({"histories": list(histories.values())}, _PARAMS, "SurComb3")
    lines = _written(table, tmp_path, "md").splitlines()
    assert lines[2:6] == [
        "| Variant | Seed | Balanced accuracy | Majority rate |",
        "| :-- | :-- | --: | --: |",
        "| trama | 0 | 0.80 | 0.42 |",
        "| trama | 1 | 0.85 | 0.44 |",
    ]
