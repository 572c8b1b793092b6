"""Keep what a finished study shows, and the rows behind it: docs/results, and docs/RESULTS.md.

What ran it is kept too, but for the name of the machine.

What is kept is an archive: after `make restore` of it the runs count as done, as far as tables go,
and a study grows by seeds and problems on machines that know nothing of each other.
"""

import json
import shutil
from pathlib import Path

from archive import notes_of
from command import ROOT, chosen_config, one_message, parser
from results_page import FIGURES, figures_page, page, tables_of
from trama.archive import COMPRESSED, copy, manifest_of
from trama.errors import TramaError

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


def main() -> None:
    """Bring docs/results/<study> up to what the study has now, and write the page anew."""
    chosen = parser(__doc__ or "").parse_args()
    with one_message():
        config = chosen_config(chosen)
        study = config.study.name
        source, target = Path("results", study), RECORDED / study
        shown = sorted(file for pattern in SHOWN for file in source.glob(pattern))
        rows = sorted(file for pattern in ROWS for file in source.glob(pattern))
        if not tables_of(source):
            raise TramaError(
                f"{source}/tables: there is neither study_win_rates.md nor a table of an "
                "experiment; run `make` first, or the target of an experiment"
            )
        lost = {
            path
            for pattern in ROWS
            for file in target.glob(pattern)
            if not (source / (path := file.relative_to(target))).exists()
        }
        if lost:
            kept = target.relative_to(ROOT)
            along = f"Take them along with `make restore ARCHIVE={kept}` and make the tables of all"
            if not (target / COMPRESSED).exists():
                along = "They were recorded before records could be restored: run them again"
            raise TramaError(
                f"{kept}: {len(lost)} files of runs are recorded that {source} has not, such as "
                f"{min(lost)}. {along}, or delete the folder to record without them."
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
            if file.parent.name == "provenance":
                forget_host(kept)
    for each in sorted(folder for folder in RECORDED.iterdir() if folder.is_dir()):
        (each / FIGURES).write_text("\n".join(figures_page(each)), encoding="utf-8")
    PAGE.write_text("\n".join(page(RECORDED)), encoding="utf-8")
    sizes = [file.stat().st_size for file in target.rglob("*") if file.is_file()]
    print(
        f"{target.relative_to(ROOT)}: {len(sizes)} files, {sum(sizes) / 1e6:.1f} MB; "
        f"{PAGE.relative_to(ROOT)}"
    )


def forget_host(provenance: Path) -> None:
    """Leave out of a provenance file what nobody else can make use of."""
    run = json.loads(provenance.read_text(encoding="utf-8"))
    del run["machine"]["host"]
    provenance.write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")


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


if __name__ == "__main__":
    main()
