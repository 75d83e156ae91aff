"""Exact duplicates: documents whose texts have one 128-bit hash, found by partitioning and sorting the hashes.

Scattering takes one batch of documents, keeps the first of each hash and sorts what is left by hash; the first bits of
the hash say which partition it belongs to. Joining takes one partition from all batches, sorts it by hash and place,
and keeps the first of each hash. As every batch has thrown out its own repetitions, a text that occurs a hundred
million times costs a join one row per batch. Memory of a task: about 100 bytes for each of BATCH documents.

Among 10^9 documents the chance that two different texts share a hash is about 10^-21 (birthday bound n^2 / 2^129).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumilab.corpus.deduplication.places import Integers, Run
from lumilab.corpus.segment import Hashes, Segment
from lumilab.work.stopping import StopRequest

BATCH = 1 << 20  # documents of a scattering task, and about as many in a partition
REPEATS = "repeats.npy"  # int64 [n, 2]: place of a document that repeats one before, place of that one; ascending
_ROWS = "rows.npy"  # uint64 [n, 3]: two halves of the hash and the place, by hash


@dataclass(frozen=True)
class ScatterOrder:
    """One batch."""

    runs: tuple[Run, ...]


@dataclass(frozen=True)
class JoinOrder:
    """One partition of what the batches left in their folders.

    Attributes:
        first, last: bounds of the first half of the hash, the last not included; None for no bound.
    """

    batches: tuple[Path, ...]
    first: int
    last: int | None


def partition_bounds(documents: int, size: int) -> list[tuple[int, int | None]]:
    """Equal ranges of a 64-bit hash, as many as it takes for `size` documents in each."""
    count = max(1, -(-documents // size))
    cuts = [number * (1 << 64) // count for number in range(count)]
    return list(zip(cuts, [*cuts[1:], None], strict=True))


def rows_between(sorted_hashes: Hashes, first: int, last: int | None) -> slice:
    """Where the hashes from `first` to below `last` lie in a sorted column."""
    begin = int(np.searchsorted(sorted_hashes, np.uint64(first)))
    return slice(begin, None if last is None else int(np.searchsorted(sorted_hashes, np.uint64(last))))


def scatter_content(order: ScatterOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """A task: sorts a batch's hashes, without the repetitions within the batch, which go into REPEATS."""
    parts = []
    for run in order.runs:
        stop.check()
        places = np.arange(run.place, run.place + run.last - run.first, dtype=np.uint64)
        parts.append(np.column_stack((Segment(run.folder).content()[run.first : run.last], places)))
    rows, repeats = _without_repeats(np.concatenate(parts))
    np.save(folder / _ROWS, rows)
    np.save(folder / REPEATS, repeats)
    return {"repeats": len(repeats)}


def join_content(order: JoinOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """A task: the repetitions between batches, in one partition."""
    parts = []
    for batch in order.batches:
        stop.check()
        rows = np.load(batch / _ROWS, mmap_mode="r")
        parts.append(rows[rows_between(rows[:, 0], order.first, order.last)])
    _, repeats = _without_repeats(np.concatenate(parts))
    np.save(folder / REPEATS, repeats)
    return {"repeats": len(repeats)}


def _without_repeats(rows: Hashes) -> tuple[Hashes, Integers]:
    """The first of each hash, by hash; and who repeats it, by place: int64 [n, 2]."""
    rows = rows[np.lexsort((rows[:, 2], rows[:, 1], rows[:, 0]))]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows[1:, :2] != rows[:-1, :2]).any(axis=1)
    firsts = rows[new]
    winners = firsts[np.cumsum(new) - 1, 2] if len(rows) else rows[:, 2]
    repeats = np.column_stack((rows[~new, 2], winners[~new])).astype(np.int64)
    return firsts, repeats[np.argsort(repeats[:, 0])]


def repeated(folders: Sequence[Path], first: int, last: int) -> Integers:
    """Places from `first` to below `last` that these tasks found to repeat others: ascending, each once."""
    parts = [np.zeros(0, np.int64)]
    for folder in folders:
        places = np.load(folder / REPEATS, mmap_mode="r")[:, 0]
        parts.append(places[np.searchsorted(places, first) : np.searchsorted(places, last)])
    return np.sort(np.concatenate(parts))
