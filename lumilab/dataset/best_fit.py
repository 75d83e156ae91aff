"""Best-fit packing: documents are laid into windows so that as few as possible are cut.

Ding et al. 2024, "Fewer Truncations Improve Language Modeling" (arXiv 2404.10830), section 3: a document longer than a
window is first cut into pieces as long as a window; then all pieces are packed as bins are in best-fit decreasing
(Johnson 1973): longest first, each into the fullest window that still has room for it, into a new one if none has.
What the paper looks up in a segment tree over the room left is here a set of bits, one for each room, and pieces of one
length are placed together, so that the cost is that of a few array operations for each pair of length and room.

A window holds at most `window` tokens. The pieces of all windows are every token of the sequence exactly once. The
label of a token is the one that follows it in its document, also where a piece ends and its document goes on in
another window; the last token of a document has none. So every token but each document's first is predicted exactly
once.

The windows are made for each shard on its own, from the documents that end there: memory is bounded by a shard's.
Of a shard, `windows-NNNNN.npy` (uint64 [windows]) says where each window's pieces end in `pieces-NNNNN.npy`
(uint64 [pieces, 2]): start in the source's sequence, and length.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]


@dataclass(frozen=True)
class WindowFiles:
    """The windows of a shard: where the pieces of each end (uint64 [windows]), and the pieces (uint64 [pieces, 2])."""

    ends: npt.NDArray[np.uint64]
    pieces: npt.NDArray[np.uint64]

    @property
    def tokens(self) -> int:
        """How many tokens there are in the windows."""
        return int(self.pieces[:, 1].sum())


class BestFitWindows:
    """The windows of one source of a split, by number, read from memory-mapped files.

    Args:
        shards: the windows of each shard.

    Attributes:
        count: how many windows there are.
    """

    def __init__(self, shards: Sequence[WindowFiles]) -> None:
        self._shards = shards
        *self._starts, self.count = accumulate((len(shard.ends) for shard in shards), initial=0)

    def pieces(self, window: int) -> Places:
        """What a window holds (int64, shape [pieces, 2]): start in the source's sequence and length, by start.

        Raises:
            IndexError: there is no such window.
        """
        if not 0 <= window < self.count:
            raise IndexError(f"window {window} of {self.count}")
        number = bisect_right(self._starts, window) - 1
        shard, place = self._shards[number], window - self._starts[number]
        first = int(shard.ends[place - 1]) if place else 0
        return shard.pieces[first : int(shard.ends[place])].astype(np.int64)


def cut_documents(starts: Places, ends: Places, window: int) -> Places:
    """Documents (from `starts` to `ends`, exclusive) as pieces of at most `window` tokens: int64 [pieces, 2], start and
    length, in order. All pieces of a document but its last are as long as a window."""
    lengths = ends - starts
    counts = -(-lengths // window)
    document = np.repeat(np.arange(len(lengths)), counts)
    place = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    piece_starts = starts[document] + place * window
    return np.stack([piece_starts, np.minimum(window, ends[document] - piece_starts)], axis=1)


def pack_windows(pieces: Places, window: int) -> WindowFiles:
    """Lays pieces into windows. The windows are in the order in which they were begun, their pieces in that given.

    Args:
        pieces: int64 [pieces, 2], start and length; lengths are 1 to `window`.
        window: the most tokens in one.
    """
    bins = best_fit_decreasing(pieces[:, 1], window)
    order = np.argsort(bins, kind="stable")
    ends = np.cumsum(np.bincount(bins)) if len(bins) else bins
    return WindowFiles(ends.astype("<u8"), pieces[order].astype("<u8"))


def best_fit_decreasing(lengths: Places, capacity: int) -> Places:
    """The bin of each item (int64, bins are numbered as they are begun).

    Args:
        lengths: of the items, 1 to `capacity`, in any order.
        capacity: of every bin.

    Raises:
        ValueError: a length is outside.
    """
    if len(lengths) and not (lengths.min() >= 1 and lengths.max() <= capacity):
        raise ValueError(f"a length is not in 1 to {capacity}")
    bins = np.empty(len(lengths), np.int64)
    order = np.argsort(-lengths, kind="stable")
    values, counts = np.unique(lengths, return_counts=True)
    rooms = _Rooms(capacity)
    first = 0
    for length, count in zip(values[::-1].tolist(), counts[::-1].tolist(), strict=True):
        _place(order[first : first + count], length, rooms, bins)
        first += count
    return bins


def _place(items: Places, length: int, rooms: _Rooms, bins: Places) -> None:
    """Places items of one length.

    The first goes into a fullest bin that has room. That bin is then the fullest of all, so it takes items for as long
    as it has room; then comes the next. So all bins of one room are filled at once.
    """
    while len(items):
        room, taken = rooms.fullest(length, len(items))
        each = room // length
        placed = min(len(items), len(taken) * each)
        bins[items[:placed]] = np.repeat(taken, each)[:placed]
        items = items[placed:]
        in_last = placed - (len(taken) - 1) * each
        rooms.give_back(taken[:-1], room - each * length)
        rooms.give_back(taken[-1:], room - in_last * length)


class _Rooms:
    """The bins that have been begun, by the room left in them."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._begun = 0
        self._stacks: dict[int, list[Places]] = {}
        self._there = 0  # bit r is set where there are bins with room r

    def fullest(self, length: int, items: int) -> tuple[int, Places]:
        """The least room that is enough for one item of this length, and bins with it: no more than the items fill.
        They are new ones where none of those begun has the room."""
        enough = self._there >> length
        if not enough:
            needed = -(-items // (self._capacity // length))
            self._begun += needed
            return self._capacity, np.arange(self._begun - needed, self._begun)
        room = length + (enough & -enough).bit_length() - 1
        needed = -(-items // (room // length))
        stack = self._stacks[room]
        taken: list[Any] = []
        while stack and needed:
            top = stack.pop()
            taken.append(top[:needed])
            if len(top) > needed:
                stack.append(top[needed:])
            needed -= len(taken[-1])
        if not stack:
            self._there ^= 1 << room
        return room, np.concatenate(taken)

    def give_back(self, bins: Places, room: int) -> None:
        if len(bins) and room:
            self._stacks.setdefault(room, []).append(bins)
            self._there |= 1 << room
