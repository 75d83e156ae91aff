"""Verifying candidates: the exact Jaccard similarity of two documents' sets of shingles, read from their texts.

A task takes the pairs whose later document lies in its range of places, from all bands, each pair once. That spreads
the work: a document has few partners before it (at most SMALL - 1 in each band), while the first of a large group has
all the others after it. Pairs are taken by their earlier document, so that texts are read in their order, a few hundred
pairs at a time, and sets of shingles are kept while they are likely to be needed again, least recently used out first.

The sets are of 64-bit hashes of shingles: exact but for two different shingles of one hash, 2^-64 a pair of them.
Memory of a task: CACHE_BYTES of sets, the texts that STEP pairs speak of, and 16 bytes for each pair of its range.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from lumilab.corpus.deduplication.candidates import PAIRS
from lumilab.corpus.deduplication.clusters import EDGES, SIMILARITIES
from lumilab.corpus.deduplication.places import Integers, Places
from lumilab.corpus.segment import Hashes
from lumilab.corpus.shingles import shingle_hashes
from lumilab.recipe.corpus import MinHashConfig
from lumilab.work.stopping import StopRequest

BINS = 20  # of the histogram of similarities
STEP = 256
BLOCK = 1 << 14  # places whose pairs are held at a time
CACHE_BYTES = 64 << 20


@dataclass(frozen=True)
class VerifyOrder:
    """Pairs whose later place is from `first` to below `last`.

    Attributes:
        places: folder of the table of places.
        pairs: folders of all tasks that found candidates.
    """

    places: Path
    pairs: tuple[Path, ...]
    first: int
    last: int
    config: MinHashConfig


def verify_pairs(order: VerifyOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """A task: the candidates that are similar enough. The answer counts candidates, in all and by similarity in BINS
    equal steps from 0 to 1, and edges."""
    sets = ShingleSets(Places(order.places), order.config.words)
    edges, similarities = [np.zeros((0, 2), np.int64)], [np.zeros(0)]
    candidates, histogram = 0, np.zeros(BINS, np.int64)
    for first in range(order.first, order.last, BLOCK):
        pairs = _pairs_between(order.pairs, first, min(first + BLOCK, order.last))
        candidates += len(pairs)
        if order.config.verify:
            similarity = sets.compare(pairs, stop)
            histogram += np.histogram(similarity, BINS, (0, 1))[0]
            similar = similarity >= order.config.similarity
            pairs, similarity = pairs[similar], similarity[similar]
        else:
            similarity = np.full(len(pairs), np.nan)
        edges.append(pairs)
        similarities.append(similarity)
    np.save(folder / EDGES, np.concatenate(edges))
    np.save(folder / SIMILARITIES, np.concatenate(similarities).astype(np.float32))
    return {"candidates": candidates, "edges": sum(map(len, edges)), "similarities": histogram.tolist()}


def _pairs_between(folders: Sequence[Path], first: int, last: int) -> Integers:
    """The pairs of these later places, each once, by the earlier place and then the later."""
    parts = [np.zeros((0, 2), np.int64)]
    for folder in folders:
        pairs = np.load(folder / PAIRS, mmap_mode="r")
        parts.append(pairs[np.searchsorted(pairs[:, 0], first) : np.searchsorted(pairs[:, 0], last)])
    pairs = np.concatenate(parts)
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    new = np.ones(len(pairs), np.bool_)
    new[1:] = (pairs[1:] != pairs[:-1]).any(axis=1)
    return pairs[new]


class ShingleSets:
    """Sets of shingles of documents, kept within `cache_bytes` besides those in use."""

    def __init__(self, places: Places, words: int, cache_bytes: int = CACHE_BYTES) -> None:
        self._places = places
        self._words = words
        self._limit = cache_bytes
        self._kept: OrderedDict[int, Hashes] = OrderedDict()
        self._bytes = 0

    def compare(self, pairs: Integers, stop: StopRequest) -> npt.NDArray[np.float64]:
        """The Jaccard similarity of each pair of places, int64 [n, 2]: float64 [n]."""
        found = np.empty(len(pairs))
        for first in range(0, len(pairs), STEP):
            stop.check()
            step = pairs[first : first + STEP]
            sets = self._fetch(np.unique(step))
            found[first : first + STEP] = [jaccard(sets[a], sets[b]) for a, b in step.tolist()]
        return found

    def _fetch(self, places: Integers) -> dict[int, Hashes]:
        wanted = dict.fromkeys(places.tolist())
        missing = [place for place in wanted if place not in self._kept]
        for place, document in zip(missing, self._places.documents(np.array(missing, np.int64)), strict=True):
            self._kept[place] = np.unique(shingle_hashes(document.text.encode(), self._words))
            self._bytes += self._kept[place].nbytes
        sets = {}
        for place in wanted:
            self._kept.move_to_end(place)
            sets[place] = self._kept[place]
        while self._bytes > self._limit:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes
        return sets


@njit(cache=True, nogil=True)
def jaccard(left: Hashes, right: Hashes) -> float:
    """Shared over all elements of two sets, each ascending without repetitions: uint64. 0 if both are empty."""
    shared, one, other = 0, 0, 0
    while one < left.size and other < right.size:
        if left[one] == right[other]:
            shared += 1
            one += 1
            other += 1
        elif left[one] < right[other]:
            one += 1
        else:
            other += 1
    union = left.size + right.size - shared
    return shared / union if union else 0.0
