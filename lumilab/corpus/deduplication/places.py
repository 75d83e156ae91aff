"""Places: every accepted document's number in the order of preference, which is all that deduplication knows of it.

Of two documents that repeat each other the one with the smaller place stays. Segments of a smaller rank (the priority
of their source) come first, and within a rank everything is in the corpus's order, so each segment's documents have a
run of places of their own, and a place is a document's identity as well as its precedence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from lumilab.corpus.document import Document
from lumilab.corpus.segment import Segment
from lumilab.work.stopping import StopRequest

Integers = npt.NDArray[np.int64]
_FOLDERS = "folders.json"
_STARTS = "starts.npy"


@dataclass(frozen=True)
class PlacesOrder:
    """All segments in the corpus's order.

    Attributes:
        folders: of the segments.
        starts: place of each segment's first document.
        documents: of all of them.
    """

    folders: tuple[Path, ...]
    starts: tuple[int, ...]
    documents: int


def order_places(folders: Sequence[Path], lengths: Sequence[int], ranks: Sequence[int]) -> PlacesOrder:
    """Gives every document its place, from the segments' lengths and ranks in the corpus's order."""
    starts = [0] * len(folders)
    place = 0
    for number in sorted(range(len(folders)), key=lambda number: (ranks[number], number)):
        starts[number] = place
        place += lengths[number]
    return PlacesOrder(tuple(folders), tuple(starts), place)


def write_places(order: PlacesOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """A task: writes the table that `Places` reads, so that the orders of later tasks need only name it."""
    np.save(folder / _STARTS, np.array(order.starts, np.int64))
    (folder / _FOLDERS).write_bytes(orjson.dumps([str(path) for path in order.folders]))
    return {"documents": order.documents}


class Places:
    """Finds documents by place, and places by segment. Memory: a number and a path for each segment."""

    def __init__(self, folder: Path) -> None:
        """Args: folder: what `write_places` left."""
        self.folders = [Path(path) for path in orjson.loads((folder / _FOLDERS).read_bytes())]
        self.starts: Integers = np.load(folder / _STARTS)
        # Of segments that begin at one place all but the last are empty; the sort keeps their order.
        lengths = [len(Segment(path)) for path in self.folders]
        self._order = np.lexsort((lengths, self.starts))
        self._ordered = self.starts[self._order]

    def documents(self, places: Integers) -> Iterator[Document]:
        """The documents at these ascending places; each compressed frame that holds any of them is read once."""
        first = 0
        while first < len(places):
            number = int(np.searchsorted(self._ordered, places[first], side="right")) - 1
            end = self._ordered[number + 1] if number + 1 < len(self._ordered) else np.iinfo(np.int64).max
            last = first + int(np.searchsorted(places[first:], end))
            segment = Segment(self.folders[int(self._order[number])])
            yield from segment.documents((places[first:last] - self._ordered[number]).tolist())
            first = last


@dataclass(frozen=True)
class Run:
    """Documents first to last - 1 of a segment; `place` is that of the first of them."""

    folder: Path
    first: int
    last: int
    place: int


def batches(order: PlacesOrder, lengths: Sequence[int], size: int) -> list[tuple[Run, ...]]:
    """Cuts all documents, in order of place, into batches of `size`; the last may have fewer."""
    found: list[tuple[Run, ...]] = []
    gathered: list[Run] = []
    free = size
    for number in np.lexsort((np.array(lengths, np.int64), np.array(order.starts, np.int64))).tolist():
        first = 0
        while first < lengths[number]:
            last = min(lengths[number], first + free)
            gathered.append(Run(order.folders[number], first, last, order.starts[number] + first))
            free -= last - first
            first = last
            if free == 0:
                found.append(tuple(gathered))
                gathered, free = [], size
    if gathered:
        found.append(tuple(gathered))
    return found


def range_of(runs: Sequence[Run]) -> tuple[int, int]:
    """First place and the one behind the last of a batch, whose runs follow one another."""
    return runs[0].place, runs[-1].place + runs[-1].last - runs[-1].first
