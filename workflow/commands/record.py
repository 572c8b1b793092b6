"""Keep what a finished study shows, and the rows behind it: docs/results, and docs/RESULTS.md.

What is kept is an archive: after `make restore` of it the runs count as done, as far as tables go,
and a study grows by seeds and problems on machines that know nothing of each other.
"""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from archive import notes_of
from command import ROOT, chosen_config, one_message, parser, read_config
from trama.archive import COMPRESSED, copy, manifest_of
from trama.config.experiments import Experiment
from trama.config.model import Config, Study
from trama.errors import TramaError
from trama.reporting.estimates import MIN_SEEDS

SHOWN = (
    "figures/*.png",
    "figures/*.caption.rst",
    "tables/*.md",
    "tables/*.csv",
    "tables/*.caption.rst",
    "tables/findings.rst",
    "provenance/*.json",
)
"""Files of a study that are kept to be read."""
ROWS = (
    "*/collect/seed_*/history.parquet",
    "*/collect/seed_*/timing.parquet",
    "*/train/*/seed_*/history.parquet",
    "*/train/*/seed_*/timing.parquet",
    "*/evaluate/*/seed_*/episodes.parquet",
    "*/evaluate/*/seed_*/fallback.parquet",
    "*/evaluate/*/seed_*/given_classes.parquet",
    "*/representation/*/seed_*/vqvae_history.parquet",
    "*/representation/*/seed_*/cluster_metrics.parquet",
    "*/representation/*/seed_*/predictor_accuracy.parquet",
    "benchmarks/*/*/seed_*.tsv",
    "benchmarks/*/*/*/seed_*.tsv",
)
"""Files of a study's runs that are kept: small ones, from which every table is made."""

PAGE = ROOT / "docs/RESULTS.md"
RECORDED = ROOT / "docs/results"
ON_PAGE = ("study_claims", "study_ablations", "experiment_*")
"""Tables that stand on the page, where a study has them."""

INTRODUCTION = """\
# Results

`make record` writes this page from finished studies. Nothing on it is written by hand.
`docs/results/<study>` has all figures and tables of a study, the rows they were made from, and its
configuration as it ran (`provenance`). What was not run stands at the end; what differs from the
paper, and why, in [method.md](method.md).
"""


def main() -> None:
    """Bring docs/results/<study> up to what the study has now, and write the page anew."""
    chosen = parser(__doc__ or "").parse_args()
    with one_message():
        config = chosen_config(chosen)
        study = config.study.name
        source, target = Path("results", study), RECORDED / study
        shown = sorted(file for pattern in SHOWN for file in source.glob(pattern))
        rows = sorted(file for pattern in ROWS for file in source.glob(pattern))
        if not any(list(source.glob(f"tables/{name}.md")) for name in ON_PAGE):
            raise TramaError(
                f"{source}/tables: there is neither study_claims.md nor a table of an experiment; "
                "run `make` first, with a variant with classes and one without in study.variants, "
                "or the target of an experiment"
            )
        lost = {
            path
            for pattern in ROWS
            for file in target.glob(pattern)
            if not (source / (path := file.relative_to(target))).exists()
        }
        if lost:
            raise TramaError(
                f"{target.relative_to(ROOT)}: {len(lost)} files of runs are recorded that "
                f"{source} has not, such as {min(lost)}. Take them along with `make restore "
                f"ARCHIVE={target.relative_to(ROOT)}` and make the tables of all, or delete the "
                "folder to record without them."
            )
        notes = notes_of(outputs_of_jobs(rows, target))
        done = [row for row in map(str, rows) if row in notes.records or "/benchmarks/" in row]
        if not notes.records:
            raise TramaError(f"{source}: no finished job's results are there; run `make` first")
        copy(target, Path(), study, done, notes.model_dump())
        for file in shown:  # of experiments that were recorded elsewhere, what was there stays
            kept = target / file.relative_to(source)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, kept)
    paragraphs = [*page(RECORDED), *not_run(RECORDED, read_config())]
    PAGE.write_text("\n".join(paragraphs), encoding="utf-8")
    sizes = [file.stat().st_size for file in target.rglob("*") if file.is_file()]
    print(
        f"{target.relative_to(ROOT)}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB; "
        f"{PAGE.relative_to(ROOT)}"
    )


def outputs_of_jobs(rows: list[Path], target: Path) -> set[str]:
    """All outputs of the jobs that made rows, whether they are here or were when it was recorded.

    Snakemake notices a changed configuration only where it has records of all outputs of a job.
    """
    folders = {row.parent for row in rows if "benchmarks" not in row.parts}
    here = {str(file) for folder in folders for file in folder.iterdir()}
    if not (target / COMPRESSED).exists():
        return here
    before = manifest_of(target).notes["records"]
    return here | {name for name in before if Path(name).parent in folders}


def page(recorded: Path) -> Iterator[str]:
    """Paragraphs of the page on all studies that are recorded."""
    yield INTRODUCTION
    for study in sorted(folder for folder in recorded.iterdir() if folder.is_dir()):
        yield f"## Study {study.name}\n"
        yield how_it_ran(study)
        figures = {file.stem: file for file in sorted((study / "figures").glob("*.png"))}
        for table in [file for name in ON_PAGE for file in sorted(study.glob(f"tables/{name}.md"))]:
            title, rest = without_origin(table.read_text(encoding="utf-8")).split("\n", 1)
            yield f"### {title.rstrip('.')}"
            yield as_markdown(rest)
            if figure := figures.pop(table.stem, None):  # its numbers are those of the table
                yield picture(figure, recorded)
        if figures:
            yield "### Figures\n"
        for figure in figures.values():
            yield picture(figure, recorded)
            yield as_markdown(figure.with_suffix(".caption.rst").read_text(encoding="utf-8"))


def how_it_ran(study: Path) -> str:
    """The scale of a recorded study, and the code of its last run."""
    run = json.loads(max((study / "provenance").glob("*.json")).read_text(encoding="utf-8"))
    code, config = run["code"], run["config"]
    version = code["version"] if code["commit"] is None else code["commit"][:7]
    return (
        f"Trainings of {config['train']['env_steps']:,} env steps, the "
        f"{config['collect']['env_steps']:,} of stage collect included where they learn from its "
        f"trajectories; {config['evaluate']['episodes']} greedy episodes of each policy on each "
        f"task. Last run on {run['started'][:10]}, code {version}.\n"
    )


def not_run(recorded: Path, config: Config) -> Iterator[str]:
    """A paragraph on what is defined and not recorded, or not all of its runs."""
    missing = []
    for preset in sorted(file.stem for file in (ROOT / "config/presets").glob("*.yaml")):
        study = read_config(preset).study
        runs = list(files_of_runs(study))
        found = sum((recorded / study.name / run).is_file() for run in runs)
        if found < len(runs) and len(study.seeds) >= MIN_SEEDS:  # others support no finding
            missing.append(f"- preset `{preset}`, {found} of {len(runs)} runs")
    for name in config.playable_experiments:
        experiment = config.experiments[name]
        runs = list(files_of_runs(experiment))
        tables = recorded.glob(f"*/tables/experiment_{name}.md")
        studies = [table.parents[1] for table in tables]
        found = max((sum((each / run).is_file() for run in runs) for each in studies), default=0)
        if found < len(runs):
            missing.append(
                f"- experiment `{name}`, {found} of {len(runs)} runs: {experiment.question}"
            )
    if missing:
        yield "## Not run\n"
        yield "What is defined, and what this page has of it:\n"
        yield "\n".join(missing) + "\n"


def files_of_runs(compared: Study | Experiment) -> Iterator[str]:
    """A file of each of the runs that are compared, below the folder of the study."""
    representations = compared.representations if isinstance(compared, Experiment) else ()
    for problem in compared.problems:
        for seed in compared.seeds:
            for variant in compared.variants:
                yield f"{problem}/train/{variant}/seed_{seed}/history.parquet"
            for name in representations:
                yield f"{problem}/representation/{name}/seed_{seed}/cluster_metrics.parquet"


def picture(figure: Path, recorded: Path) -> str:
    """A figure in Markdown, with a link from the folder of the page."""
    return f"![{figure.stem.replace('_', ' ')}]({figure.relative_to(recorded.parent)})\n"


def without_origin(table: str) -> str:
    """A table in Markdown without the comment that says what it was made from."""
    return re.sub(r"<!--.*?-->\n?", "", table, flags=re.DOTALL)


def as_markdown(caption: str) -> str:
    """A caption of plain reStructuredText, whose names are ``literal``, as Markdown."""
    return caption.replace("``", "`")


if __name__ == "__main__":
    main()
