"""Windows of every packing against slices of the documents, and the document boundaries against PyTorch's own masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lumilab.dataset.order import order_key
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.views import IGNORED, Boundaries, DrawnWindows, PieceWindows, StridedWindows, Windows
from lumilab.dataset.windows import RegularWindows
from lumilab.model.transformer import document_positions

Publish = Callable[..., TokenShards]
many_shapes = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
lengths_of_documents = st.lists(st.integers(1, 30), min_size=1, max_size=25)


def filled(windows: Windows, number: int) -> tuple[np.ndarray, np.ndarray]:
    inputs, labels = np.full((2, windows.window), -7, dtype=np.int64)
    windows.fill(number, inputs, labels)
    return inputs, labels


@given(lengths_of_documents, st.integers(1, 20), st.integers(1, 20))
@many_shapes
def test_regular_windows_are_slices(shards_of: Publish, lengths: list[int], window: int, stride: int) -> None:
    stride = min(stride, window)
    tokens = np.arange(sum(lengths)) * 11 % 60_000
    windows = StridedWindows(shards_of(tokens, lengths, shard_tokens=23), RegularWindows(window, stride))
    starts = range(0, len(tokens) - window, stride)
    assert windows.count == len(starts)
    begins = {0, *np.cumsum(lengths).tolist()}
    for number, start in enumerate(starts):
        inputs, labels = filled(windows, number)
        np.testing.assert_array_equal(inputs, tokens[start : start + window])
        np.testing.assert_array_equal(labels, tokens[start + 1 : start + window + 1])
        expected = [place for place in range(1, window) if start + place in begins]
        assert windows.document_starts(number).tolist() == expected


@given(lengths_of_documents, st.integers(1, 20))
@many_shapes
def test_best_fit_predicts_every_token_of_a_document_but_the_first(
    shards_of: Publish, lengths: list[int], window: int
) -> None:
    tokens = np.arange(1, sum(lengths) + 1)
    ends = np.cumsum(lengths)
    windows = PieceWindows(shards_of(tokens, lengths, shard_tokens=40, best_fit=window), window)
    read: list[int] = []
    predicted: list[int] = []
    for number in range(windows.count):
        inputs, labels = filled(windows, number)
        real = inputs != 0
        read += inputs[real].tolist()
        assert (labels[~real] == IGNORED).all()
        trained = labels != IGNORED
        np.testing.assert_array_equal(labels[trained], inputs[trained] + 1)
        assert set(inputs[real & ~trained].tolist()) <= set(ends.tolist()), "only a document's last token has no label"
        predicted += labels[trained].tolist()
        # Within a window a new document begins where the next token is not the one behind; the filler is one, too.
        breaks = (np.flatnonzero(np.diff(inputs) != 1) + 1).tolist()
        breaks = [place for place in breaks if real[place] or real[place - 1]]
        found = windows.document_starts(number).tolist()
        assert set(breaks) <= set(found)
        assert all(place in breaks or inputs[place] - 1 in ends for place in found)
    assert sorted(read) == tokens.tolist()
    assert sorted(predicted) == sorted(set(tokens.tolist()) - {1, *(ends[:-1] + 1).tolist()})


@given(st.lists(st.sets(st.integers(1, 11)), min_size=1, max_size=5))
def test_boundaries_are_what_attention_takes(rows: list[set[int]]) -> None:
    found = Boundaries.of([np.array(sorted(row), dtype=np.int64) for row in rows], 12)
    begins = [12 * number + place for number, row in enumerate(rows) for place in (0, *sorted(row))]
    assert found.cu_seqlens.dtype == np.int32
    assert found.cu_seqlens.tolist() == [*begins, 12 * len(rows)]
    assert found.documents.tolist() == [
        [sum(start <= place for start in row) for place in range(12)] for row in rows
    ]  # fmt: skip
    expected = document_positions(torch.from_numpy(found.documents))
    np.testing.assert_array_equal(found.positions, expected.numpy())


def test_drawn_windows_are_some_of_the_others_each_once(shards_of: Publish) -> None:
    windows = StridedWindows(shards_of(np.arange(1_001), [250, 751]), RegularWindows(10, 10))
    key = order_key("held out")
    kept, held = DrawnWindows(windows, 0, 83, key), DrawnWindows(windows, 83, 17, key)
    numbers = [[int(filled(part, number)[0][0]) // 10 for number in range(part.count)] for part in (kept, held)]
    assert sorted(numbers[0] + numbers[1]) == list(range(100))
    assert numbers[1] != sorted(numbers[1])
    for number, original in enumerate(numbers[0]):
        np.testing.assert_array_equal(kept.document_starts(number), windows.document_starts(original))
