"""Pack what a study's finished jobs made, so that `restore` counts them as done elsewhere."""

from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from pydantic import BaseModel, model_validator

from command import ROOT, chosen_config, one_message, parser
from records import Record, Records
from trama.archive import pack, sha256
from trama.config.sections import Name
from trama.errors import TramaError

ALSO = ("logs", "benchmarks", "provenance")
"""Folders of a study that go along, although their files are no outputs of jobs."""


class Notes(BaseModel):
    """What an archive holds beside files.

    Attributes:
        records: Snakemake's record of each result, by its path.
        scripts: SHA-256 of the script of each rule; Snakemake runs a rule again whose script is
            newer than its outputs.
    """

    records: dict[str, Record]
    scripts: dict[Name, str]

    @model_validator(mode="after")
    def _rules(self) -> Self:
        unknown = [r for r in self.records.values() if r.get("rule") not in self.scripts]
        if unknown:
            raise ValueError(f"the script of rule {unknown[0].get('rule')!r} is not noted")
        return self


def main() -> None:
    """Write archives/<study>.tar, or the file that --archive names."""
    options = parser(__doc__ or "")
    options.add_argument("--archive", type=Path, help="file to write")
    chosen = options.parse_args()
    with one_message():
        study = chosen_config(chosen).study.name
        folder = Path("results", study)
        paths = sorted(str(path) for path in folder.rglob("*") if path.is_file())
        notes = notes_of(paths)
        if not notes.records:
            raise TramaError(f"{folder}: no finished job's results are there; run `make` first")
        others = [path for path in paths if Path(path).parts[2] in ALSO]
        archive = chosen.archive or Path("archives", f"{study}.tar")
        pack(archive, Path(), study, {*notes.records, *others}, notes.model_dump())
    size = archive.stat().st_size / 1e6
    print(f"{archive}: {len(notes.records)} results of study {study}, {size:.1f} MB")


def with_archive(description: str | None) -> Namespace:
    """The arguments of a command that reads an archive."""
    options = parser(description or "")
    options.add_argument("--archive", type=Path, help="file to read, or folder of `make record`")
    return options.parse_args()


def chosen_archive(chosen: Namespace) -> Path:
    """The archive that is to be read: that of the study in force, where none is named."""
    archive: Path | None = chosen.archive
    return archive or Path("archives", f"{chosen_config(chosen).study.name}.tar")


def notes_of(paths: Iterable[str]) -> Notes:
    """Notes on those of `paths` that finished jobs made."""
    records = Records().finished(paths)
    rules = sorted({record["rule"] for record in records.values()})
    return Notes(records=records, scripts={rule: sha256(script(rule)) for rule in rules})


def script(rule: str) -> Path:
    """The script of a rule, which has its name."""
    return ROOT / "workflow/scripts" / f"{rule}.py"


if __name__ == "__main__":
    main()
