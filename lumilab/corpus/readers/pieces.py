"""Cutting a large file into pieces that can be read apart: lines by ranges of bytes, parquet by row groups.

Where the cuts are depends on the file alone. Every piece knows the number of its first row in the whole file, so a
row has one number however the file is cut.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from lumilab.corpus.readers import parquet_rows
from lumilab.corpus.readers.formats import JSON_LINES, PARQUET, format_of, is_compressed

PIECE_BYTES = 64 << 20  # of plain text, about
_SCAN_BYTES = 1 << 20


@dataclass(frozen=True)
class Piece:
    """A part of a file.

    Attributes:
        first: byte or row group it begins with.
        end: byte or row group behind its last one.
        row: number of the line or row it begins with, from 1.
        size: bytes to read for it.
    """

    first: int
    end: int
    row: int
    size: int

    @property
    def begins_file(self) -> bool:
        return self.first == 0


def cut(stream: BinaryIO, name: str, piece_bytes: int = PIECE_BYTES) -> list[Piece]:
    """The pieces of a file in their order; an empty list for a file that is read as a whole.

    Args:
        stream: seekable.
        name: the file's name, whose ending tells the format.
        piece_bytes: of plain text in a piece; the last may have less, and a longer line or row group is not cut.
    """
    cutters: dict[str, Callable[[BinaryIO, int], list[Piece]]] = dict.fromkeys(JSON_LINES, _cut_lines)
    cutters |= dict.fromkeys(PARQUET, _cut_row_groups)
    cutter = cutters.get(format_of(name) or "")
    pieces = cutter(stream, piece_bytes) if cutter and not is_compressed(name) else []
    return pieces if len(pieces) > 1 else []


def _cut_lines(stream: BinaryIO, piece_bytes: int) -> list[Piece]:
    """Cuts at the first line that begins at or behind each multiple of `piece_bytes`, and counts lines on the way."""
    if stream.seek(0, os.SEEK_END) <= piece_bytes:
        return []
    stream.seek(0)
    pieces: list[Piece] = []
    first = position = lines = lines_before = 0
    while block := stream.read(_SCAN_BYTES):
        done = 0
        # Several cuts may fall into one block when pieces are small.
        while (newline := block.find(b"\n", max(done, first + piece_bytes - 1 - position))) >= 0:
            lines += block.count(b"\n", done, newline + 1)
            done = newline + 1
            pieces.append(Piece(first, position + done, lines_before + 1, position + done - first))
            first, lines_before = position + done, lines
        lines += block.count(b"\n", done)
        position += len(block)
    if first < position:
        pieces.append(Piece(first, position, lines_before + 1, position - first))
    return pieces


def _cut_row_groups(stream: BinaryIO, piece_bytes: int) -> list[Piece]:
    pieces: list[Piece] = []
    first, row, rows, plain, size = 0, 1, 0, 0, 0
    groups = parquet_rows.row_groups(stream)
    for number, group in enumerate(groups):
        rows += group.rows
        plain += group.plain_bytes
        size += group.compressed_bytes
        if plain >= piece_bytes or number == len(groups) - 1:
            pieces.append(Piece(first, number + 1, row, size))
            first, row, rows, plain, size = number + 1, row + rows, 0, 0, 0
    return pieces
