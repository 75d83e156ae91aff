"""A set of words with the lengths of their pieces, as one array that compiled functions can search.

One array, because each that a compiled function hands to another costs time at every word. It begins with 2^15 bits,
one for each value of a hash's upper 15 bits, so that nearly all words that are not in the set are told by one look, and
2^15 more for the shapes of words, so that most need no hash at all;
then come a hash and a value, alternating, in an open-addressing table. The value holds the pieces' lengths, four
bits each, the first piece's lowest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numba.extending import register_jitable

from lumilab.corpus.compiled import compiled
from lumilab.corpus.filters.text import MULTIPLIER, Characters, Hashes, text_hash

UNIT = np.uint64(1 << 63)  # in a value: the word splits off after a digit
LONGEST_WORD = 12  # characters; with four bits for each length, a word has at most as many pieces
_FILTER_BITS = 15
_SHAPES = (1 << _FILTER_BITS) // 64  # where the bits of shapes begin
_FILTER = 2 * _SHAPES
_ALL = (1 << 64) - 1


def word_table(words: Mapping[str, tuple[str, ...]], units: Iterable[str] = ()) -> Hashes:
    """The array (uint64) for words with their pieces and for units of measure."""
    values = {word: sum(len(piece) << (4 * place) for place, piece in enumerate(words[word])) for word in words}
    for unit in units:
        values[unit] = values.get(unit, 0) | int(UNIT)
    slots = 1 << (2 * len(values)).bit_length()
    table = np.zeros(_FILTER + 2 * slots, np.uint64)
    for word, value in values.items():
        key = text_hash(word)
        bit = key >> (64 - _FILTER_BITS)
        table[bit >> 6] |= np.uint64(1 << (bit & 63))
        shape = _shape(ord(word[0]), ord(word[-1]), len(word))
        table[_SHAPES + (shape >> 6)] |= np.uint64(1 << (shape & 63))
        slot = (key * int(MULTIPLIER) & _ALL) >> 33 & (slots - 1)
        while table[_FILTER + 2 * slot]:
            slot = (slot + 1) & (slots - 1)
        table[_FILTER + 2 * slot : _FILTER + 2 * slot + 2] = key, value
    return table


@register_jitable
def _shape(first: int, last: int, length: int) -> int:
    """Fifteen bits of a word's first and last character and its length."""
    return ((first & 63) << 9) | ((last & 31) << 4) | (length & 15)


@compiled
def may_hold(table: Hashes, characters: Characters, first: int, end: int) -> bool:
    """Whether the word from `first` up to `end`, of at least one character, can be in the table, by its shape."""
    if end - first > LONGEST_WORD:
        return False
    shape = _shape(int(characters[first]), int(characters[end - 1]), end - first)
    return bool((table[_SHAPES + (shape >> 6)] >> np.uint64(shape & 63)) & np.uint64(1))


@compiled
def look_up(table: Hashes, key: np.uint64) -> np.uint64:
    """The value of the word with this hash, or 0."""
    bit = key >> np.uint64(64 - _FILTER_BITS)
    if not (table[np.int64(bit >> np.uint64(6))] >> (bit & np.uint64(63))) & np.uint64(1):
        return np.uint64(0)
    mask = np.int64((table.size - _FILTER) // 2 - 1)
    slot = np.int64((key * MULTIPLIER) >> np.uint64(33)) & mask
    while table[_FILTER + 2 * slot] != np.uint64(0):
        if table[_FILTER + 2 * slot] == key:
            return np.uint64(table[_FILTER + 2 * slot + 1])
        slot = (slot + 1) & mask
    return np.uint64(0)
