"""Descriptions of models by others, read as a shape: Hugging Face's config.json, and the plain files of small projects.

What a description says and our model cannot do is refused by name, so that no model is quietly another one. A field
that a family's config.json leaves out has that family's default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lumilab.errors import InputError
from lumilab.recipe.load import load_recipe, preset_names
from lumilab.recipe.model import ModelConfig, RopeScaling

GATES = {"silu": "swiglu", "swish": "swiglu", "gelu": "geglu", "relu": "reglu"}
PLAIN = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_fast": "gelu_tanh"}

ALIASES: Mapping[str, tuple[str, ...]] = {
    "layers": ("num_layers", "n_layer", "n_layers", "num_hidden_layers"),
    "width": ("hidden_size", "d_model", "n_embd", "dim", "hidden_dim", "embedding_size"),
    "heads": ("num_heads", "n_head", "n_heads", "num_attention_heads"),
    "kv_heads": ("num_kv_heads", "n_kv_head", "n_kv_heads", "num_key_value_heads"),
    "head_dim": (),
    "feed_forward": ("intermediate_size", "ffn_dim", "ffn_hidden_size", "d_ff", "n_inner"),
    "context": (
        "max_seq_len", "max_seq_length", "max_position_embeddings", "block_size", "context_length", "n_positions",
        "window_size",
    ),
    "norm_epsilon": ("rms_norm_eps", "layer_norm_eps", "norm_eps", "layer_norm_epsilon"),
    "rope_theta": ("rope_base",),
    "qk_norm": (),
    "tie_embeddings": ("tie_word_embeddings", "tied_embeddings", "weight_tying"),
    "vocabulary_size": ("vocab_size", "n_vocab"),
}  # fmt: skip
"""Our fields and what the predecessors' configurations call them."""


def read_shape(reference: str | Path) -> tuple[ModelConfig, int | None]:
    """The shape and the vocabulary's size (if it is said) that a file describes.

    Args:
        reference: a preset's name, a recipe, or a JSON or YAML file as for `shape_of`.

    Raises:
        ConfigError, InputError: there is no such file, or it describes no possible model.
    """
    path = Path(reference)
    if str(reference) in preset_names():
        return _of_recipe(str(reference))
    try:
        values = yaml.safe_load(path.read_bytes())  # JSON is YAML, too
    except (OSError, yaml.YAMLError) as error:
        raise InputError(
            f"The description of a model cannot be read: {error}",
            where=str(path),
            mend=f"give a JSON or YAML file, or a preset: {', '.join(preset_names())}.",
        ) from None
    if not isinstance(values, Mapping):
        raise InputError("This describes no model: it is not a mapping", where=str(path))
    if {"extends", "corpus"} & values.keys():
        return _of_recipe(str(path.absolute()))
    return shape_of(values, str(path))


def _of_recipe(reference: str) -> tuple[ModelConfig, int]:
    recipe = load_recipe(reference).recipe
    return recipe.model, recipe.tokenizer.vocabulary_size


def shape_of(values: Mapping[str, Any], where: str) -> tuple[ModelConfig, int | None]:
    """The shape and the vocabulary's size (if it is said) that a description means.

    Args:
        values: a parsed config.json of Hugging Face or of lumilab, a recipe's `model` section, or a mapping with the
            names that small projects use (ALIASES); such a mapping may hold them in a section `model`.
        where: the file, for messages.

    Raises:
        InputError: it describes a model that is not possible here, or none.
    """
    readers: dict[str, Callable[[Mapping[str, Any]], tuple[ModelConfig, int | None]]] = {
        "qwen3": _qwen3,
        "llama": _llama,
        "gpt2": _gpt2,
        "lumilab": _own,
    }
    kind = values.get("model_type")
    if kind is not None and kind not in readers:
        raise InputError(
            f"Models of the type {kind} cannot be used here",
            where=where,
            mend=f"the types known are {', '.join(readers)}.",
        )
    try:
        return readers[kind](values) if kind else _plain(values)
    except _Unsupported as error:
        raise InputError(
            f"The model cannot be used here: {error}", where=where, mend="use a model without it."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"This describes no possible model: {key + ': ' if key else ''}{reason}", where=where
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"The description of the model is incomplete or malformed: {error}", where=where) from None


class _Unsupported(Exception):
    """A setting that our model does not have."""


def _qwen3(values: Mapping[str, Any]) -> tuple[ModelConfig, int | None]:
    if values.get("use_sliding_window"):
        raise _Unsupported("use_sliding_window is true")
    defaults = {
        "head_dim": 128,
        "num_key_value_heads": 32,
        "intermediate_size": 22_016,
        "max_position_embeddings": 32_768,
    }
    return _llama_like(defaults | dict(values), qk_norm=True)


def _llama(values: Mapping[str, Any]) -> tuple[ModelConfig, int | None]:
    return _llama_like(values, qk_norm=False)


def _llama_like(values: Mapping[str, Any], *, qk_norm: bool) -> tuple[ModelConfig, int | None]:
    width, heads = int(values["hidden_size"]), int(values["num_attention_heads"])
    context = int(values.get("max_position_embeddings") or 2_048)
    theta, scaling = _rope(values, context)
    if scaling is not None and scaling.original_context is not None:
        context = max(context, scaling.original_context)
    config = ModelConfig(
        layers=values["num_hidden_layers"],
        width=width,
        heads=heads,
        kv_heads=values.get("num_key_value_heads") or heads,
        head_dim=values.get("head_dim") or width // heads,
        feed_forward=values["intermediate_size"],
        activation=_known(GATES, values.get("hidden_act", "silu"), "hidden_act"),
        norm_epsilon=values.get("rms_norm_eps", 1e-6),
        qk_norm=qk_norm,
        context=context,
        rope_theta=theta,
        rope_scaling=scaling,
        attention_bias=bool(values.get("attention_bias", False)),
        feed_forward_bias=bool(values.get("mlp_bias", False)),
        tie_embeddings=bool(values.get("tie_word_embeddings", False)),
    )
    return config, int(values["vocab_size"])


def _rope(values: Mapping[str, Any], context: int) -> tuple[float, RopeScaling | None]:
    """Base and scaling, as transformers 5 writes them (`rope_parameters`) or as before it."""
    given = {**(values.get("rope_scaling") or {}), **(values.get("rope_parameters") or {})}
    theta = float(given.get("rope_theta", values.get("rope_theta", 10_000.0)))
    method = given.get("rope_type", given.get("type", "default"))
    if given.get("partial_rotary_factor", values.get("partial_rotary_factor", 1.0)) != 1.0:
        raise _Unsupported("partial_rotary_factor is not 1")
    if method in ("default", "none"):
        return theta, None
    if method not in ("linear", "llama3", "yarn") or given.get("mscale") or given.get("truncate") is False:
        raise _Unsupported(f"rope_type is {method}" + (" with mscale or truncate" if method == "yarn" else ""))
    names = {
        "low_freq_factor": "low_frequency",
        "high_freq_factor": "high_frequency",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "attention_factor": "attention_factor",
    }
    options = {ours: given[theirs] for theirs, ours in names.items() if given.get(theirs) is not None}
    if method != "linear":
        options["original_context"] = given.get("original_max_position_embeddings") or context
    return theta, RopeScaling(method=method, factor=given["factor"], **options)


def _gpt2(values: Mapping[str, Any]) -> tuple[ModelConfig, int | None]:
    for name, wanted in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("add_cross_attention", False),
    ):
        if values.get(name, wanted) != wanted:
            raise _Unsupported(f"{name} is {values[name]}")
    width, heads = int(values.get("n_embd", 768)), int(values.get("n_head", 12))
    config = ModelConfig(
        layers=values.get("n_layer", 12),
        width=width,
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        feed_forward=values.get("n_inner") or 4 * width,
        activation=_known(PLAIN, values.get("activation_function", "gelu_new"), "activation_function"),
        norm="layernorm",
        norm_epsilon=values.get("layer_norm_epsilon", 1e-5),
        qk_norm=False,
        positions="learned",
        context=values.get("n_positions", 1_024),
        attention_bias=True,
        feed_forward_bias=True,
        tie_embeddings=bool(values.get("tie_word_embeddings", True)),
    )
    return config, int(values.get("vocab_size", 50_257))


def _own(values: Mapping[str, Any]) -> tuple[ModelConfig, int | None]:
    return ModelConfig.model_validate(values["model"]), int(values["vocab_size"])


def _plain(values: Mapping[str, Any]) -> tuple[ModelConfig, int | None]:
    """Our own fields, and the predecessors' names for them. What a width decides by custom is worked out."""
    found = fields_of(values)
    size = found.pop("vocabulary_size", None)
    if not {"width", "layers"} & found.keys():
        raise KeyError("neither its width nor its layers are given")
    if "width" in found:  # the customs of the field, where the file leaves them out
        width = int(found["width"])
        if "heads" in found:
            found.setdefault("head_dim", width // int(found["heads"]))
            found.setdefault("kv_heads", found["heads"])
        found.setdefault("feed_forward", int(width * float(_section(values).get("ffn_ratio", 4.0))))
    return ModelConfig.model_validate(found), None if size is None else int(size)


def fields_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of ModelConfig, and `vocabulary_size`, that a mapping gives under our names or the predecessors'."""
    tokenizer = values.get("tokenizer")
    size = tokenizer.get("vocabulary_size") if isinstance(tokenizer, Mapping) else None
    values = ({"vocabulary_size": size} if size else {}) | dict(_section(values))
    known = (*ModelConfig.model_fields, "vocabulary_size")
    found: dict[str, Any] = {name: values[name] for name in known if name in values}
    for ours, theirs in ALIASES.items():
        given = [name for name in theirs if values.get(name) is not None]
        if ours not in found and given:
            found[ours] = values[given[0]]
    return found


def _section(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A section `model`, if there is one."""
    section = values.get("model")
    return section if isinstance(section, Mapping) else values


def _known(table: Mapping[str, str], name: str, key: str) -> Any:
    if name not in table:
        raise _Unsupported(f"{key} is {name}; known are {', '.join(table)}")
    return table[name]
