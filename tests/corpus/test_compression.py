from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.compression import DAMAGE, DamagedStreamError, open_plain, plain_blocks

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    "": bytes,
}
COMPRESSED = [ending for ending in COMPRESS if ending]
LINES = b"".join(f"line {number} {'x' * (number % 97)}\n".encode() for number in range(5_000))


@pytest.mark.parametrize("ending", COMPRESS)
def test_reads_what_the_usual_tools_write(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"file{ending}"
    path.write_bytes(COMPRESS[ending](LINES))
    with open_plain(path) as stream:
        assert list(stream) == LINES.splitlines(keepends=True)


@pytest.mark.parametrize("ending", COMPRESSED)
def test_reads_several_frames_as_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"file{ending}"
    path.write_bytes(b"".join(COMPRESS[ending](part) for part in (LINES[:7], b"", LINES[7:100], LINES[100:])))
    with open_plain(path) as stream:
        assert stream.read() == LINES


@pytest.mark.parametrize("ending", COMPRESSED)
@pytest.mark.parametrize("kept", [1, 10, -5, -1])
def test_a_file_cut_short_is_noticed(tmp_path: Path, ending: str, kept: int) -> None:
    path = tmp_path / f"file{ending}"
    path.write_bytes(COMPRESS[ending](LINES)[:kept])
    with open_plain(path) as stream, pytest.raises(DAMAGE):
        stream.read()


@pytest.mark.parametrize("ending", COMPRESSED)
def test_a_file_cut_anywhere_gives_whole_blocks_and_damage(ending: str) -> None:
    whole = COMPRESS[ending](LINES[:3_000]) + COMPRESS[ending](LINES[3_000:6_000])
    between = len(COMPRESS[ending](LINES[:3_000]))
    for kept in range(1, len(whole)):
        plain = b""
        try:
            for block in plain_blocks(io.BytesIO(whole[:kept]), f"a{ending}"):
                plain += block
        except DamagedStreamError:
            assert LINES[:6_000].startswith(plain)
        else:
            assert kept == between
            assert plain == LINES[:3_000]


@pytest.mark.parametrize("ending", COMPRESSED)
def test_bytes_behind_the_end_are_damage_unless_they_are_padding(ending: str) -> None:
    whole = COMPRESS[ending](LINES)
    blocks = plain_blocks(io.BytesIO(whole + b"more"), f"a{ending}")
    plain = b""
    with pytest.raises(DamagedStreamError):
        for block in blocks:
            plain += block
    assert plain == LINES
    if ending != ".zst":
        assert b"".join(plain_blocks(io.BytesIO(whole + bytes(1 << 19)), f"a{ending}")) == LINES


def test_every_shape_of_a_zstandard_frame_is_walked() -> None:
    """With and without a checksum, the content's size in its four lengths, a window, a skippable frame between."""
    noise = random.Random(1).randbytes(300)
    frames, plain = b"", b""
    for data in (b"", b"a", noise, LINES[:70_000], LINES, b"x" * 1_000_000):
        for options in ({}, {"write_checksum": True}, {"write_content_size": False}, {"level": 19}):
            frames += zstandard.ZstdCompressor(**options).compress(data)
            frames += (0x184D2A53).to_bytes(4, "little") + (len(noise)).to_bytes(4, "little") + noise
            plain += data
    assert b"".join(plain_blocks(io.BytesIO(frames), "a.zst")) == plain
    streamed = zstandard.ZstdCompressor().compressobj()
    frame = b"".join((streamed.compress(LINES), streamed.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK), streamed.flush()))
    assert b"".join(plain_blocks(io.BytesIO(frame), "a.zst")) == LINES


@pytest.mark.parametrize("ending", COMPRESSED)
def test_what_expands_a_thousandfold_is_read_in_bounded_memory(ending: str) -> None:
    data = COMPRESS[ending](bytes(40_000_000))
    assert len(data) < 100_000
    tracemalloc.start()
    total = sum(map(len, plain_blocks(io.BytesIO(data), f"a{ending}")))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 40_000_000
    assert peak < 12_000_000  # of which xz keeps 8 MiB, its dictionary


def test_a_raw_stream_may_give_less_than_it_is_asked_for() -> None:
    class Drip(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            piece = self._data.read(min(3, len(buffer)))
            buffer[: len(piece)] = piece
            return len(piece)

    for ending, compress in COMPRESS.items():
        stream = cast(BinaryIO, Drip(compress(LINES[:5_000])))
        assert b"".join(plain_blocks(stream, f"a{ending}")) == LINES[:5_000]


@given(data=st.binary(min_size=1, max_size=200))
def test_garbage_is_damage_and_nothing_else(data: bytes) -> None:
    for ending in COMPRESSED:
        try:
            plain = b"".join(plain_blocks(io.BytesIO(data), f"garbage{ending}"))
        except DamagedStreamError:
            continue
        assert plain == b""  # skippable frames are no text


@given(position=st.integers(0), value=st.integers(1, 255))
def test_a_changed_byte_never_gives_another_text_where_there_is_a_checksum(position: int, value: int) -> None:
    checked = COMPRESS | {".zst": zstandard.ZstdCompressor(write_checksum=True).compress}
    for ending in COMPRESSED:
        data = bytearray(checked[ending](LINES[:2_000]))
        data[position % len(data)] ^= value
        try:
            plain = b"".join(plain_blocks(io.BytesIO(bytes(data)), f"a{ending}"))
        except DamagedStreamError:
            continue
        assert plain in (LINES[:2_000], b"")
