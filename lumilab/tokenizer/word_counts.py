"""The words of a text as the `qwen2` pattern cuts it, counted at the speed at which memory can be read.

The pattern's seven alternatives look at four classes of characters only (letters, numbers, white space, others), so a
few comparisons decide where a word ends. Which character is in which class is asked of `tokenizers` itself, because
each version of Unicode has more letters than the last, and words must be cut as its regular expressions cut them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Regex, pre_tokenizers

from lumilab.corpus.compiled import compiled

OTHER, LETTER, NUMBER, SPACE = range(4)
CODES = 0x110000
EMPTY = -1
ASKED_AT_ONCE = 4096  # the time that an answer takes grows faster than the question

Array = npt.NDArray[Any]


class WordCounts:
    """How often each word occurs."""

    def __init__(self) -> None:
        self._classes = character_classes()
        self._slots = np.full(1 << 16, EMPTY, dtype=np.int32)  # a hash table of numbers of words
        self._letters = np.empty(1 << 18, dtype=np.uint32)  # of all words, one after the other
        self._ends = np.empty(1 << 15, dtype=np.int64)  # where in them each word ends
        self._counts = np.empty(1 << 15, dtype=np.int64)
        self._used = np.zeros(2, dtype=np.int64)  # words, letters

    def add(self, texts: Iterable[str]) -> None:
        """Counts the words of some texts; no word goes from one text to the next."""
        for text in texts:
            codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
            place = 0
            while True:
                place = _count(
                    codes, place, self._classes, self._slots, self._letters, self._ends, self._counts, self._used
                )
                if place == codes.size:
                    break
                self._grow()

    def words(self) -> tuple[Array, Array, Array]:
        """The bytes of all words (uint8), where each ends in them (int64), and how often each occurs (int64)."""
        count, letters = self._used
        text = self._letters[:letters].tobytes().decode("utf-32-le")
        codes = self._letters[:letters]
        widths = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
        ends = np.concatenate([[0], np.cumsum(widths)])[self._ends[:count]]
        return np.frombuffer(text.encode(), dtype=np.uint8), ends, self._counts[:count].copy()

    def _grow(self) -> None:
        """More room for words; a word that alone is longer than what there was gets its room in a few rounds."""
        words = self._used[0]
        self._letters = _longer(self._letters)
        self._ends = _longer(self._ends)
        self._counts = _longer(self._counts)
        self._slots = np.full(2 * self._slots.size, EMPTY, dtype=np.int32)
        _fill(self._slots, self._letters, self._ends, words)


def _longer(array: Array) -> Array:
    longer = np.empty(2 * array.size, dtype=array.dtype)
    longer[: array.size] = array
    return longer


@lru_cache(maxsize=1)
def character_classes() -> Array:
    """The class of each code point, shape [0x110000], uint8; surrogates are OTHER."""
    codes = np.concatenate([np.arange(0xD800), np.arange(0xE000, CODES)]).astype(np.uint32)
    classes = np.full(CODES, OTHER, dtype=np.uint8)
    classes[codes] = classes_of(codes)
    return classes


def classes_of(codes: Array) -> Array:
    """The class of each character, uint8.

    Args:
        codes: code points that are no surrogates, uint32.
    """
    classes = np.full(codes.size, OTHER, dtype=np.uint8)
    for pattern, kind in ((r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE)):
        split = pre_tokenizers.Split(Regex(pattern), behavior="removed")
        for begin in range(0, codes.size, ASKED_AT_ONCE):
            asked = codes[begin : begin + ASKED_AT_ONCE]
            # What is left when all that matches is removed does not match.
            matches = np.ones(asked.size, dtype=bool)
            for _, (start, end) in split.pre_tokenize_str(asked.tobytes().decode("utf-32-le")):
                matches[start:end] = False
            classes[begin : begin + asked.size][matches] = kind
    return classes


@compiled
def _count(
    codes: Array, place: int, classes: Array, slots: Array, letters: Array, ends: Array, counts: Array, used: Array
) -> int:
    """Counts words from `place` on; returns the end of the text, or the word for which there is no room."""
    n = codes.size
    mask = slots.size - 1
    while place < n:
        end = word_end(codes, place, n, classes)
        length = end - place
        if 2 * used[0] >= slots.size or used[0] >= ends.size or used[1] + length > letters.size:
            return place
        slot = _hash(codes, place, end) & mask
        while True:
            word = slots[slot]
            if word == EMPTY:
                slots[slot] = used[0]
                letters[used[1] : used[1] + length] = codes[place:end]
                used[1] += length
                ends[used[0]] = used[1]
                counts[used[0]] = 1
                used[0] += 1
                break
            start = ends[word - 1] if word else 0
            if ends[word] - start == length and _same(codes, place, letters, start, length):
                counts[word] += 1
                break
            slot = (slot + 1) & mask
        place = end
    return place


@compiled
def _fill(slots: Array, letters: Array, ends: Array, words: int) -> None:
    """Puts all words into an empty table."""
    mask = slots.size - 1
    start = 0
    for word in range(words):
        slot = _hash(letters, start, ends[word]) & mask
        while slots[slot] != EMPTY:
            slot = (slot + 1) & mask
        slots[slot] = word
        start = ends[word]


@compiled
def _hash(codes: Array, start: int, end: int) -> np.int64:
    """FNV-1a over code points, its high bits folded down."""
    value = np.uint64(14695981039346656037)
    for place in range(start, end):
        value = (value ^ np.uint64(codes[place])) * np.uint64(1099511628211)
    return np.int64((value ^ (value >> np.uint64(29))) & np.uint64(0x7FFFFFFFFFFFFFFF))


@compiled
def _same(codes: Array, place: int, letters: Array, start: int, length: int) -> bool:
    for offset in range(length):  # noqa: SIM110 (numba has no generators here)
        if codes[place + offset] != letters[start + offset]:
            return False
    return True


@compiled
def word_end(codes: Array, place: int, n: int, classes: Array) -> int:
    """Where the word that begins at `place` ends, by the pattern's alternatives in their order."""
    code = codes[place]
    kind = classes[code]
    after = place + 1
    if code == 39:  # '
        end = _contraction(codes, place, n)
        if end:
            return end
    # [^\r\n\p{L}\p{N}]?\p{L}+
    if kind == LETTER or (kind != NUMBER and code not in (10, 13) and after < n and classes[codes[after]] == LETTER):
        while after < n and classes[codes[after]] == LETTER:
            after += 1
        return after
    if kind == NUMBER:
        return after
    #  ?[^\s\p{L}\p{N}]+[\r\n]*
    if kind == OTHER or (code == 32 and after < n and classes[codes[after]] == OTHER):
        while after < n and classes[codes[after]] == OTHER:
            after += 1
        while after < n and codes[after] in (10, 13):
            after += 1
        return after
    return _space_end(codes, place, n, classes)


@compiled
def _space_end(codes: Array, place: int, n: int, classes: Array) -> int:
    r"""White space: up to its last line break (\s*[\r\n]+), or all but its last (\s+(?!\S)), or one (\s+)."""
    end = place
    line_end = 0
    while end < n and classes[codes[end]] == SPACE:
        if codes[end] in (10, 13):
            line_end = end + 1
        end += 1
    if line_end:
        return line_end
    if end == n or end == place + 1:
        return end
    return end - 1


@compiled
def _contraction(codes: Array, place: int, n: int) -> int:
    """Where (?i:'s|'t|'re|'ve|'m|'ll|'d) ends, or 0; the long s is an s when case does not count."""
    if place + 1 >= n:
        return 0
    first = codes[place + 1] | 32  # small letters of ASCII
    if codes[place + 1] == 0x17F or (codes[place + 1] < 128 and first in (115, 116, 109, 100)):
        return place + 2
    if place + 2 < n and codes[place + 1] < 128 and codes[place + 2] < 128:
        second = codes[place + 2] | 32
        if (first == 114 and second == 101) or (first == 118 and second == 101) or (first == 108 and second == 108):
            return place + 3
    return 0
