"""One text as the kernels see it: decoded, flagged and split into words, in arrays that are used again for the next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lumilab.corpus.filters.c4_lines import LineRules, Remains, filter_lines
from lumilab.corpus.filters.characters import character_flags
from lumilab.corpus.filters.quality_counts import (
    LineCounts,
    LineShapes,
    WordCounts,
    count_lines,
    count_words,
    shape_of_lines,
)
from lumilab.corpus.filters.repetition import (
    Repeats,
    hash_words,
    longest_run,
    repeated_parts,
    repeated_runs,
    shared_beginnings,
    table_size,
    top_run,
)
from lumilab.corpus.filters.reunite import reunite, runs
from lumilab.corpus.filters.text import Hashes, Positions, decode
from lumilab.corpus.filters.words import split, word_rules

_FIRST_CAPACITY = 1 << 16
_UNKNOWN = 1 << 30  # no run has as many words


class Workspace:
    """The current text's counts, worked out when they are asked for. Not for two threads at once.

    Memory: about 100 bytes for each character of the longest text so far.
    """

    def __init__(self) -> None:
        self._flags = character_flags()
        self._rules = word_rules()
        self._runs = runs()
        self._allocate(_FIRST_CAPACITY)

    def read(self, text: str) -> None:
        """Takes a text: `size` is its number of characters, `word_count` of its words."""
        data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        if data.size > self._capacity:
            self._allocate(max(data.size, 2 * self._capacity))
        self._characters, self._kinds = self._input
        self.size = decode(data, self._flags, self._characters, self._kinds)
        count = split(self._characters, self._kinds, 0, self.size, self._rules, self._starts, self._ends, self._scratch)
        self.word_count = reunite(self._characters, count, self._rules, self._runs, self._starts, self._ends)
        self._hashed = False
        self._shortest_run = _UNKNOWN

    def words(self) -> list[tuple[int, int]]:
        """The bounds of each word, in characters."""
        count = self.word_count
        return list(zip(self._starts[:count].tolist(), self._ends[:count].tolist(), strict=True))

    def repeated_parts(self, line_ends: int, *, strip: bool = False, skip_blank: bool = False) -> Repeats:
        """Parts between at least `line_ends` new lines that were there before; see `repetition.repeated_parts`."""
        return repeated_parts(self._characters, self._kinds, self.size, line_ends, strip, skip_blank, self._table)

    def top_run(self, size: int) -> tuple[int, int]:
        """How often the most frequent run of `size` words is there, and its characters."""
        self._hash()
        return top_run(self._words, self._lengths, self.word_count, size, self._table, self._times, self._places)

    def longest_run(self, size: int) -> int:
        """The characters of the longest run of `size` words."""
        self._hash()
        return longest_run(self._lengths, self.word_count, size)

    def repeated_runs(self, size: int) -> int:
        """The characters of runs of `size` words that were there before."""
        self._hash()
        if size < self._shortest_run:
            number = shared_beginnings(
                self._prefix,
                self._inverse,
                self._lengths,
                self.word_count,
                self._table,
                self._places,
                self._shared,
                size,
                self._candidates,
            )
            self._repeatable = self._candidates[:number]
        self._shortest_run = size
        if len(self._repeatable) == 0:
            return 0
        return repeated_runs(
            self._prefix, self._inverse, self._lengths, self.word_count, size, self._repeatable, self._table
        )

    def count_words(self, stop_words: Hashes, longest_stop_word: int) -> WordCounts:
        """What Gopher's rules count in words."""
        return count_words(
            self._characters, self._kinds, self._starts, self._ends, self.word_count, stop_words, longest_stop_word
        )

    def count_lines(self) -> LineCounts:
        """What Gopher's rules count in lines and signs."""
        return count_lines(self._characters, self._kinds, self.size)

    def shape_of_lines(self, ascii_stops: bool, short_line: int) -> LineShapes:
        """What FineWeb's rules count in lines."""
        return shape_of_lines(self._characters, self._kinds, self.size, ascii_stops, short_line)

    def longest_lines(self, number: int) -> list[int]:
        """The lengths of the `number` longest lines, the longest first; fewer if there are fewer lines."""
        ends = np.flatnonzero(self._characters[: self.size] == ord("\n"))
        lengths = np.diff(ends, prepend=-1, append=self.size) - 1
        return sorted(lengths.tolist(), reverse=True)[:number]

    def filter_lines(self, rules: LineRules) -> int:
        """Applies C4's rules; returns the outcome. If it is KEPT, the rest is now the text, without single words."""
        remains: Remains = filter_lines(
            self._characters,
            self._kinds,
            self.size,
            self._starts,
            self._ends,
            self.word_count,
            rules,
            self._rules,
            self._runs,
            *self._left,
        )
        self._characters = self._left[0][remains.first :]
        self._kinds = self._left[1][remains.first :]
        self.size = remains.end - remains.first
        self.word_count = remains.words
        return remains.outcome

    def text(self) -> str:
        """The characters as they are now."""
        return self._characters[: self.size].tobytes().decode("utf-32-le", "surrogatepass")

    def _hash(self) -> None:
        if not self._hashed:
            hash_words(
                self._characters,
                self._starts,
                self._ends,
                self.word_count,
                self._prefix,
                self._inverse,
                self._words,
                self._lengths,
            )
            self._hashed = True

    def _allocate(self, capacity: int) -> None:
        self._capacity = capacity
        room = capacity + 2
        self._input = np.zeros(room, np.uint32), np.zeros(room, np.uint32)
        self._left = np.zeros(room, np.uint32), np.zeros(room, np.uint32)
        self._starts, self._ends, self._scratch, self._lengths, self._candidates = (_integers(room) for _ in range(5))
        self._repeatable = self._candidates[:0]
        self._prefix: Hashes = np.empty(room, np.uint64)
        self._inverse: Hashes = np.empty(room, np.uint64)
        self._words: Hashes = np.empty(room, np.uint64)
        self._shared: npt.NDArray[np.bool_] = np.empty(room, np.bool_)
        slots = table_size(room)
        self._table: Hashes = np.empty(slots, np.uint64)
        self._times: Positions = _integers(slots)
        self._places: Positions = _integers(slots)


def _integers(size: int) -> npt.NDArray[np.int32]:
    return np.empty(size, np.int32)
