"""The growing .npy file, read back by NumPy itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lumilab.dataset.arrays import ArrayWriter


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 0, 5], [100_000, 1]])
def test_numpy_reads_what_was_appended(tmp_path: Path, dtype: type, sizes: list[int]) -> None:
    parts = [np.arange(size).astype(dtype) for size in sizes]
    with ArrayWriter(tmp_path / "a.npy", dtype) as writer:
        for part in parts:
            writer.append(part)
    expected = np.concatenate([np.empty(0, dtype), *parts])
    read = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, expected)


def test_the_bytes_are_those_numpy_would_save(tmp_path: Path) -> None:
    values = np.arange(1_234, dtype="<u2")
    with ArrayWriter(tmp_path / "ours.npy", np.uint16) as writer:
        writer.append(values[:1_000])
        writer.append(values[1_000:])
    np.save(tmp_path / "theirs.npy", values)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "theirs.npy").read_bytes()


def test_after_an_error_the_file_reads_as_empty(tmp_path: Path) -> None:
    with pytest.raises(KeyError), ArrayWriter(tmp_path / "a.npy", np.uint16) as writer:
        writer.append([1, 2, 3])
        raise KeyError
    assert np.load(tmp_path / "a.npy").size == 0
