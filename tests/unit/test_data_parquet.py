"""Parquet files: round trips, bounded row groups, equal bytes and every error."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trama.data import parquet
from trama.data.parquet import (
    Provenance,
    TableWriter,
    column_matrix,
    iter_batches,
    read_provenance,
    read_table,
    write_table,
)
from trama.data.schemas import KINDS, data_card, values_type
from trama.errors import TramaError

PROVENANCE = Provenance("laptop", "collect", "0123456789abcdef", 3, "0.1.0", "feedbeef")


def _is_wide(field: pa.Field) -> bool:
    """Whether a row of the column holds several values."""
    return pa.types.is_list(field.type) or values_type(field) is not None


def _columns(name: str, n: int, width: int = 3) -> dict[str, Any]:
    """Make n rows of a kind of file; nullable columns are null in every second row."""
    rng = np.random.default_rng(0)
    kind = KINDS[name]
    columns: dict[str, Any] = {}
    for field in kind.schema:
        type_ = field.type
        if field.name == "metric":
            columns["metric"] = [list(kind.metrics)[i % len(kind.metrics)] for i in range(n)]
        elif _is_wide(field):
            matrix = rng.integers(0, 2, (n, width))
            dtype = values_type(field) or type_.value_type.to_pandas_dtype()
            columns[field.name] = matrix.astype(dtype)
        elif pa.types.is_string(type_):
            columns[field.name] = [f"{field.name} {i}" for i in range(n)]
        else:
            columns[field.name] = rng.integers(0, 2, n).astype(type_.to_pandas_dtype())
        if field.nullable:
            values = columns[field.name]
            columns[field.name] = [None if i % 2 else values[i] for i in range(n)]
    return columns


def _equal(table: pa.Table, columns: dict[str, Any]) -> None:
    for field in table.schema:
        if _is_wide(field):
            matrix = column_matrix(table, field.name)
            assert matrix.dtype == columns[field.name].dtype
            np.testing.assert_array_equal(matrix, columns[field.name])
        else:
            assert table[field.name].to_pylist() == list(columns[field.name])


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_file_comes_back_as_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"{name}.parquet"
    columns = _columns(name, 7)
    write_table(path, name, columns, PROVENANCE)
    table = read_table(path, name)
    assert table.schema.equals(KINDS[name].schema)
    _equal(table, columns)
    assert read_provenance(path) == PROVENANCE
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_provenance_without_a_seed(tmp_path: Path) -> None:
    provenance = Provenance("laptop", "tables", "00", None, "0.1.0", "feedbeef")
    write_table(tmp_path / "t.parquet", "timing", _columns("timing", 1), provenance)
    assert read_provenance(tmp_path / "t.parquet") == provenance


@pytest.mark.parametrize("name", KINDS)
def test_no_rows(name: str, tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    write_table(path, name, _columns(name, 0), PROVENANCE)
    table = read_table(path, name)
    assert table.num_rows == 0
    for field in table.schema:
        if _is_wide(field):
            matrix = column_matrix(table, field.name)
            assert matrix.shape == (0, 0)
            assert matrix.dtype == values_type(field) or pa.types.is_list(field.type)


def test_a_table_can_be_written_as_read(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", "trajectories", _columns("trajectories", 9), PROVENANCE)
    table = read_table(tmp_path / "a.parquet", "trajectories")
    write_table(tmp_path / "b.parquet", "trajectories", table.slice(0), PROVENANCE)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_bytes_and_row_groups_do_not_depend_on_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 40_000)
    n, width = 5_000, 21
    columns = _columns("trajectories", n, width)
    columns["state"] = np.random.default_rng(1).normal(size=(n, width)).astype(np.float32)
    write_table(tmp_path / "whole.parquet", "trajectories", columns, PROVENANCE)
    largest = 0
    with TableWriter(tmp_path / "pieces.parquet", "trajectories", PROVENANCE) as writer:
        for start in range(0, n, 37):
            writer.append({name: values[start : start + 37] for name, values in columns.items()})
            largest = max(largest, writer._pending_rows)
    whole = (tmp_path / "whole.parquet").read_bytes()
    assert whole == (tmp_path / "pieces.parquet").read_bytes()

    metadata = pq.ParquetFile(tmp_path / "whole.parquet").metadata
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    assert len({group.num_rows for group in groups[:-1]}) == 1
    assert largest < groups[0].num_rows
    # Levels of lists and page headers add a little to the values.
    assert 20_000 < max(group.total_byte_size for group in groups) < 50_000

    batches = list(iter_batches(tmp_path / "whole.parquet", "trajectories", ["state"], 100))
    assert max(batch.num_rows for batch in batches) <= 100
    states = np.concatenate([column_matrix(batch, "state") for batch in batches])
    np.testing.assert_array_equal(states, columns["state"])
    _equal(read_table(tmp_path / "whole.parquet", "trajectories"), columns)


def test_bytes_do_not_depend_on_the_pieces_within_a_row_group(tmp_path: Path) -> None:
    n = 5_000  # several pages
    columns = _columns("trajectories", n, width=150)
    for step in (n, 37, 1_000):
        with TableWriter(tmp_path / f"{step}.parquet", "trajectories", PROVENANCE) as writer:
            for start in range(0, n, step):
                part = {name: values[start : start + step] for name, values in columns.items()}
                writer.append(part)
    assert pq.ParquetFile(tmp_path / f"{n}.parquet").num_row_groups == 1
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_values_as_bytes_are_converted_and_come_back_without_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "trajectories.parquet"
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(7, 5))
    given = {
        "obs": obs,  # double, becomes half precision
        "state": np.asfortranarray(rng.normal(size=(7, 4)).astype(np.float32)),
        "available_actions": (rng.random((7, 6)) < 0.5).tolist(),
    }
    write_table(path, "trajectories", _columns("trajectories", 7) | given, PROVENANCE)
    table = read_table(path, "trajectories")
    expected = given | {"obs": obs.astype(np.float16)}
    for part, rows in ((table, slice(None)), (table.slice(2, 3), slice(2, 5))):
        for name, values in expected.items():
            matrix = column_matrix(part, name)
            np.testing.assert_array_equal(matrix, np.asarray(values)[rows])
            data = np.frombuffer(part[name].chunk(0).buffers()[2], np.uint8)
            assert np.shares_memory(matrix, data)
    assert column_matrix(table, "obs").dtype == np.float16
    assert column_matrix(table, "available_actions").dtype == np.bool_
    in_pieces = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert in_pieces["obs"].num_chunks == 2
    np.testing.assert_array_equal(column_matrix(in_pieces, "obs"), expected["obs"])


def test_the_data_card_s_line_reads_values_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "trajectories.parquet"
    obs = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float16)
    write_table(path, "trajectories", _columns("trajectories", 7) | {"obs": obs}, PROVENANCE)
    line = re.search(r"`(np\.frombuffer.*)`", data_card())
    assert line
    for column in (pq.read_table(path).to_pandas()["obs"], pq.read_table(path)["obs"].to_pylist()):
        found = eval(line[1], {"np": np, "column": column, "n": len(column)})
        np.testing.assert_array_equal(found, obs)


def test_column_matrix_of_a_slice() -> None:
    matrix = np.arange(12, dtype=np.float32).reshape(4, 3)
    table = pa.table({"x": pa.array(matrix.tolist(), pa.list_(pa.float32()))})
    np.testing.assert_array_equal(column_matrix(table.slice(1, 2), "x"), matrix[1:3])
    for broken in ([[1.0], [1.0, 2.0]], [[1.0], None], [[1.0], [None]]):
        with pytest.raises(ValueError, match="column `x`"):
            column_matrix(pa.table({"x": pa.array(broken, pa.list_(pa.float32()))}), "x")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("step", [0, 1, 40_000], "column `step` must be int16.*40000 not in range"),
        ("step", [0.0, 1.0, 2.0], "column `step` must be int16: got double"),
        ("step", [0, None, 1], "column `step` must not be null"),
        ("step", [0, 1], "columns of different lengths"),
        ("won", [0, 1, 1], "column `won` must be bool: got int64"),
        ("task", [0, 1, 2], "column `task` must be string: got int64"),
        ("actions", np.zeros(3, int), "column `actions` must be list.*got shape"),
        ("actions", [[1], [1, 2], [1]], "column `actions` must be list"),
        ("state", np.zeros(3), r"column `state` must be binary of float32: .*got shape \(3,\)"),
        ("state", [[1.0], [1.0, 2.0], [1.0]], "column `state` must be binary of float32"),
        ("state", [["1"], ["2"], ["3"]], "column `state` must be binary of float32: got string"),
        ("state", [[1.0], [None], [1.0]], "column `state` must be .*: a value is null"),
        ("obs", [b"ab", b"ab", b"ab"], r"column `obs` must be binary of float16: .*got shape"),
        ("available_actions", np.ones((3, 2)), "must be binary of bool: got double"),
        ("actions", np.full((3, 2), 200), "column `actions` must be list.*200 not in range"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    column: str, values: Any, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "trajectories.parquet"
    columns = _columns("trajectories", 3) | {column: values}
    with pytest.raises(ValueError, match=message) as error:
        write_table(path, "trajectories", columns, PROVENANCE)
    assert str(path) in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_missing_unknown_and_undeclared(tmp_path: Path) -> None:
    path = tmp_path / "timing.parquet"
    columns = _columns("timing", 1)
    columns["n"] = columns.pop("count")
    with pytest.raises(ValueError, match=r"missing \['count'\], unknown \['n'\]"):
        write_table(path, "timing", columns, PROVENANCE)
    history = _columns("history", 1) | {"metric": ["test_wins"]}
    with pytest.raises(ValueError, match=r"metrics \['test_wins'\] are not declared"):
        write_table(path, "history", history, PROVENANCE)


def test_lists_keep_their_length_between_pieces(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="`obs` have 4 values, those before them 3"),
        TableWriter(tmp_path / "t.parquet", "trajectories", PROVENANCE) as writer,
    ):
        writer.append(_columns("trajectories", 2, width=3))
        writer.append(_columns("trajectories", 2, width=4))
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_writing_keeps_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "timing.parquet"
    write_table(path, "timing", _columns("timing", 2), PROVENANCE)
    before = path.read_bytes()
    with (
        pytest.raises(RuntimeError, match="killed"),
        TableWriter(path, "timing", PROVENANCE) as writer,
    ):
        writer.append(_columns("timing", 5))
        raise RuntimeError("killed")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def _history(folder: Path) -> Path:
    path = folder / "train" / "qmix" / "seed_0" / "history.parquet"
    write_table(path, "history", _columns("history", 2_000), PROVENANCE)
    return path


def test_a_missing_file_names_the_target_of_its_folder(tmp_path: Path) -> None:
    for stage in ("train", "collect"):
        path = tmp_path / stage / "x" / "seed_0" / "history.parquet"
        with pytest.raises(TramaError, match=f"no such file; .*`{stage}` again") as error:
            read_table(path, "history")
        assert str(path) in str(error.value)
    with pytest.raises(TramaError, match="no such file"):
        read_provenance(tmp_path / "nothing.parquet")


def test_truncated_and_foreign_files(tmp_path: Path) -> None:
    path = _history(tmp_path)
    content = path.read_bytes()
    for broken in (content[:-100], b"", b"not Parquet at all"):
        path.write_bytes(broken)
        with pytest.raises(TramaError, match=r"not a complete Parquet file.*`train` again"):
            read_table(path, "history")
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(TramaError, match="expected `history`, found something else"):
        read_table(path, "history")
    with pytest.raises(TramaError, match="did not write it"):
        read_provenance(path)


def test_a_flipped_bit_in_the_data_is_noticed(tmp_path: Path) -> None:
    path = _history(tmp_path)
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0).column(6)
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(TramaError, match="cannot be read"):
        read_table(path, "history")
    with pytest.raises(TramaError, match="cannot be read"):
        list(iter_batches(path, "history"))


def test_a_file_of_another_kind_names_the_stage_that_wrote_it(tmp_path: Path) -> None:
    path = _history(tmp_path)
    other = tmp_path / "representation" / "vqvae" / "seed_0" / "embeddings.parquet"
    other.parent.mkdir(parents=True)
    shutil.copy(path, other)
    message = "expected `embeddings`, found `history`, written by train; .*`cluster` again"
    with pytest.raises(TramaError, match=message):
        read_table(other, "embeddings")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop_columns("seconds"), "column `seconds` is missing"),
        (
            lambda t: t.set_column(2, "count", pa.array([1, 1], pa.int32())),
            r"column `count` is int32 \(nullable\), expected int64",
        ),
        (lambda t: t.append_column("extra", pa.array([1, 1])), "column `extra` is unknown"),
    ],
)
def test_another_version_s_file_names_the_column(change: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "timing.parquet"
    write_table(path, "timing", _columns("timing", 2), PROVENANCE)
    changed = change(pq.read_table(path))
    pq.write_table(changed.replace_schema_metadata({"schema": "timing"}), path)
    with pytest.raises(TramaError, match=message):
        read_table(path, "timing")


def test_lists_of_several_lengths_are_refused_when_read(tmp_path: Path) -> None:
    path = tmp_path / "centroids.parquet"
    schema = KINDS["centroids"].schema.with_metadata({"schema": "centroids"})
    columns = [[0, 1], [[1.0], [1.0, 2.0]], [3, 4], [0.5, 0.5]]
    pq.write_table(pa.table(columns, schema=schema), path)
    with pytest.raises(TramaError, match=r"column `centroid` differ in length.*`cluster` again"):
        read_table(path, "centroids")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([b"1234", b"123456"], "column `obs` differ in length"),
        ([b"12345", b"12345"], "column `obs` hold 5 bytes.*no whole number of float16"),
    ],
)
def test_cut_bytes_are_refused_when_read(rows: list[bytes], message: str, tmp_path: Path) -> None:
    path = tmp_path / "trajectories.parquet"
    write_table(path, "trajectories", _columns("trajectories", 2), PROVENANCE)
    table = pq.read_table(path)
    place = table.schema.get_field_index("obs")
    field = table.schema.field("obs")
    pq.write_table(table.set_column(place, field, pa.array(rows, pa.binary())), path)
    with pytest.raises(TramaError, match=f"{message}.*`collect` again") as error:
        read_table(path, "trajectories")
    assert str(path) in str(error.value)
    with pytest.raises(TramaError, match=message):
        list(iter_batches(path, "trajectories", ["obs"]))


def test_bytes_of_other_values_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trajectories.parquet"
    write_table(path, "trajectories", _columns("trajectories", 2), PROVENANCE)
    table = pq.read_table(path)
    place = table.schema.get_field_index("obs")
    for metadata, found in (({"values": "float32"}, "binary of float32"), (None, "binary")):
        field = table.schema.field("obs").with_metadata(metadata)
        pq.write_table(table.set_column(place, field, table["obs"]), path)
        with pytest.raises(TramaError, match=f"`obs` is {found}, expected binary of float16"):
            read_table(path, "trajectories")


def test_versions() -> None:
    assert parquet.environment_version() == parquet.environment_version()
    assert len(parquet.environment_version()) == 12


def test_the_data_card_is_up_to_date() -> None:
    card = Path(__file__).parents[2] / "workflow" / "schemas" / "data_card.md"
    assert card.read_text(encoding="utf-8") == data_card(), (
        "run: PYTHONPATH=workflow python -m trama.data.schemas workflow/schemas/data_card.md"
    )


def test_every_column_is_described() -> None:
    for kind in KINDS.values():
        assert all(field.metadata[b"description"] for field in kind.schema)
        assert ("metric" in kind.schema.names) == bool(kind.metrics)
