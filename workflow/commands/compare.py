"""Compare results with those of an archive, as after a sample of a recorded study was run anew."""

import sys
from pathlib import Path

import pyarrow.parquet as pq

from archive import ALSO, chosen_archive, with_archive
from command import one_message
from trama.archive import Unpacked, sha256, unpacked
from trama.errors import TramaError

NOT_OF_RUNS = (*ALSO, "figures", "tables")
"""Folders of a study whose files hold wall times, or are made from others."""


def main() -> None:
    """Compare with archives/<study>.tar, or with the file that --archive names."""
    chosen = with_archive(__doc__)
    with one_message():
        archive = chosen_archive(chosen)
        with unpacked(archive, Path()) as contents:
            same = compared(contents)
        if not same:
            raise TramaError(
                f"{archive}: none of its files is in results/{contents.manifest.study}; run a "
                "sample of the study first, as with --config 'study={seeds: [1]}'"
            )
    others = [name for name, equal in same.items() if not equal]
    for name in others:
        print(f"{name}: other content")
    print(f"{archive}: {len(same) - len(others)} of {len(same)} files here have the same content")
    sys.exit(bool(others))


def compared(contents: Unpacked) -> dict[str, bool]:
    """Whether each file that is here, too, has the same content, wall times left out.

    Of tables the rows count, not what their files say of the code that wrote them.
    """
    return {
        name: _equal(path, contents.folder / name)
        for name, path in ((name, Path(name)) for name in sorted(contents.manifest.files))
        if path.exists() and path.parts[2] not in NOT_OF_RUNS and path.stem != "timing"
    }


def _equal(one: Path, other: Path) -> bool:
    if one.suffix == ".parquet":
        rows, others = (pq.read_table(file).replace_schema_metadata() for file in (one, other))
        return bool(rows.equals(others))
    return sha256(one) == sha256(other)


if __name__ == "__main__":
    main()
