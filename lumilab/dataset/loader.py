"""Windows of tokens for training and validation, straight from the memory-mapped shards.

Window w of a split is tokens w·window to (w + 1)·window, end included: the last token of one window is the first of
the next, so each token but the split's first is predicted exactly once. Training takes the windows in an order that
is a pure function of (seed, step), reshuffled every epoch (`lumilab.dataset.order`), so a run that stops goes on with
the very sample it would have seen. Validation takes them in file order.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lumilab.dataset.order import order_key, permute
from lumilab.dataset.shards import TokenShards
from lumilab.errors import InputError

IGNORED = -100
"""The label of a position that is not predicted: PyTorch's default `ignore_index`."""

Tokens = npt.NDArray[np.int64]


def count_windows(tokens: int, window: int, split: str) -> int:
    """How many whole windows (of `window` predictions each) a split of so many tokens has.

    Raises:
        InputError: not even one.
    """
    if tokens <= window:
        raise InputError(
            f"The {split} split has {tokens:,} tokens, and one window needs {window + 1:,}",
            where="dataset.window",
            mend="lower dataset.window, or add text to corpus.sources.",
        )
    return (tokens - 1) // window


class WindowLoader:
    """The training batches of a run.

    Sample k of the run is window `permute(k % window_count)` of epoch `k // window_count`; step s holds the samples
    from s·batch_size on. Every epoch visits each whole window exactly once. The tokens after the last whole window,
    fewer than `window`, are not trained on.

    Args:
        shards: the split.
        window: predictions in each window.
        batch_size: windows in each step, over all devices.
        seed: names the order.

    Raises:
        InputError: the split is shorter than one window.
    """

    def __init__(self, shards: TokenShards, window: int, batch_size: int, seed: int) -> None:
        self.window_count = count_windows(shards.token_count, window, shards.split)
        self._shards = shards
        self._window = window
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, step: int) -> Tokens:
        """The tokens of a step (int64, shape [batch_size, window + 1]): inputs are [:, :-1], labels are [:, 1:]."""
        samples = np.arange(step * self._batch_size, (step + 1) * self._batch_size, dtype=np.int64)
        epochs, places = np.divmod(samples, self.window_count)
        windows = np.empty_like(samples)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            windows[here] = permute(places[here], self.window_count, order_key(self._seed, int(epoch)))
        tokens = np.empty((self._batch_size, self._window + 1), dtype=np.int64)
        for row, window in zip(tokens, windows.tolist(), strict=True):
            row[:] = self._shards.read(window * self._window, self._window + 1)
        return tokens


def windows_in_order(
    shards: TokenShards, window: int, batch_size: int, limit: int | None = None
) -> Iterator[tuple[Tokens, Tokens]]:
    """A split's windows in file order, as (inputs, labels), both int64 of shape [batch, window].

    Without a limit, each token but the split's first is a label exactly once. The last window is filled up: with 0 as
    input, which nothing attends to because attention is causal, and IGNORED as label. The last batch may have fewer
    rows.

    Args:
        shards: the split.
        window: predictions in each window.
        batch_size: rows in each batch.
        limit: take only this many windows, evenly spread over the split.
    """
    predictions = shards.token_count - 1
    count = -(-predictions // window)
    taken = count if limit is None else min(limit, count)
    starts = np.arange(taken, dtype=np.int64) * count // taken * window
    for first in range(0, taken, batch_size):
        rows = starts[first : first + batch_size].tolist()
        inputs = np.zeros((len(rows), window), dtype=np.int64)
        labels = np.full((len(rows), window), IGNORED, dtype=np.int64)
        for row, start in enumerate(rows):
            length = min(window, predictions - start)
            tokens = shards.read(start, length + 1)
            inputs[row, :length], labels[row, :length] = tokens[:-1], tokens[1:]
        yield inputs, labels
