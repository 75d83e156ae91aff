"""Puts special words together again that the rules took apart: the last step of spaCy's word splitting.

A special word that has affixes of its own, such as "Mr." or ":)", is also looked for as a run of words ("foo/Mr." gives
"foo", "/", "Mr", "." and then "Mr."). Of overlapping finds the longest counts, then the first; a shorter one is dropped
when its first or last word was in any find before it, dropped ones included. A run with a space between its words is
no special word, but stands in the way of shorter ones all the same.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.affixes import UNITS
from lumilab.corpus.filters.characters import character_flags
from lumilab.corpus.filters.special_words import special_words
from lumilab.corpus.filters.text import BASE, Characters, Hashes, Positions, decode
from lumilab.corpus.filters.word_table import LONGEST_WORD, look_up, word_table
from lumilab.corpus.filters.words import add_pieces, special_pieces, split

_SPACE = ord(" ")


class Runs(NamedTuple):
    """Special words as the rules split them: `words` maps a word to that, `begins` (uint8 [2^16]) filters word pairs.

    `begins` is indexed by the last character of one word and the first of the next, and holds the greatest length of a
    word that such a run begins with.
    """

    words: Hashes
    begins: npt.NDArray[np.uint8]


@lru_cache(maxsize=1)
def runs() -> Runs:
    """The special words that the rules, not knowing them, split into several; computed once."""
    bare = word_table({}, UNITS.split())
    begins = np.zeros(1 << 16, np.uint8)
    apart: dict[str, tuple[str, ...]] = {}
    for word in special_words():
        data = np.frombuffer(word.encode(), np.uint8)
        characters, kinds = np.zeros(data.size, np.uint32), np.zeros(data.size, np.uint32)
        size = decode(data, character_flags(), characters, kinds)
        starts, ends, suffixes = (np.zeros(size + 1, np.int32) for _ in range(3))
        count = split(characters, kinds, 0, size, bare, starts, ends, suffixes)
        if count > 1:
            apart[word] = tuple(word[starts[place] : ends[place]] for place in range(count))
            pair = pair_of(characters[ends[0] - 1], characters[ends[0]])
            begins[pair] = max(begins[pair], ends[0])
    return Runs(word_table(apart), begins)


@compiled
def pair_of(first: np.uint32, second: np.uint32) -> int:
    """Two characters as one index below 2^16; others may share it."""
    return int(((first & np.uint32(0xFF)) << np.uint32(8)) | (second & np.uint32(0xFF)))


@compiled
def reunite(
    characters: Characters,
    count: int,
    table: Hashes,
    apart: Runs,
    starts: Positions,
    ends: Positions,
) -> int:
    """Puts special words together among `count` words, in place; returns the words' number after it.

    `starts` and `ends` need room for one word for each character.
    """
    finds = np.empty(16 * LONGEST_WORD, np.int32)  # first word and number of words of each find
    found = 0
    begins = apart.begins
    for word in range(count - 1):
        end, start = ends[word], starts[word + 1]
        pair = pair_of(characters[end - 1], characters[start])
        if end - starts[word] <= begins[pair] and _adjacent(characters, end, start):
            if finds.size < 2 * (found + LONGEST_WORD):
                finds = np.concatenate((finds, np.empty_like(finds)))
            found = _find_from(characters, count, apart.words, word, starts, ends, finds, found)
    if found == 0:
        return count
    seen = np.zeros(count, np.bool_)
    chosen = np.zeros(found, np.bool_)
    for length in range(LONGEST_WORD, 1, -1):
        for find in range(found):
            first, size = finds[2 * find], finds[2 * find + 1]
            if size != length:
                continue
            chosen[find] = not seen[first] and not seen[first + size - 1]
            seen[first : first + size] = True
    return _rewrite(characters, count, table, finds, found, chosen, starts, ends)


@compiled
def _adjacent(characters: Characters, end: int, start: int) -> bool:
    """Whether nothing or one space is between two words; more white space would be a word between them."""
    return start == end or (start == end + 1 and characters[end] == _SPACE)


@compiled
def _find_from(
    characters: Characters,
    count: int,
    apart: Hashes,
    word: int,
    starts: Positions,
    ends: Positions,
    finds: Positions,
    found: int,
) -> int:
    """Notes each run that begins with `word` and has a special word's pieces: first word and number, in `finds`."""
    key, power = np.uint64(0), np.uint64(1)  # of the joined words
    size = 0
    last = word
    while last < count:
        size += ends[last] - starts[last]
        if size > LONGEST_WORD or (last > word and not _adjacent(characters, ends[last - 1], starts[last])):
            break
        for place in range(starts[last], ends[last]):
            key += np.uint64(characters[place] + np.uint32(1)) * power
            power *= BASE
        if last > word and _has_pieces(apart, key, word, last, starts, ends):
            finds[2 * found], finds[2 * found + 1] = word, last - word + 1
            found += 1
        last += 1
    return found


@compiled
def _has_pieces(apart: Hashes, key: np.uint64, word: int, last: int, starts: Positions, ends: Positions) -> bool:
    """Whether words that give this hash are a special word that the rules split just so."""
    value = look_up(apart, key)
    if value == np.uint64(0):
        return False
    for place in range(word, last + 1):
        if np.int64(value & np.uint64(15)) != ends[place] - starts[place]:
            return False
        value >>= np.uint64(4)
    return bool(value == np.uint64(0))


@compiled
def _rewrite(
    characters: Characters,
    count: int,
    table: Hashes,
    finds: Positions,
    found: int,
    chosen: npt.NDArray[np.bool_],
    starts: Positions,
    ends: Positions,
) -> int:
    """The words with the chosen runs replaced, written over the old ones; returns their number.

    A special word may have more pieces than the rules split it into ("°F." has three, the rules see "°" and "F."), so
    the old bounds are read from copies.
    """
    old_starts, old_ends = starts[:count].copy(), ends[:count].copy()
    written = 0
    word = 0
    find = 0
    while word < count:
        while find < found and (not chosen[find] or finds[2 * find] < word):
            find += 1
        size = finds[2 * find + 1] if find < found and finds[2 * find] == word else 1
        start, end = old_starts[word], old_ends[word + size - 1]
        pieces = special_pieces(table, characters, start, end) if size > 1 else np.uint64(0)
        if pieces:
            written = add_pieces(pieces, start, starts, ends, written)
        else:  # a word as it was, or a run with a space within
            for piece in range(word, word + size):
                starts[written], ends[written] = old_starts[piece], old_ends[piece]
                written += 1
        word += size
    return written
