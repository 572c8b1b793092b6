"""Reading and writing the pipeline's Parquet files, checked against their declared schemas.

Files are written beside their final name and renamed when complete, so that a killed job leaves no
half file behind; equal data give equal bytes.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import trama
from trama.data.schemas import KINDS, FileKind, type_name, values_type
from trama.errors import TramaError

ROW_GROUP_BYTES = 8 * 2**20
"""Upper bound of a row group's uncompressed size (a single row may be larger)."""

_MAX_ROW_GROUP_ROWS = 2**16
# Pages end after so many rows and at no size: sizes are looked at where a piece happens to end.
_PAGE_ROWS = 2**10
_NO_PAGE_BYTES = 2**31 - 1
# Strings have no fixed width; row groups must not depend on how rows were appended, so count this.
_STRING_BYTES = 32
# Parquet's length before the bytes of a row.
_LENGTH_BYTES = 4
# Rows converted at once: bounds the memory of a conversion and the offsets of its lists.
_PIECE_ROWS = 4096

Columns: TypeAlias = Mapping[str, Any] | pa.Table


@dataclass(frozen=True)
class Provenance:
    """Where a file comes from; kept in its key-value metadata.

    Attributes:
        study: name of the study.
        stage: stage that wrote the file.
        params_hash: hash of the parameters that the content depends on.
        seed: the run's seed, or None where none applies.
        code_version: see `code_version`.
        environment_version: see `environment_version`.
    """

    study: str
    stage: str
    params_hash: str
    seed: int | None
    code_version: str
    environment_version: str

    def describe(self) -> str:
        """Return the origin of a figure or table in a line."""
        return (
            f"study {self.study}, params {self.params_hash}, code {self.code_version}, "
            f"environment {self.environment_version}"
        )


def code_version() -> str:
    """Return the version of this package."""
    return trama.__version__


@cache
def environment_version() -> str:
    """Return a short hash of the versions of the packages that numerical results depend on."""
    versions = []
    for package in ("torch", "jax", "jaxmarl", "numpy", "scikit-learn"):
        try:
            versions.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            versions.append(f"{package} absent")
    return hashlib.blake2b("\n".join(versions).encode(), digest_size=6).hexdigest()


class _Column(NamedTuple):
    """What a piece of a column is converted by, asked of pyarrow once: pieces may be short.

    Attributes:
        name: of the column.
        type: Arrow type.
        nullable: whether a row may be null.
        values: type of the values whose bytes a row holds; None for other columns.
        is_wide: a row holds F values, as a list or as their bytes.
    """

    name: str
    type: pa.DataType
    nullable: bool
    values: np.dtype | None
    is_wide: bool

    @classmethod
    def of(cls, field: pa.Field) -> Self:
        """Look a column of a schema up."""
        return cls(field.name, field.type, field.nullable, values_type(field), _is_wide(field))


class TableWriter:
    """Write a Parquet file piece by piece, in bounded memory; a context manager.

    The file appears under its name when the block ends without an error, and not at all otherwise.
    Row groups hold at most `ROW_GROUP_BYTES` and do not depend on the sizes of the pieces.

    Args:
        path: file to write; its directory is made if needed.
        schema_name: kind of file, a key of `trama.data.schemas.KINDS`.
        provenance: goes into the file's key-value metadata.
    """

    def __init__(self, path: Path, schema_name: str, provenance: Provenance) -> None:
        self.path = Path(path)
        self._kind = KINDS[schema_name]
        self._schema = self._kind.schema.with_metadata(_metadata(schema_name, provenance))
        self._columns = [_Column.of(field) for field in self._schema]
        self._names = set(self._schema.names)
        self._partial = self.path.with_name(f".{self.path.name}.partial")
        self._writer: pq.ParquetWriter | None = None
        self._widths: dict[str, int] = {}
        self._group_rows = 0
        self._pending: list[pa.Table] = []
        self._pending_rows = 0

    def __enter__(self) -> Self:
        """Open the temporary file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = pq.ParquetWriter(
            self._partial,
            self._schema,
            compression="zstd",
            # Compressing is most of the work: a tenth less of it for files that are 7 % larger.
            compression_level=-1,
            # Measured values repeat too little for a dictionary to pay.
            use_dictionary=[c.name for c in self._schema if pa.types.is_string(c.type)],
            # Finding the extremes of wide rows takes long, and nobody looks for them.
            write_statistics=[c.name for c in self._columns if not c.is_wide],
            write_page_checksum=True,
            max_rows_per_page=_PAGE_ROWS,
            data_page_size=_NO_PAGE_BYTES,
        )
        return self

    def append(self, columns: Columns) -> None:
        """Append n rows.

        Args:
            columns: a sequence of n values for each column of the schema; for a column of lists or
                of values as bytes an array [n, F] (or n sequences of length F), with the same F in
                every call. Or a table as `read_table` and `iter_batches` give it. The values are
                not copied: do not change them before the block ends.

        Raises:
            ValueError: a column is missing, unknown, of another type or length, out of range or
                null where that is not allowed, or a metric is unknown; names file and column.
        """
        names = columns.column_names if isinstance(columns, pa.Table) else list(columns)
        if set(names) != self._names:
            missing = sorted(self._names - set(names))
            unknown = sorted(set(names) - self._names)
            raise ValueError(f"{self.path}: columns missing {missing}, unknown {unknown}")
        lengths = {column.name: len(columns[column.name]) for column in self._columns}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{self.path}: columns of different lengths {lengths}")
        for start in range(0, next(iter(lengths.values())), _PIECE_ROWS):
            arrays = [self._convert(column, columns, start) for column in self._columns]
            self._add(pa.Table.from_arrays(arrays, schema=self._schema))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Complete the file and give it its name, or remove what there is of it."""
        assert self._writer is not None
        try:
            if kind is None:
                self._flush(everything=True)
            self._writer.close()
            if kind is None:
                self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)

    def _convert(self, column: _Column, columns: Columns, start: int) -> pa.Array:
        name = column.name
        try:
            if column.is_wide:
                matrix = _matrix(columns, name, start)
                array = _rows_to_arrow(matrix, column)
            else:
                array = _to_arrow(columns[name][start : start + _PIECE_ROWS], column.type)
        except (pa.ArrowException, TypeError, ValueError) as error:
            expected = type_name(self._schema.field(name))
            raise ValueError(f"{self.path}: column `{name}` must be {expected}: {error}") from error
        if array.null_count and not column.nullable:
            raise ValueError(f"{self.path}: column `{name}` must not be null")
        if column.is_wide:
            width = self._widths.setdefault(name, matrix.shape[1])
            if matrix.shape[1] != width:
                raise ValueError(
                    f"{self.path}: rows of column `{name}` have {matrix.shape[1]} values, "
                    f"those before them {width}"
                )
        if name == "metric":
            unknown = sorted(set(array.unique().to_pylist()) - set(self._kind.metrics))
            if unknown:
                raise ValueError(f"{self.path}: metrics {unknown} are not declared in the schema")
        return array

    def _add(self, table: pa.Table) -> None:
        if not self._group_rows:
            row_bytes = sum(_row_bytes(field, self._widths) for field in self._schema)
            self._group_rows = min(max(ROW_GROUP_BYTES // row_bytes, 1), _MAX_ROW_GROUP_ROWS)
        self._pending.append(table)
        self._pending_rows += table.num_rows
        if self._pending_rows >= self._group_rows:
            self._flush(everything=False)

    def _flush(self, *, everything: bool) -> None:
        """Write full row groups, and with `everything` also the rows that are left."""
        assert self._writer is not None
        if not self._pending:
            return
        table = pa.concat_tables(self._pending)
        left = 0 if everything else table.num_rows % self._group_rows
        full = table.num_rows - left
        self._writer.write_table(table.slice(0, full), row_group_size=self._group_rows)
        self._pending = [table.slice(full)] if left else []
        self._pending_rows = left


def write_table(path: Path, schema_name: str, columns: Columns, provenance: Provenance) -> None:
    """Write a whole Parquet file; see `TableWriter` and its `append` for arguments and errors."""
    with TableWriter(path, schema_name, provenance) as writer:
        writer.append(columns)


def read_table(path: Path, schema_name: str) -> pa.Table:
    """Read a whole Parquet file.

    Raises:
        TramaError: the file is missing, broken or of another schema; says what to run again.
    """
    with _reading(path, schema_name) as file:
        table = file.read()
        _check_rows(path, schema_name, table)
    return table


def iter_batches(
    path: Path,
    schema_name: str,
    columns: Sequence[str] | None = None,
    batch_rows: int = 2**12,
) -> Iterator[pa.Table]:
    """Read a Parquet file piece by piece, holding about one row group at a time.

    Args:
        path: file to read.
        schema_name: kind of file.
        columns: columns to read; None for all.
        batch_rows: most rows in a piece.

    Raises:
        TramaError: as `read_table`.
    """
    with _reading(path, schema_name) as file:
        for batch in file.iter_batches(batch_size=batch_rows, columns=columns):
            table = pa.Table.from_batches([batch])
            _check_rows(path, schema_name, table)
            yield table


def read_provenance(path: Path) -> Provenance:
    """Return where a Parquet file comes from.

    Raises:
        TramaError: the file is missing, broken or was not written by this package.
    """
    metadata = _open(path, "run the stage that writes it again").schema_arrow.metadata or {}
    text = {key.decode(): value.decode() for key, value in metadata.items()}
    try:
        return Provenance(
            study=text["study"],
            stage=text["stage"],
            params_hash=text["params_hash"],
            seed=int(text["seed"]) if "seed" in text else None,
            code_version=text["code_version"],
            environment_version=text["environment_version"],
        )
    except KeyError as error:
        raise TramaError(
            f"{path}: its metadata lack {error}: this pipeline did not write it; "
            "remove it and run the stage that writes it again"
        ) from error


def column_matrix(table: pa.Table, name: str) -> np.ndarray:
    """Return a column of lists or of values as bytes as an array [n, F]; [0, 0] for no rows.

    Where the column is in one piece, the array is no copy of it and read-only.

    Raises:
        ValueError: the rows differ in length, hold nulls or parts of values.
    """
    column, values = table[name], values_type(table.schema.field(name))
    if not len(column):
        return np.zeros((0, 0), values or column.type.value_type.to_pandas_dtype())
    width = _row_width(table, name)
    if values is None:
        flat = pc.list_flatten(column).to_numpy()
    else:
        parts = [_values_of(chunk, values) for chunk in column.chunks if len(chunk)]
        flat = parts[0] if len(parts) == 1 else np.concatenate(parts)
    matrix: np.ndarray = flat.reshape(len(column), width)
    return matrix


def _values_of(rows: pa.BinaryArray, values: np.dtype) -> np.ndarray:
    """Return all the values, [n * F], whose bytes rows of one length hold."""
    _, offsets, data = rows.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[rows.offset, rows.offset + len(rows)]]
    return np.frombuffer(data[first:last], values)


def _row_width(table: pa.Table, name: str) -> int:
    """Return how many values each row of a column of lists or of values as bytes holds, or 0."""
    column, values = table[name], values_type(table.schema.field(name))
    if not len(column):
        return 0
    count = pc.list_value_length if values is None else pc.binary_length
    lengths = pc.min_max(count(column)).as_py()
    if column.null_count or lengths["min"] != lengths["max"]:
        raise ValueError(f"rows of column `{name}` differ in length")
    width: int = lengths["min"]
    if values is None:
        if pc.list_flatten(column).null_count:
            raise ValueError(f"rows of column `{name}` hold nulls")
        return width
    if width % values.itemsize:
        raise ValueError(
            f"rows of column `{name}` hold {width} bytes, which are no whole number of "
            f"{values.name} values"
        )
    return width // values.itemsize


def _metadata(schema_name: str, provenance: Provenance) -> dict[str, str]:
    metadata = {
        "schema": schema_name,
        "study": provenance.study,
        "stage": provenance.stage,
        "params_hash": provenance.params_hash,
        "code_version": provenance.code_version,
        "environment_version": provenance.environment_version,
    }
    if provenance.seed is not None:
        metadata["seed"] = str(provenance.seed)
    return metadata


def _row_bytes(field: pa.Field, widths: Mapping[str, int]) -> int:
    if pa.types.is_string(field.type):
        return _STRING_BYTES
    values = values_type(field)
    if values is not None:
        return widths[field.name] * values.itemsize + _LENGTH_BYTES
    if pa.types.is_list(field.type):
        return widths[field.name] * _value_bytes(field.type.value_type)
    return _value_bytes(field.type)


def _value_bytes(kind: pa.DataType) -> int:
    return max(int(kind.bit_width) // 8, 1)


def _is_wide(field: pa.Field) -> bool:
    return pa.types.is_list(field.type) or values_type(field) is not None


def _matrix(columns: Columns, name: str, start: int) -> np.ndarray:
    """Return a piece of a column with wide rows as an array [n, F]."""
    if isinstance(columns, pa.Table):
        return column_matrix(columns.slice(start, _PIECE_ROWS), name)
    matrix = np.asarray(columns[name][start : start + _PIECE_ROWS])
    if matrix.ndim != 2:
        raise ValueError(f"expected an array [n, F], got shape {matrix.shape}")
    return matrix


def _rows_to_arrow(matrix: np.ndarray, column: _Column) -> pa.Array:
    """Convert an array [n, F] to the lists or the bytes that the column is made of."""
    n_rows, width = matrix.shape
    if column.values is None:
        flat = _to_arrow(matrix.ravel(), column.type.value_type)
        return pa.ListArray.from_arrays(_offsets(n_rows, width), flat, type=column.type)
    if matrix.dtype != column.values:
        flat = _to_arrow(matrix.ravel(), pa.from_numpy_dtype(column.values))
        if flat.null_count:
            raise ValueError("a value is null")
        matrix = flat.to_numpy(zero_copy_only=False)
    offsets = _offsets(n_rows, width * column.values.itemsize)
    content = pa.py_buffer(np.ascontiguousarray(matrix))
    return pa.BinaryArray.from_buffers(column.type, n_rows, [None, pa.py_buffer(offsets), content])


def _offsets(n_rows: int, width: int) -> np.ndarray:
    return np.arange(n_rows + 1, dtype=np.int32) * np.int32(width)


def _to_arrow(values: Any, kind: pa.DataType) -> pa.Array:
    """Convert values to `kind`; integers may become floats, no other change of kind is made."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    array = values if isinstance(values, pa.Array) else pa.array(values)
    if array.type == kind:
        return array
    same_kind = any(
        check(array.type) and check(kind)
        for check in (
            pa.types.is_boolean,
            pa.types.is_integer,
            pa.types.is_floating,
            lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
        )
    )
    widened = pa.types.is_integer(array.type) and pa.types.is_floating(kind)
    if not (same_kind or widened or pa.types.is_null(array.type)):
        raise TypeError(f"got {array.type}")
    return array.cast(kind)


def _remedy(path: Path, kind: FileKind) -> str:
    # results/<study>/<problem>/<stage>/<name>/seed_<s>/<file>
    folder = Path(path).parts[-4] if len(Path(path).parts) >= 4 else ""
    stage = folder if folder in kind.stages else kind.stages[0]
    return f"remove it and run the target `{stage}` again"


def _open(path: Path, remedy: str) -> pq.ParquetFile:
    if not Path(path).is_file():
        raise TramaError(f"{path}: there is no such file; {remedy}")
    try:
        # pre_buffer would keep what was read of the file until it is closed.
        return pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        raise TramaError(f"{path}: not a complete Parquet file ({error}); {remedy}") from error


@contextmanager
def _reading(path: Path, schema_name: str) -> Iterator[pq.ParquetFile]:
    """Open a file of the schema, and name it and the remedy in every error of reading it."""
    kind = KINDS[schema_name]
    remedy = _remedy(path, kind)
    with _open(path, remedy) as file:
        found = file.schema_arrow
        written_as = (found.metadata or {}).get(b"schema", b"").decode()
        if written_as != schema_name:
            other = KINDS.get(written_as)
            origin = f"`{written_as}`, written by {other.stages[0]}" if other else "something else"
            raise TramaError(f"{path}: expected `{schema_name}`, found {origin}; {remedy}")
        difference = _difference(found, kind.schema)
        if difference:
            raise TramaError(
                f"{path}: {difference}; it was written by another version of this pipeline: "
                f"{remedy}"
            )
        try:
            yield file
        except (pa.ArrowException, OSError) as error:
            raise TramaError(f"{path}: cannot be read ({error}); {remedy}") from error


def _difference(found: pa.Schema, declared: pa.Schema) -> str:
    """Say in which column two schemas differ first; empty where they do not."""
    for field in declared:
        if field.name not in found.names:
            return f"column `{field.name}` is missing"
        other = found.field(field.name)
        same_values = values_type(other) == values_type(field)
        if other.type != field.type or other.nullable != field.nullable or not same_values:
            return f"column `{field.name}` is {_describe(other)}, expected {_describe(field)}"
    unknown = [name for name in found.names if name not in declared.names]
    return f"column `{unknown[0]}` is unknown" if unknown else ""


def _describe(field: pa.Field) -> str:
    return f"{type_name(field)} (nullable)" if field.nullable else type_name(field)


def _check_rows(path: Path, schema_name: str, table: pa.Table) -> None:
    for field in table.schema:
        if _is_wide(field):
            try:
                _row_width(table, field.name)
            except ValueError as error:
                remedy = _remedy(path, KINDS[schema_name])
                raise TramaError(f"{path}: {error}; {remedy}") from error
