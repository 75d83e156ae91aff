"""Matrix products that read the same input, done as one.

The layers' weights are joined in the forward pass, which costs a small copy and saves passes over the activations;
each layer keeps its own parameters and their published names. Weights are kept in their own dtype and cast to that of
the activations where they are used: with float32 weights and bfloat16 activations this is mixed-precision training, and
the cast's backward gives float32 gradients.

A layer may be wrapped in a module that adds something to its output (a low-rank adapter). What is wrapped is called and
not joined: only the wrapper knows what it adds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Linear(nn.Linear):
    """A linear layer that is cast where it is used, also by a wrapper around it."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self)


def linear(x: Tensor, *layers: nn.Module) -> Tensor:
    """The layers' outputs [..., sum of their sizes] side by side, in x's dtype. All have a bias or none has."""
    plain = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if len(plain) < len(layers):
        outputs = [linear(x, layer) if isinstance(layer, nn.Linear) else layer(x) for layer in layers]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
    weight = _joined([layer.weight for layer in plain]).to(x.dtype)
    biases = [layer.bias for layer in plain if layer.bias is not None]
    return F.linear(x, weight, _joined(biases).to(x.dtype) if biases else None)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
