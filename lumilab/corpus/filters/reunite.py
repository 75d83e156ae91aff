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
from lumilab.corpus.filters.characters import character_flags
from lumilab.corpus.filters.special_words import special_words
from lumilab.corpus.filters.text import Characters, Positions, decode, find_in, hash_of
from lumilab.corpus.filters.words import (
    SpecialWords,
    WordRules,
    add_pieces,
    find_special,
    special_tables,
    split,
    word_rules,
)

_SPACE = ord(" ")
_LONGEST = 12  # characters of a special word, and more words than any is made of


class Runs(NamedTuple):
    """Special words as the rules split them: `words` maps a word to that, `begins` (bool [2^16]) filters its first pair.

    `begins` is indexed by the last character of the first word and the first of the second.
    """

    words: SpecialWords
    begins: npt.NDArray[np.bool_]


@lru_cache(maxsize=1)
def runs() -> Runs:
    """The special words that the rules, not knowing them, split into several; computed once."""
    rules = word_rules()
    bare = WordRules(special_tables({}), rules.units)
    begins = np.zeros(1 << 16, np.bool_)
    apart: dict[str, tuple[str, ...]] = {}
    for word in special_words():
        data = np.frombuffer(word.encode(), np.uint8)
        characters, kinds = np.zeros(data.size, np.uint32), np.zeros(data.size, np.uint32)
        size = decode(data, character_flags(), characters, kinds)
        starts, ends, suffixes = (np.zeros(size + 1, np.int32) for _ in range(3))
        count = split(characters, kinds, 0, size, bare, starts, ends, suffixes)
        if count > 1:
            apart[word] = tuple(word[starts[place] : ends[place]] for place in range(count))
            begins[pair_of(characters[ends[0] - 1], characters[ends[0]])] = True
    return Runs(special_tables(apart), begins)


@compiled
def pair_of(first: np.uint32, second: np.uint32) -> int:
    """Two characters as one index below 2^16; others may share it."""
    return np.int64(((first & np.uint32(0xFF)) << np.uint32(8)) | (second & np.uint32(0xFF)))


@compiled
def reunite(
    characters: Characters,
    count: int,
    special: SpecialWords,
    apart: Runs,
    starts: Positions,
    ends: Positions,
) -> int:
    """Puts special words together among `count` words, in place; returns the words' number after it."""
    finds = np.empty(16 * _LONGEST, np.int32)  # first word and number of words of each find
    found = 0
    for word in range(count - 1):
        if apart.begins[pair_of(characters[ends[word] - 1], characters[starts[word + 1]])] and _adjacent(
            characters, ends[word], starts[word + 1]
        ):
            if finds.size < 2 * (found + _LONGEST):
                finds = np.concatenate((finds, np.empty_like(finds)))
            found = _find_from(characters, count, apart.words, word, starts, ends, finds, found)
    if found == 0:
        return count
    seen = np.zeros(count, np.bool_)
    chosen = np.zeros(found, np.bool_)
    for length in range(_LONGEST, 1, -1):
        for find in range(found):
            first, size = finds[2 * find], finds[2 * find + 1]
            if size != length:
                continue
            chosen[find] = not seen[first] and not seen[first + size - 1]
            seen[first : first + size] = True
    return _rewrite(characters, count, special, finds, found, chosen, starts, ends)


@compiled
def _adjacent(characters: Characters, end: int, start: int) -> bool:
    """Whether nothing or one space is between two words: then they follow each other; else white space is a word between."""
    return start == end or (start == end + 1 and characters[end] == _SPACE)


@compiled
def _find_from(
    characters: Characters,
    count: int,
    apart: SpecialWords,
    word: int,
    starts: Positions,
    ends: Positions,
    finds: Positions,
    found: int,
) -> int:
    """Notes each run that begins with `word` and has a special word's pieces: first word and number, in `finds`."""
    joined = np.empty(_LONGEST, np.uint32)
    size = 0
    last = word
    while last < count:
        length = ends[last] - starts[last]
        if size + length > _LONGEST or (last > word and not _adjacent(characters, ends[last - 1], starts[last])):
            break
        joined[size : size + length] = characters[starts[last] : ends[last]]
        size += length
        if last > word and _has_pieces(apart, joined, size, word, last, starts, ends):
            finds[2 * found], finds[2 * found + 1] = word, last - word + 1
            found += 1
        last += 1
    return found


@compiled
def _has_pieces(
    apart: SpecialWords, joined: Characters, size: int, word: int, last: int, starts: Positions, ends: Positions
) -> bool:
    """Whether the joined words are a special word that the rules split just so."""
    slot = find_in(apart.keys, hash_of(joined, 0, size))
    if slot < 0 or apart.counts[slot] != last - word + 1:
        return False
    offset = apart.offsets[slot]
    for piece in range(apart.counts[slot]):
        if apart.lengths[offset + piece] != ends[word + piece] - starts[word + piece]:
            return False
    return True


@compiled
def _rewrite(
    characters: Characters,
    count: int,
    special: SpecialWords,
    finds: Positions,
    found: int,
    chosen: npt.NDArray[np.bool_],
    starts: Positions,
    ends: Positions,
) -> int:
    """The words with the chosen runs replaced. No special word has more pieces than the rules split it into."""
    written = 0
    word = 0
    find = 0
    while word < count:
        while find < found and (not chosen[find] or finds[2 * find] < word):
            find += 1
        if find < found and finds[2 * find] == word:
            first, size = word, finds[2 * find + 1]
            start, end = starts[first], ends[first + size - 1]
            slot = find_special(special, characters, start, end)
            word += size
            if slot >= 0:
                written = add_pieces(special, slot, start, starts, ends, written)
            else:  # there is a space within
                for piece in range(first, first + size):
                    starts[written], ends[written] = starts[piece], ends[piece]
                    written += 1
        else:
            starts[written], ends[written] = starts[word], ends[word]
            written += 1
            word += 1
    return written
