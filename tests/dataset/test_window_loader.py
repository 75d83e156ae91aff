"""Windows against slices of the sequence, each visited once an epoch, and the same whenever a run goes on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumilab.dataset.loader import IGNORED, WindowLoader, windows_in_order
from lumilab.dataset.shards import TokenShards
from lumilab.errors import InputError

Publish = Callable[..., TokenShards]
many_shapes = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def starts(batch: np.ndarray, window: int) -> list[int]:
    """Which windows a batch holds, where the tokens count up from 0."""
    for row in batch:
        np.testing.assert_array_equal(row, np.arange(row[0], row[0] + window + 1))
        assert row[0] % window == 0
    return [int(row[0]) // window for row in batch]


@given(tokens=st.integers(20, 400), window=st.integers(1, 19), batch_size=st.integers(1, 9), seed=st.integers(0, 9))
@many_shapes
def test_every_epoch_visits_each_window_once(
    shards_of: Publish, tokens: int, window: int, batch_size: int, seed: int
) -> None:
    loader = WindowLoader(shards_of(np.arange(tokens), shard_tokens=37), window, batch_size, seed)
    assert loader.window_count == (tokens - 1) // window
    steps = -(-3 * loader.window_count // batch_size)
    visited = [place for step in range(steps) for place in starts(loader.batch(step), window)]
    for epoch in range(3):
        part = visited[epoch * loader.window_count : (epoch + 1) * loader.window_count]
        assert sorted(part) == list(range(loader.window_count))


def test_epochs_and_seeds_have_their_own_order(shards_of: Publish) -> None:
    shards = shards_of(np.arange(1_001))
    orders = [tuple(starts(WindowLoader(shards, 10, 100, seed).batch(step), 10)) for seed in (0, 1) for step in (0, 1)]
    assert len(set(orders)) == 4
    assert tuple(range(100)) not in orders


def test_a_step_depends_on_nothing_before_it(shards_of: Publish) -> None:
    shards = shards_of(np.arange(500))
    in_a_row = WindowLoader(shards, 16, 4, 3)
    batches = [in_a_row.batch(step) for step in range(20)]
    for step in (19, 0, 7, 12):
        np.testing.assert_array_equal(WindowLoader(shards, 16, 4, 3).batch(step), batches[step])


def test_the_batch_size_cuts_one_and_the_same_stream(shards_of: Publish) -> None:
    shards = shards_of(np.arange(500))
    streams = [
        np.concatenate([WindowLoader(shards, 16, size, 3).batch(step) for step in range(24 // size)])
        for size in (1, 4, 24)
    ]
    np.testing.assert_array_equal(streams[0], streams[1])
    np.testing.assert_array_equal(streams[0], streams[2])


def test_a_batch_is_the_callers_own(shards_of: Publish) -> None:
    loader = WindowLoader(shards_of(np.arange(100)), 10, 2, 0)
    batch = loader.batch(0)
    assert batch.dtype == np.int64
    assert batch.shape == (2, 11)
    batch[:] = -1
    assert loader.batch(0).min() >= 0


def test_far_steps_are_as_near_as_the_first(shards_of: Publish) -> None:
    loader = WindowLoader(shards_of(np.arange(100)), 10, 4, 0)
    assert sorted(starts(loader.batch(10**15), 10) + starts(loader.batch(10**15 + 1), 10))[-1] < 9


@pytest.mark.parametrize("tokens", [1, 10, 32])
def test_too_few_tokens_are_refused(shards_of: Publish, tokens: int) -> None:
    with pytest.raises(InputError) as error:
        WindowLoader(shards_of(np.arange(tokens)), 32, 1, 0)
    assert "dataset.window" in str(error.value)
    assert "33" in str(error.value)


def test_one_window_is_enough(shards_of: Publish) -> None:
    loader = WindowLoader(shards_of(np.arange(33)), 32, 2, 0)
    assert loader.window_count == 1
    assert starts(loader.batch(0), 32) == [0, 0]


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
