from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.compression import DAMAGE, open_plain

COMPRESS = {".gz": gzip.compress, ".zst": zstandard.compress, "": bytes}
LINES = b"".join(f"line {number} {'x' * (number % 97)}\n".encode() for number in range(5_000))


@pytest.mark.parametrize("ending", COMPRESS)
def test_reads_what_the_usual_tools_write(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"file{ending}"
    path.write_bytes(COMPRESS[ending](LINES))
    with open_plain(path) as stream:
        assert list(stream) == LINES.splitlines(keepends=True)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_reads_several_frames_as_one(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"file{ending}"
    path.write_bytes(b"".join(COMPRESS[ending](part) for part in (LINES[:7], b"", LINES[7:100], LINES[100:])))
    with open_plain(path) as stream:
        assert stream.read() == LINES


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("kept", [1, 10, -5, -1])
def test_a_file_cut_short_is_noticed(tmp_path: Path, ending: str, kept: int) -> None:
    path = tmp_path / f"file{ending}"
    path.write_bytes(COMPRESS[ending](LINES)[:kept])
    with open_plain(path) as stream, pytest.raises(DAMAGE):
        stream.read()


@given(data=st.binary(min_size=1, max_size=200))
def test_garbage_is_damage_and_nothing_else(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    for ending in (".gz", ".zst"):
        path = tmp_path_factory.getbasetemp() / f"garbage{ending}"
        path.write_bytes(data)
        with open_plain(path) as stream:
            try:
                read = stream.read()
            except DAMAGE:
                continue
        assert read == b""  # zero padding and skippable frames are allowed by both formats
