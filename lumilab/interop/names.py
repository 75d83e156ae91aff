"""Weights under the names of a Hugging Face family, and back.

Qwen3 and Llama share our names, so nothing changes but the copy of a tied output layer that some files carry. GPT-2
has names of its own, keeps the query, key and value products as one, and its matrices are stored [in, out] (its code's
`Conv1D`) where a linear layer's are [out, in].
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from lumilab.errors import InputError
from lumilab.model.families import Family
from lumilab.recipe.model import ModelConfig

Tensors = dict[str, Tensor]

GPT2_BLOCK = {
    "input_layernorm": "ln_1",
    "self_attn.o_proj": "attn.c_proj",
    "post_attention_layernorm": "ln_2",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}
GPT2_WHOLE = {
    "model.embed_tokens": "transformer.wte",
    "model.embed_positions": "transformer.wpe",
    "model.norm": "transformer.ln_f",
    "lm_head": "lm_head",
}
JOINED = "attn.c_attn"
QUERY_KEY_VALUE = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
NOT_WEIGHTS = re.compile(r"(\.attn\.(masked_)?bias|\.rotary_emb\.inv_freq)$")  # masks and tables that old files carry


def to_family(tensors: Mapping[str, Tensor], config: ModelConfig, family: Family) -> Tensors:
    """Our weights under a family's names, in its shapes."""
    if family != "gpt2":
        return dict(tensors)
    named = {theirs: tensors[ours] for ours, theirs in _gpt2_names(config) if ours in tensors}
    for index in range(config.layers):
        for part in ("weight", "bias"):
            parts = [tensors[f"model.layers.{index}.{layer}.{part}"] for layer in QUERY_KEY_VALUE]
            named[f"transformer.h.{index}.{JOINED}.{part}"] = torch.cat(parts)
    return {name: _turned(tensor, name).contiguous() for name, tensor in named.items()}


def from_family(tensors: Mapping[str, Tensor], config: ModelConfig, family: Family, *, turned: bool = True) -> Tensors:
    """A family's weights under our names, in our shapes.

    Args:
        tensors: GPT-2's names with or without the beginning `transformer.`.
        config: the shape.
        family: whose names they are.
        turned: GPT-2's matrices are [in, out], as in Hugging Face's files; else [out, in], as in nanoGPT's.

    Raises:
        InputError: a weight that the shape needs is not there.
    """
    kept = {name: tensor for name, tensor in tensors.items() if not NOT_WEIGHTS.search(name)}
    if config.tie_embeddings:
        kept.pop("lm_head.weight", None)  # a copy of the embedding
    if family != "gpt2":
        return kept
    if "transformer.wte.weight" not in kept:
        kept = {name if name.startswith("lm_head") else f"transformer.{name}": value for name, value in kept.items()}
    if turned:
        kept = {name: _turned(tensor, name) for name, tensor in kept.items()}
    named = {ours: kept.pop(theirs) for ours, theirs in _gpt2_names(config) if theirs in kept}
    for index in range(config.layers):
        for part in ("weight", "bias"):
            joined = kept.pop(f"transformer.h.{index}.{JOINED}.{part}", None)
            if joined is None:
                continue
            for layer, tensor in zip(QUERY_KEY_VALUE, joined.chunk(3), strict=True):
                named[f"model.layers.{index}.{layer}.{part}"] = tensor
    return {name: tensor.contiguous() for name, tensor in (named | kept).items()}


def check_complete(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Refuses weights that are not exactly those of a shape.

    Raises:
        InputError: naming the first that is missing, too many, or of another shape.
    """
    for name in sorted({*tensors, *expected}):
        found: Any = tuple(tensors[name].shape) if name in tensors else None
        wanted = expected.get(name)
        if found == wanted:
            continue
        what = "is missing" if found is None else "is not known" if wanted is None else f"is {found}, not {wanted}"
        raise InputError(
            f"The weights are not those that their configuration describes: {name} {what}",
            where=where,
            mend="check that weights and configuration belong together, and that the model has no parts besides those "
            "of its family (adapters, heads, experts).",
        )


def _turned(tensor: Tensor, name: str) -> Tensor:
    """Linear layers' matrices transposed; embeddings, norms, biases and the output layer as they are."""
    return tensor.t() if tensor.ndim == 2 and ".h." in name else tensor


def _gpt2_names(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """(ours, GPT-2's) of all parameters but the joined ones."""
    for part in ("weight", "bias"):
        for ours, theirs in GPT2_WHOLE.items():
            yield f"{ours}.{part}", f"{theirs}.{part}"
        for index in range(config.layers):
            for ours, theirs in GPT2_BLOCK.items():
                yield f"model.layers.{index}.{ours}.{part}", f"transformer.h.{index}.{theirs}.{part}"
