"""Training windows as views of a source's tokens: nothing is copied or written to pack them.

A window is `window` input tokens and the label of each: the token that follows it. How windows lie in the sequence is
the packing's choice:

- concat: window w is tokens w·window to (w + 1)·window, end included, so that each token but the sequence's first is
  predicted exactly once;
- sliding: the same with a stride of window - overlap, so that most tokens are predicted more than once, with more text
  before them the second time;
- best fit: the pieces that `lumilab.dataset.best_fit` laid together. What it leaves free of a window is filled up with
  0, which has no label, and the last token of a document has none either.

Documents begin where the stored ends say, never where an end-of-text token is seen: text may hold one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lumilab.dataset.order import permute
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.windows import RegularWindows
from lumilab.recipe.dataset import DatasetConfig

IGNORED = -100
"""The label of a position that is not predicted: PyTorch's default `ignore_index`."""
FILLER = 0
"""The input where a window has no token: nothing attends to it, because attention is causal and it comes last."""

Tokens = npt.NDArray[np.int64]
Row = npt.NDArray[np.signedinteger[Any]]


class Windows(Protocol):
    """The windows of one source of a split.

    Attributes:
        source: the corpus source's name.
        window: tokens in each.
        count: how many there are.
    """

    source: str
    window: int
    count: int

    def fill(self, number: int, inputs: Row, labels: Row) -> None:
        """Writes a window's inputs and labels (signed integers, shape [window] each) into the given rows."""
        ...

    def document_starts(self, number: int) -> Tokens:
        """Where in the window's inputs a document begins behind the first place (int64 in 1 to window - 1, rising)."""
        ...


class StridedWindows:
    """The windows of concat and sliding packing: one begins every so many tokens.

    Args:
        shards: the source's tokens.
        places: where the windows lie.
    """

    def __init__(self, shards: TokenShards, places: RegularWindows) -> None:
        self.source = shards.source
        self.window = places.window
        self.count = places.count(shards.token_count)
        self._stride = places.stride
        self._shards = shards

    def fill(self, number: int, inputs: Row, labels: Row) -> None:
        tokens = self._shards.read(number * self._stride, self.window + 1)
        inputs[:] = tokens[:-1]
        labels[:] = tokens[1:]

    def document_starts(self, number: int) -> Tokens:
        return self._shards.ends_within(number * self._stride, self.window - 1)


class PieceWindows:
    """The windows that best-fit packing made of pieces of documents.

    Args:
        shards: the source's tokens, with their best-fit windows.
        window: the most tokens in one.
    """

    def __init__(self, shards: TokenShards, window: int) -> None:
        if shards.best_fit is None:
            raise ValueError("these shards were not packed by best fit")
        self.source = shards.source
        self.window = window
        self.count = shards.best_fit.count
        self._shards = shards
        self._packed = shards.best_fit

    def fill(self, number: int, inputs: Row, labels: Row) -> None:
        at = 0
        for start, length in self._packed.pieces(number).tolist():
            behind = at + length
            ends_document = self._shards.ends_within(start + length - 1, 1).size > 0
            tokens = self._shards.read(start, length + (not ends_document))
            inputs[at:behind] = tokens[:length]
            labels[at : at + len(tokens) - 1] = tokens[1:]
            if ends_document:
                labels[behind - 1] = IGNORED
            at = behind
        inputs[at:], labels[at:] = FILLER, IGNORED

    def document_starts(self, number: int) -> Tokens:
        """The starts of the pieces behind the first, and of the filler."""
        ends = np.cumsum(self._packed.pieces(number)[:, 1])
        return ends[ends < self.window]


class DrawnWindows:
    """Some of another's windows, drawn at random without a list: places `first` to `first + count` of an order.

    Args:
        windows: those to draw from.
        first, count: which places of the order; two ranges that do not overlap have no window in common.
        key: names the order (`lumilab.dataset.order.order_key`).
    """

    def __init__(self, windows: Windows, first: int, count: int, key: int) -> None:
        self.source, self.window, self.count = windows.source, windows.window, count
        self._windows, self._first, self._key = windows, first, key

    def fill(self, number: int, inputs: Row, labels: Row) -> None:
        self._windows.fill(self._numbered(number), inputs, labels)

    def document_starts(self, number: int) -> Tokens:
        return self._windows.document_starts(self._numbered(number))

    def _numbered(self, number: int) -> int:
        return permute(self._first + number, self._windows.count, self._key)


def windows_of(shards: TokenShards, config: DatasetConfig) -> Windows:
    """A source's windows as the dataset packs them."""
    if config.packing == "best_fit":
        return PieceWindows(shards, config.window)
    return StridedWindows(shards, RegularWindows.of(config))


@dataclass(frozen=True)
class Boundaries:
    """Where documents begin in a batch of windows, in the forms that attention kernels take.

    A row begins a document of its own: what a window has of a document that began before it counts as the whole.

    Attributes:
        cu_seqlens: of all rows one after the other, the start of each document, and the end of the last (int32,
            shape [documents + 1], from 0 to rows · window), as FlashAttention's variable-length kernels want them.
        positions: of each token in its document (int64, shape [rows, window]).
        documents: the number in its row of each token's document (int64, shape [rows, window]).
    """

    cu_seqlens: npt.NDArray[np.int32]
    positions: Tokens
    documents: Tokens

    @classmethod
    def of(cls, starts: Iterable[Tokens], window: int) -> Boundaries:
        """The boundaries of rows whose documents begin at 0 and at these places (`Windows.document_starts`)."""
        begins = [np.concatenate(([0], places)) + row * window for row, places in enumerate(starts)]
        marks, total = np.concatenate(begins), len(begins) * window
        lengths = np.diff(marks, append=total)
        positions = np.arange(total) - np.repeat(marks, lengths)
        first_of_row = np.cumsum([0, *map(len, begins[:-1])])
        numbers = np.arange(len(marks)) - np.repeat(first_of_row, [len(row) for row in begins])
        documents = np.repeat(numbers, lengths)
        return cls(
            np.append(marks, total).astype(np.int32), positions.reshape(-1, window), documents.reshape(-1, window)
        )
