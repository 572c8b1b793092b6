"""Results as JSON, and as the table of docs/PERFORMANCE.md."""

import datetime
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.harness import GROUPS, THREADS, Figure

BEGIN, END = "<!-- benchmark: begin -->", "<!-- benchmark: end -->"
PACKAGES = ("torch", "jax", "jaxmarl", "numpy", "pyarrow", "scikit-learn", "snakemake")


def describe_run() -> dict[str, Any]:
    """Machine, versions and date."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next(
        (line.split(":")[1].strip() for line in lines if line.startswith("model name")), ""
    )
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": model or platform.processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
    }


def write_results(path: Path, run: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Write everything that was measured; figures of groups that did not run are kept."""
    groups = {figure.group for figure in figures}
    kept = []
    if path.exists():
        kept = [f for f in json.loads(path.read_text())["figures"] if f["group"] not in groups]
    ordered = sorted(kept + [asdict(f) for f in figures], key=lambda f: GROUPS.index(f["group"]))
    text = json.dumps({"run": run, "figures": ordered}, indent=1)
    path.write_text(text + "\n")


def table(results: Path) -> str:
    """The figures of a results file as Markdown."""
    content = json.loads(results.read_text())
    run = content["run"]
    lines = [
        f"{run['cpu']}, {run['cores']} cores, {run['threads']} threads; {run['date']}; "
        + ", ".join(f"{name} {number}" for name, number in run["versions"].items())
        + ".",
        "",
        "| what | measured | reference | gain | target |",
        "| --- | --- | --- | --- | --- |",
    ]
    for figure in (Figure(**values) for values in content["figures"]):
        spread = f"{_number(figure.low)} to {_number(figure.high)}"
        measured = f"{_number(figure.value)} {figure.unit} ({spread})"
        other = gain = ""
        if figure.reference_value is not None and figure.gain is not None:
            other = f"{_number(figure.reference_value)}: {figure.reference}"
            gain = f"{figure.gain:.2g} x"
        target = ""
        if figure.target is not None:
            target = f"{_number(figure.target)}, {'met' if figure.met else 'not met'}"
        lines.append(f"| {figure.name} | {measured} | {other} | {gain} | {target} |")
    return "\n".join(lines)


def update_page(page: Path, results: Path) -> None:
    """Replace what stands between the markers of the page."""
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
