"""A table, and its files: LaTeX (booktabs), CSV (tidy, full precision) and Markdown."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from trama.config.params import TableParams
from trama.data.parquet import Provenance
from trama.data.sources import write_sources
from trama.reporting.statistics import Inputs

MISSING = "n/a"

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


@dataclass(frozen=True)
class Table:
    """What a table shows.

    Attributes:
        title: what it is, in a line; without a full stop.
        header: titles of the columns; the first two hold names, the others numbers.
        rows: cells of each row, as text. LaTeX shows a first cell that repeats once.
        tidy: the same values and those behind them, in full precision; the CSV.
        shown: which rows of the inputs it shows, in words; for the file of its sources.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    tidy: pd.DataFrame
    shown: str

    def write(self, outputs: Sequence[Path], provenance: Provenance) -> None:
        """Write the table.

        Args:
            outputs: files to write; their suffixes (.tex, .csv, .md) give the formats.
            provenance: goes into a comment of the LaTeX and Markdown files.
        """
        origin = provenance.describe()
        for output in outputs:
            if output.suffix == ".csv":
                text = self.tidy.to_csv(index=False, lineterminator="\n")
            elif output.suffix == ".tex":
                text = self._latex(origin)
            elif output.suffix == ".md":
                text = self._markdown(origin)
            else:
                raise ValueError(f"{output}: no format for tables; use .tex, .csv or .md")
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text, encoding="utf-8")

    def _markdown(self, origin: str) -> str:
        rule = [":--" if i < 2 else "--:" for i in range(len(self.header))]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.header, rule, *self.rows)]
        return "\n".join([f"{self.title}.", "", *lines, "", f"<!-- {origin} -->", ""])

    def _latex(self, origin: str) -> str:
        lines = [
            f"% {self.title}",
            f"% {origin}",
            r"% Needs \usepackage{booktabs}.",
            r"\begin{tabular}{ll" + "r" * (len(self.header) - 2) + "}",
            r"\toprule",
            _latex_row(self.header),
            r"\midrule",
        ]
        for previous, row in zip([None, *self.rows], self.rows, strict=False):
            repeats = previous is not None and previous[0] == row[0]
            if previous is not None and not repeats:
                lines.append(r"\addlinespace")
            lines.append(_latex_row(["", *row[1:]] if repeats else row))
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


Make = Callable[[Inputs, TableParams, str], Table]
"""Makes one table from its inputs and params on the problem (or of the study) of that name."""


def make_table(
    make: Make,
    inputs: Inputs,
    params: TableParams,
    of: str,
    *,
    files: Sequence[Path],
    sources: Path,
    provenance: Provenance,
) -> None:
    """Make a table and write it.

    Args:
        make: makes it.
        inputs: files to make it from.
        params: what it depends on beside them.
        of: name of the problem, or of the study.
        files: files of the table to write; their suffixes (.tex, .csv, .md) give the formats.
        sources: file that names the inputs.
        provenance: goes into the files.

    Raises:
        TramaError: an input is missing, broken or lacks what the table shows.
    """
    table = make(inputs, params, of)
    table.write(files, provenance)
    write_sources(
        sources,
        made=files,
        inputs=[file for kind in inputs.values() for file in kind],
        rows=table.shown,
        provenance=provenance,
    )


def seed_rows(
    tidy: pd.DataFrame, name: str, metrics: Mapping[str, str], decimals: int
) -> list[list[str]]:
    """Format a row per name and seed; counts without decimals."""
    rows = []
    for record in tidy.to_dict("records"):
        cells = []
        for metric in metrics:
            digits = 0 if metric == "codes_in_use" else decimals
            value = record[metric]
            cells.append(MISSING if np.isnan(value) else f"{value:z.{digits}f}")
        rows.append([record[name], str(record["seed"]), *cells])
    return rows


def _latex_row(cells: Sequence[str]) -> str:
    escaped = [cell.translate(_LATEX_ESCAPES) for cell in cells]
    # A hyphen before a number is a minus.
    return " & ".join(re.sub(r"(?<!\w)-(?=\d)", "$-$", cell) for cell in escaped) + r" \\"
