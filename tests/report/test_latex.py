"""A paper in two columns that holds every table of a study and every number by its macro."""

import csv
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from made_up import PROVENANCE
from made_up_study import STUDY_TABLES, TABLES, study_config, table_of, write_study

PACKAGES = ("texlive-latex-base", "texlive-latex-recommended")

PREAMBLE = r"""
\documentclass[twocolumn]{article}
\usepackage{array,booktabs,longtable}
\hbadness=10000
\begin{document}
"""
FLOAT = r"""
\begin{table*}
\caption{%s}
\centering\footnotesize
\input{%s}
\end{table*}
\clearpage
"""
PAGES = r"""
\onecolumn
{\footnotesize\input{%s}}
\twocolumn
"""


@pytest.fixture(scope="session")
def pdflatex() -> str:
    """The program, installed from the distribution's packages where it is missing."""
    program = shutil.which("pdflatex")
    if program is None:
        if shutil.which("apt-get") is None or os.geteuid() != 0:
            pytest.skip(f"install {' and '.join(PACKAGES)} first: only root with apt-get can")
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
            result = subprocess.run(
                ["apt-get", *command], env=environment, capture_output=True, text=True, timeout=900
            )
            if result.returncode:
                pytest.skip(f"apt-get {shlex.join(command)} failed: {result.stderr[-500:]}")
        program = shutil.which("pdflatex")
    assert program is not None
    return program


def compiled(pdflatex: str, tables: Path, folder: Path) -> str:
    """Compile a document with all tables and macros of a study; return what LaTeX said.

    Each macro is written to the log as well, as "<name>=<value>.".
    """
    found = sorted(tables.glob("*.tex"))
    (numbers,) = (path for path in found if path.stem == "numbers")
    macros = re.findall(r"^\\newcommand{\\(\w+)}", numbers.read_text(), re.MULTILINE)
    parts = [PREAMBLE, rf"\input{{{numbers.stem}}}", "All numbers:"]
    parts += [rf"\{name}{{}}\typeout{{{name}=\{name}.}}" for name in macros]
    for path in found:
        if path != numbers:
            long = "begin{longtable}" in path.read_text()
            title = path.stem.replace("_", " ")
            parts.append(PAGES % path.stem if long else FLOAT % (title, path.stem))
    folder.mkdir(exist_ok=True)
    document = folder / "paper.tex"
    document.write_text("\n".join([*parts, r"\end{document}", ""]))
    for _ in range(3):  # a longtable learns its widths from the run before
        result = subprocess.run(
            [pdflatex, "-interaction=nonstopmode", "-halt-on-error", document.name],
            cwd=folder,
            env=os.environ | {"TEXINPUTS": f".:{tables.resolve()}:", "max_print_line": "1000"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=300,
        )
        assert result.returncode == 0, result.stdout[-2000:]
    assert document.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
    return result.stdout


def complaints(output: str) -> list[str]:
    """What LaTeX found too wide for the page, too long for it, or undefined."""
    signs = ("Overfull", "Float too large", "LaTeX Warning", "Undefined", "Missing character")
    return [line for line in output.splitlines() if any(sign in line for sign in signs)]


def values_of(tables: Path) -> dict[str, str]:
    """Macros and their values, by the CSV beside their definitions."""
    with (tables / "numbers.csv").open(newline="") as file:
        return {row["macro"]: row["value"] for row in csv.DictReader(file)}


def typeset(output: str, names: Iterable[str]) -> dict[str, str]:
    """Values that LaTeX wrote to the log."""
    found = dict(re.findall(r"^(\w+)=(.*)\.$", output, re.MULTILINE))
    return {name: found[name].replace(r"\ensuremath {-}", "-") for name in names}


def test_a_paper_holds_all_tables_and_numbers_of_a_study(
    pdflatex: str, finished_study: Path, tmp_path: Path
) -> None:
    tables = finished_study / "results/tiny/tables"
    output = compiled(pdflatex, tables, tmp_path / "paper")
    assert complaints(output) == []
    values = values_of(tables)
    assert typeset(output, values) == values


def test_the_widest_tables_fit_a_page_of_two_columns(pdflatex: str, tmp_path: Path) -> None:
    """All variants, with intervals, on the problem that has most tasks."""
    config = study_config(
        study={
            "name": "made_up",
            "problems": ["reSurComb4"],
            "seeds": [0, 1, 2],
            "variants": ["vdn", "qmix", "qplex", "trama", "trama_qmix", "trama_mean_state"],
        }
    )
    study = write_study(tmp_path, config)
    tables = tmp_path / "tables"
    for name in TABLES:
        path = tables / f"reSurComb4_{name}.tex"
        table_of(name, study, config, "reSurComb4").write([path], PROVENANCE)
    for name in STUDY_TABLES:
        files = [tables / f"{name}.{suffix}" for suffix in ("tex", "csv")]
        table_of(name, study, config).write(files, PROVENANCE)
    output = compiled(pdflatex, tables, tmp_path / "paper")
    assert complaints(output) == []
    values = values_of(tables)
    assert any(value.startswith("-") for value in values.values())
    assert typeset(output, values) == values
