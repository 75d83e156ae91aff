"""How the model looks to the rest of the world: its config.json, and its parameters' names and shapes.

The layout is Hugging Face's Qwen3 (Llama's when queries and keys are not normalised). Names and shapes are computed
from the configuration, so that a file can be checked before anything is allocated.
"""

from __future__ import annotations

from math import prod
from typing import Any

from lumilab.recipe.model import ModelConfig


def parameter_shapes(config: ModelConfig, vocabulary_size: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every stored parameter, in the model's order."""
    width, inner = config.width, config.feed_forward
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary_size, width)}
    for index in range(config.layers):
        block: dict[str, tuple[int, ...]] = {
            "self_attn.q_proj.weight": (queries, width),
            "self_attn.k_proj.weight": (keys, width),
            "self_attn.v_proj.weight": (keys, width),
            "self_attn.o_proj.weight": (width, queries),
        }
        if config.qk_norm:
            block |= {"self_attn.q_norm.weight": (config.head_dim,), "self_attn.k_norm.weight": (config.head_dim,)}
        block |= {
            "mlp.gate_proj.weight": (inner, width),
            "mlp.up_proj.weight": (inner, width),
            "mlp.down_proj.weight": (width, inner),
            "input_layernorm.weight": (width,),
            "post_attention_layernorm.weight": (width,),
        }
        shapes |= {f"model.layers.{index}.{name}": shape for name, shape in block.items()}
    shapes["model.norm.weight"] = (width,)
    if not config.tie_embeddings:
        shapes["lm_head.weight"] = (vocabulary_size, width)
    return shapes


def count_parameters(config: ModelConfig, vocabulary_size: int) -> int:
    """Number of parameters, computed without allocating any; a tied embedding counts once."""
    return sum(prod(shape) for shape in parameter_shapes(config, vocabulary_size).values())


def hf_config(
    config: ModelConfig, vocabulary_size: int, *, bos_id: int, eos_id: int, pad_id: int, dtype: str = "float32"
) -> dict[str, Any]:
    """The content of config.json with which transformers opens the weights.

    The rotary base is given under both names, that of transformers 5 (`rope_parameters`) and the one before.
    """
    family = "Qwen3" if config.qk_norm else "Llama"
    values: dict[str, Any] = {
        "architectures": [f"{family}ForCausalLM"],
        "model_type": family.lower(),
        "vocab_size": vocabulary_size,
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "tie_word_embeddings": config.tie_embeddings,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": bos_id,
        "eos_token_id": eos_id,
        "pad_token_id": pad_id,
        "dtype": dtype,
    }
    if config.qk_norm:
        values |= {"use_sliding_window": False, "sliding_window": None, "max_window_layers": config.layers}
    else:
        values["mlp_bias"] = False
    return values
