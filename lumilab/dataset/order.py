"""A random order without a list: a keyed permutation of 0 to size - 1 that is computed place by place.

A Feistel network (Luby and Rackoff 1988) permutes the smallest power of two that holds all places; results outside
are sent through again until they fall inside, which keeps it a permutation (cycle walking: Black and Rogaway 2002,
"Ciphers with Arbitrary Finite Domains", section 4). The power of two is less than twice the size, so that is less
than two passes on average. The two halves may differ by a bit: each round mixes one of them into the other in place.
The round function is the finaliser of SplitMix64 (Steele, Lea and Flood 2014): this is for shuffling, not secrecy.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import overload

import numpy as np
import numpy.typing as npt

from lumilab.artifact import canonical_json

ROUNDS = 8
LARGEST = 2**62

Places = npt.NDArray[np.int64]


def order_key(*parts: int | str) -> int:
    """A 64-bit key from whatever names an order, for example seed and epoch."""
    return int.from_bytes(blake2b(canonical_json(parts), digest_size=8).digest(), "little")


@overload
def permute(index: int, size: int, key: int) -> int: ...
@overload
def permute(index: Places, size: int, key: int) -> Places: ...
def permute(index: int | Places, size: int, key: int) -> int | Places:
    """Where each place goes in the order that `key` names: a bijection of 0 to size - 1.

    Args:
        index: one place or an array of them (int64), each in 0 to size - 1.
        size: how many places there are, 1 to 2**62.
        key: 64 bits, from `order_key`.

    Raises:
        ValueError: a place is outside, or the size is.
    """
    places = np.atleast_1d(np.asarray(index, dtype=np.int64))
    if not 1 <= size <= LARGEST:
        raise ValueError(f"size {size} is not in 1 to {LARGEST}")
    if places.size and not (places.min() >= 0 and places.max() < size):
        raise ValueError(f"a place is not in 0 to {size - 1}")
    result = _walk(places.astype(np.uint64), size, _round_keys(key)).astype(np.int64)
    return int(result[0]) if isinstance(index, int) else result


def _walk(places: npt.NDArray[np.uint64], size: int, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    bits = (size - 1).bit_length()
    result = _feistel(places, bits, keys)
    outside = np.flatnonzero(result >= size)
    while outside.size:
        again = _feistel(result[outside], bits, keys)
        result[outside] = again
        outside = outside[again >= size]
    return result


def _feistel(values: npt.NDArray[np.uint64], bits: int, keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Permutes 0 to 2**bits - 1."""
    right_bits = np.uint64((bits + 1) // 2)
    right_mask = np.uint64((1 << ((bits + 1) // 2)) - 1)
    left_mask = np.uint64((1 << (bits // 2)) - 1)
    left, right = values >> right_bits, values & right_mask
    for even_key, odd_key in keys.reshape(-1, 2):
        left = left ^ (_mix(right ^ even_key) & left_mask)
        right = right ^ (_mix(left ^ odd_key) & right_mask)
    return (left << right_bits) | right


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _round_keys(key: int) -> npt.NDArray[np.uint64]:
    digest = blake2b(key.to_bytes(8, "little"), digest_size=8 * ROUNDS).digest()
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64)
