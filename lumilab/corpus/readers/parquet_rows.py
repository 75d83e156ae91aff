"""Rows of parquet files, row group by row group and batch by batch, only of the columns that can matter.

Of a row group only a batch of about 4 MiB is held as Python values; the column chunks are read through a buffer and
not as a whole. (`ParquetFile.iter_batches` is used and not the dataset interface, which reads ahead without bound.) A
row group that is damaged is one bad record, and the next one is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from lumilab.corpus.document import BadRecord

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

BATCH_BYTES = 4 << 20
_BATCH_ROWS = 4096
_BUFFER_BYTES = 1 << 20
_INVALID = object()  # in the place of a value that is not UTF-8


@dataclass(frozen=True)
class RowGroup:
    """The size of one row group."""

    rows: int
    plain_bytes: int
    compressed_bytes: int


def row_groups(stream: BinaryIO) -> list[RowGroup]:
    """The row groups of a parquet file, from its footer; an empty list for a file that is not parquet."""
    file = _open(stream)
    if file is None:
        return []
    found = []
    for number in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(number)
        compressed = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        found.append(RowGroup(group.num_rows, group.total_byte_size, compressed))
    return found


def parquet_rows(
    stream: BinaryIO,
    root: str,
    name: str,
    first: int = 0,
    end: int | None = None,
    row: int = 1,
    text_field: str | None = None,
) -> Iterator[tuple[int, dict[str, Any]] | BadRecord]:
    """The rows as (row number, values by column), or why some cannot be read.

    Args:
        stream: seekable.
        root, name: of the file, for bad records.
        first, end: row groups to read; an end of None is the file's.
        row: number of the first row of them, from 1.
        text_field: the column, or the path into one ("a.b"), that must be there; of the others only numbers, strings
            and times are read. None reads everything but binary columns.
    """
    file = _open(stream)
    if file is None:
        yield BadRecord(root, name, None, "not valid Parquet")
        return
    fault = None if text_field is None else _fault_of_column(file.schema_arrow, text_field)
    if fault:
        if first == 0:  # a fault of the whole file is told once
            yield BadRecord(root, name, None, fault)
        return
    columns = _columns(file.schema_arrow, text_field)
    for group in range(first, file.metadata.num_row_groups if end is None else end):
        yield from _group_rows(file, group, columns, root, name, row)
        row += file.metadata.row_group(group).num_rows


def _open(stream: BinaryIO) -> pq.ParquetFile | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    except (pa.ArrowException, OSError) as error:
        _raise_if_of_the_disk(error)
        return None


def _group_rows(
    file: pq.ParquetFile, group: int, columns: list[str], root: str, name: str, row: int
) -> Iterator[tuple[int, dict[str, Any]] | BadRecord]:
    import pyarrow as pa

    sizes = file.metadata.row_group(group)
    rows = max(1, min(_BATCH_ROWS, BATCH_BYTES * sizes.num_rows // max(1, sizes.total_byte_size)))
    batches = file.iter_batches(batch_size=rows, row_groups=[group], columns=columns, use_threads=False)
    try:
        for batch in batches:
            names = batch.schema.names
            for values in zip(*map(_values, batch.columns), strict=True):
                if _INVALID in values:
                    yield BadRecord(root, name, row, "invalid UTF-8")
                else:
                    yield row, dict(zip(names, values, strict=True))
                row += 1
    except (pa.ArrowException, OSError) as error:
        _raise_if_of_the_disk(error)
        yield BadRecord(root, name, row, "damaged row group")


def _values(column: pa.Array) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    elif _is_binary(column.type):
        return [_decoded(value) for value in column.to_pylist()]
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        values = [_value(column, index) for index in range(len(column))]
    return values


def _value(column: pa.Array, index: int) -> Any:
    try:
        return column[index].as_py()
    except UnicodeDecodeError:
        return _INVALID


def _decoded(value: bytes | None) -> Any:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return _INVALID


def _fault_of_column(schema: pa.Schema, path: str) -> str | None:
    """Why the column, or the field of a struct in one, cannot hold the text."""
    import pyarrow as pa

    names = path.split(".") if path not in schema.names else [path]
    index = schema.get_field_index(names[0])
    if index < 0:
        return f"no column {path!r}"
    kind = schema.field(index).type
    for name in names[1:]:
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            return f"no column {path!r}"
        kind = kind.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.null())
    return None if kind in text else f"column {path!r} is not text"


def _columns(schema: pa.Schema, text_field: str | None) -> list[str]:
    if text_field is None:
        return [field.name for field in schema if not _is_binary(field.type)]
    return [text_field, *(field.name for field in schema if _is_plain(field.type) and field.name != text_field)]


def _is_binary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return kind in (pa.binary(), pa.large_binary())


def _is_plain(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    text = (pa.string(), pa.large_string(), pa.string_view())
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    # The text of a time in a zone depends on the machine's table of zones.
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None
    return kind in text or number or (pa.types.is_temporal(kind) and not zoned)


def _raise_if_of_the_disk(error: BaseException) -> None:
    """pyarrow says that data is damaged with an OSError too, but with none of the system's numbers."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
