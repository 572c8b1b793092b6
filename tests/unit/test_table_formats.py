"""How tables are written: Markdown, HTML, CSV and LaTeX."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from made_up import PROVENANCE
from trama.reporting.tables.table import Bold, Table


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
