"""Rows of JSON: one value a line (JSON lines), or one array of them (as Alpaca and many small datasets are published).

A blank line is nothing. A byte-order mark is passed over. Lines end at a newline alone, as the format says, so a
carriage return before it is space to JSON, and other characters that Python counts as line ends are text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import orjson

from lumilab.corpus.compression import DamagedStreamError
from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers.lines import MAX_LINE_BYTES, split_lines

MAX_ARRAY_BYTES = 256 << 20  # an array can only be read as a whole
_HEAD_BYTES = 1 << 20  # where an array must have begun
_BOM = b"\xef\xbb\xbf"


def json_lines(blocks: Iterable[bytes], root: str, name: str, first: int = 1) -> Iterator[tuple[int, Any] | BadRecord]:
    """The lines that are not blank, as (line number, value), or why one cannot be read.

    Args:
        blocks: the plain bytes.
        root, name: of the file, for bad records.
        first: number of the first line.
    """
    number = first - 1
    try:
        for number, line in enumerate(split_lines(blocks, MAX_LINE_BYTES), first):
            try:
                yield number, orjson.loads(line)  # type: ignore[arg-type]  # None raises the same error
            except orjson.JSONDecodeError:
                if line is None:
                    yield BadRecord(root, name, number, f"line over {MAX_LINE_BYTES >> 20} MiB")
                elif rest := line.removeprefix(_BOM).strip():
                    yield _second_look(rest, root, name, number)
    except DamagedStreamError:
        yield BadRecord(root, name, number + 1, "damaged compression")


def json_rows(blocks: Iterator[bytes], root: str, name: str) -> Iterator[tuple[int, Any] | BadRecord]:
    """The rows of one array, numbered from 1, or JSON lines where the file does not begin as an array."""
    try:
        head = next(blocks, b"")
        while not (begin := head.removeprefix(_BOM).lstrip()) and len(head) < _HEAD_BYTES:
            if not (block := next(blocks, b"")):
                break
            head += block
    except DamagedStreamError:
        yield BadRecord(root, name, None, "damaged compression")
        return
    if begin.startswith(b"["):
        yield from _array(chain([begin], blocks), root, name)
    else:
        yield from json_lines(chain([head], blocks), root, name)


def _array(blocks: Iterable[bytes], root: str, name: str) -> Iterator[tuple[int, Any] | BadRecord]:
    pieces, size = [], 0
    try:
        for block in blocks:
            pieces.append(block)
            size += len(block)
            if size > MAX_ARRAY_BYTES:
                yield BadRecord(root, name, None, f"JSON array over {MAX_ARRAY_BYTES >> 20} MiB")
                return
        rows = orjson.loads(b"".join(pieces))
    except DamagedStreamError:
        yield BadRecord(root, name, None, "damaged compression")
    except orjson.JSONDecodeError:
        yield BadRecord(root, name, None, _reason(b"".join(pieces)))
    else:
        yield from enumerate(rows, 1)


def _second_look(line: bytes, root: str, name: str, number: int) -> tuple[int, Any] | BadRecord:
    """A line that is no JSON as it stands: it may be behind a byte-order mark."""
    try:
        return number, orjson.loads(line)
    except orjson.JSONDecodeError:
        return BadRecord(root, name, number, _reason(line))


def _reason(data: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError:
        return "invalid UTF-8"
    return "not valid JSON"
