"""From UTF-8 bytes to code points with their flags: what all the filters' kernels read.

Every length and share in the published filters counts characters, so the bytes are decoded once, and with them each
character's flags are fetched once. Memory: eight bytes for each character of the longest document.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lumilab.corpus.compiled import compiled

Bytes = npt.NDArray[np.uint8]
Characters = npt.NDArray[np.uint32]
Positions = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]

# Polynomial hashes modulo 2^64: of characters c0 c1 ... it is the sum of (ci + 1) * BASE^i.
BASE = np.uint64(0x9E3779B97F4A7C15)
BASE_INVERSE = np.uint64(pow(int(BASE), -1, 1 << 64))
MULTIPLIER = np.uint64(0xBF58476D1CE4E5B9)  # to spread a hash over a table (splitmix64's first)


def text_hash(text: str) -> int:
    """The hash of a text, as the kernels compute it."""
    total, power = 0, 1
    for character in text:
        total += (ord(character) + 1) * power
        power = power * int(BASE) % (1 << 64)
    return total % (1 << 64)


@compiled
def decode(data: Bytes, table: Characters, characters: Characters, kinds: Characters) -> int:
    """Decodes UTF-8 (and the three-byte form of lone surrogates) and looks up the flags; returns their number.

    `characters` and `kinds` are uint32 with room for one element per byte.
    """
    count = 0
    place = 0
    while place < data.size:
        first = np.uint32(data[place])
        if first < 0x80:
            code = first
            place += 1
        elif first < 0xE0:
            code = ((first & 0x1F) << 6) | (data[place + 1] & 0x3F)
            place += 2
        elif first < 0xF0:
            code = ((first & 0x0F) << 12) | ((data[place + 1] & 0x3F) << 6) | (data[place + 2] & 0x3F)
            place += 3
        else:
            code = (
                ((first & 0x07) << 18)
                | (np.uint32(data[place + 1] & 0x3F) << 12)
                | (np.uint32(data[place + 2] & 0x3F) << 6)
                | (data[place + 3] & 0x3F)
            )
            place += 4
        code = np.uint32(code)
        characters[count] = code
        kinds[count] = table[code]
        count += 1
    return count


@compiled
def hash_of(characters: Characters, first: int, end: int) -> np.uint64:
    """The hash of the characters from `first` up to `end`."""
    total = np.uint64(0)
    power = np.uint64(1)
    for place in range(first, end):
        total += np.uint64(characters[place] + np.uint32(1)) * power
        power *= BASE
    return total


@compiled
def slot_for(keys: Hashes, mask: int, key: np.uint64) -> int:
    """The slot where a hash is, or where it belongs if it is not in the first `mask` + 1 slots of the table."""
    slot = np.int64((key * MULTIPLIER) >> np.uint64(33)) & mask
    while keys[slot] != np.uint64(0) and keys[slot] != key:
        slot = (slot + 1) & mask
    return int(slot)
