"""Best-fit packing against its plainest form, and against what must hold of any packing: no token lost or doubled."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumilab.dataset.best_fit import BestFitWindows, best_fit_decreasing, cut_documents, pack_windows
from lumilab.dataset.shards import TokenShards

Publish = Callable[..., TokenShards]


def rooms_by_brute_force(lengths: list[int], capacity: int) -> list[int]:
    """The room left in each bin: longest first, each into the fullest bin that has room."""
    rooms: list[int] = []
    for length in sorted(lengths, reverse=True):
        enough = [room for room in rooms if room >= length]
        if enough:
            rooms.remove(min(enough))
        rooms.append((min(enough) if enough else capacity) - length)
    return sorted(rooms)


@given(capacity=st.integers(1, 60), data=st.data())
@settings(max_examples=150)
def test_agrees_with_brute_force(capacity: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=60))
    bins = best_fit_decreasing(np.array(lengths, np.int64), capacity)
    filled = Counter[int]()
    for length, number in zip(lengths, bins.tolist(), strict=True):
        filled[number] += length
    assert sorted(filled) == list(range(len(filled)))
    assert sorted(capacity - size for size in filled.values()) == rooms_by_brute_force(lengths, capacity)


def test_an_example_by_hand() -> None:
    # 7 and 3 fill a bin, 6 and 4 another, and the two 5s a third; first-fit in the given order would need four.
    bins = best_fit_decreasing(np.array([5, 3, 6, 7, 4, 5]), 10)
    assert bins.tolist() == [2, 0, 1, 0, 1, 2]


@pytest.mark.parametrize("length", [0, 11])
def test_a_length_outside_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="not in 1 to 10"):
        best_fit_decreasing(np.array([3, length]), 10)


def test_a_long_document_is_cut_into_windows_and_a_rest() -> None:
    pieces = cut_documents(np.array([0, 25, 28]), np.array([25, 28, 48]), 10)
    assert pieces.tolist() == [[0, 10], [10, 10], [20, 5], [25, 3], [28, 10], [38, 10]]


def test_the_windows_of_nothing() -> None:
    files = pack_windows(np.empty((0, 2), np.int64), 10)
    assert (len(files.ends), files.pieces.shape) == (0, (0, 2))


def check_windows(windows: BestFitWindows, lengths: list[int], window: int) -> None:
    """Every token is in one window, no window holds too many, and a document is cut only where it must be."""
    document_of = np.repeat(np.arange(len(lengths)), lengths)
    places: list[int] = []
    pieces_of = Counter[int]()
    for number in range(windows.count):
        pieces = windows.pieces(number)
        assert 1 <= pieces[:, 1].sum() <= window
        assert (np.diff(pieces[:, 0]) > 0).all()
        for start, length in pieces.tolist():
            (document,) = set(document_of[start : start + length].tolist())
            pieces_of[document] += 1
            places += range(start, start + length)
    assert sorted(places) == list(range(sum(lengths)))
    assert [pieces_of[document] for document in range(len(lengths))] == [-(-length // window) for length in lengths]


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=40), window=st.integers(1, 40))
@settings(max_examples=200)
def test_no_token_is_lost_or_doubled(lengths: list[int], window: int) -> None:
    ends = np.cumsum(lengths)
    files = pack_windows(cut_documents(ends - lengths, ends, window), window)
    check_windows(BestFitWindows([files]), lengths, window)
    assert files.tokens == sum(lengths)


@given(lengths=st.lists(st.integers(1, 70), min_size=1, max_size=20), data=st.data())
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nor_where_documents_go_on_in_the_next_shard(
    shards_of: Publish, lengths: list[int], data: st.DataObject
) -> None:
    window, shard_tokens = data.draw(st.integers(1, 40)), data.draw(st.integers(30, 300))
    shards = shards_of(np.arange(sum(lengths)), lengths, shard_tokens=shard_tokens, best_fit=window)
    assert shards.best_fit is not None
    check_windows(shards.best_fit, lengths, window)


def test_a_window_that_is_not_there_is_an_error(shards_of: Publish) -> None:
    windows = shards_of(np.arange(30), [10, 20], best_fit=10).best_fit
    assert windows is not None
    assert windows.count == 3
    for number in (-1, 3):
        with pytest.raises(IndexError):
            windows.pieces(number)


def test_other_packings_have_no_such_windows(shards_of: Publish) -> None:
    assert shards_of(np.arange(30)).best_fit is None


def test_real_documents_are_cut_less_often_than_one_after_the_other(shards_of: Publish, shared_data: Path) -> None:
    """A byte is a token here: Wikipedia articles of a few hundred to many thousand tokens."""
    with gzip.open(shared_data / "wikipedia-en-2015" / "enwiki-000.jsonl.gz", "rt", encoding="utf-8") as lines:
        lengths = [len(json.loads(line)["text"].encode()) for line in lines]
    window = 8192
    shards = shards_of(np.zeros(sum(lengths), np.uint16), lengths, shard_tokens=2**20, best_fit=window)
    assert shards.best_fit is not None
    ends = np.cumsum(lengths)
    cut_in_a_row = np.mean((ends - lengths) // window != (ends - 1) // window)
    must_be_cut = np.mean(np.array(lengths) > window)
    pieces = np.concatenate([shards.best_fit.pieces(number) for number in range(shards.best_fit.count)])
    cuts = np.setdiff1d(pieces[:, 0], ends - lengths)
    cut = len(np.unique(np.searchsorted(ends, cuts, side="right"))) / len(lengths)
    full = sum(lengths) / (shards.best_fit.count * window)
    print(f"\ncut: {cut:.1%} of {len(lengths)} documents, one after the other {cut_in_a_row:.1%}; {full:.2%} full")  # noqa: T201
    assert cut == must_be_cut < cut_in_a_row
    assert full > 0.97
