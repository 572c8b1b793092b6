"""What a figure or table was made from: a JSON file beside it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import pyarrow.parquet as pq

from trama.data.parquet import Provenance, read_provenance


def write_sources(
    path: Path, made: Iterable[Path], inputs: Iterable[Path], rows: str, provenance: Provenance
) -> None:
    """Write the files that a figure or table was made from, and which of their rows.

    Args:
        path: file to write.
        made: files of the figure or table.
        inputs: Parquet files that were read; each is listed with its SHA-256, its number of rows
            and its own provenance.
        rows: which rows of the inputs are shown, in words.
        provenance: of the figure or table.

    Raises:
        TramaError: an input is missing, broken or foreign.
    """
    content = {
        "made": [file.as_posix() for file in made],
        "provenance": asdict(provenance),
        "rows": rows,
        "inputs": [_describe(file) for file in inputs],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _describe(file: Path) -> dict[str, object]:
    provenance = read_provenance(file)
    return {
        "file": file.as_posix(),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "rows": pq.read_metadata(file).num_rows,
        "provenance": asdict(provenance),
    }
