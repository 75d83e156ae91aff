"""Normalisation of the residual stream: RMSNorm (Zhang and Sennrich 2019) and LayerNorm (Ba et al. 2016).

Both are computed in float32, as the squares of bfloat16 activations lose too much, and give x's dtype.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lumilab.recipe.model import ModelConfig


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last dimension."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight.to(x.dtype) * wide.to(x.dtype)


class LayerNorm(nn.Module):
    """(x - mean(x)) / deviation(x) * weight + bias over the last dimension."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = F.layer_norm(x.float(), self.weight.shape, self.weight.float(), self.bias.float(), self.epsilon)
        return wide.to(x.dtype)


def residual_norm(config: ModelConfig) -> RMSNorm | LayerNorm:
    """The norm of `config` for the residual stream."""
    kind = LayerNorm if config.norm == "layernorm" else RMSNorm
    return kind(config.width, config.norm_epsilon)
