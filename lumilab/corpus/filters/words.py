"""English word splitting equal to spaCy 3.8's blank English tokenizer, in compiled kernels.

The published filters count the words that datatrove gets from spaCy, so the same decisions need the same words. The
method (spacy/tokenizer.pyx): parted at white space, each chunk loses affixes from both ends until nothing more comes
off or a special word is left; what is left is a special word, an address, or is split at infixes. In the end special
words that this took apart are put together again (`reunite.py`). Tokens of white space are left out, as datatrove does.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.addresses import is_address
from lumilab.corpus.filters.affixes import UNITS, infix_length, prefix_length, suffix_length
from lumilab.corpus.filters.characters import ALPHA, ICON, LOWER, SPACE, SUFFIX
from lumilab.corpus.filters.special_words import special_words
from lumilab.corpus.filters.text import Characters, Hashes, Positions, hash_of
from lumilab.corpus.filters.word_table import UNIT, look_up, may_hold, word_table

_DOT, _SMALL_A = ord("."), ord("a")


@lru_cache(maxsize=1)
def word_rules() -> Hashes:
    """The special words of English and the units of measure as one table, computed once."""
    return word_table(special_words(), UNITS.split())


@compiled
def special_pieces(table: Hashes, characters: Characters, first: int, end: int) -> np.uint64:
    """The lengths of the pieces of the special word from `first` up to `end`, as in the table, or 0."""
    if first >= end or not may_hold(table, characters, first, end):
        return np.uint64(0)
    return look_up(table, hash_of(characters, first, end)) & ~UNIT


@compiled
def _is_in(table: Hashes, characters: Characters, first: int, end: int) -> bool:
    """Whether the word from `first` up to `end` is a special word or a unit of measure."""
    return bool(may_hold(table, characters, first, end) and look_up(table, hash_of(characters, first, end)))


@compiled
def split(
    characters: Characters,
    kinds: Characters,
    first: int,
    end: int,
    table: Hashes,
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
        while place < end and (characters[place] | np.uint32(32)) - np.uint32(_SMALL_A) < np.uint32(26):
            place += 1
        stem_end = place  # of the letters that the chunk begins with
        while place < end and not kinds[place] & SPACE:
            place += 1
        # Most words are letters and nothing special: no rule can split them. Or they have one mark behind them.
        special = _is_in(table, characters, start, place)
        if stem_end == place and not special:
            starts[count], ends[count] = start, place
            count += 1
        elif (
            stem_end == place - 1 > start
            and (kinds[stem_end] & SUFFIX or (characters[stem_end] == _DOT and kinds[stem_end - 1] & LOWER))
            and not special
            and not _is_in(table, characters, start, stem_end)
        ):
            starts[count], ends[count] = start, stem_end
            starts[count + 1], ends[count + 1] = stem_end, place
            count += 2
        else:
            count = _split_chunk(characters, kinds, start, place, table, starts, ends, suffixes, count)
    return count


@compiled
def _split_chunk(
    characters: Characters,
    kinds: Characters,
    first: int,
    end: int,
    table: Hashes,
    starts: Positions,
    ends: Positions,
    suffixes: Positions,
    count: int,
) -> int:
    """Splits one chunk without white space; returns the words' number with it."""
    held = 0  # suffixes found so far, from the end of the chunk inwards: where each begins
    stop = end
    pieces = np.uint64(0)
    while first < stop:
        pieces = special_pieces(table, characters, first, stop)
        if pieces:
            break
        prefix = prefix_length(characters, kinds, first, stop)
        if prefix > 0:
            pieces = special_pieces(table, characters, first + prefix, stop)
            if pieces:
                starts[count], ends[count] = first, first + prefix
                count += 1
                first += prefix
                break
        suffix = suffix_length(characters, kinds, table, first + prefix, stop)
        if suffix > 0:
            pieces = special_pieces(table, characters, first, stop - suffix)
            if pieces:
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
        if pieces:
            count = add_pieces(pieces, first, starts, ends, count)
        else:
            count = _split_middle(characters, kinds, first, stop, starts, ends, count)
    while held > 0:
        held -= 1
        starts[count] = suffixes[held]
        ends[count] = suffixes[held - 1] if held > 0 else end
        count += 1
    return count


@compiled
def add_pieces(pieces: np.uint64, first: int, starts: Positions, ends: Positions, count: int) -> int:
    """Adds a special word's pieces, which begin at `first`, as words; returns the words' number with them."""
    while pieces:
        starts[count] = first
        first += int(pieces & np.uint64(15))
        ends[count] = first
        count += 1
        pieces >>= np.uint64(4)
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
            length = 0
            if kinds[place] & (ALPHA | ICON) != ALPHA:  # a letter is none, and the call takes long
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
