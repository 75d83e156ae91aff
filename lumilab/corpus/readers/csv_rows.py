"""Rows of CSV and TSV files with a header line, quoted as RFC 4180 has it; tabs quoted likewise.

The csv module takes the lines apart, in its strict mode, one record at a time. After a record that it refuses, such as
one whose quote is never closed, the reading goes on at the line behind the one where that record began, so one stray
quote costs one record. Numbers are those of the line a record begins in.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator

from lumilab.corpus.compression import DamagedStreamError
from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers.lines import MAX_LINE_BYTES, split_lines

Row = tuple[int, dict[str, str]]


def csv_rows(
    blocks: Iterable[bytes], root: str, name: str, delimiter: str = ",", text_field: str | None = None
) -> Iterator[Row | BadRecord]:
    """The records behind the header as (line number, fields by the header's names), or why one cannot be read.

    Args:
        blocks: the plain bytes.
        root, name: of the file, for bad records.
        delimiter: between fields.
        text_field: the column that must be there; None for any.
    """
    feed = _Feed(split_lines(blocks, MAX_LINE_BYTES))
    header: list[str] | None = None
    try:
        for number, fields in _records(feed, delimiter):
            if isinstance(fields, str):
                yield BadRecord(root, name, number, fields)
                if header is None:
                    return  # without names no field can be told from another
            elif header is None:
                header = fields
                if text_field is not None and text_field not in header:
                    yield BadRecord(root, name, None, f"no column {text_field!r}")
                    return
            elif len(fields) != len(header):
                yield BadRecord(root, name, number, "wrong number of fields")
            else:
                yield number, dict(zip(header, fields, strict=True))
    except DamagedStreamError:
        yield BadRecord(root, name, feed.begun, "damaged compression")


def _records(feed: _Feed, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each record that is not a blank line, as (line number, fields or why it cannot be read)."""
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.begin()
        try:
            fields = _next_record(reader)
        except StopIteration:
            return
        except _TooLongError:
            fault = f"line over {MAX_LINE_BYTES >> 20} MiB"
        except csv.Error as error:
            # The words of the module: the end inside a quoted field, or a quote that closes none.
            fault = "unclosed quote" if feed.ended or feed.overflowed else f"not valid CSV ({error})"
            feed.back_up()
        else:
            if fields:
                yield feed.begun, feed.fault or fields
            continue
        yield feed.begun, fault
        reader = csv.reader(feed, delimiter=delimiter, strict=True)


def _next_record(reader: Iterator[list[str]]) -> list[str]:
    """The module's limit on the length of a field belongs to the whole process, so it is raised for the call alone."""
    before = csv.field_size_limit(MAX_LINE_BYTES + 1)
    try:
        return next(reader)
    finally:
        csv.field_size_limit(before)


class _TooLongError(Exception):
    """A line was passed over."""


class _Feed:
    """Hands lines to the csv module and keeps those of the record at hand, so that it can be begun again behind the
    first of them.

    Attributes:
        begun: number of the line the record begins in.
        fault: what is wrong with the record's characters, though its fields can be told apart.
        ended: the file ended inside the record.
        overflowed: the record grew over the limit.
    """

    def __init__(self, lines: Iterator[bytes | None]) -> None:
        self._lines = lines
        self._again: deque[bytes] = deque()
        self._taken: list[bytes] = []
        self._number = 0
        self._size = 0
        self.begin()

    def begin(self) -> None:
        self._taken.clear()
        self._size = 0
        self.begun = self._number + 1
        self.fault: str | None = None
        self.ended = self.overflowed = False

    def back_up(self) -> None:
        self._again.extendleft(reversed(self._taken[1:]))
        self._number = self.begun

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        try:
            line = self._again.popleft() if self._again else next(self._lines)
        except StopIteration:
            self.ended = bool(self._taken)
            raise
        self._number += 1
        if line is None:
            raise _TooLongError
        if self._number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        self._taken.append(line)
        self._size += len(line) + 1
        if self._size > MAX_LINE_BYTES + 1:
            self.overflowed = True
            raise csv.Error("record too long")
        if b"\0" in line:
            self.fault = "NUL bytes"
        try:
            return line.decode() + "\n"
        except UnicodeDecodeError:
            self.fault = "invalid UTF-8"
            return line.decode(errors="replace") + "\n"
