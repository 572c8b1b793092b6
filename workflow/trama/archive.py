"""A study's finished results, to take along: a plain tar, or a folder with some of its files.

Either has a manifest in JSON, the first member of the tar and a compressed file of the folder: the
format, the study, the SHA-256 of every file, and what the caller notes. Equal files and notes give
equal bytes. Nothing of an archive is believed before it is checked.
"""

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from trama.config.sections import Name
from trama.errors import TramaError

FORMAT = "trama archive 1"
MANIFEST = "manifest.json"
COMPRESSED = f"{MANIFEST}.gz"


class Manifest(BaseModel):
    """What an archive says of itself.

    Attributes:
        format: `FORMAT`.
        study: name of the study.
        files: SHA-256 of each file by its path, which is relative to the root of the repository.
        notes: what the caller of `pack` or `copy` wants to find again.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    format: str
    study: Name
    files: dict[str, str]
    notes: dict[str, Any]


@dataclass(frozen=True)
class Unpacked:
    """An archive's manifest, and the folder below which its files lie, by their paths."""

    manifest: Manifest
    folder: Path


def pack(
    archive: Path, root: Path, study: str, files: Iterable[str], notes: Mapping[str, Any]
) -> None:
    """Write an archive; it appears under its name when it is complete.

    Args:
        archive: file to write; its folder is made if needed.
        root: root of the repository.
        study: name of the study.
        files: paths of the study's files, relative to `root`.
        notes: anything that JSON can hold.
    """
    names = sorted(files)
    text = _manifest(root, study, names, notes)
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_name(f".{archive.name}.partial")
    try:
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(_entry(MANIFEST, len(text)), io.BytesIO(text))
            for name in names:
                with (root / name).open("rb") as file:
                    tar.addfile(_entry(name, (root / name).stat().st_size), file)
        partial.replace(archive)
    finally:
        partial.unlink(missing_ok=True)


def copy(
    folder: Path, root: Path, study: str, files: Iterable[str], notes: Mapping[str, Any]
) -> None:
    """Copy files of a study into a folder, with a manifest, so that it is an archive.

    Args:
        folder: `folder/<path>` is the copy of `results/<study>/<path>`.
        root, study, files, notes: as of `pack`.
    """
    names = sorted(files)
    for name in names:
        place = _place(folder, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, place)
    text = _manifest(root, study, names, notes)
    (folder / COMPRESSED).write_bytes(gzip.compress(text, mtime=0))


@contextmanager
def unpacked(archive: Path, root: Path) -> Iterator[Unpacked]:
    """Unpack an archive into a new folder on the file system of `root`, which goes with the block.

    Args:
        archive: file of `pack`, or folder of `copy`, where files beside those of its manifest do
            not matter.
        root: root of the repository.

    Raises:
        TramaError: the archive is missing, damaged or foreign, or holds a file that is not its
            study's; nothing of it is left.
    """
    if not archive.exists():
        raise TramaError(f"{archive}: there is no such archive; name one with ARCHIVE=<file>")
    with tempfile.TemporaryDirectory(prefix=".restore_", dir=root) as name:
        with _blamed(archive):
            take = _copied if archive.is_dir() else _extracted
            manifest = take(archive, Path(name))
        yield Unpacked(manifest, Path(name))


def manifest_of(folder: Path) -> Manifest:
    """The manifest of a folder that `copy` wrote.

    Raises:
        TramaError: it is missing or damaged.
    """
    with _blamed(folder):
        return _read_compressed(folder)


@contextmanager
def _blamed(archive: Path) -> Iterator[None]:
    """Say of which archive it is that something cannot be read."""
    try:
        yield
    except (_Damaged, tarfile.TarError, zlib.error, OSError, EOFError) as error:
        raise TramaError(
            f"{archive}: cannot be unpacked ({error}); where the archive is to blame, copy it "
            "again, or make it anew with `make archive` (a folder: `make record`)"
        ) from error


def _extracted(archive: Path, folder: Path) -> Manifest:
    """Extract a tar into a folder."""
    with tarfile.open(archive, "r:") as tar:
        manifest = _read_manifest(tar)
        left = dict(manifest.files)
        # Names are looked up, so that a member can be nothing that the manifest has not.
        for member in tar:
            if member.name == MANIFEST:
                continue
            digest = left.pop(member.name, None)
            if digest is None or not member.isfile():
                raise _Damaged(f"{member.name!r} is not a file of its manifest")
            tar.extract(member, folder, set_attrs=False, filter="data")
            _check(folder / member.name, member.name, digest)
        if left:
            raise _Damaged(f"{len(left)} files are missing, such as {min(left)}")
    return manifest


def _copied(archive: Path, folder: Path) -> Manifest:
    """Copy what the manifest of a folder names into another folder."""
    manifest = _read_compressed(archive)
    for name, digest in manifest.files.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_place(archive, name), target)
        _check(target, name, digest)
    return manifest


def _place(folder: Path, name: str) -> Path:
    """Where the copy of results/<study>/<path> lies in a folder that is an archive."""
    return folder.joinpath(*PurePosixPath(name).parts[2:])


def _check(file: Path, name: str, digest: str) -> None:
    if sha256(file) != digest:
        raise _Damaged(f"the content of {name} has changed")


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Damaged(Exception):
    """What is wrong with an archive."""


def _entry(name: str, size: int) -> tarfile.TarInfo:
    """The header of a file, without anything of the machine or the time."""
    entry = tarfile.TarInfo(name)
    entry.size = size
    entry.mode = 0o644
    return entry


def _manifest(root: Path, study: str, files: Iterable[str], notes: Mapping[str, Any]) -> bytes:
    """The text of a manifest."""
    manifest = Manifest(
        format=FORMAT,
        study=study,
        files={name: sha256(root / name) for name in files},
        notes=dict(notes),
    )
    return json.dumps(manifest.model_dump(), indent=1, sort_keys=True).encode()


def _read_manifest(tar: tarfile.TarFile) -> Manifest:
    """The manifest of a tar."""
    first = tar.next()
    begins = first is not None and first.name == MANIFEST and first.isfile()
    file = tar.extractfile(first) if first is not None and begins else None
    if file is None:
        raise _Damaged("it does not begin with a manifest")
    return _parse_manifest(file.read())


def _read_compressed(folder: Path) -> Manifest:
    """The manifest of a folder."""
    if not (folder / COMPRESSED).exists():
        raise _Damaged(f"it has no {COMPRESSED}")
    return _parse_manifest(gzip.decompress((folder / COMPRESSED).read_bytes()))


def _parse_manifest(text: bytes) -> Manifest:
    """A manifest, with every path below the folder of its study."""
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise _Damaged(f"its manifest cannot be read: {error.errors()[0]['msg']}") from error
    if manifest.format != FORMAT:
        raise _Damaged(f"its format is {manifest.format!r}, expected {FORMAT!r}")
    for name in manifest.files:
        path = PurePosixPath(name)
        inside = path.parts[:2] == ("results", manifest.study) and ".." not in path.parts
        if not inside or str(path) != name:
            raise _Damaged(f"{name!r} does not lie in results/{manifest.study}")
    return manifest
