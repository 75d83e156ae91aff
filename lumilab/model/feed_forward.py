"""The feed-forward layers.

Gated (Shazeer 2020): down(activation(gate(x)) * up(x)), with SiLU for SwiGLU, GELU for GeGLU, ReLU for ReGLU. Plain
(Vaswani et al. 2017, with the GELU of Hendrycks and Gimpel 2016): down(gelu(up(x))); `gelu_tanh` is GPT-2's
approximation of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from lumilab.model.linear import Linear, linear
from lumilab.recipe.model import ModelConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "swiglu": F.silu,
    "geglu": F.gelu,
    "reglu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
}


class GatedFeedForward(nn.Module):
    """down(activation(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        bias = config.feed_forward_bias
        self.gate_proj = Linear(config.width, config.feed_forward, bias=bias)
        self.up_proj = Linear(config.width, config.feed_forward, bias=bias)
        self.down_proj = Linear(config.feed_forward, config.width, bias=bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        gate, up = linear(x, self.gate_proj, self.up_proj).chunk(2, dim=-1)
        return linear(self.activation(gate) * up, self.down_proj)


class PlainFeedForward(nn.Module):
    """down(activation(up(x)))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.up_proj = Linear(config.width, config.feed_forward, bias=config.feed_forward_bias)
        self.down_proj = Linear(config.feed_forward, config.width, bias=config.feed_forward_bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return linear(self.activation(linear(x, self.up_proj)), self.down_proj)


def feed_forward(config: ModelConfig) -> GatedFeedForward | PlainFeedForward:
    """The feed-forward layer of `config`."""
    return GatedFeedForward(config) if config.gated else PlainFeedForward(config)
