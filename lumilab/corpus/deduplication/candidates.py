"""Candidates for near-duplicates: documents that agree on a band of their MinHash signatures.

Each batch's hashes of each band are sorted; joining takes one band's partition (a range of its hashes) from all batches
and pairs up the documents of each hash. Groups of up to SMALL are paired each with each. In larger ones each document
is paired with the first and with the one before it: two pairs a document, so that a million nearly identical pages cost
two million pairs and not half of 10^12. If the members are as alike as a large group makes likely, that still connects
them; a member far from both goes unnoticed in that band.

Documents that repeat others exactly take no part, and neither do those too short for a shingle. Memory of a task: about
64 bytes for each of a batch's or partition's documents and 16 for each pair it finds (at most SMALL / 2 a document); a
group that agrees on a band is never split, so one larger than a partition takes as much as it needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from lumilab.corpus.deduplication.exact import repeated, rows_between
from lumilab.corpus.deduplication.places import Integers, Run, range_of
from lumilab.corpus.segment import Hashes, Segment
from lumilab.work.stopping import StopRequest

SMALL = 16
PAIRS = "pairs.npy"  # int64 [n, 2]: the later and the earlier place of each pair, ascending, each once


@dataclass(frozen=True)
class BandsOrder:
    """One batch.

    Attributes:
        repeats: folders of all tasks that looked for exact duplicates.
    """

    runs: tuple[Run, ...]
    bands: int
    repeats: tuple[Path, ...]


@dataclass(frozen=True)
class BandJoinOrder:
    """One partition of one band of what the batches left; bounds as for exact duplicates."""

    batches: tuple[Path, ...]
    band: int
    first: int
    last: int | None


def scatter_bands(order: BandsOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """A task: sorts each band's hashes of a batch, with their places: uint64 [n, 2] in a file for each band."""
    first, last = range_of(order.runs)
    gone = repeated(order.repeats, first, last) - first
    documents = 0
    for band in range(order.bands):
        stop.check()
        hashes = np.concatenate([Segment(run.folder).bands()[run.first : run.last, band] for run in order.runs])
        rows = np.column_stack((hashes, np.arange(first, last, dtype=np.uint64)))
        kept = np.ones(last - first, np.bool_)
        kept[gone] = False
        kept &= hashes != 0  # all bands of a text without shingles are zero, and no other's is but by a chance of 2^-64
        rows = rows[kept]
        np.save(folder / _band_file(band), rows[np.argsort(rows[:, 0], kind="stable")])
        documents = len(rows)
    return {"documents": documents}


def _band_file(band: int) -> str:
    return f"band-{band}.npy"


def join_bands(order: BandJoinOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """A task: the pairs of documents that agree on a band, in one partition."""
    parts = []
    for batch in order.batches:
        stop.check()
        rows = np.load(batch / _band_file(order.band), mmap_mode="r")
        parts.append(rows[rows_between(rows[:, 0], order.first, order.last)])
    rows = np.concatenate(parts)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    pairs = pairs_of(rows)
    np.save(folder / PAIRS, pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])
    return {"pairs": len(pairs)}


def pairs_of(rows: Hashes) -> Integers:
    """The pairs of a band's documents: int64 [n, 2], the later place first.

    Args:
        rows: uint64 [documents, 2], hash and place, sorted by both.
    """
    ends = np.append(np.flatnonzero(rows[1:, 0] != rows[:-1, 0]) + 1, len(rows)) if len(rows) else np.zeros(0, np.int64)
    sizes = np.diff(ends, prepend=0)
    counts = np.where(sizes <= SMALL, sizes * (sizes - 1) // 2, 2 * sizes - 3)
    pairs = np.empty((int(counts.sum()), 2), np.int64)
    _fill_pairs(np.ascontiguousarray(rows[:, 1]).astype(np.int64), ends, pairs)
    return pairs


@njit(cache=True, nogil=True)
def _fill_pairs(places: Integers, ends: Integers, pairs: Integers) -> None:
    filled, begin = 0, 0
    for end in ends:
        for later in range(begin + 1, end):
            if end - begin <= SMALL:
                for earlier in range(begin, later):
                    pairs[filled] = places[later], places[earlier]
                    filled += 1
            else:
                pairs[filled] = places[later], places[begin]
                filled += 1
                if later > begin + 1:
                    pairs[filled] = places[later], places[later - 1]
                    filled += 1
        begin = end
