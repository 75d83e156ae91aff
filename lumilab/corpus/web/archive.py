"""The records of a web archive (WARC, ISO 28500), also of WET files, plain or compressed.

Crawlers compress each record as a gzip member of its own, so damage need not cost more than the record it is in: the
reading goes on at the next member that begins with a record. In an uncompressed archive it goes on at the next line
that looks like the beginning of one. A record of more than MAX_CONTENT_BYTES is passed over without being held.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from lumilab.corpus.compression import DamagedStreamError, plain_blocks

MAX_CONTENT_BYTES = 8 << 20
MAX_HEADER_BYTES = 64 << 10
_BLOCK_BYTES = 256 << 10
_GZIP_MAGIC = b"\x1f\x8b\x08"
_VERSION = re.compile(rb"WARC/[0-9]\.[0-9]+\s*")


@dataclass(frozen=True, slots=True)
class ArchiveRecord:
    """One record.

    Attributes:
        number: which of the file's records it is, from 1; damaged ones count.
        kind: its WARC-Type: "response", "conversion", "request" ...
        headers: its WARC headers, names in lower case.
        content: the block behind them; None when it is longer than MAX_CONTENT_BYTES.
    """

    number: int
    kind: str
    headers: dict[str, str]
    content: bytes | None


@dataclass(frozen=True, slots=True)
class DamagedRecord:
    """Where the archive could not be read; `reason` is one of few fixed phrases."""

    number: int
    reason: str


class _MalformedRecordError(Exception):
    """Plain bytes that are no record."""


def archive_records(file: BinaryIO, name: str) -> Iterator[ArchiveRecord | DamagedRecord]:
    """The records of an open archive in their order, in bounded memory.

    Args:
        file: at its beginning; seekable, so that reading can go on behind damage.
        name: the file's name, whose ending tells the compression.
    """
    stream: _Stream = _GzipMembers(file) if name.lower().endswith(".gz") else _OtherStream(file, name)
    parser = _Parser(stream)
    number = 0
    while True:
        number += 1
        try:
            record = parser.record(number)
        except _MalformedRecordError as error:
            yield DamagedRecord(number, str(error))
            if not parser.skip_to_record():
                return
        except DamagedStreamError:
            yield DamagedRecord(number, "damaged compression")
            if not stream.resume():
                return
            parser = _Parser(stream)
        else:
            if record is None:
                return
            yield record


class _Parser:
    """Cuts the plain bytes of a stream into records."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self._block = b""
        self._at = 0

    def record(self, number: int) -> ArchiveRecord | None:
        """The next record; None at the end.

        Raises:
            DamagedStreamError: from the stream.
            _MalformedRecordError: what comes is no record, or half of one.
        """
        line = b"\r\n"
        while line.strip() == b"":
            line = self._line()
            if not line:
                return None
        if not _VERSION.fullmatch(line):
            raise _MalformedRecordError("not a WARC record")
        headers = self._headers()
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            raise _MalformedRecordError("a WARC record without its length")
        content = self._content(int(length))
        return ArchiveRecord(number, headers.get("warc-type", "").lower(), headers, content)

    def skip_to_record(self) -> bool:
        """Passes over everything up to the next line that may begin a record; False if there is none."""
        try:
            while line := self._line():
                if _VERSION.fullmatch(line):
                    # The line lies in the current block unless a block ended inside it; either way it is read again.
                    self._block, self._at = line + self._block[self._at :], 0
                    return True
        except DamagedStreamError:
            if self._stream.resume():
                self._block, self._at = b"", 0
                return True
        return False

    def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        name = ""
        held = 0
        while (line := self._line()).strip():
            held += len(line)
            if held > MAX_HEADER_BYTES:
                raise _MalformedRecordError(f"a WARC header over {MAX_HEADER_BYTES >> 10} KiB")
            text = line.decode("utf-8", "replace").strip()
            if line[:1] in b" \t" and name:
                headers[name] += f" {text}"
            else:
                name, _, value = text.partition(":")
                name = name.strip().lower()
                headers.setdefault(name, value.strip())
        if not line:
            raise _MalformedRecordError("a WARC record cut short")
        return headers

    def _line(self) -> bytes:
        """The next line, or as much of it as a header may hold; empty at the end."""
        pieces: list[bytes] = []
        held = 0
        while held <= MAX_HEADER_BYTES and self._fill():
            end = self._block.find(b"\n", self._at) + 1
            piece = self._block[self._at : end or len(self._block)]
            self._at += len(piece)
            held += len(piece)
            pieces.append(piece)
            if end:
                break
        return b"".join(pieces)

    def _content(self, length: int) -> bytes | None:
        pieces: list[bytes] = []
        left = length
        while left:
            if not self._fill():
                raise _MalformedRecordError("a WARC record cut short")
            piece = self._block[self._at : self._at + left]
            self._at += len(piece)
            left -= len(piece)
            if length <= MAX_CONTENT_BYTES:
                pieces.append(piece)
        return b"".join(pieces) if length <= MAX_CONTENT_BYTES else None

    def _fill(self) -> bool:
        """Whether there is something left to read."""
        while self._at >= len(self._block):
            block = self._stream.block()
            if not block:
                return False
            self._block, self._at = block, 0
        return True


class _Stream(Protocol):
    """The plain bytes of an archive."""

    def block(self) -> bytes:
        """The next bytes, at most a few hundred thousand; empty at the end.

        Raises:
            DamagedStreamError: the compressed data is damaged.
        """
        ...

    def resume(self) -> bool:
        """Goes to where a record begins behind the damage; False if there is no such place."""
        ...


class _OtherStream:
    """An archive that is not compressed, or whose compression has no members to go on with."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._blocks = plain_blocks(file, name)

    def block(self) -> bytes:
        return next(self._blocks, b"")

    def resume(self) -> bool:
        return False


class _GzipMembers:
    """An archive in gzip members."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._input = b""
        self._member: zlib._Decompress | None = None
        self._member_start = 0

    def block(self) -> bytes:
        while True:
            if not self._input:
                self._input = self._file.read(_BLOCK_BYTES)
            if self._member is None:
                self._input = self._input.lstrip(b"\0")  # padding between members
            if not self._input:
                if self._member is not None:
                    raise DamagedStreamError("the file ends inside a gzip member")
                return b""
            if plain := self._decompress():
                return plain

    def _decompress(self) -> bytes:
        if self._member is None:
            self._member = zlib.decompressobj(wbits=31)
            self._member_start = self._file.tell() - len(self._input)
        member = self._member
        try:
            plain = member.decompress(self._input, _BLOCK_BYTES)
        except zlib.error as error:
            raise DamagedStreamError(str(error)) from error
        if member.eof:
            self._input, self._member = member.unused_data, None
        else:
            self._input = member.unconsumed_tail
        return plain

    def resume(self) -> bool:
        self._input, self._member = b"", None
        place = self._member_start + 1
        while True:
            self._file.seek(place)
            piece = self._file.read(_BLOCK_BYTES)
            found = piece.find(_GZIP_MAGIC)
            if found >= 0 and self._begins_record(place + found):
                self._file.seek(place + found)
                return True
            if found < 0 and len(piece) < _BLOCK_BYTES:
                return False
            # On behind the candidate, or by a piece that overlaps this one where a magic number may be cut in two.
            place += found + 1 if found >= 0 else len(piece) - len(_GZIP_MAGIC) + 1

    def _begins_record(self, place: int) -> bool:
        self._file.seek(place)
        try:
            return zlib.decompressobj(wbits=31).decompress(self._file.read(4096), 5) == b"WARC/"
        except zlib.error:
            return False


def is_archive(path: Path | str) -> bool:
    """Whether a file of this name is an archive with pages or texts. WAT files have neither."""
    name = Path(path).name.lower()
    for ending in (".gz", ".zst"):
        name = name.removesuffix(ending)
    return name.endswith((".warc", ".wet"))
