"""One dial for a whole model and its pretraining: the depth, from which everything else follows, each with its reason.

The rules are those of nanochat's `base_train.py` (Karpathy 2025), tuned at depth 12 and less good far from it: width in
proportion to depth; training tokens in proportion to the parameters that work on each token (after Hoffmann et al.
2022); batch, learning rates and weight decay by power laws from depth 12 (Zhang et al. 2024, "How does critical batch
size scale"; Malladi et al. 2022 for the root of the batch; Wang and Aitchison 2024 for the decay).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

WIDTH_PER_LAYER, HEAD_DIM = 64, 128
TOKENS_PER_PARAMETER = 12
REFERENCE_DEPTH, REFERENCE_WIDTH, REFERENCE_BATCH = 12, 768, 2**19
BATCH_EXPONENT = 0.383
MATRIX_RATE, OTHER_RATE, DECAY = 0.02, 0.001, 0.28
WARMUP_STEPS, COOLDOWN, MINIMUM = 40, 0.65, 0.05


@dataclass(frozen=True)
class Derived:
    """One setting: its dotted key, its value, and how it came about."""

    key: str
    value: Any
    reason: str


def derive(depth: int, vocabulary_size: int, window: int, *, gated: bool = True) -> list[Derived]:
    """The settings of a recipe that follow from the depth.

    Args:
        depth: number of layers, at least 1.
        vocabulary_size: number of token ids.
        window: tokens in each training window.
        gated: whether the feed-forward layers have three matrices, as with SwiGLU, or two.
    """
    return [*_shape(depth, gated), *_training(depth, vocabulary_size, window, gated)]


def as_words(derived: list[Derived]) -> list[str]:
    """The settings as `key=value` words of the command line."""
    return [f"{setting.key}={setting.value}" for setting in derived]


def working_parameters(depth: int, vocabulary_size: int, *, gated: bool = True) -> int:
    """Parameters that are multiplied for each token: the blocks' matrices and the output layer (tied or not)."""
    width = _width(depth)
    return depth * (4 * width * width + (3 if gated else 2) * width * _inner(width, gated)) + vocabulary_size * width


def _width(depth: int) -> int:
    return math.ceil(depth * WIDTH_PER_LAYER / HEAD_DIM) * HEAD_DIM


def _inner(width: int, gated: bool) -> int:
    return math.ceil(8 * width / 3 / HEAD_DIM) * HEAD_DIM if gated else 4 * width


def _shape(depth: int, gated: bool) -> list[Derived]:
    width = _width(depth)
    heads, inner = width // HEAD_DIM, _inner(width, gated)
    third = f"8/3 x {width}, as the gate's third matrix wants, in steps of {HEAD_DIM}"
    return [
        Derived("model.layers", depth, "the dial"),
        Derived("model.width", width, f"{WIDTH_PER_LAYER} x {depth}, rounded up to whole heads"),
        Derived("model.head_dim", HEAD_DIM, "nanochat's, and what readers of GGUF take Qwen3's heads to be"),
        Derived("model.heads", heads, f"{width} / {HEAD_DIM}"),
        Derived("model.kv_heads", heads, "one for each query head: at this size the cache is small"),
        Derived("model.feed_forward", inner, third if gated else f"4 x {width}, as is usual without a gate"),
    ]


def _training(depth: int, vocabulary_size: int, window: int, gated: bool) -> list[Derived]:
    working = working_parameters(depth, vocabulary_size, gated=gated)
    scale = working / working_parameters(REFERENCE_DEPTH, vocabulary_size, gated=gated)
    tokens = TOKENS_PER_PARAMETER * working
    best_batch = REFERENCE_BATCH * scale**BATCH_EXPONENT
    batch = max(1, 2 ** round(math.log2(best_batch)) // window)
    steps = math.ceil(tokens / (batch * window))
    root = math.sqrt(batch * window / REFERENCE_BATCH)
    narrow = (_width(depth) / REFERENCE_WIDTH) ** -0.5
    return [
        Derived(
            "pretrain.batch_size",
            batch,
            f"{batch * window:,} tokens: 2^19 x {scale:.3g}^{BATCH_EXPONENT} = {best_batch:,.0f}, to a power of two "
            f"({scale:.3g}: size against depth {REFERENCE_DEPTH})",
        ),
        Derived("pretrain.micro_batch_size", "auto", "as many windows at once as fit into memory"),
        Derived(
            "pretrain.steps",
            steps,
            f"{tokens:,} tokens: {TOKENS_PER_PARAMETER} for each of {working:,} parameters of matrices and output",
        ),
        Derived("pretrain.optimizer.name", "muon", "matrices by muon, the rest by adamw"),
        Derived("pretrain.optimizer.matrix_learning_rate", _short(MATRIX_RATE * root), f"{MATRIX_RATE} x {root:.3g}: "
                "the root of batch / 2^19"),
        Derived("pretrain.optimizer.learning_rate", _short(OTHER_RATE * root * narrow), f"{OTHER_RATE} x {root:.3g} x "
                f"{narrow:.3g}: also the root of {REFERENCE_WIDTH} / width"),
        Derived("pretrain.optimizer.weight_decay", _short(DECAY * root / scale), f"{DECAY} x {root:.3g} / {scale:.3g}: "
                "it works over the same share of every run"),
        Derived("pretrain.schedule.name", "wsd", "full speed, then a long fall"),
        Derived("pretrain.schedule.warmup", _short(min(0.1, WARMUP_STEPS / steps)), f"{WARMUP_STEPS} steps, a tenth at "
                "most"),
        Derived("pretrain.schedule.decay", COOLDOWN, "the last 65 % of the steps"),
        Derived("pretrain.schedule.minimum", MINIMUM, "5 % of the peak"),
    ]  # fmt: skip


def _short(number: float) -> float:
    """To four digits, as people write rates."""
    return float(f"{number:.4g}")
