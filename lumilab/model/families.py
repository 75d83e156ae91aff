"""The model families of the Hugging Face world that our shapes fit, and their config.json: written and read.

Qwen3 and Llama share our parameter names; GPT-2 has names of its own (`lumilab.interop.names`). A shape that fits none
of them is still trained and saved; only export refuses it, and says which setting is in the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from lumilab.recipe.model import ModelConfig, RopeScaling

Family = Literal["qwen3", "llama", "gpt2"]
FAMILIES: tuple[Family, ...] = ("qwen3", "llama", "gpt2")
CLASSES: Mapping[Family, str] = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM", "gpt2": "GPT2LMHeadModel"}

HIDDEN_ACTIVATIONS = {"swiglu": "silu", "geglu": "gelu", "reglu": "relu", "gelu": "gelu", "gelu_tanh": "gelu_new"}
"""What Hugging Face calls the function in each activation."""


def family_of(config: ModelConfig) -> Family | None:
    """The first family that a shape fits; None for none."""
    return next((family for family in FAMILIES if not any(obstacles(config, family))), None)


def obstacles(config: ModelConfig, family: Family) -> Iterator[str]:
    """What keeps a shape out of a family, each as `field=value`, with what the family has."""
    wanted: dict[str, Any]
    if family == "gpt2":
        wanted = {"norm": "layernorm", "positions": "learned", "attention_bias": True, "feed_forward_bias": True}
        wanted |= {"qk_norm": False, "kv_heads": config.heads}
        if config.gated:
            yield f"activation={config.activation} (gpt2 has gelu or gelu_tanh)"
        if config.heads * config.head_dim != config.width:
            yield f"head_dim={config.head_dim} (gpt2 has width / heads = {config.width / config.heads:g})"
    else:
        wanted = {"norm": "rmsnorm", "positions": "rope", "qk_norm": family == "qwen3"}
        if family == "qwen3":
            wanted["feed_forward_bias"] = False
        if not config.gated:
            yield f"activation={config.activation} ({family} has swiglu, geglu or reglu)"
    for field, value in wanted.items():
        if getattr(config, field) != value:
            yield f"{field}={getattr(config, field)} ({family} has {value})"


# --- config.json, written ----------------------------------------------------------------------------------------


def hf_config(
    config: ModelConfig, vocabulary_size: int, *, bos_id: int, eos_id: int, pad_id: int, dtype: str = "float32"
) -> dict[str, Any]:
    """The content of config.json with which transformers opens the weights.

    Raises:
        ValueError: the shape fits no family; see `family_of`.
    """
    family = family_of(config)
    if family is None:
        raise ValueError("this shape fits none of the families that transformers knows")
    values: dict[str, Any] = {
        "architectures": [CLASSES[family]],
        "model_type": family,
        "vocab_size": vocabulary_size,
        "tie_word_embeddings": config.tie_embeddings,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": bos_id,
        "eos_token_id": eos_id,
        "pad_token_id": pad_id,
        "dtype": dtype,
    }
    return values | (_gpt2_values(config) if family == "gpt2" else _llama_values(config, family))


def own_config(
    config: ModelConfig, vocabulary_size: int, *, bos_id: int, eos_id: int, pad_id: int, dtype: str = "float32"
) -> dict[str, Any]:
    """The config.json of a checkpoint whose names or shape only lumilab reads.

    transformers refuses the unknown model type; with a family's name it would open the file and fill what it does not
    find with random numbers.
    """
    return {
        "model_type": "lumilab",
        "vocab_size": vocabulary_size,
        "model": config.model_dump(mode="json"),
        "bos_token_id": bos_id,
        "eos_token_id": eos_id,
        "pad_token_id": pad_id,
        "dtype": dtype,
    }


def _gpt2_values(config: ModelConfig) -> dict[str, Any]:
    return {
        "n_embd": config.width,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_inner": config.feed_forward,
        "n_positions": config.context,
        "n_ctx": config.context,
        "activation_function": HIDDEN_ACTIVATIONS[config.activation],
        "layer_norm_epsilon": config.norm_epsilon,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


def _llama_values(config: ModelConfig, family: Family) -> dict[str, Any]:
    """Qwen3's and Llama's. The rotary base and its scaling are given under both names, those of transformers 5
    (`rope_parameters`) and the ones before."""
    scaling = _rope_scaling_values(config.rope_scaling)
    values: dict[str, Any] = {
        "hidden_size": config.width,
        "intermediate_size": config.feed_forward,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.context,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, **(scaling or {"rope_type": "default"})},
        "hidden_act": HIDDEN_ACTIVATIONS[config.activation],
        "attention_bias": config.attention_bias,
        "attention_dropout": 0.0,
    }
    if scaling is not None:
        values["rope_scaling"] = scaling
    if family == "qwen3":
        return values | {"use_sliding_window": False, "sliding_window": None, "max_window_layers": config.layers}
    return values | {"mlp_bias": config.feed_forward_bias}


def _rope_scaling_values(scaling: RopeScaling | None) -> dict[str, Any] | None:
    if scaling is None:
        return None
    values: dict[str, Any] = {"rope_type": scaling.method, "factor": scaling.factor}
    if scaling.method == "linear":
        return values
    values["original_max_position_embeddings"] = scaling.original_context
    if scaling.method == "llama3":
        return values | {"low_freq_factor": scaling.low_frequency, "high_freq_factor": scaling.high_frequency}
    values |= {"beta_fast": scaling.beta_fast, "beta_slow": scaling.beta_slow}
    return values if scaling.attention_factor is None else values | {"attention_factor": scaling.attention_factor}
