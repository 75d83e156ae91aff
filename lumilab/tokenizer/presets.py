"""Kinds and sizes of vocabularies that go by a short name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "bpe32k": {"algorithm": "bpe", "vocabulary_size": 32_768},
    # GPT-2's 50,257 tokens, rounded up to a multiple of 128, which matrix kernels like.
    "bpe50k": {"algorithm": "bpe", "vocabulary_size": 50_304},
    "spm32k": {"algorithm": "sentencepiece_bpe", "vocabulary_size": 32_000},
    "spm32k-unigram": {"algorithm": "sentencepiece_unigram", "vocabulary_size": 32_000},
}
"""Values of a recipe's tokenizer section by the preset's name."""
