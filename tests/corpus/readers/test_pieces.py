from __future__ import annotations

import gzip
import io
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lumilab.corpus.readers import pieces as module
from lumilab.corpus.readers.documents import DocumentReader, rows
from lumilab.corpus.readers.pieces import Piece, cut

LINES = st.lists(
    st.sampled_from([b"", b"\r", b'{"text": "a"}', b'{"text": "' + b"x" * 30 + b'"}', b"{bad", b'{"text": "\xff"}'])
)


@settings(max_examples=300)
@given(lines=LINES, ends=st.booleans(), piece_bytes=st.integers(1, 80), scan=st.integers(1, 50))
@example(lines=[b"{}"] * 5, ends=True, piece_bytes=3, scan=3)
@example(lines=[b"", b"", b""], ends=True, piece_bytes=1, scan=1)
def test_any_pieces_of_lines_give_the_rows_of_the_whole(
    lines: list[bytes], ends: bool, piece_bytes: int, scan: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if ends else b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SCAN_BYTES", scan)
        pieces = cut(io.BytesIO(data), "a.jsonl", piece_bytes)
    whole = list(rows(io.BytesIO(data), "files", "a.jsonl"))
    if not pieces:
        assert len(data) <= piece_bytes or b"\n" not in data[piece_bytes - 1 : -1]
        return
    assert [piece.first for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])]
    assert pieces[-1].end == len(data)
    for piece in pieces:
        assert piece.row == data.count(b"\n", 0, piece.first) + 1
        assert piece.size == piece.end - piece.first
        assert b"\n" not in data[piece.first + piece_bytes - 1 : piece.end - 1]  # cut at the first chance
    found = [row for piece in pieces for row in rows(io.BytesIO(data), "files", "a.jsonl", piece)]
    assert found == whole


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 60), group=st.integers(1, 20), piece_bytes=st.integers(1, 3_000))
def test_any_pieces_of_row_groups_give_the_rows_of_the_whole(count: int, group: int, piece_bytes: int) -> None:
    out = io.BytesIO()
    texts = [f"{number} " * (number % 30) for number in range(count)]
    parquet.write_table(pa.table({"text": pa.array(texts, pa.string())}), out, row_group_size=group)
    data = out.getvalue()
    pieces: list[Any] = cut(io.BytesIO(data), "a.parquet", piece_bytes) or [None]
    found = [row for piece in pieces for row in rows(io.BytesIO(data), "files", "a.parquet", piece, "text")]
    assert found == [(number, {"text": text}) for number, text in enumerate(texts, 1)]


def test_pieces_of_row_groups_have_about_the_asked_size() -> None:
    out = io.BytesIO()
    texts = [f"{number:0500}" for number in range(2_000)]
    parquet.write_table(pa.table({"text": texts}), out, row_group_size=100, use_dictionary=False, compression="none")
    groups = parquet.ParquetFile(out).metadata
    (plain,) = {groups.row_group(number).total_byte_size for number in range(20)}
    assert 50_000 < plain < 52_000
    pieces = cut(out, "a.parquet", 5 * plain - 1_000)
    assert [(piece.first, piece.end, piece.row) for piece in pieces] == [
        (0, 5, 1),
        (5, 10, 501),
        (10, 15, 1_001),
        (15, 20, 1_501),
    ]
    assert 0.95 * len(out.getvalue()) < sum(piece.size for piece in pieces) < len(out.getvalue())


def test_what_cannot_be_cut_is_read_as_a_whole() -> None:
    data = b'{"text": "a"}\n' * 100
    assert len(cut(io.BytesIO(data), "a.jsonl", 100)) > 5
    assert cut(io.BytesIO(gzip.compress(data)), "a.jsonl.gz", 100) == []
    assert cut(io.BytesIO(data), "a.txt", 100) == []
    assert cut(io.BytesIO(data), "a.csv", 100) == []  # a newline may stand inside quotes
    assert cut(io.BytesIO(data), "a.parquet", 100) == []  # damaged: one bad record of the whole
    assert cut(io.BytesIO(data), "a.jsonl", len(data)) == []


def test_documents_of_a_piece_have_the_ids_they_have_in_the_whole() -> None:
    data = b'{"text": "a"}\n\n{"text": "b"}\n{"text": "c"}\n'
    reader = DocumentReader("web", "text")
    piece = Piece(14, len(data), 2, len(data) - 14)
    assert (
        list(reader.read(io.BytesIO(data), "web", "a.jsonl", piece))
        == list(reader.read(io.BytesIO(data), "web", "a.jsonl"))[1:]
    )
