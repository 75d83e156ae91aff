"""What a model has to beat on the same text: token frequencies alone, and general-purpose compressors.

A language model is a compressor (Shannon 1948; Deletang et al. 2024): its bits per byte and a compressor's output per
input byte are the same quantity. The compressors see the text as one stream, without the training text; the unigram
model is fitted on the training tokens, with one added to each count (Laplace) so that no token is impossible.
"""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lumilab.dataset.shards import TokenShards
from lumilab.evaluation.heldback import HeldBackText
from lumilab.evaluation.measures import RANKS, Prediction
from lumilab.work.context import WorkContext

GZIP_WINDOW = 31  # zlib's number for its largest window in a gzip wrapper
CHUNK_BYTES = 2**17  # compressed at a time; the slowest compressor needs a tenth of a second for it
COUNTED_TOKENS = 2**22  # counted at a time


class Compressor(Protocol):
    """A stream compressor of the standard library."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


# The compressors by the command that does the same.
COMPRESSORS: Mapping[str, Callable[[], Compressor]] = MappingProxyType(
    {
        "gzip -9": lambda: zlib.compressobj(level=9, wbits=GZIP_WINDOW),
        "xz -9": lambda: lzma.LZMACompressor(preset=9),
        "xz -9e": lambda: lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME),
    }
)


def compressed_bits_per_byte(text: HeldBackText, command: str, context: WorkContext) -> float:
    """Bits of output per byte of text, headers included.

    Args:
        text: at least one byte.
        command: a key of COMPRESSORS.
        context: where progress goes and stops come from.
    """
    compressor = COMPRESSORS[command]()
    before = after = 0
    with context.report.task(f"Compressing with {command}", unit="bytes") as task:
        for data in text.text():
            for start in range(0, len(data), CHUNK_BYTES):
                context.stop.check()
                part = data[start : start + CHUNK_BYTES]
                after += len(compressor.compress(part))
                before += len(part)
                task.advance(len(part))
    return 8 * (after + len(compressor.flush())) / before


def predict_by_frequency(text: HeldBackText, training: TokenShards, context: WorkContext) -> Prediction:
    """What the unigram model makes of the text, fitted on the training split."""
    counts = count_tokens(training, text.tokenizer.vocabulary_size, context)
    nats_of = math.log(float(counts.sum()) + len(counts)) - np.log(counts + 1.0)
    places = np.empty(len(counts), dtype=np.int64)
    places[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    tokens, size, nats = 0, 0, 0.0
    hits = dict.fromkeys(RANKS, 0)
    for labels in text.labels():
        context.stop.check()
        tokens += len(labels)
        size += text.size(labels)
        nats += float(nats_of[labels].sum())
        for rank in RANKS:
            hits[rank] += int((places[labels] < rank).sum())
    return Prediction(tokens, size, nats, hits)


def count_tokens(shards: TokenShards, vocabulary_size: int, context: WorkContext) -> npt.NDArray[np.int64]:
    """How often each token occurs in a split, [vocabulary] int64."""
    counts = np.zeros(vocabulary_size, dtype=np.int64)
    with context.report.task("Counting training tokens", total=shards.token_count, unit="tokens") as task:
        for start in range(0, shards.token_count, COUNTED_TOKENS):
            context.stop.check()
            part = shards.read(start, min(COUNTED_TOKENS, shards.token_count - start))
            counts += np.bincount(part, minlength=vocabulary_size)
            task.advance(len(part))
    return counts
