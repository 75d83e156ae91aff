"""A folder of a Hugging Face model, read: its shape, its weights under our names, its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumilab.errors import DamageError, InputError
from lumilab.interop.names import Tensors, check_complete, from_family
from lumilab.model.families import family_of
from lumilab.model.layout import parameter_shapes
from lumilab.recipe.described_model import shape_of
from lumilab.recipe.model import ModelConfig
from lumilab.training.weights import load_tensors

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True)
class FoundModel:
    """A model as its files have it.

    Attributes:
        config, vocabulary_size: the shape.
        tensors: under our names, in the files' own dtypes.
        files: all that were read.
    """

    config: ModelConfig
    vocabulary_size: int
    tensors: Tensors
    files: tuple[Path, ...]


def read_hf(folder: Path) -> FoundModel:
    """Reads config.json and the weights, in one safetensors file or in several with an index.

    Raises:
        InputError: there is no such model, or one that is not possible here.
        DamageError: a file of weights is not whole.
    """
    described = folder / "config.json"
    values = read_json(described, "This is no folder of a Hugging Face model")
    config, size = shape_of(values, str(described))
    if values.get("model_type") is None or size is None:
        raise InputError("config.json does not say which kind of model it is (model_type)", where=str(described))
    files = weight_files(folder)
    tensors: Tensors = {}
    for file in files:
        tensors |= load_tensors(file)
    family = family_of(config) if values["model_type"] != "lumilab" else None
    if family is not None:
        tensors = from_family(tensors, config, family)
    if config.tie_embeddings and "lm_head.weight" in tensors:
        del tensors["lm_head.weight"]
    check_complete(tensors, parameter_shapes(config, size), str(folder))
    return FoundModel(config, size, tensors, (described, *files))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder.

    Raises:
        InputError: there are none, or one that the index names is missing.
    """
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    if not (folder / INDEX).is_file():
        others = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
        raise InputError(
            "There are no weights in safetensors here",
            where=str(folder),
            mend=f"it has {others[0]}: `lumi import torch` reads such files." if others else f"it needs {WHOLE}.",
        )
    index = read_json(folder / INDEX, "The index of the weights cannot be read")
    names = index.get("weight_map")
    if not isinstance(names, Mapping) or not names:
        raise InputError("The index of the weights names no files", where=str(folder / INDEX))
    files = [folder / name for name in sorted(set(map(str, names.values())))]
    for file in files:
        if file.parent != folder or not file.is_file():
            raise DamageError(
                f"The index names the file {file.name}, which is not there",
                where=str(folder),
                mend="fetch the missing file; large models come in several.",
            )
    return files


def read_json(path: Path, otherwise: str) -> dict[str, Any]:
    """A file with a JSON object.

    Raises:
        InputError: there is none; `otherwise` says what that means.
    """
    try:
        value = json.loads(path.read_bytes())
        problem = None if isinstance(value, dict) else f"{path.name} is not a JSON object"
    except FileNotFoundError:
        problem = f"there is no {path.name}"
    except (OSError, ValueError) as error:
        problem = f"{path.name} cannot be read ({error})"
    if problem is not None:
        raise InputError(f"{otherwise}: {problem}", where=str(path.parent))
    return dict(value)
