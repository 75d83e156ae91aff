"""English word splitting equal to spaCy 3.8's blank English tokenizer, in compiled kernels.

The published filters count the words that datatrove gets from spaCy, so the same decisions need the same words. The
method (spacy/tokenizer.pyx): parted at white space, each chunk loses affixes from both ends until nothing more comes
off or a special word is left; what is left is a special word, an address, or is split at infixes. In the end special
words that this took apart are put together again (`reunite.py`). Tokens of white space are left out, as datatrove does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.addresses import is_address
from lumilab.corpus.filters.affixes import infix_length, prefix_length, suffix_length, unit_table
from lumilab.corpus.filters.characters import SPACE
from lumilab.corpus.filters.special_words import special_words
from lumilab.corpus.filters.text import Characters, Hashes, Positions, find_in, hash_of, hash_table, text_hash

_LONGEST_SPECIAL = 12
_DOT, _CAPITAL_A, _SMALL_A = ord("."), ord("A"), ord("a")
_FILTER_BITS = 16


class SpecialWords(NamedTuple):
    """The special words as arrays. Slot s of `keys` has pieces of lengths `lengths[offsets[s] : offsets[s] + counts[s]]`.

    keys: uint64, a table for `find_in`. maybe: bool [2^16], false where no special word's hash has these upper bits.
    """

    keys: Hashes
    maybe: npt.NDArray[np.bool_]
    offsets: Positions
    counts: Positions
    lengths: Positions


class WordRules(NamedTuple):
    """What `split` needs: the special words and the hashes of units."""

    special: SpecialWords
    units: Hashes


def special_tables(words: dict[str, tuple[str, ...]]) -> SpecialWords:
    """The arrays for a dictionary of words and their pieces."""
    keys = hash_table([text_hash(word) for word in words])
    maybe = np.zeros(1 << _FILTER_BITS, np.bool_)
    offsets, counts = np.zeros(keys.size, np.int32), np.zeros(keys.size, np.int32)
    lengths: list[int] = []
    for word, pieces in words.items():
        key = np.uint64(text_hash(word))
        slot = find_in(keys, key)
        maybe[int(key) >> (64 - _FILTER_BITS)] = True
        offsets[slot], counts[slot] = len(lengths), len(pieces)
        lengths += map(len, pieces)
    return SpecialWords(keys, maybe, offsets, counts, np.array(lengths, np.int32))


@lru_cache(maxsize=1)
def word_rules() -> WordRules:
    """The rules of English, computed once."""
    return WordRules(special_tables(special_words()), unit_table())


@compiled
def find_special(special: SpecialWords, characters: Characters, first: int, end: int) -> int:
    """The slot of the special word from `first` up to `end`, or -1."""
    if not 0 < end - first <= _LONGEST_SPECIAL:
        return -1
    key = hash_of(characters, first, end)
    if not special.maybe[np.int64(key >> np.uint64(48))]:
        return -1
    return find_in(special.keys, key)


@compiled
def split(
    characters: Characters,
    kinds: Characters,
    first: int,
    end: int,
    rules: WordRules,
    starts: Positions,
    ends: Positions,
    suffixes: Positions,
) -> int:
    """Splits the characters from `first` up to `end` into words, before `reunite`; returns their number.

    `starts` and `ends` (int32) receive the words' bounds, `suffixes` is scratch; each has room for `end - first` + 1.
    """
    count = 0
    place = first
    while place < end:
        if kinds[place] & SPACE:
            place += 1
            continue
        start = place
        plain = True
        while place < end and not kinds[place] & SPACE:
            letter = (characters[place] | np.uint32(32)) - np.uint32(_SMALL_A)
            plain = plain and letter < 26
            place += 1
        if plain and (place - start > _LONGEST_SPECIAL or find_special(rules.special, characters, start, place) < 0):
            starts[count], ends[count] = start, place
            count += 1
        else:
            count = _split_chunk(characters, kinds, start, place, rules, starts, ends, suffixes, count)
    return count


@compiled
def _split_chunk(
    characters: Characters,
    kinds: Characters,
    first: int,
    end: int,
    rules: WordRules,
    starts: Positions,
    ends: Positions,
    suffixes: Positions,
    count: int,
) -> int:
    """Splits one chunk without white space; returns the words' number with it."""
    special = rules.special
    held = 0  # suffixes found so far, from the end of the chunk inwards: where each begins
    stop = end
    slot = -1
    while first < stop:
        slot = find_special(special, characters, first, stop)
        if slot >= 0:
            break
        prefix = prefix_length(characters, kinds, first, stop)
        if prefix > 0:
            slot = find_special(special, characters, first + prefix, stop)
            if slot >= 0:
                starts[count], ends[count] = first, first + prefix
                count += 1
                first += prefix
                break
        suffix = suffix_length(characters, kinds, rules.units, first + prefix, stop)
        if suffix > 0:
            slot = find_special(special, characters, first, stop - suffix)
            if slot >= 0:
                stop -= suffix
                suffixes[held] = stop
                held += 1
                break
            stop -= suffix
            suffixes[held] = stop
            held += 1
        if prefix > 0:
            starts[count], ends[count] = first, first + prefix
            count += 1
            first += prefix
        if prefix == 0 and suffix == 0:
            break
    if first < stop:
        if slot >= 0:
            count = add_pieces(special, slot, first, starts, ends, count)
        else:
            count = _split_middle(characters, kinds, first, stop, starts, ends, count)
    while held > 0:
        held -= 1
        starts[count] = suffixes[held]
        ends[count] = suffixes[held - 1] if held > 0 else end
        count += 1
    return count


@compiled
def add_pieces(special: SpecialWords, slot: int, first: int, starts: Positions, ends: Positions, count: int) -> int:
    """Adds a special word's pieces as words; returns the words' number with them."""
    offset = special.offsets[slot]
    for piece in range(special.counts[slot]):
        starts[count] = first
        first += special.lengths[offset + piece]
        ends[count] = first
        count += 1
    return count


@compiled
def _split_middle(
    characters: Characters, kinds: Characters, first: int, end: int, starts: Positions, ends: Positions, count: int
) -> int:
    """Splits what is left between the affixes at its infixes, unless it is an address."""
    has_dot = False
    for place in range(first, end):
        has_dot = has_dot or characters[place] == _DOT
    start = first
    if not (has_dot and is_address(characters, kinds, first, end)):
        place = first
        while place < end:
            length = infix_length(characters, kinds, first, place, end)
            if length == 0:
                place += 1
                continue
            if place != first:  # one at the very beginning splits nothing
                if place != start:
                    starts[count], ends[count] = start, place
                    count += 1
                starts[count], ends[count] = place, place + length
                count += 1
                start = place + length
            place += length
    if start < end:
        starts[count], ends[count] = start, end
        count += 1
    return count
