from __future__ import annotations

import datetime
import errno
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers.parquet_rows import parquet_rows, row_groups

TEXTS = [f"text {number} " + "ä" * (number % 17) for number in range(1_000)]


def write(table: pa.Table, **options: Any) -> io.BytesIO:
    out = io.BytesIO()
    parquet.write_table(table, out, **options)
    out.seek(0)
    return out


def read(stream: io.BytesIO, text_field: str | None = "text", **piece: int) -> list[Any]:
    return list(parquet_rows(stream, "files", "a.parquet", text_field=text_field, **piece))


def bad(row: int | None, reason: str) -> BadRecord:
    return BadRecord("files", "a.parquet", row, reason)


@pytest.mark.parametrize("compression", ["snappy", "zstd", "gzip", "none"])
def test_rows_are_what_was_written_whatever_the_row_groups(compression: str) -> None:
    stream = write(pa.table({"text": TEXTS}), row_group_size=300, compression=compression)
    assert [group.rows for group in row_groups(stream)] == [300, 300, 300, 100]
    rows = list(enumerate(TEXTS, 1))
    assert read(stream) == [(number, {"text": text}) for number, text in rows]
    assert read(stream, first=1, end=3, row=301) == [(number, {"text": text}) for number, text in rows[300:900]]


def test_large_rows_come_in_small_batches() -> None:
    texts = [str(number) * 300_000 for number in range(40)]
    assert [row["text"] for _, row in read(write(pa.table({"text": texts})))] == texts


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.string())]
)
def test_text_may_be_of_any_type_that_holds_it(kind: pa.DataType) -> None:
    values = ["one", None, "zwei ä"]
    binary = kind in (pa.binary(), pa.large_binary())
    column = pa.array(
        [value.encode() if binary and value else value for value in values],
        pa.string() if "dict" in str(kind) else kind,
    )
    stream = write(pa.table({"text": column.cast(kind)}))
    assert [row["text"] for _, row in read(stream)] == values


def test_beside_the_text_only_flat_columns_are_read() -> None:
    moment = datetime.datetime(2024, 2, 29, 12, 30)
    table = pa.table(
        {
            "text": ["t"],
            "n": [1],
            "x": [0.5],
            "flag": [True],
            "day": [datetime.date(2024, 2, 29)],
            "at": pa.array([moment], pa.timestamp("ms")),
            "list": [["a"]],
            "struct": [{"b": "deep"}],
            "image": [b"\xff\xd8"],
            "price": [Decimal("1.50")],
        }
    )
    flat = {"n": 1, "x": 0.5, "flag": True, "day": "2024-02-29", "at": "2024-02-29 12:30:00.000"}
    assert read(write(table)) == [(1, {"text": "t"} | flat)]
    assert read(write(table), "struct.b") == [(1, {"struct": {"b": "deep"}, "text": "t"} | flat)]
    everything = {"text": "t", "list": ["a"], "struct": {"b": "deep"}, "price": Decimal("1.50")}
    assert read(write(table), None) == [(1, flat | everything)]


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("body", "no column 'body'"),
        ("struct.c", "no column 'struct.c'"),
        ("text.c", "no column 'text.c'"),
        ("n", "column 'n' is not text"),
        ("struct", "column 'struct' is not text"),
    ],
)
def test_a_file_without_the_column_is_one_bad_record(column: str, reason: str) -> None:
    stream = write(pa.table({"text": TEXTS, "n": range(1_000), "struct": [{"b": 1}] * 1_000}), row_group_size=100)
    assert read(stream, column) == [bad(None, reason)]
    assert read(stream, column, first=3, end=5, row=301) == []  # told by the first piece


def test_text_that_is_not_utf8_costs_its_row() -> None:
    raw = pa.array([b"one", b"tw\xff", b"three"], pa.binary())
    invalid = pa.StringArray.from_buffers(3, raw.buffers()[1], raw.buffers()[2])
    for column in (raw, invalid):
        stream = write(pa.table({"text": column}))
        assert read(stream) == [(1, {"text": "one"}), bad(2, "invalid UTF-8"), (3, {"text": "three"})]


def test_a_damaged_row_group_costs_itself_alone() -> None:
    table = pa.table({"text": TEXTS})
    stream = write(table, row_group_size=300, compression="zstd", use_dictionary=False)
    column = parquet.ParquetFile(stream).metadata.row_group(1).column(0)
    data = bytearray(stream.getvalue())
    middle = column.data_page_offset + column.total_compressed_size // 2
    data[middle : middle + 40] = bytes(40)
    found = read(io.BytesIO(bytes(data)))
    whole = [number for number, _ in (row for row in found if not isinstance(row, BadRecord))]
    assert [record for record in found if isinstance(record, BadRecord)] == [bad(301, "damaged row group")]
    assert whole == [*range(1, 301), *range(601, 1_001)]


@pytest.mark.parametrize("damage", ["cut", "footer", "garbage", "magic"])
def test_a_file_that_is_no_parquet_is_one_bad_record(damage: str) -> None:
    data = write(pa.table({"text": TEXTS})).getvalue()
    damaged = {
        "cut": data[:-100],
        "footer": data[:-60] + bytes(50) + data[-10:],
        "garbage": b"text\n" * 100,
        "magic": b"PAR1",
    }[damage]
    assert read(io.BytesIO(damaged)) == [bad(None, "not valid Parquet")]
    assert row_groups(io.BytesIO(damaged)) == []


def test_an_error_of_the_disk_is_not_damage(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, *args: Any) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    stream = Failing(write(pa.table({"text": TEXTS})).getvalue())
    with pytest.raises(OSError, match="Input/output") as caught:
        read(stream)
    assert caught.value.errno == errno.EIO
