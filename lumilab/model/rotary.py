"""Rotary position embedding (Su et al. 2021) in the rotate-half form, and the ways to stretch it for longer texts.

A pair of a head's numbers turns by an angle that grows with the position, each pair at a frequency of its own. Linear
scaling (Chen et al. 2023) slows all pairs alike. YaRN (Peng et al. 2023, section 3) slows only the slow ones, which
would otherwise meet angles they never saw, blends those in between, and sharpens attention by a factor; Llama 3.1's
scaling is another blend, by wavelength, without that factor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lumilab.recipe.model import ModelConfig, RopeScaling


def rotary_table(config: ModelConfig) -> Tensor:
    """Cosines and sines [context, 2, head_dim / 2] of each position's angles, float32, always on the CPU."""
    frequencies = 1.0 / config.rope_theta ** _exponents(config.head_dim)
    strength = 1.0
    if config.rope_scaling is not None:
        frequencies, strength = _stretched(frequencies, config)
    angles = torch.arange(config.context, device="cpu", dtype=torch.float32)[:, None] * frequencies
    return torch.stack((angles.cos() * strength, angles.sin() * strength), dim=1)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotates x [B, T, heads, head_dim] by `turns` [B or 1, T, 2, head_dim / 2]: the first half against the second."""
    cosine, sine = turns[:, :, None, 0], turns[:, :, None, 1]
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def _exponents(head_dim: int) -> Tensor:
    return torch.arange(0, head_dim, 2, device="cpu", dtype=torch.float32) / head_dim


def _stretched(frequencies: Tensor, config: ModelConfig) -> tuple[Tensor, float]:
    """The frequencies [head_dim / 2] after scaling, and what cosines and sines are multiplied by."""
    scaling = config.rope_scaling
    assert scaling is not None
    if scaling.method == "llama3":
        return _llama3(frequencies, scaling), 1.0
    if scaling.method == "yarn":
        given = scaling.attention_factor
        return _yarn(frequencies, scaling, config), 0.1 * math.log(scaling.factor) + 1.0 if given is None else given
    return frequencies / scaling.factor, 1.0


def _llama3(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """Pairs below `low_frequency` turns in the original context are slowed, above `high_frequency` they are not."""
    assert scaling.original_context is not None
    turns = scaling.original_context * frequencies / (2 * math.pi)
    kept = (turns - scaling.low_frequency) / (scaling.high_frequency - scaling.low_frequency)
    kept = kept.clamp(0, 1)
    return frequencies * kept + frequencies / scaling.factor * (1 - kept)


def _yarn(frequencies: Tensor, scaling: RopeScaling, config: ModelConfig) -> Tensor:
    """As `_llama3`, but blended by the pair's number rather than by its turns."""
    size, original = config.head_dim, scaling.original_context
    assert original is not None

    def pair_with(turns: float) -> float:
        """Number of the pair (not whole) that makes so many turns in the original context."""
        return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(config.rope_theta))

    first = max(math.floor(pair_with(scaling.beta_fast)), 0)
    last = min(math.ceil(pair_with(scaling.beta_slow)), size - 1)
    pairs = torch.arange(size // 2, device="cpu", dtype=torch.float32)
    slowed = ((pairs - first) / (last - first or 0.001)).clamp(0, 1)
    return frequencies / scaling.factor * slowed + frequencies * (1 - slowed)
