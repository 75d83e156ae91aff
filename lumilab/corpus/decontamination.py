"""Decontamination: which documents hold pieces of evaluation sets.

A piece is a run of `words` normalised words (13 by default), normalised and hashed like the shingles of deduplication
(shingles.py). Every string of every record of an evaluation set is an item, whatever its field: question, choices,
passage, answer. An item of at least that many words gives all its pieces. A shorter one is one piece as a whole if it
has at least SHORTEST words; what is shorter still ("the capital of France") stands in too many innocent texts to mean
anything. A text file is one item.

Of a document, the share found is the number of its pieces that are known, and of places where a whole short item
stands, over the number of its pieces (1 for a document too short for one). The default share of 0 drops a document for
one piece.

Others do it thus. GPT-3 (Brown et al., 2020, appendix C) uses the same 13 words, for sets of short examples down to 8,
but cuts out 200 characters to each side of a match and keeps the rest, drops documents that fall into more than ten
pieces, and ignores runs found in more than ten documents as common phrases. datatrove's `NGramsDecontFilter` drops a
document for one run of 12 words, and looks for the answer and for runs from the question into the answer, not, by
default, for the question alone; items of fewer words than a run are not looked for.

In memory: 8 bytes for each piece and 2 for its set, memory-mapped and so shared by all processes, and of each process
a table of 2 to 4 bytes for each piece, in which nineteen of twenty runs of a clean document end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from numba import njit

from lumilab.artifact import canonical_json
from lumilab.corpus.evaluation_sets import items, named_sets
from lumilab.corpus.shingles import shingle_hashes
from lumilab.errors import InputError
from lumilab.work.stopping import StopRequest

SHORTEST = 8
Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Hit:
    """What of a document is known from evaluation sets.

    Attributes:
        share: of its pieces, from 0 to 1.
        name: the set that holds most of them, the first of equal ones; empty if nothing was found.
    """

    share: float
    name: str


class Contamination:
    """The pieces of evaluation sets. A piece that several sets hold belongs to the first."""

    def __init__(
        self,
        words: int,
        names: Sequence[str],
        pieces: Hashes,
        sets: npt.NDArray[np.uint16],
        lengths: Sequence[int],
        beginnings: Hashes,
    ) -> None:
        """
        Args:
            words: in a piece.
            names: of the sets.
            pieces: their hashes, uint64, ascending, each once.
            sets: uint16, which set each piece belongs to.
            lengths: of the short items there are, in words.
            beginnings: of the short items: hashes of their first SHORTEST words, uint64, each once.
        """
        self.words = words
        self.names = list(names)
        self._pieces = pieces
        self._sets = sets
        self._lengths = list(lengths)
        self._beginnings = beginnings

    @classmethod
    def build(cls, paths: Sequence[str], words: int, stop: StopRequest | None = None) -> Self:
        """Reads evaluation sets: .jsonl, .json, .csv, .tsv, .parquet, .txt, also compressed.

        Raises:
            InputError: a path does not exist, a record cannot be read, or there is no piece in any of them.
        """
        gathered = _Gathered(words)
        for name, files in named_sets(paths):
            for file in files:
                for item in items(file):
                    if stop is not None:
                        stop.check()
                    gathered.add(name, item)
        pieces, firsts = np.unique(_joined(gathered.pieces), return_index=True)
        if len(pieces) == 0:
            raise InputError(
                f"The evaluation sets hold no text of {min(words, SHORTEST)} words or more",
                where=", ".join(paths),
                mend="check decontamination.paths, or lower decontamination.words.",
            )
        sets = np.repeat(np.array(gathered.sets, np.uint16), [len(each) for each in gathered.pieces])[firsts]
        beginnings = np.unique(_joined(gathered.beginnings))
        return cls(words, gathered.names, pieces, sets, sorted(gathered.lengths), beginnings)

    def save(self, folder: Path) -> None:
        """Writes `pieces.npy`, `sets.npy`, `beginnings.npy` and `facts.json`."""
        np.save(folder / "pieces.npy", self._pieces)
        np.save(folder / "sets.npy", self._sets)
        np.save(folder / "beginnings.npy", self._beginnings)
        facts = {"words": self.words, "names": self.names, "lengths": self._lengths}
        (folder / "facts.json").write_bytes(canonical_json(facts))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote, memory-mapped."""
        facts = json.loads((folder / "facts.json").read_bytes())
        pieces = np.load(folder / "pieces.npy", mmap_mode="r")
        sets = np.load(folder / "sets.npy", mmap_mode="r")
        beginnings = np.load(folder / "beginnings.npy")
        return cls(facts["words"], facts["names"], pieces, sets, facts["lengths"], beginnings)

    def counts(self) -> dict[str, int]:
        """How many pieces each set has, in the order of the sets."""
        counts = np.bincount(self._sets, minlength=len(self.names))
        return dict(zip(self.names, counts.tolist(), strict=True))

    def hits(self, data: bytes) -> Hit:
        """What of a UTF-8 text is known."""
        runs = shingle_hashes(data, self.words)
        found = self._sets_of(runs)
        # Short items are looked for as a whole only where the beginning of one is found, which is seldom.
        if self._lengths and len(self._short_table.found(shingle_hashes(data, SHORTEST))) > 0:
            found = np.concatenate([found, *(self._sets_of(shingle_hashes(data, words)) for words in self._lengths)])
        if len(found) == 0:
            return Hit(0.0, "")
        name = self.names[int(np.argmax(np.bincount(found)))]
        return Hit(min(1.0, len(found) / max(1, len(runs))), name)

    def _sets_of(self, runs: Hashes) -> npt.NDArray[np.uint16]:
        """The sets of those runs that are pieces, one for each."""
        found: npt.NDArray[np.uint16] = self._sets[self._table.found(runs)]
        return found

    @cached_property
    def _table(self) -> _Table:
        return _Table(self._pieces)

    @cached_property
    def _short_table(self) -> _Table:
        return _Table(self._beginnings)


class _Gathered:
    """What `build` has read so far."""

    def __init__(self, words: int) -> None:
        self._words = words
        self.names: list[str] = []
        self.pieces: list[Hashes] = []
        self.sets: list[int] = []  # of each array of pieces
        self.lengths: set[int] = set()
        self.beginnings: list[Hashes] = []

    def add(self, name: str, item: str) -> None:
        """Takes one item of the set of this name."""
        if name not in self.names:
            self.names.append(name)
        data = item.encode(errors="replace")  # JSON can spell lone surrogates
        length = len(shingle_hashes(data, 1))
        if SHORTEST <= length < self._words:
            self.lengths.add(length)
            self.beginnings.append(shingle_hashes(data, SHORTEST)[:1])
        elif length < self._words:
            return
        self.pieces.append(shingle_hashes(data, min(length, self._words)))
        self.sets.append(self.names.index(name))


class _Table:
    """Finds hashes in an ascending array. A bit for each value of their first bits turns most of those away that are
    not there."""

    def __init__(self, hashes: Hashes) -> None:
        # One kind of array for the compiled code, whether it was built or mapped.
        self._hashes = np.asarray(hashes).view()
        self._hashes.setflags(write=False)
        bits = len(hashes).bit_length() + 4
        self._shift = np.uint64(64 - bits)
        there = np.zeros(1 << bits, np.bool_)
        there[(hashes >> self._shift).astype(np.int64)] = True
        self._there = np.packbits(there, bitorder="little")

    def found(self, wanted: Hashes) -> npt.NDArray[np.int64]:
        """Where those of the wanted hashes that are held lie in the array, one for each."""
        out = np.empty(len(wanted), np.int64)
        return out[: _find(wanted, self._hashes, self._there, self._shift, out)]


@njit(cache=True, nogil=True)
def _find(
    wanted: Hashes, hashes: Hashes, there: npt.NDArray[np.uint8], shift: np.uint64, out: npt.NDArray[np.int64]
) -> int:
    """Fills `out`; returns how many were found."""
    count = 0
    for hash_ in wanted:
        place = hash_ >> shift
        if (np.uint64(there[place >> np.uint64(3)]) >> (place & np.uint64(7))) & np.uint64(1):
            at = np.searchsorted(hashes, hash_)
            if at < hashes.size and hashes[at] == hash_:
                out[count] = at
                count += 1
    return count


def _joined(arrays: Sequence[Hashes]) -> Hashes:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.uint64)
