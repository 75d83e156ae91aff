"""The model's own layout on disk: its parameters' names and shapes, computed from the configuration.

The names are Hugging Face's for Qwen3 and Llama, so that those models' files open there as they are; the parts that
layout does not know (learned positions) have names in its style. A file can be checked before anything is allocated.
"""

from __future__ import annotations

from math import prod

from lumilab.recipe.model import ModelConfig

Shapes = dict[str, tuple[int, ...]]


def parameter_shapes(config: ModelConfig, vocabulary_size: int) -> Shapes:
    """Name and shape of every stored parameter, in the model's order."""
    shapes: Shapes = {"model.embed_tokens.weight": (vocabulary_size, config.width)}
    if config.positions == "learned":
        shapes["model.embed_positions.weight"] = (config.context, config.width)
    block = _block_shapes(config)
    for index in range(config.layers):
        shapes |= {f"model.layers.{index}.{name}": shape for name, shape in block.items()}
    shapes |= _norm("model.norm", config)
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (vocabulary_size, config.width)
    return shapes


def count_parameters(config: ModelConfig, vocabulary_size: int) -> int:
    """Number of parameters, computed without allocating any; a tied embedding counts once."""
    return sum(prod(shape) for shape in parameter_shapes(config, vocabulary_size).values())


def _block_shapes(config: ModelConfig) -> Shapes:
    width, inner = config.width, config.feed_forward
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    shapes: Shapes = {}
    for name, rows, columns in (("q", queries, width), ("k", keys, width), ("v", keys, width), ("o", width, queries)):
        shapes |= _product(f"self_attn.{name}_proj", rows, columns, config.attention_bias)
    if config.qk_norm:
        shapes |= {"self_attn.q_norm.weight": (config.head_dim,), "self_attn.k_norm.weight": (config.head_dim,)}
    for name in ("gate", "up") if config.gated else ("up",):
        shapes |= _product(f"mlp.{name}_proj", inner, width, config.feed_forward_bias)
    shapes |= _product("mlp.down_proj", width, inner, config.feed_forward_bias)
    return shapes | _norm("input_layernorm", config) | _norm("post_attention_layernorm", config)


def _product(name: str, rows: int, columns: int, bias: bool) -> Shapes:
    weight: Shapes = {f"{name}.weight": (rows, columns)}
    return weight | {f"{name}.bias": (rows,)} if bias else weight


def _norm(name: str, config: ModelConfig) -> Shapes:
    parts = ("weight", "bias") if config.norm == "layernorm" else ("weight",)
    return {f"{name}.{part}": (config.width,) for part in parts}
