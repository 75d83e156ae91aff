"""Reading plain, gzip and Zstandard files as one stream of bytes, in bounded memory, and noticing a file cut short.

The stream reader of `zstandard` ends a truncated file as if it were whole, so frames are decompressed here one after
the other and the end of the file is accepted only between frames. Several frames or gzip members in one file, as
parallel compressors write them, read as one.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SUFFIXES = (".gz", ".zst")
CHUNK = 1 << 14  # compressed bytes at a time; small, because Zstandard may expand them ten thousand times


class DamagedStreamError(Exception):
    """The compressed data ends early or is not what its name says."""


# What reading from `open_plain` can raise when the compressed data is damaged.
DAMAGE = (DamagedStreamError, EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)


def open_plain(path: Path) -> BinaryIO:
    """The uncompressed bytes of a file, by the ending of its name; reading may raise one of DAMAGE."""
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(_ZstdFrames(path), buffer_size=1 << 17)
    return path.open("rb")


class _ZstdFrames(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._inside_frame = False
        self._pending = b""
        self._plain = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        while not self._plain:
            chunk = self._pending or self._file.read(CHUNK)
            if not chunk:
                if self._inside_frame:
                    raise DamagedStreamError("the file ends inside a Zstandard frame")
                return 0
            self._plain = memoryview(self._frame.decompress(chunk))
            self._inside_frame = not self._frame.eof
            self._pending = b""
            if self._frame.eof:
                self._pending = self._frame.unused_data
                self._frame = zstandard.ZstdDecompressor().decompressobj()
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._plain))
        target[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
