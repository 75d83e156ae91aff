"""Reading plain and compressed files as blocks of plain bytes, in bounded memory, and noticing a file cut short.

The stream reader of `zstandard` ends a truncated file as if it were whole, and what one call of its other interface
returns has no bound (four bytes can stand for 128 KiB). So the frames are walked here by the format's own description
(RFC 8878, section 3.1.1): each block, which holds at most 128 KiB of plain bytes, is decompressed on its own, and the
end of the file is accepted only between frames. The other formats have decompressors that take a bound. Several frames,
members or streams in one file, as parallel compressors write them, read as one.
"""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SUFFIXES = (".gz", ".zst", ".bz2", ".xz")
READ_BYTES = 1 << 18  # read from a file at a time
BLOCK_BYTES = 1 << 18  # most plain bytes in a block

_ZSTD_MAGIC = 0xFD2FB528
_ZSTD_SKIPPABLE = 0x184D2A50  # and the fifteen numbers behind it
_ZSTD_CHECKSUM = 0b100  # in the frame header's descriptor: a checksum follows the last block
_ZSTD_RLE = 1  # type of a block that is one byte, to be repeated


class DamagedStreamError(Exception):
    """The compressed data ends early or is not what its name says."""


# What reading from `open_plain` and `plain_blocks` can raise when the compressed data is damaged.
DAMAGE = (DamagedStreamError,)


def plain_blocks(stream: BinaryIO, name: str) -> Iterator[bytes]:
    """The plain bytes of an open file in blocks of 1 to BLOCK_BYTES bytes.

    Args:
        stream: at the beginning of the compressed data; it need not be seekable.
        name: the file's name, whose ending tells the compression.

    Raises:
        DamagedStreamError: the compressed data is damaged; the blocks before that are whole.
    """
    if isinstance(stream, io.RawIOBase):
        stream = io.BufferedReader(stream, READ_BYTES)  # a raw file may give less than it is asked for
    match Path(name.lower()).suffix:
        case ".zst":
            yield from _zstd_blocks(stream)
        case ".gz":
            yield from _member_blocks(stream, _GzipMember)
        case ".bz2":
            yield from _member_blocks(stream, bz2.BZ2Decompressor)
        case ".xz":
            yield from _member_blocks(stream, lzma.LZMADecompressor)
        case _:
            while block := stream.read(BLOCK_BYTES):
                yield block


def open_plain(path: Path) -> BinaryIO:
    """The uncompressed bytes of a file, by the ending of its name; reading may raise one of DAMAGE."""
    if path.suffix.lower() in SUFFIXES:
        return io.BufferedReader(_Blocks(path), buffer_size=1 << 17)
    return path.open("rb")


class _Blocks(io.RawIOBase):
    """The blocks of a file as one stream."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=READ_BYTES)
        self._blocks = plain_blocks(self._file, path.name)
        self._block = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if not self._block:
            self._block = memoryview(next(self._blocks, b""))
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._block))
        target[:count] = self._block[:count]
        self._block = self._block[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


# --- Zstandard ---------------------------------------------------------------------------------------------------


def _zstd_blocks(stream: BinaryIO) -> Iterator[bytes]:
    try:
        while magic := stream.read(4):
            number = int.from_bytes(magic, "little")
            if number & ~0xF == _ZSTD_SKIPPABLE:
                _skip(stream, int.from_bytes(_exactly(stream, 4), "little"))
            elif number == _ZSTD_MAGIC:
                yield from _zstd_frame(stream, magic)
            else:
                raise DamagedStreamError("these bytes begin no Zstandard frame")
    except zstandard.ZstdError as error:
        raise DamagedStreamError(str(error)) from error


def _zstd_frame(stream: BinaryIO, magic: bytes) -> Iterator[bytes]:
    frame = zstandard.ZstdDecompressor().decompressobj()
    descriptor = _exactly(stream, 1)
    frame.decompress(magic + descriptor + _exactly(stream, _zstd_header_bytes(descriptor[0])))
    last = False
    while not last:
        head = _exactly(stream, 3)
        bits = int.from_bytes(head, "little")
        last, kind, size = bool(bits & 1), bits >> 1 & 3, bits >> 3
        if plain := frame.decompress(head + _exactly(stream, 1 if kind == _ZSTD_RLE else size)):
            yield plain
    if descriptor[0] & _ZSTD_CHECKSUM:
        frame.decompress(_exactly(stream, 4))
    if not frame.eof:
        raise DamagedStreamError("a Zstandard frame goes on behind its last block")


def _zstd_header_bytes(descriptor: int) -> int:
    """How long the frame header is behind its descriptor (RFC 8878, section 3.1.1.1)."""
    single_segment = descriptor >> 5 & 1
    window = 1 - single_segment
    dictionary = (0, 1, 2, 4)[descriptor & 3]
    content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
    return window + dictionary + content_size


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise DamagedStreamError("the file ends inside a Zstandard frame")
    return data


def _skip(stream: BinaryIO, count: int) -> None:
    while count:
        count -= len(_exactly(stream, min(count, READ_BYTES)))


# --- gzip, bzip2, xz ---------------------------------------------------------------------------------------------


class _Member(Protocol):
    """The interface that the decompressors of `bz2` and `lzma` share."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _GzipMember:
    """zlib's decompressor with that interface."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)


def _member_blocks(stream: BinaryIO, new_member: Callable[[], _Member]) -> Iterator[bytes]:
    data = stream.read(READ_BYTES)
    try:
        while data:
            member = new_member()
            while True:
                if plain := member.decompress(data, BLOCK_BYTES):
                    yield plain
                if member.eof:
                    break
                data = stream.read(READ_BYTES) if member.needs_input else b""
                if not data and not plain and member.needs_input:
                    raise DamagedStreamError("the file ends inside compressed data")
            data = _behind_padding(member.unused_data, stream)
    except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's error; those of bz2 carry no number
        raise DamagedStreamError(str(error)) from error


def _behind_padding(data: bytes, stream: BinaryIO) -> bytes:
    """What follows a member: files may be filled up with zero bytes (gzip on tapes, xz to a multiple of four)."""
    while not (data := data.lstrip(b"\0")):
        data = stream.read(READ_BYTES)
        if not data:
            return b""
    return data
