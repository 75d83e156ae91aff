"""Weights stored in less than 32 bits: rounded once, widened whenever they are used. Activations stay as they are.

bf16: half the bytes, 8 bits of precision. int8: one scale for each output, symmetric (Dettmers et al. 2022,
"LLM.int8()", section 2.1, row-wise and for the weights alone). int4: one scale for every 32 inputs of an output, chosen
so that the weight of largest size is -8 of them (the layout Q4_0 of llama.cpp). In a model of int4 the embedding, which
is the output layer too where they are tied, is int8, as it is more sensitive, and so are matrices whose inputs are no
multiple of 32.

The stored layers take the places of the model's own. They give their weights in float32 to whoever asks, so the model
works as before, on any device; kernels.py reads the stored form, which is where the speed comes from.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lumilab.model import Transformer

Quantisation = Literal["none", "bf16", "int8", "int4"]
GROUP = 32  # weights of int4 that share a scale


class StoredMatrix(nn.Module):
    """A weight matrix [outputs, inputs] in a stored form.

    Args:
        weight: float32.
        bias: [outputs], or None.
        kind: how it is stored.

    Attributes:
        stored: bfloat16 or int8 [outputs, inputs], or uint8 [outputs, inputs / 2]: of a group's 16 bytes the low halves
            are its first 16 weights, each 8 more than its value.
        scales: float32, [outputs] for int8, [outputs, inputs / GROUP] for int4; None for bf16.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, kind: Literal["bf16", "int8", "int4"]) -> None:
        super().__init__()
        if kind == "int4" and weight.shape[1] % GROUP:
            kind = "int8"
        self.kind = kind
        self.outputs, self.inputs = weight.shape
        stored, scales = _STORE[kind](weight.detach().float())
        self.stored: Tensor
        self.scales: Tensor | None
        self.bias: Tensor | None
        self.register_buffer("stored", stored.contiguous())
        self.register_buffer("scales", None if scales is None else scales.contiguous())
        self.register_buffer("bias", None if bias is None else bias.detach())

    @property
    def weight(self) -> Tensor:
        """All weights, float32 [outputs, inputs]."""
        return self._widened(self.stored, self.scales)

    def _widened(self, stored: Tensor, scales: Tensor | None) -> Tensor:
        if scales is None:
            return stored.float()
        if self.kind == "int8":
            return stored.float() * scales[..., None]
        groups = stored.view(*stored.shape[:-1], -1, GROUP // 2)
        values = torch.cat((groups & 15, groups >> 4), dim=-1).float() - 8
        return (values * scales[..., None]).flatten(-2)


class StoredLinear(StoredMatrix):
    """A linear layer."""

    def forward(self, x: Tensor) -> Tensor:
        """Outputs [..., outputs] of x [..., inputs], in its dtype."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class StoredEmbedding(StoredMatrix):
    """An embedding, or the output layer, whose weight the model asks for."""

    def forward(self, ids: Tensor) -> Tensor:
        """The rows [..., inputs] of `ids`."""
        return self._widened(self.stored[ids], None if self.scales is None else self.scales[ids])


def _bf16(weight: Tensor) -> tuple[Tensor, Tensor | None]:
    return weight.to(torch.bfloat16), None


def _int8(weight: Tensor) -> tuple[Tensor, Tensor | None]:
    scales = weight.abs().amax(1).clamp(min=1e-30) / 127
    return (weight / scales[:, None]).round().to(torch.int8), scales


def _int4(weight: Tensor) -> tuple[Tensor, Tensor | None]:
    groups = weight.reshape(len(weight), -1, GROUP)
    largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))[..., 0]
    scales = largest / -8
    steps = torch.where(scales[..., None] == 0, 0, groups / torch.where(scales == 0, 1, scales)[..., None])
    values = (steps.round() + 8).clamp(0, 15).to(torch.uint8)
    low, high = values.chunk(2, dim=-1)
    return (low | high << 4).flatten(1), scales


_STORE = {"bf16": _bf16, "int8": _int8, "int4": _int4}


def quantise(model: Transformer, kind: Quantisation) -> Transformer:
    """Stores a model's matrices in the given form, in place. It can no longer be trained.

    Norms, biases and learned positions stay in float32.
    """
    if kind == "none":
        return model
    sensitive: Literal["bf16", "int8"] = "bf16" if kind == "bf16" else "int8"
    for part in list(model.model.layers.modules()):
        for name, layer in list(part.named_children()):
            if isinstance(layer, nn.Linear):
                setattr(part, name, StoredLinear(layer.weight, layer.bias, kind))
    owners: list[tuple[nn.Module, str]] = [(model.model, "embed_tokens"), (model, "lm_head")]
    for owner, name in owners:
        layer = getattr(owner, name)
        if layer is not None:
            setattr(owner, name, StoredEmbedding(layer.weight, None, sensitive))
    return model


def stored_bytes(model: Transformer) -> int:
    """Bytes that a model's weights take, scales included; the rotary table is not one of them."""
    kept = [*model.parameters(), *(tensor for name, tensor in model.named_buffers() if name != "rotary")]
    return sum(tensor.numel() * tensor.element_size() for tensor in kept)
