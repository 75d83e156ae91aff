"""MinHash signatures in bands, from raw UTF-8 bytes.

The signature of a text is, for each of bands x rows hash functions, the smallest value over its shingles (Broder, "On
the resemblance and containment of documents", 1997): two texts agree in one place with probability s, their shingles'
Jaccard similarity. Each band of rows is folded into one 64-bit hash, so that two texts agree on a band with probability
s^rows and on at least one with 1 - (1 - s^rows)^bands (Leskovec et al., Mining of Massive Datasets, section 3.4).

The functions are h(x) = a (x xor b) mod 2^32 with odd a, on the upper 32 bits of the shingles' hashes. These are well
mixed already, so that h only has to put them into another order; it is a bijection, and its xor keeps the orders of two
functions with related factors apart, which a x + b would not. 32 bits fill twice as many vector lanes as 64 and lose
nothing: a band of 8 rows of a text of a thousand words still has about 8 x 22 bits of choice.

Texts of fewer words than a shingle have an empty set, to which no similarity is defined: they get no bands, and only
exact deduplication looks at them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from lumilab.corpus.shingles import CHUNK, Bytes, Hashes, fold_table, mixed, new_state, next_shingles
from lumilab.recipe.corpus import MinHashConfig

_TOGETHER = 4  # functions that share one reading of the shingles; as many factors and minima stay in registers
_BAND = np.uint64(0x9E3779B97F4A7C15)
Values = npt.NDArray[np.uint32]


@njit(cache=True, nogil=True)
def _lower(minima: Values, values: Values, a: Values, b: Values) -> None:
    """Takes shingles into the minima of all functions; all uint32, `minima`, `a` and `b` a multiple of _TOGETHER long.

    Plain loops over contiguous arrays with the minima in local variables: LLVM makes vector code of them.
    """
    for first in range(0, minima.size, _TOGETHER):
        a0, a1, a2, a3 = a[first], a[first + 1], a[first + 2], a[first + 3]
        b0, b1, b2, b3 = b[first], b[first + 1], b[first + 2], b[first + 3]
        m0, m1, m2, m3 = minima[first], minima[first + 1], minima[first + 2], minima[first + 3]
        for index in range(values.size):  # by index: over the array itself, Numba's loop is not vectorised
            value = values[index]
            m0 = min(m0, np.uint32((value ^ b0) * a0))
            m1 = min(m1, np.uint32((value ^ b1) * a1))
            m2 = min(m2, np.uint32((value ^ b2) * a2))
            m3 = min(m3, np.uint32((value ^ b3) * a3))
        minima[first], minima[first + 1], minima[first + 2], minima[first + 3] = m0, m1, m2, m3


@njit(cache=True, nogil=True)
def _signature(
    data: Bytes, state: Hashes, fold: Values, a: Values, b: Values, chunk: Hashes, values: Values, minima: Values
) -> int:
    """Fills `minima`; returns the number of shingles."""
    minima[:] = np.uint32(0xFFFFFFFF)
    position, shingles = 0, 0
    while position <= data.size:
        position, written = next_shingles(data, position, state, fold, chunk)
        for index in range(written):
            values[index] = np.uint32(chunk[index] >> np.uint64(32))
        _lower(minima, values[:written], a, b)
        shingles += written
    return shingles


@njit(cache=True, nogil=True)
def _fold_bands(minima: Values, rows: int, out: Hashes) -> None:
    for band in range(out.size):
        folded = np.uint64(band)
        for row in range(rows):
            folded = mixed((folded ^ np.uint64(minima[band * rows + row])) * _BAND)
        out[band] = folded


class MinHasher:
    """Turns texts into band hashes; the same for the same configuration on every machine.

    It keeps about 60 kB to work in, whatever the texts' length. Not for several threads at once.
    """

    def __init__(self, config: MinHashConfig) -> None:
        self._words, self._bands, self._rows = config.words, config.bands, config.rows
        functions = -(-config.bands * config.rows // _TOGETHER) * _TOGETHER
        # The order in which a PCG64 gives 64-bit integers is fixed by its algorithm, unlike what NumPy derives of them.
        raw = np.random.PCG64(config.seed).random_raw(2 * functions).reshape(2, functions)
        self._a = (raw[0] >> np.uint64(32)).astype(np.uint32) | np.uint32(1)
        self._b = (raw[1] >> np.uint64(32)).astype(np.uint32)
        self._minima = np.empty(functions, np.uint32)
        self._chunk = np.empty(CHUNK, np.uint64)
        self._values = np.empty(CHUNK, np.uint32)
        self._fold = fold_table()

    def bands(self, data: bytes) -> Hashes | None:
        """The band hashes of a UTF-8 text: uint64 [bands]; None for a text of fewer words than a shingle has."""
        minima = self._minima
        arguments = (self._fold, self._a, self._b, self._chunk, self._values, minima)
        if _signature(np.frombuffer(data, np.uint8), new_state(self._words), *arguments) == 0:
            return None
        out = np.empty(self._bands, np.uint64)
        _fold_bands(minima, self._rows, out)
        return out
