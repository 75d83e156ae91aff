"""Models in GGUF files (the format of llama.cpp and its kin), written and read with the library `gguf`.

A file holds metadata and tensors under its own names. Three things differ from the Hugging Face layout: the rotation of
`llama` pairs neighbouring numbers of a head, so that the rows of its query and key matrices are reordered; GPT-2's
matrices are [out, in]; norms, biases and learned positions stay float32 whatever the matrices' type.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lumilab.errors import DamageError
from lumilab.interop.gguf_tokenizer import GgufVocabulary
from lumilab.interop.names import Tensors, check_complete, from_family, to_family
from lumilab.interop.read_hf import FoundModel
from lumilab.model.families import Family
from lumilab.model.layout import parameter_shapes
from lumilab.recipe.model import ModelConfig, RopeScaling

GgufType = Literal["F32", "F16", "BF16", "Q8_0"]
FILE_TYPES: Mapping[GgufType, int] = {"F32": 0, "F16": 1, "Q8_0": 7, "BF16": 32}  # llama.cpp's LLAMA_FTYPE
QUANTISATION_VERSION = 2
POSITIONS = "position_embd.weight"
Array = npt.NDArray[Any]


def write_gguf(
    path: Path,
    tensors: Mapping[str, Tensor],
    config: ModelConfig,
    family: Family,
    kind: GgufType,
    vocabulary: GgufVocabulary,
    metadata: Mapping[str, Any],
) -> None:
    """Writes a file.

    Args:
        path: of the file.
        tensors: float32, under our names.
        config, family: the shape.
        kind: of the matrices' numbers.
        vocabulary: of as many tokens as the model has.
        metadata: further keys and values (text, whole numbers, true or false).
    """
    import gguf

    writer = gguf.GGUFWriter(path, family)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(QUANTISATION_VERSION)
    _write_shape(writer, config, family, len(vocabulary.tokens))
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.way)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    else:
        writer.add_token_merges(vocabulary.merges)
    adding: dict[type[Any], Any] = {bool: writer.add_bool, int: writer.add_uint32, str: writer.add_string}
    for key, value in metadata.items():
        adding[value.__class__](key, value)
    for name, array in _arrays(tensors, config, family).items():
        stored = gguf.GGMLQuantizationType["F32" if stays_float32(name, array.ndim) else kind]
        writer.add_tensor(name, gguf.quants.quantize(array, stored), raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(path: Path) -> FoundModel:
    """Reads a file that `write_gguf` wrote, or llama.cpp's converter for such a model; weights become float32.

    Raises:
        DamageError: it is not such a file.
    """
    import gguf

    try:
        reader = gguf.GGUFReader(path)
        family: Family = reader.fields["general.architecture"].contents()
        values = {key.removeprefix(f"{family}."): item.contents() for key, item in reader.fields.items()}
        arrays = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise DamageError(f"This is no whole GGUF file: {error}", where=str(path)) from error
    config = _shape(values, family, tied="output.weight" not in arrays)
    names = {theirs: ours for ours, theirs in _names(config, family).items()}
    tensors: Tensors = {}
    for name, array in arrays.items():
        paired = family == "llama" and (".attn_q." in name or ".attn_k." in name)
        rows = _half_rotated(array, config.heads if ".attn_q." in name else config.kv_heads) if paired else array
        tensors[names.get(name, name)] = torch.from_numpy(np.array(rows, dtype=np.float32))
    size = len(values["tokenizer.ggml.tokens"])
    tensors = from_family(tensors, config, family, turned=False)
    check_complete(tensors, parameter_shapes(config, size), str(path))
    return FoundModel(config, size, tensors, (path,))


def as_stored(tensor: Tensor, name: str, kind: GgufType) -> Tensor:
    """A float32 weight (under our name) as readers will have it, after the loss of the type."""
    import gguf

    if stays_float32(name, tensor.ndim):
        return tensor
    code = gguf.GGMLQuantizationType[kind]
    stored = gguf.quants.dequantize(gguf.quants.quantize(tensor.numpy(), code), code)
    return torch.from_numpy(np.array(stored, dtype=np.float32)).view(tensor.shape)


def stays_float32(name: str, dimensions: int) -> bool:
    """Whether a tensor, under GGUF's name or ours, is float32 whatever the type of the matrices."""
    return dimensions == 1 or name in (POSITIONS, "model.embed_positions.weight")


def _write_shape(writer: Any, config: ModelConfig, family: Family, vocabulary_size: int) -> None:
    writer.add_vocab_size(vocabulary_size)
    writer.add_context_length(config.context)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.feed_forward)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.kv_heads)
    if family == "gpt2":
        writer.add_layer_norm_eps(config.norm_epsilon)
        return
    writer.add_layer_norm_rms_eps(config.norm_epsilon)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    if config.rope_scaling is not None:
        from gguf import RopeScalingType

        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(config.rope_scaling.factor)


def _shape(values: Mapping[str, Any], family: Family, *, tied: bool) -> ModelConfig:
    """The other way round."""
    width, heads = values["embedding_length"], values["attention.head_count"]
    shape: dict[str, Any] = {
        "layers": values["block_count"],
        "width": width,
        "heads": heads,
        "kv_heads": values.get("attention.head_count_kv", heads),
        "head_dim": values.get("attention.key_length", width // heads),
        "feed_forward": values["feed_forward_length"],
        "context": values["context_length"],
        "tie_embeddings": tied,
        "qk_norm": family == "qwen3",
    }
    if family == "gpt2":
        shape |= {"norm": "layernorm", "norm_epsilon": _exact(values["attention.layer_norm_epsilon"])}
        shape |= {"positions": "learned", "attention_bias": True, "feed_forward_bias": True, "activation": "gelu_tanh"}
        return ModelConfig(**shape)
    shape |= {"norm_epsilon": _exact(values["attention.layer_norm_rms_epsilon"])}
    shape |= {"rope_theta": _exact(values["rope.freq_base"])}
    if values.get("rope.scaling.type") == "linear":
        shape["rope_scaling"] = RopeScaling(factor=_exact(values["rope.scaling.factor"]))
    return ModelConfig(**shape)


def _exact(number: float) -> float:
    """The number that was meant by a float32: 1e-06, not 9.999999974752427e-07."""
    return float(str(np.float32(number)))


def _arrays(tensors: Mapping[str, Tensor], config: ModelConfig, family: Family) -> dict[str, Array]:
    """All tensors under GGUF's names, in GGUF's order of rows, float32."""
    names = _names(config, family)
    arrays: dict[str, Array] = {}
    for name, tensor in to_family(tensors, config, family).items():
        array: Array = tensor.float().numpy()
        if family == "gpt2" and ".h." in name and array.ndim == 2:
            array = array.T
        if family == "llama" and (".q_proj." in name or ".k_proj." in name):
            array = _pair_rotated(array, config.heads if ".q_proj." in name else config.kv_heads)
        arrays[names[name]] = np.ascontiguousarray(array)
    return arrays


def _names(config: ModelConfig, family: Family) -> dict[str, str]:
    """GGUF's name of every parameter by its name in the family."""
    import gguf

    architecture = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == family)
    known = gguf.get_tensor_name_map(architecture, config.layers)
    with torch.device("meta"):
        blank = {name: torch.empty(shape) for name, shape in parameter_shapes(config, 1).items()}
    names = to_family(blank, config, family)
    return {name: str(known.get_name(name, try_suffixes=(".weight", ".bias"))) for name in names}


def _pair_rotated(array: Array, heads: int) -> Array:
    """Rows for a rotation that pairs neighbours, from rows for one that pairs the halves of a head."""
    return array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def _half_rotated(array: Array, heads: int) -> Array:
    """The inverse of `_pair_rotated`."""
    return array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)
