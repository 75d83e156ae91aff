"""From a file of any readable format to documents: the one way taken by local files and by datasets of a hub.

A text or HTML file is one document; each row of the other formats is one. The text is the row's `text_field`, which
may be a path into nested objects ("article.body"). A field `url` becomes the document's, and numbers, truth values
and short strings are kept as its meta, an `id` among them: a document's own id is always the place it was read from,
because fields called id repeat, are missing, or are numbers that start anew in every file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

from lumilab.corpus.compression import DamagedStreamError, plain_blocks
from lumilab.corpus.document import BadRecord, Document, Record, Skipped
from lumilab.corpus.readers import formats
from lumilab.corpus.readers.csv_rows import csv_rows
from lumilab.corpus.readers.json_rows import json_lines, json_rows
from lumilab.corpus.readers.parquet_rows import parquet_rows
from lumilab.corpus.readers.pieces import Piece

MAX_TEXT_BYTES = 256 << 20
META_CHARACTERS = 200  # longer strings beside the text are content of some other kind, not a description


@dataclass(frozen=True)
class DocumentReader:
    """How the files of one source become documents; picklable.

    Attributes:
        source: name written into the documents.
        text_field: the field or column that holds the text; "a.b" is the field b of the object a.
    """

    source: str
    text_field: str

    def read(self, stream: BinaryIO, root: str, name: str, piece: Piece | None = None) -> Iterator[Record]:
        """The documents of one file, or of a piece of it, in their order and in bounded memory.

        Args:
            stream: open at its beginning; seekable where the file is parquet or a piece is asked for.
            root, name: of the file, for ids (`ROOT:NAME:LINE`) and bad records; the name's ending tells the format.
            piece: one of those that `pieces.cut` gave.
        """
        if formats.format_of(name) in formats.ROWS:
            for row in rows(stream, root, name, piece, self.text_field):
                yield row if isinstance(row, BadRecord) else self.document(root, name, *row)
        else:
            yield self._whole(stream, root, name)

    def document(self, root: str, name: str, number: int, fields: Any) -> Document | BadRecord:
        """The document of one row, which it may take apart.

        Args:
            root, name: of the file.
            number: of the line or row, from 1.
            fields: the row.
        """
        if not isinstance(fields, dict):
            return BadRecord(root, name, number, "not a JSON object")
        try:
            text = _take(fields, self.text_field)
        except KeyError:
            return BadRecord(root, name, number, f"no field {self.text_field!r}")
        if not isinstance(text, str):
            what = "is null" if text is None else "is not a string"
            return BadRecord(root, name, number, f"field {self.text_field!r} {what}")
        url = fields.pop("url", None)
        place = f"{root}:{name}:{number}"
        return Document(place, text, self.source, url if isinstance(url, str) and url else None, description(fields))

    def _whole(self, stream: BinaryIO, root: str, name: str) -> Record:
        try:
            data = _join(plain_blocks(stream, name))
        except DamagedStreamError:
            return BadRecord(root, name, None, "damaged compression")
        if data is None:
            return BadRecord(root, name, None, f"text file over {MAX_TEXT_BYTES >> 20} MiB")
        if not data:
            return BadRecord(root, name, None, "empty file")
        if formats.format_of(name) in formats.HTML:
            return self._page(data, root, name)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            return BadRecord(root, name, None, "invalid UTF-8")
        return (
            BadRecord(root, name, None, "NUL bytes") if "\0" in text else Document(f"{root}:{name}", text, self.source)
        )

    def _page(self, data: bytes, root: str, name: str) -> Record:
        from lumilab.corpus.web.extraction import extract_text

        try:
            text = extract_text(data, None)
        except Exception:
            # One page out of millions that the parser cannot take must not end a build; it is named and counted.
            return BadRecord(root, name, None, "the parser failed on this page")
        return Skipped("no main text") if text is None else Document(f"{root}:{name}", text, self.source)


def rows(
    stream: BinaryIO, root: str, name: str, piece: Piece | None = None, text_field: str | None = None
) -> Iterator[tuple[int, Any] | BadRecord]:
    """The rows of one file of JSON lines, JSON, CSV, TSV or parquet, as (number of the line or row from 1, value), or
    why one cannot be read.

    Args:
        stream: open at its beginning; seekable where the file is parquet or a piece is asked for.
        root, name: of the file, for bad records; the name's ending tells the format.
        piece: one of those that `pieces.cut` gave.
        text_field: the column that must be there. Of parquet files only it and flat columns are read; with None all.
    """
    kind = formats.format_of(name)
    if kind in formats.PARQUET:
        yield from _parquet(stream, root, name, piece, text_field)
        return
    blocks = _range(stream, piece) if piece else plain_blocks(stream, name)
    try:
        first = next(blocks, None)
    except DamagedStreamError:
        yield BadRecord(root, name, 1, "damaged compression")
        return
    if first is None:
        yield BadRecord(root, name, None, "empty file")
        return
    blocks = chain([first], blocks)
    if kind in formats.CSV:
        yield from csv_rows(blocks, root, name, "\t" if kind == ".tsv" else ",", text_field)
    elif kind in formats.JSON:
        yield from json_rows(blocks, root, name)
    else:
        yield from json_lines(blocks, root, name, piece.row if piece else 1)


def description(fields: dict[str, Any]) -> dict[str, Any]:
    """What is kept of the fields beside the text: finite numbers, truth values and short strings."""
    return {
        name: value
        for name, value in fields.items()
        if isinstance(value, bool | int)
        or (isinstance(value, str) and len(value) <= META_CHARACTERS)
        or (isinstance(value, float) and math.isfinite(value))
    }


def _take(fields: dict[str, Any], path: str) -> Any:
    """Removes and returns a field, or the value a path leads to.

    Raises:
        KeyError: it is not there.
    """
    if path in fields:
        return fields.pop(path)
    value: Any = fields
    for name in path.split("."):
        if not isinstance(value, dict):
            raise KeyError(path)
        value = value[name]
    return value


def _parquet(
    stream: BinaryIO, root: str, name: str, piece: Piece | None, text_field: str | None
) -> Iterator[tuple[int, Any] | BadRecord]:
    if not stream.read(1):
        yield BadRecord(root, name, None, "empty file")
        return
    stream.seek(0)
    if piece:
        yield from parquet_rows(stream, root, name, piece.first, piece.end, piece.row, text_field)
    else:
        yield from parquet_rows(stream, root, name, text_field=text_field)


def _range(stream: BinaryIO, piece: Piece) -> Iterator[bytes]:
    stream.seek(piece.first)
    left = piece.end - piece.first
    while left and (block := stream.read(min(left, 1 << 18))):
        left -= len(block)
        yield block


def _join(blocks: Iterator[bytes]) -> bytes | None:
    """All of it; None where that is over MAX_TEXT_BYTES."""
    pieces, size = [], 0
    for block in blocks:
        pieces.append(block)
        size += len(block)
        if size > MAX_TEXT_BYTES:
            return None
    return b"".join(pieces)
