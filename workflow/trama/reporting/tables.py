"""The tables of a problem: LaTeX (booktabs), CSV (tidy, full precision) and Markdown."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trama.config.model import Tables
from trama.data.parquet import Provenance
from trama.reporting import statistics
from trama.reporting.statistics import Files

_MISSING = "n/a"

_LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "_": r"\_",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "$": r"\$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)


def results(
    episodes: Files,
    *,
    problem: str,
    tables: Tables,
    provenance: Provenance,
    outputs: Sequence[Path],
) -> None:
    """Write final win rate and return of each variant, per task and overall.

    Args:
        episodes: evaluation of each variant and seed.
        problem: name of the problem.
        tables: config section of that name.
        provenance: goes into a comment of the LaTeX and Markdown files.
        outputs: files to write; their suffixes (.tex, .csv, .md) give the formats.

    Raises:
        TramaError: an evaluation is missing, broken or lacks the policy.
    """
    tidy = statistics.evaluation(episodes, tables.policy)
    tidy.insert(0, "problem", problem)
    tidy.insert(1, "policy", tables.policy)

    summaries = {(r["task"], r["variant"], r["metric"]): r for r in tidy.to_dict("records")}
    rows = []
    for task, variant in dict.fromkeys((task, variant) for task, variant, _ in summaries):
        win_rate = summaries[task, variant, "win_rate"]
        episode_return = summaries[task, variant, "return"]
        rows.append(
            [
                task,
                variant,
                _mean_and_range(win_rate, tables.decimals),
                _mean_and_range(episode_return, tables.decimals),
                str(win_rate["n_seeds"]),
                str(win_rate["episodes_per_seed"]),
            ]
        )
    header = ["Task", "Variant", "Win rate", "Return", "Seeds", "Episodes per seed"]
    title = (
        f"{problem}: greedy evaluation of the {tables.policy} policy; "
        "mean over seeds [lowest seed, highest seed]"
    )
    _write(outputs, title, header, rows, tidy, provenance)


def clusters(
    cluster_metrics: Files,
    *,
    problem: str,
    tables: Tables,
    provenance: Provenance,
    outputs: Sequence[Path],
) -> None:
    """Write the quality of the clustering of each representation and seed.

    Args:
        cluster_metrics: cluster metrics of each representation and seed.
        problem: name of the problem.
        tables: config section of that name.
        provenance: goes into a comment of the LaTeX and Markdown files.
        outputs: files to write; their suffixes (.tex, .csv, .md) give the formats.

    Raises:
        TramaError: a file is missing or broken.
    """
    header = {
        "ari": "ARI",
        "nmi": "NMI",
        "silhouette": "Silhouette",
        "codes_in_use": "Codes in use",
        "smallest_class_share": "Smallest class",
        "largest_class_share": "Largest class",
    }
    records = []
    for name, seeds in cluster_metrics.items():
        for seed, path in seeds.items():
            metrics = statistics.cluster_metrics(path)
            shares = statistics.class_shares(path)
            metrics |= {
                "smallest_class_share": min(shares),
                "largest_class_share": max(shares),
            }
            records.append([problem, name, seed, *(metrics.get(key, np.nan) for key in header)])
    tidy = pd.DataFrame(records, columns=["problem", "representation", "seed", *header])
    rows = _rows(tidy, "representation", header, tables.decimals)
    title = f"{problem}: clusters of the baseline's trajectories against the true tasks"
    _write(outputs, title, ["Representation", "Seed", *header.values()], rows, tidy, provenance)


def predictor(
    histories: Files,
    *,
    problem: str,
    tables: Tables,
    provenance: Provenance,
    outputs: Sequence[Path],
) -> None:
    """Write the class predictor's accuracy at the end of training, for each variant and seed.

    Args:
        histories: history of each seed of the variants that have a predictor.
        problem: name of the problem.
        tables: config section of that name.
        provenance: goes into a comment of the LaTeX and Markdown files.
        outputs: files to write; their suffixes (.tex, .csv, .md) give the formats.

    Raises:
        TramaError: a history is missing, broken or holds no accuracy.
    """
    header = {
        "predictor_balanced_accuracy": "Balanced accuracy",
        "majority_rate": "Majority rate",
    }
    records = [
        [problem, name, seed, *(statistics.final_value(path, metric) for metric in header)]
        for name, seeds in histories.items()
        for seed, path in seeds.items()
    ]
    tidy = pd.DataFrame(records, columns=["problem", "variant", "seed", *header])
    rows = _rows(tidy, "variant", header, tables.decimals)
    title = (
        f"{problem}: class predictor against the pseudo-labels (of an oracle: the true tasks) at "
        "the end of training"
    )
    _write(outputs, title, ["Variant", "Seed", *header.values()], rows, tidy, provenance)


def _mean_and_range(summary: Mapping[Any, Any], decimals: int) -> str:
    mean, low, high = (f"{summary[key]:z.{decimals}f}" for key in ("mean", "min", "max"))
    return f"{mean} [{low}, {high}]"


def _rows(
    tidy: pd.DataFrame, name: str, metrics: Mapping[str, str], decimals: int
) -> list[list[str]]:
    """Format a row per name and seed; counts without decimals."""
    rows = []
    for record in tidy.to_dict("records"):
        cells = []
        for metric in metrics:
            digits = 0 if metric == "codes_in_use" else decimals
            value = record[metric]
            cells.append(_MISSING if np.isnan(value) else f"{value:z.{digits}f}")
        rows.append([record[name], str(record["seed"]), *cells])
    return rows


def _write(
    outputs: Sequence[Path],
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    tidy: pd.DataFrame,
    provenance: Provenance,
) -> None:
    origin = provenance.describe()
    for output in map(Path, outputs):
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix == ".csv":
            text = tidy.to_csv(index=False, lineterminator="\n")
        elif output.suffix == ".tex":
            text = _latex(title, origin, header, rows)
        elif output.suffix == ".md":
            text = _markdown(title, origin, header, rows)
        else:
            raise ValueError(f"{output}: no format for tables; use .tex, .csv or .md")
        output.write_text(text, encoding="utf-8")


def _markdown(title: str, origin: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    # The first two columns are names, the others numbers.
    rule = [":--" if i < 2 else "--:" for i in range(len(header))]
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, rule, *rows)]
    return "\n".join([f"{title}.", "", *lines, "", f"<!-- {origin} -->", ""])


def _latex(title: str, origin: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a tabular of booktabs in which a name that repeats stands once."""
    lines = [
        f"% {title}",
        f"% {origin}",
        r"% Needs \usepackage{booktabs}.",
        r"\begin{tabular}{ll" + "r" * (len(header) - 2) + "}",
        r"\toprule",
        _latex_row(header),
        r"\midrule",
    ]
    for previous, row in zip([None, *rows], rows, strict=False):
        repeats = previous is not None and previous[0] == row[0]
        if previous is not None and not repeats:
            lines.append(r"\addlinespace")
        lines.append(_latex_row(["", *row[1:]] if repeats else row))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _latex_row(cells: Sequence[str]) -> str:
    escaped = [cell.translate(_LATEX_ESCAPES) for cell in cells]
    # A hyphen before a number is a minus.
    return " & ".join(re.sub(r"(?<!\w)-(?=\d)", "$-$", cell) for cell in escaped) + r" \\"
