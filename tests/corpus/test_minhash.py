from __future__ import annotations

import math
import random

import numpy as np
from word_reference import shingles_of

from lumilab.corpus.deduplication.minhash import MinHasher
from lumilab.corpus.shingles import shingle_hashes
from lumilab.recipe.corpus import MinHashConfig

TEXT = b"It was the best of times, it was the worst of times, it was the age of wisdom"
MASK = (1 << 64) - 1


def _mixed(value: int) -> int:
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & MASK
    return value ^ (value >> 31)


def _bands_in_plain_python(data: bytes, config: MinHashConfig) -> list[int]:
    functions = -(-config.bands * config.rows // 4) * 4
    raw = np.random.PCG64(config.seed).random_raw(2 * functions).tolist()
    values = [shingle >> 32 for shingle in shingle_hashes(data, config.words).tolist()]
    minima = [
        min((value ^ (b >> 32)) * (a >> 32 | 1) % (1 << 32) for value in values)
        for a, b in zip(raw[:functions], raw[functions:], strict=True)
    ]
    bands = []
    for band in range(config.bands):
        folded = band
        for minimum in minima[band * config.rows : (band + 1) * config.rows]:
            folded = _mixed((folded ^ minimum) * 0x9E3779B97F4A7C15 & MASK)
        bands.append(folded)
    return bands


def test_bands_are_those_of_plain_python() -> None:
    long = " ".join(f"w{number}x" + chr(97 + number % 26) * (number % 7) for number in range(9000)).encode()
    for config in (MinHashConfig(), MinHashConfig(words=3, bands=5, rows=3, seed=7)):
        hasher = MinHasher(config)
        for data in (TEXT, long[:40_000], TEXT):  # the second is longer than one chunk
            bands = hasher.bands(data)
            assert bands is not None
            assert bands.tolist() == _bands_in_plain_python(data, config)


def test_the_same_as_on_the_day_it_was_written() -> None:
    """Corpora that were built before must come out the same."""
    bands = MinHasher(MinHashConfig()).bands(TEXT)
    assert bands is not None
    assert (bands.dtype, bands.shape) == (np.uint64, (14,))
    assert (int(bands[0]), int(bands[13])) == (0x13AC8E0F8C1C3A6A, 0x4936894FEEAAF2B)


def test_too_short_for_a_shingle() -> None:
    hasher = MinHasher(MinHashConfig(words=5))
    assert hasher.bands(b"only four words here") is None
    assert hasher.bands(b"") is None
    assert hasher.bands(b"these are five whole words") is not None


def test_spelling_that_normalisation_removes_changes_no_band() -> None:
    hasher = MinHasher(MinHashConfig())
    one = hasher.bands("In 1989, the Café's owner said: “Never again!”".encode())
    other = hasher.bands(b"in 2024 THE CAFE S OWNER said never   again")
    assert one is not None
    assert other is not None
    assert one.tolist() == other.tolist()


def test_agreement_follows_the_similarity() -> None:
    """Over many pairs of known similarity a band of one row agrees as often as their Jaccard similarity says."""
    draw = random.Random(3)
    words = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(3000)]
    hasher = MinHasher(MinHashConfig(words=2, bands=64, rows=1))
    for kept in (0.5, 0.9):
        agreed = expected = variance = 0.0
        for _ in range(40):
            base = draw.sample(words, 120)
            other = [word if draw.random() < kept else draw.choice(words) for word in base]
            one, two = set(shingles_of(" ".join(base), 2)), set(shingles_of(" ".join(other), 2))
            similarity = len(one & two) / len(one | two)
            left, right = hasher.bands(" ".join(base).encode()), hasher.bands(" ".join(other).encode())
            agreed += int((left == right).sum())
            expected += 64 * similarity
            variance += 64 * similarity * (1 - similarity)
        assert abs(agreed - expected) < 4 * math.sqrt(variance)
