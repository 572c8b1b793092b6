"""Snakemake's own records of what it has made, in the folder .snakemake."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from snakemake.persistence import MetadataRecord
from snakemake.persistence.file import FilePersistence

Record = dict[str, Any]


class Records:
    """The records of outputs, by path, of the repository that is the current folder."""

    def __init__(self) -> None:
        self._persistence = FilePersistence(path=Path(".snakemake").resolve())

    def finished(self, paths: Iterable[str]) -> dict[str, Record]:
        """Records of those of `paths` that are outputs of finished jobs."""
        names = list(paths)
        incomplete = self._persistence._filter_incomplete_keys(names)
        records = {name: self._persistence._read_record(name) for name in names}
        return {
            name: record.model_dump(mode="json")
            for name, record in records.items()
            if record is not None and name not in incomplete
        }

    def write(self, records: Mapping[str, Record]) -> None:
        """Write records, in place of those that there are."""
        for name, record in records.items():
            self._persistence._write_record(name, MetadataRecord.model_validate(record))


def snakemake_runs() -> bool:
    """Whether Snakemake runs in the current folder, or was killed in it."""
    return any(Path(".snakemake", "locks").glob("*.lock"))
