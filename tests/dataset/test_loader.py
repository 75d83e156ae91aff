"""Batches against slices of the sequence: the same for any number of devices and threads, and after any restart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumilab.artifact import Artifact
from lumilab.dataset.loader import IGNORED, WindowLoader, open_windows, windows_in_order
from lumilab.dataset.mixture import NATURAL, Mixture, Segment
from lumilab.dataset.order import order_key, permute
from lumilab.dataset.residency import BatchStream
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.views import StridedWindows, Windows
from lumilab.dataset.windows import RegularWindows
from lumilab.errors import ConfigError, InputError

Publish = Callable[..., TokenShards]
many_shapes = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

PHASES = (Segment(0, {"a": 0.5, "b": 0.3, "c": 0.2}), Segment(64, {"a": 0.1, "c": 0.9}))


def concat(shards: TokenShards, window: int) -> StridedWindows:
    return StridedWindows(shards, RegularWindows(window, window))


def loader_of(
    sources: Sequence[Windows], batch_size: int, seed: int = 3, segments: Sequence[Segment] = NATURAL, **devices: int
) -> WindowLoader:
    counts = {windows.source: windows.count for windows in sources}
    return WindowLoader(sources, Mixture(counts, seed, segments), batch_size, **devices)


@pytest.fixture
def sources(shards_of: Publish) -> list[Windows]:
    """Three sources, whose tokens tell which they are."""
    found: list[Windows] = []
    for number, name in enumerate("abc"):
        windows = concat(shards_of(np.arange(300 + 100 * number) + 10_000 * number, shard_tokens=97), 16)
        windows.source = name
        found.append(windows)
    return found


def starts(batch: Any, window: int) -> list[int]:
    """Which windows a batch holds, where the tokens count up from 0."""
    for inputs, labels in zip(batch.inputs, batch.labels, strict=True):
        np.testing.assert_array_equal(inputs, np.arange(inputs[0], inputs[0] + window))
        np.testing.assert_array_equal(labels, inputs + 1)
        assert inputs[0] % window == 0
    return [int(row[0]) // window for row in batch.inputs]


@given(tokens=st.integers(20, 400), window=st.integers(1, 19), batch_size=st.integers(1, 9), seed=st.integers(0, 9))
@many_shapes
def test_every_epoch_visits_each_window_once(
    shards_of: Publish, tokens: int, window: int, batch_size: int, seed: int
) -> None:
    loader = loader_of([concat(shards_of(np.arange(tokens), shard_tokens=37), window)], batch_size, seed)
    count = (tokens - 1) // window
    assert loader.window_count == count
    steps = -(-3 * count // batch_size)
    visited = [place for step in range(steps) for place in starts(loader.batch(step), window)]
    # One source's order is that of before there were mixtures: runs from then go on.
    expected = [permute(place, count, order_key(seed, epoch)) for epoch in range(4) for place in range(count)]
    assert visited == expected[: len(visited)]
    for epoch in range(3):
        assert sorted(visited[epoch * count : (epoch + 1) * count]) == list(range(count))


def test_a_step_depends_on_nothing_before_it(sources: list[Windows]) -> None:
    in_a_row = loader_of(sources, 4, segments=PHASES)
    batches = [in_a_row.batch(step) for step in range(40)]
    for step in (39, 0, 7, 15, 16, 17, 12):
        again = loader_of(sources, 4, segments=PHASES).batch(step)
        np.testing.assert_array_equal(again.inputs, batches[step].inputs)
        np.testing.assert_array_equal(again.labels, batches[step].labels)


@pytest.mark.parametrize("segments", [NATURAL, PHASES], ids=["natural", "two phases"])
@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_the_devices_rows_one_after_the_other_are_the_global_batch(
    sources: list[Windows], world_size: int, segments: tuple[Segment, ...]
) -> None:
    whole = loader_of(sources, 8, segments=segments)
    ranks = [loader_of(sources, 8, segments=segments, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sum(rank.rows for rank in ranks) == 8
    assert max(rank.rows for rank in ranks) - min(rank.rows for rank in ranks) <= 1
    for step in (0, 1, 7, 8, 9, 500):
        expected, parts = whole.batch(step), [rank.batch(step) for rank in ranks]
        np.testing.assert_array_equal(np.concatenate([part.inputs for part in parts]), expected.inputs)
        np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), expected.labels)


@pytest.mark.parametrize("parts", [None, 1, 4, 32])
@pytest.mark.parametrize("workers", [0, 1, 4])
def test_neither_threads_nor_parts_nor_restarts_change_a_batch(
    sources: list[Windows], workers: int, parts: int | None
) -> None:
    loader = loader_of(sources, 4, segments=PHASES)
    for first in (0, 13, 61):  # 61 - 13 is not the length of a part
        with BatchStream(loader_of(sources, 4, segments=PHASES), workers=workers, ahead=3, parts=parts) as stream:
            for step in range(first, first + 25):
                batch, expected = stream.get(step), loader.batch(step)
                assert batch.inputs.dtype is batch.labels.dtype is torch.int64
                np.testing.assert_array_equal(batch.inputs.numpy(), expected.inputs)
                np.testing.assert_array_equal(batch.labels.numpy(), expected.labels)


def test_the_batch_size_cuts_one_and_the_same_stream(sources: list[Windows]) -> None:
    streams = [
        np.concatenate([loader_of(sources, size, segments=PHASES).batch(step).inputs for step in range(96 // size)])
        for size in (1, 4, 24)
    ]
    np.testing.assert_array_equal(streams[0], streams[1])
    np.testing.assert_array_equal(streams[0], streams[2])


def test_sources_come_in_their_shares(sources: list[Windows]) -> None:
    loader = loader_of(sources, 8, segments=PHASES)
    first = np.concatenate([loader.batch(step).inputs[:, 0] for step in range(8)]) // 10_000
    assert np.abs(np.bincount(first, minlength=3) - 64 * np.array([0.5, 0.3, 0.2])).max() < 1
    later = np.concatenate([loader.batch(step).inputs[:, 0] for step in range(8, 108)]) // 10_000
    assert np.bincount(later, minlength=3).tolist() == [80, 0, 720]


def test_a_batch_is_the_callers_own(shards_of: Publish) -> None:
    loader = loader_of([concat(shards_of(np.arange(100)), 10)], 2)
    batch = loader.batch(0)
    assert batch.inputs.dtype == batch.labels.dtype == np.int64
    assert batch.inputs.shape == batch.labels.shape == (2, 10)
    batch.inputs[:] = -1
    assert loader.batch(0).inputs.min() >= 0


def test_far_steps_are_as_near_as_the_first(shards_of: Publish) -> None:
    loader = loader_of([concat(shards_of(np.arange(100)), 10)], 4)
    assert sorted(starts(loader.batch(10**15), 10) + starts(loader.batch(10**15 + 1), 10))[-1] < 9


def test_devices_that_cannot_be_are_refused(sources: list[Windows]) -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        loader_of(sources, 2, rank=0, world_size=3)
    with pytest.raises(ConfigError, match="no device 3 of 3"):
        loader_of(sources, 8, rank=3, world_size=3)


def test_one_window_is_enough(shards_of: Publish) -> None:
    loader = loader_of([concat(shards_of(np.arange(33)), 32)], 2)
    assert loader.window_count == 1
    assert starts(loader.batch(0), 32) == [0, 0]


def test_a_dataset_opens_as_it_was_packed(dataset: Artifact) -> None:
    (windows,) = open_windows(dataset, "train")
    shards = TokenShards.open(dataset, "train")
    assert (windows.window, windows.count) == (32, (shards.token_count - 1) // 32)
    row, labels = np.zeros((2, 32), dtype=np.int64)
    windows.fill(3, row, labels)
    np.testing.assert_array_equal(np.append(row, labels[-1]), shards.read(96, 33))


def test_a_window_longer_than_a_split_is_refused(dataset: Artifact) -> None:
    config = dataset.manifest.config | {"dataset": dataset.manifest.config["dataset"] | {"window": 10**6}}
    longer = Artifact(dataset.path, replace(dataset.manifest, config=config))
    with pytest.raises(InputError, match=r"1,000,001.*dataset\.window"):
        open_windows(longer, "train")


@given(tokens=st.integers(1, 300), window=st.integers(1, 40), batch_size=st.integers(1, 5))
@many_shapes
def test_validation_predicts_each_token_once(shards_of: Publish, tokens: int, window: int, batch_size: int) -> None:
    predicted: list[int] = []
    batches = list(windows_in_order(shards_of(np.arange(tokens), shard_tokens=50), window, batch_size))
    for inputs, labels in batches:
        assert inputs.shape == labels.shape
        assert inputs.dtype == labels.dtype == np.int64
        assert inputs.shape[1] == window
        trained = labels != IGNORED
        np.testing.assert_array_equal(inputs[trained] + 1, labels[trained])
        assert not inputs[~trained].any()
        predicted += labels[trained].tolist()
    assert predicted == list(range(1, tokens))
    assert all(inputs.shape[0] == batch_size for inputs, _ in batches[:-1])


def test_a_limited_validation_is_spread_over_the_split(shards_of: Publish) -> None:
    shards = shards_of(np.arange(1_001))
    firsts = [int(row[0]) for inputs, _ in windows_in_order(shards, 10, 3, limit=5) for row in inputs]
    assert firsts == [0, 200, 400, 600, 800]
    everything = [inputs for inputs, _ in windows_in_order(shards, 10, 3, limit=10**6)]
    assert sum(len(inputs) for inputs in everything) == 100
