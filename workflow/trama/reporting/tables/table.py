"""A table, and its files: LaTeX (booktabs), CSV (tidy, full precision), Markdown, HTML, caption."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from trama.config.table_params import TableParams
from trama.data.parquet import Provenance
from trama.reporting.captions import caption_text
from trama.reporting.outputs import Outputs
from trama.reporting.statistics import Inputs

INTERVALS_AT_ONCE = 4
"""Columns with intervals that a page holds side by side."""

# Rows of \footnotesize that a page holds with the space between groups.
_PAGE = 45
# Rows of the largest group that is not parted between pages.
_WHOLE = 12
_WORDS = r">{\raggedright\arraybackslash}p{0.2\textwidth}"
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
        "Δ": r"$\Delta$",
    }
)
# It asks for nothing else: Snakemake's report is read without a network.
_PAGE_OF_HTML = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.5 sans-serif; margin: 1.5em; }}
caption {{ font-weight: bold; text-align: left; padding-bottom: 0.5em; }}
table {{ border-collapse: collapse; border-block: 2px solid; }}
thead {{ border-bottom: 1px solid; }}
th, td {{ padding: 0.1em 0.7em; text-align: left; vertical-align: top; white-space: nowrap; }}
.r {{ text-align: right; }}
.w {{ white-space: normal; min-width: 15em; }}
</style>
<table>
<caption>{title}</caption>
<thead>
{head}
</thead>
<tbody>
{rows}
</tbody>
</table>
<!-- {origin} -->
"""


class Bold(str):
    """A cell in bold."""


@dataclass(frozen=True)
class Table:
    """What a table shows.

    Attributes:
        title: what it is, in a line without a full stop.
        caption: paragraphs of reStructuredText: what is shown, of how many seeds and episodes, and
            how it was computed. Names are ``literal``.
        header: titles of the columns.
        align: a letter per column: l for names, r for numbers, w for words that need several lines.
        rows: cells of each row, as text. In LaTeX, a name that repeats is shown once, but for the
            last of the columns of names at the start; the first of three is a heading.
        tidy: the same values and those behind them, in full precision; the CSV.
        shown: which rows of the inputs it shows, in words; for the file of its sources.
        at_once: columns beside those of names at the start that LaTeX sets side by side, None for
            all; further ones follow below, with the names again.
    """

    title: str
    caption: Sequence[str]
    header: Sequence[str]
    align: str
    rows: Sequence[Sequence[str]]
    tidy: pd.DataFrame
    shown: str
    at_once: int | None = None

    def write(self, files: Sequence[Path], provenance: Provenance) -> None:
        """Write the table.

        Args:
            files: files to write; their suffixes (.tex, .csv, .md, .html) give the formats.
            provenance: goes into a comment of all but the CSV.
        """
        texts = {".tex": self.latex, ".md": self.markdown, ".csv": self.csv, ".html": self.html}
        for file in files:
            if file.suffix not in texts:
                raise ValueError(f"{file}: no format for tables; use {', '.join(texts)}")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(texts[file.suffix](provenance.describe()), encoding="utf-8")

    def csv(self, origin: str) -> str:
        """Return the tidy values; a CSV has no place for its origin."""
        return self.tidy.to_csv(index=False, lineterminator="\n")

    def markdown(self, origin: str) -> str:
        """Return the table with its title and caption."""
        rule = ["--:" if letter == "r" else ":--" for letter in self.align]
        rows = [[f"**{c}**" if isinstance(c, Bold) else c for c in row] for row in self.rows]
        lines = ["| " + " | ".join(cells) + " |" for cells in (self.header, rule, *rows)]
        caption = caption_text(self.caption)
        return "\n".join([f"{self.title}.", "", *lines, "", caption, f"<!-- {origin} -->", ""])

    def html(self, origin: str) -> str:
        """Return a page with the table and its title, which Snakemake's report can show."""
        return _PAGE_OF_HTML.format(
            title=escape(self.title),
            head=self._html_row("th", self.header),
            rows="\n".join(self._html_row("td", row) for row in self.rows),
            origin=escape(origin),
        )

    def _html_row(self, tag: str, cells: Sequence[str]) -> str:
        parts = []
        for letter, cell in zip(self.align, cells, strict=True):
            text = f"<b>{escape(cell)}</b>" if isinstance(cell, Bold) else escape(cell)
            parts.append(f'<{tag} class="{letter}">{text}</{tag}>')
        return f"<tr>{''.join(parts)}</tr>"

    def latex(self, origin: str) -> str:
        r"""Return a tabular; where a page does not hold it, a longtable, which is no float.

        As \footnotesize it is no wider than a page of two columns, in a table*.
        """
        parts = [part._latex_lines() for part in self._parts()]
        long = any(r"\endhead" in lines for lines in parts)
        packages = ["booktabs", *["array"] * ("w" in self.align), *["longtable"] * long]
        caption = caption_text(self.caption).splitlines()
        return "\n".join(
            [
                *(f"% {line}".rstrip() for line in (f"{self.title}.", "", *caption, "", origin)),
                rf"% Needs \usepackage{{{','.join(packages)}}}.",
                r"\begingroup\setlength{\tabcolsep}{3pt}",
                *parts[0],
                *(line for lines in parts[1:] for line in (r"\par\medskip", *lines)),
                r"\endgroup",
                "",
            ]
        )

    @property
    def _n_names(self) -> int:
        return len(self.align) - len(self.align.lstrip("l"))

    def _parts(self) -> Iterator["Table"]:
        """Tables of the names and `at_once` or fewer of the other columns each, in equal parts."""
        names = range(self._n_names)
        others = range(self._n_names, len(self.align))
        n_parts = -(-len(others) // self.at_once) if self.at_once else 1
        for columns in np.array_split(others, max(n_parts, 1)):
            kept = [*names, *columns]
            yield replace(
                self,
                header=[self.header[i] for i in kept],
                align="".join(self.align[i] for i in kept),
                rows=[[row[i] for i in kept] for row in self.rows],
            )

    def _latex_lines(self) -> list[str]:
        """Lines of one tabular or longtable with all columns."""
        n_headings = max(self._n_names - 2, 0)
        lines = list(self._latex_rows(n_headings, self._n_names))
        long = len(lines) > _PAGE
        kind = "longtable" if long else "tabular"
        align = self.align[n_headings:].replace("w", _WORDS)
        return [
            rf"\begin{{{kind}}}{{@{{}}{align}@{{}}}}",
            *(r"\toprule", _latex_row(self.header[n_headings:]), r"\midrule"),
            *([r"\endhead", r"\bottomrule", r"\endfoot"] if long else []),
            *lines,
            *([] if long else [r"\bottomrule"]),
            rf"\end{{{kind}}}",
        ]

    def _latex_rows(self, n_headings: int, n_names: int) -> Iterator[str]:
        """The rows, with headings and space between groups, of which small ones stay whole."""
        previous: list[str] = [""] * n_names
        # The last of the names tells the rows of a group apart.
        for names, group in groupby(self.rows, key=lambda row: list(row[: n_names - 1])):
            n_same = next((n for n, name in enumerate(names) if name != previous[n]), 0)
            if previous[0] and names:
                yield r"\addlinespace"
            for heading in names[n_same:n_headings]:
                width = len(self.align) - n_headings
                yield rf"\multicolumn{{{width}}}{{@{{}}l}}{{\emph{{{_latex_cell(heading)}}}}} \\*"
            rows = list(group)
            for i, row in enumerate(rows):
                repeated = len(names) if i else n_same
                shown = ["" if n < repeated else cell for n, cell in enumerate(row)]
                stays = names and i + 1 < len(rows) <= _WHOLE
                yield _latex_row(shown[n_headings:]) + "*" * bool(stays)
            previous = names or previous


Make = Callable[[Inputs, TableParams, str], Table]
"""Makes one table from its inputs and params on the problem (or of the study) of that name."""


def make_table(
    make: Make,
    inputs: Inputs,
    params: TableParams,
    of: str,
    outputs: Outputs,
    provenance: Provenance,
) -> None:
    """Make a table and write it.

    Args:
        make: makes it.
        inputs: files to make it from.
        params: what it depends on beside them.
        of: name of the problem, or of the study.
        outputs: what to write.
        provenance: goes into the files.

    Raises:
        TramaError: an input is missing, broken or lacks what the table shows.
    """
    table = make(inputs, params, of)
    table.write(outputs.files, provenance)
    outputs.write_beside(table.caption, table.shown, inputs, provenance)


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex_cell, cells)) + r" \\"


def _latex_cell(cell: str) -> str:
    # A hyphen before a number is a minus.
    text = re.sub(r"(?<!\w)-(?=\d)", "$-$", cell.translate(_LATEX_ESCAPES))
    return rf"\textbf{{{text}}}" if isinstance(cell, Bold) else text
