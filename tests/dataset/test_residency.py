"""Residencies: what is chosen, what is refused, and that a GPU gets the very batches that files give.

That parts and threads change nothing is tested on the CPU too, in test_loader.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest
import torch

from lumilab.dataset.loader import WindowLoader
from lumilab.dataset.mixture import Mixture, Segment
from lumilab.dataset.residency import TOKEN_BYTES, BatchStream, choose_residency, page_locked, parts_needed
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.views import StridedWindows
from lumilab.dataset.windows import RegularWindows
from lumilab.errors import ResourceError

Publish = Callable[..., TokenShards]
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture
def loader(shards_of: Publish) -> Iterator[WindowLoader]:
    shards = shards_of(np.arange(5_000) * 13 % 60_000, [37] * 135 + [5], shard_tokens=700)
    windows = StridedWindows(shards, RegularWindows(16, 16))
    mixture = Mixture({shards.source: windows.count}, 3, [Segment(), Segment(200, {shards.source: 1.0})])
    yield WindowLoader([windows], mixture, 8)


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_without_cuda_files_are_read_and_anything_else_is_refused(device: str) -> None:
    assert choose_residency("auto", torch.device(device), 10**6, 10**6) == "mmap"
    assert choose_residency("mmap", torch.device(device), 10**6, 10**6) == "mmap"
    for wanted in ("pinned", "device"):
        with pytest.raises(ResourceError, match=f"residency is {wanted}, which needs a CUDA device.*{device}") as error:
            choose_residency(wanted, torch.device(device), 10**6, 10**6)
        assert error.value.exit_code == 5 and "pretrain.residency" in str(error.value)


@pytest.fixture
def a_gpu_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A CUDA device with so many bytes free, as far as asking for it goes, and a host with 100 GB."""

    def make(free: int) -> None:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * 10**9))
        available = psutil.virtual_memory()._replace(available=100 * 10**9)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: available)

    return make


def test_auto_goes_by_size_on_a_gpu(a_gpu_of: Callable[[int], None]) -> None:
    a_gpu_of(64 * 10**9)  # a quarter holds two parts of 10**9 tokens at 8 bytes
    assert choose_residency("auto", CUDA, 10**9, 2 * 10**9) == "device"
    assert choose_residency("auto", CUDA, 10**9 + 1, 2 * 10**9) == "pinned"
    assert choose_residency("auto", CUDA, 10**11, 26 * 10**9) == "mmap"
    assert choose_residency("device", CUDA, 10**11, 10**12) == "device"
    assert choose_residency("pinned", CUDA, 10**11, 90 * 10**9) == "pinned"
    with pytest.raises(ResourceError, match="tokens take 200"):
        choose_residency("pinned", CUDA, 10**11, 200 * 10**9)


@pytest.mark.parametrize(("tokens", "parts"), [(1, 1), (10**9, 1), (10**9 + 1, 2), (32 * 10**9, 32)])
def test_an_epoch_is_cut_so_that_two_parts_fit(a_gpu_of: Callable[[int], None], tokens: int, parts: int) -> None:
    a_gpu_of(64 * 10**9)
    assert parts_needed(CUDA, tokens) == parts
    assert 2 * tokens / parts * TOKEN_BYTES <= 16 * 10**9


def test_a_part_is_so_many_steps_of_the_order(loader: WindowLoader) -> None:
    epoch_steps = -(-loader.window_count // 8)
    for parts in (1, 4, 32, 10**6):
        with BatchStream(loader, parts=parts) as stream:
            assert stream.steps_in_part == max(1, -(-epoch_steps // parts))


def test_threads_end_with_the_stream_also_after_an_error(loader: WindowLoader) -> None:
    before = set(threading.enumerate())
    with pytest.raises(KeyError), BatchStream(loader, workers=4, ahead=6) as stream:
        stream.get(0)
        raise KeyError("the user's own")
    assert set(threading.enumerate()) == before


def test_a_window_that_cannot_be_read_is_an_error_of_its_step(
    loader: WindowLoader, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = loader.fill

    def fill(step: int, *rows: np.ndarray) -> None:
        if step == 5:
            raise OSError("the disk is gone")
        whole(step, *rows)

    monkeypatch.setattr(loader, "fill", fill)
    with BatchStream(loader, workers=2, ahead=4) as stream:
        for step in range(5):
            stream.get(step)
        with pytest.raises(OSError, match="the disk is gone"):
            stream.get(5)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("parts", [None, 1, 4, 32])
def test_a_gpu_gets_the_same_batches(loader: WindowLoader, parts: int | None) -> None:
    with BatchStream(loader, "cuda", workers=2, parts=parts, boundaries=True) as stream:
        busy = torch.randn(2_000, 2_000, device="cuda")
        for step in range(120):
            batch, expected = stream.get(step), loader.batch(step)
            busy = busy @ busy / 50  # work that copies overtake if nothing holds them back
            assert batch.inputs.device.type == "cuda" and batch.inputs.dtype is torch.int64
            np.testing.assert_array_equal(batch.inputs.cpu().numpy(), expected.inputs)
            np.testing.assert_array_equal(batch.labels.cpu().numpy(), expected.labels)
            assert batch.cu_seqlens is not None and batch.cu_seqlens.device.type == "cuda"


@pytest.mark.gpu
@needs_cuda
def test_tokens_in_page_locked_memory_are_the_same(shards_of: Publish) -> None:
    shards = shards_of(np.arange(5_000), [100] * 50, shard_tokens=700)
    held = shards.held_in(page_locked)
    np.testing.assert_array_equal(held.read(0, 5_000), shards.read(0, 5_000))
    np.testing.assert_array_equal(held.ends_within(0, 5_000), shards.ends_within(0, 5_000))
    assert torch.from_numpy(held.read(0, 10).copy()).dtype == torch.uint16
    with pytest.raises(ValueError, match="read-only"):
        held.read(0, 5)[0] = 1


def test_other_memory_holds_the_same_tokens(shards_of: Publish) -> None:
    shards = shards_of(np.arange(5_000), [100] * 50, shard_tokens=700, best_fit=64)
    copied: list[int] = []

    def copy(part: np.ndarray) -> np.ndarray:
        copied.append(len(part))
        return part.copy()

    held = shards.held_in(copy)
    assert sum(copied) == 5_000 and len(copied) == 8
    np.testing.assert_array_equal(held.read(650, 100), shards.read(650, 100))
    assert (held.source, held.best_fit) == (shards.source, shards.best_fit)
