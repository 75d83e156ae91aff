"""Weights as small projects name them, under our names: what wraps a name is taken off, then its style is recognised.

Wrappers are `_orig_mod.` (torch.compile) and `module.` (DataParallel). The styles: our own (Hugging Face's Qwen3 and
Llama), GPT-2's with matrices as Hugging Face has them or as nanoGPT has them, and that of Meta's Llama code, whose
rotation pairs neighbouring numbers of a head, so that the rows of its query and key matrices are reordered here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from lumilab.errors import InputError
from lumilab.interop.names import NOT_WEIGHTS, Tensors, from_family
from lumilab.model.layout import parameter_shapes
from lumilab.recipe.model import ModelConfig

Style = Literal["ours", "gpt2", "nanogpt", "meta"]
WRAPPERS = ("_orig_mod.", "module.")
META_BLOCK = {
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w2": "mlp.down_proj",
    "feed_forward.w3": "mlp.up_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
META_WHOLE = {"tok_embeddings": "model.embed_tokens", "norm": "model.norm", "output": "lm_head"}
TABLES = re.compile(r"(^|\.)(freqs_(cis|cos|sin)|rope\.freqs|rotary_emb\.[a-z_]+|cos_cached|sin_cached|mask)$")


def unwrapped(tensors: Mapping[str, Tensor]) -> Tensors:
    """The weights without wrappers in their names, and without tables that are no weights."""
    plain: Tensors = {}
    for name, tensor in tensors.items():
        bare = name
        for wrapper in WRAPPERS:
            bare = re.sub(rf"(^|\.){re.escape(wrapper)}", r"\1", bare)
        if not TABLES.search(bare) and not NOT_WEIGHTS.search(bare):
            plain[bare] = tensor
    return plain


def recognised(tensors: Tensors, where: str) -> tuple[Tensors, Style]:
    """Unwrapped weights under our names or, for GPT-2's styles, theirs, and which style it is.

    Raises:
        InputError: no known style has such names.
    """
    if "model.embed_tokens.weight" in tensors:
        return tensors, "ours"
    if "embed_tokens.weight" in tensors:
        return {
            name if name.startswith("lm_head") else f"model.{name}": value for name, value in tensors.items()
        }, "ours"
    if "tok_embeddings.weight" in tensors:
        return {_from_meta(name): value for name, value in tensors.items()}, "meta"
    for prefix in ("transformer.", ""):
        joined = tensors.get(f"{prefix}h.0.attn.c_attn.weight")
        if joined is not None and f"{prefix}wte.weight" in tensors:
            return tensors, "gpt2" if joined.shape[1] == 3 * joined.shape[0] else "nanogpt"
    raise InputError(
        "The weights have names that are not known here",
        where=where,
        mend="known are those of Hugging Face's Llama, Qwen3 and GPT-2, of nanoGPT and of Meta's Llama; the first "
        f"names here are {', '.join(sorted(tensors)[:3])}.",
    )


def inferred(tensors: Tensors, style: Style, told: Mapping[str, Any], where: str) -> tuple[ModelConfig, int]:
    """The shape: sizes from the weights themselves, the rest as told, else by the customs of the style.

    Args:
        tensors: as `recognised` gives them.
        style: of their names.
        told: fields of ModelConfig.
        where: the file, for messages.

    Raises:
        InputError: the number of heads is told nowhere, or the sizes are those of no possible model.
    """
    shape = _gpt2_shape(tensors, style) if style in ("gpt2", "nanogpt") else _llama_shape(tensors, style)
    sizes = {name: shape.pop(name) for name in ("queries", "keys", "vocabulary_size")}
    known = (*shape, "vocabulary_size")  # the embedding has as many rows as it has, whatever is told
    fields = shape | {name: value for name, value in told.items() if name not in known or name in _CUSTOMS}
    if "head_dim" in shape:
        fields["heads"] = sizes["queries"] // shape["head_dim"]
    if "heads" not in fields:
        raise InputError(
            "No file says how many heads the model has",
            where=where,
            mend="give --heads; the sizes of the weights do not tell.",
        )
    fields["head_dim"] = sizes["queries"] // int(fields["heads"])
    fields["kv_heads"] = sizes["keys"] // max(fields["head_dim"], 1)
    try:
        return ModelConfig(**fields), sizes["vocabulary_size"]
    except ValidationError as error:
        mistake = error.errors()[0]
        reason = ": ".join([*map(str, mistake["loc"]), mistake["msg"].removeprefix("Value error, ")])
        raise InputError(f"The sizes are those of no possible model: {reason}", where=where) from None


_CUSTOMS = ("activation", "norm_epsilon", "rope_theta", "rope_scaling", "context")
"""What the weights do not tell."""


def to_ours(tensors: Tensors, style: Style, config: ModelConfig) -> Tensors:
    """The weights under our names, in our shapes. Biases that nanoGPT can do without are zeros."""
    if style in ("gpt2", "nanogpt"):
        tensors = from_family(tensors, config, "gpt2", turned=style == "gpt2")
        shapes = parameter_shapes(config, 1)
        absent = [name for name in shapes if name.endswith(".bias") and name not in tensors]
        return tensors | {name: torch.zeros(shapes[name]) for name in absent}
    tensors = dict(tensors)
    if config.tie_embeddings:
        tensors.pop("lm_head.weight", None)
    if style == "meta":
        for name, heads in (("q_proj", config.heads), ("k_proj", config.kv_heads)):
            for index in range(config.layers):
                key = f"model.layers.{index}.self_attn.{name}.weight"
                tensors[key] = _half_rotated(tensors[key], heads)
    return tensors


def _llama_shape(tensors: Tensors, style: Style) -> dict[str, Any]:
    embedding, block = tensors["model.embed_tokens.weight"], "model.layers.0"
    output = tensors.get("lm_head.weight")
    shape: dict[str, Any] = {
        "layers": 1 + max(int(name.split(".")[2]) for name in tensors if name.startswith("model.layers.")),
        "width": embedding.shape[1],
        "vocabulary_size": embedding.shape[0],
        "queries": tensors[f"{block}.self_attn.q_proj.weight"].shape[0],
        "keys": tensors[f"{block}.self_attn.k_proj.weight"].shape[0],
        "feed_forward": tensors[f"{block}.mlp.up_proj.weight"].shape[0],
        "activation": "swiglu" if f"{block}.mlp.gate_proj.weight" in tensors else "gelu",
        "norm": "layernorm" if "model.norm.bias" in tensors else "rmsnorm",
        "norm_epsilon": 1e-5 if style == "meta" else 1e-6,
        "qk_norm": f"{block}.self_attn.q_norm.weight" in tensors,
        "attention_bias": f"{block}.self_attn.q_proj.bias" in tensors,
        "feed_forward_bias": f"{block}.mlp.up_proj.bias" in tensors,
        "tie_embeddings": output is None or (output.shape == embedding.shape and torch.equal(output, embedding)),
    }
    if shape["qk_norm"]:
        shape["head_dim"] = tensors[f"{block}.self_attn.q_norm.weight"].shape[0]
    return shape


def _gpt2_shape(tensors: Tensors, style: Style) -> dict[str, Any]:
    prefix = "transformer." if "transformer.wte.weight" in tensors else ""
    embedding = tensors[f"{prefix}wte.weight"]
    width = embedding.shape[1]
    output = tensors.get("lm_head.weight")
    return {
        "layers": 1 + max(int(name.removeprefix(prefix).split(".")[1]) for name in tensors if f"{prefix}h." in name),
        "width": width,
        "vocabulary_size": embedding.shape[0],
        "queries": width,
        "keys": width,
        "feed_forward": max(tensors[f"{prefix}h.0.mlp.c_fc.weight"].shape, key=lambda size: size != width),
        "context": tensors[f"{prefix}wpe.weight"].shape[0],
        "activation": "gelu" if style == "nanogpt" else "gelu_tanh",
        "norm": "layernorm",
        "norm_epsilon": 1e-5,
        "qk_norm": False,
        "positions": "learned",
        "attention_bias": True,
        "feed_forward_bias": True,
        "tie_embeddings": output is None or torch.equal(output, embedding),
    }


def _from_meta(name: str) -> str:
    parts = name.rsplit(".", 1)
    if name.startswith("layers."):
        _, index, rest = name.split(".", 2)
        layer, part = rest.rsplit(".", 1)
        return f"model.layers.{index}.{META_BLOCK.get(layer, layer)}.{part}"
    return f"{META_WHOLE.get(parts[0], parts[0])}.{parts[-1]}"


def _half_rotated(matrix: Tensor, heads: int) -> Tensor:
    """Rows for a rotation that pairs the halves of a head, from rows for one that pairs neighbours."""
    rows, columns = matrix.shape
    return matrix.view(heads, rows // heads // 2, 2, columns).transpose(1, 2).reshape(rows, columns)
