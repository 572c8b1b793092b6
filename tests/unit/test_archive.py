"""Archives: the way there and back, equal bytes, and what is refused."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from trama.archive import COMPRESSED, FORMAT, MANIFEST, copy, pack, sha256, unpacked
from trama.errors import TramaError

FILES = {"results/small/a/x.parquet": b"some rows", "results/small/logs/x.log": b"lines\n"}
NOTES = {"records": {"rule": "collect_problem"}}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A repository with the files of a study."""
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def write(archive: Path, content: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tarfile.open(archive, "w") as tar:
        for member, data in content:
            tar.addfile(member, io.BytesIO(data))


def entry(name: str, data: bytes = b"", **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in changes.items():
        setattr(member, key, value)
    return member, data


def manifest(**changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    content = {"format": FORMAT, "study": "small", "files": {}, "notes": {}} | changes
    return entry(MANIFEST, json.dumps(content).encode())


def refused(archive: Path, root: Path, message: str) -> None:
    before = sorted(root.rglob("*"))
    with pytest.raises(TramaError, match=message) as error, unpacked(archive, root):
        pytest.fail("was unpacked")
    assert str(error.value).startswith(f"{archive}: ")
    assert sorted(root.rglob("*")) == before


def test_files_and_notes_come_back(study: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archives" / "small.tar"
    pack(archive, study, "small", FILES, NOTES)
    with unpacked(archive, tmp_path) as contents:
        assert contents.manifest.study == "small"
        assert contents.manifest.notes == NOTES
        found = [path for path in contents.folder.rglob("*") if path.is_file()]
        assert {str(p.relative_to(contents.folder)): p.read_bytes() for p in found} == FILES
    assert not contents.folder.exists()
    assert [path.name for path in archive.parent.iterdir()] == ["small.tar"]


def test_equal_studies_give_equal_bytes(study: Path, tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", study, "small", FILES, NOTES)
    for name, content in FILES.items():
        (study / name).unlink()
        (study / name).write_bytes(content)
        (study / name).chmod(0o600)
    pack(tmp_path / "b.tar", study, "small", reversed(FILES), NOTES)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_an_error_while_packing_keeps_the_archive_that_was_there(study: Path) -> None:
    archive = study / "small.tar"
    archive.write_bytes(b"before")
    with pytest.raises(FileNotFoundError):
        pack(archive, study, "small", [*FILES, "results/small/gone"], NOTES)
    assert archive.read_bytes() == b"before"


def test_a_folder_of_copies_is_an_archive(study: Path, tmp_path: Path) -> None:
    """Whatever else lies in it; equal bytes for equal files."""
    for folder in ("kept/small", "again"):
        copy(tmp_path / folder, study, "small", FILES, NOTES)
    kept, again = (tmp_path / folder for folder in ("kept/small", "again"))
    assert (kept / "a/x.parquet").read_bytes() == b"some rows"
    assert (kept / COMPRESSED).read_bytes() == (again / COMPRESSED).read_bytes()
    (kept / "page.md").write_text("beside")
    with unpacked(kept, tmp_path) as contents:
        assert contents.manifest.notes == NOTES
        found = [path for path in contents.folder.rglob("*") if path.is_file()]
        assert {str(p.relative_to(contents.folder)): p.read_bytes() for p in found} == FILES


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("changed", r"the content of results/small/a/x.parquet has changed"),
        ("gone", r"No such file.*x.parquet"),
        ("no manifest", r"it has no manifest.json.gz"),
        ("flipped manifest", "cannot be unpacked"),
        ("cut manifest", "cannot be unpacked"),
        ("outside", "does not lie in results/small"),
    ],
)
def test_a_damaged_folder_is_refused(
    study: Path, tmp_path: Path, damage: str, message: str
) -> None:
    folder = tmp_path / "kept"
    copy(folder, study, "small", FILES, NOTES)
    file, manifest = folder / "a/x.parquet", folder / COMPRESSED
    if damage == "changed":
        file.write_bytes(b"some cows")
    elif damage == "gone":
        file.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "cut manifest":
        manifest.write_bytes(manifest.read_bytes()[:60])
    elif damage == "flipped manifest":
        content = bytearray(manifest.read_bytes())
        content[20] ^= 0xFF
        manifest.write_bytes(content)
    else:
        text = gzip.decompress(manifest.read_bytes())
        manifest.write_bytes(gzip.compress(text.replace(b"results/small/a", b"results/small/..")))
    refused(folder, tmp_path, message)


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 1])
def test_a_truncated_archive_is_refused(study: Path, tmp_path: Path, share: float) -> None:
    archive = tmp_path / "small.tar"
    pack(archive, study, "small", FILES, NOTES)
    content = archive.read_bytes()
    last_file = content.index(b"lines\n")
    archive.write_bytes(content[: int(share * last_file)])
    refused(archive, tmp_path, "cannot be unpacked .* make it anew with `make archive`")


def test_a_changed_byte_is_noticed(study: Path, tmp_path: Path) -> None:
    archive = tmp_path / "small.tar"
    pack(archive, study, "small", FILES, NOTES)
    archive.write_bytes(archive.read_bytes().replace(b"some rows", b"some cows"))
    refused(archive, tmp_path, r"the content of results/small/a/x.parquet has changed")


def test_a_missing_archive_names_the_way_to_one(tmp_path: Path) -> None:
    refused(tmp_path / "none.tar", tmp_path, "no such archive; name one with ARCHIVE=")


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../outside",
        "results/small/../../outside",
        "results/other/x",
        "results/small//x",
        "Snakefile",
    ],
)
def test_a_path_outside_of_the_study_is_refused(tmp_path: Path, name: str) -> None:
    archive = tmp_path / "bad.tar"
    write(archive, [manifest(files={name: "0"}), entry(name, b"x")])
    refused(archive, tmp_path, "does not lie in results/small")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([entry("results/small/x", b"x")], "does not begin with a manifest"),
        ([entry(MANIFEST, b"{}")], "manifest cannot be read"),
        ([entry(MANIFEST, type=tarfile.SYMTYPE, linkname="/etc/passwd")], "begin with a manifest"),
        ([manifest(format="trama archive 0")], "its format is 'trama archive 0'"),
        ([manifest(study="../x")], "manifest cannot be read"),
        ([manifest(files={"results/small/x": "0"})], "1 files are missing"),
        ([manifest(), entry("results/small/x", b"x")], "not a file of its manifest"),
        (
            [
                manifest(files={"results/small/x": "0"}),
                entry("results/small/x", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
            ],
            "not a file of its manifest",
        ),
        (
            [
                manifest(files={"results/small/x": sha256(Path(__file__))}),
                *[entry("results/small/x", Path(__file__).read_bytes())] * 2,
            ],
            "not a file of its manifest",
        ),
    ],
)
def test_foreign_archives_are_refused(tmp_path: Path, content: Any, message: str) -> None:
    archive = tmp_path / "bad.tar"
    write(archive, content)
    refused(archive, tmp_path, message)
