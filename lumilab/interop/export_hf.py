"""A checkpoint as a folder that transformers, and what reads its format, opens.

Weights under the family's names in safetensors, config.json, the tokenizer with a plain class name and its chat
template inline (readers of transformers 4 do not know the class that version 5 would write), and generation_config.json
with all the tokens that end a text. The folder is opened again with transformers before it gets its name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch

from lumilab.artifact import Artifact, ArtifactBuilder, canonical_json
from lumilab.errors import ConfigError
from lumilab.interop.names import to_family
from lumilab.interop.proof import Proof, compare, need
from lumilab.interop.with_transformers import open_with_transformers
from lumilab.model import Transformer, family_of, hf_config
from lumilab.model.families import FAMILIES, Family, obstacles
from lumilab.recipe.model import ModelConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model, tokenizer_config
from lumilab.training.weights import FILE_NAME, save_tensors

Dtype = Literal["float32", "bfloat16", "float16"]
KIND = "hf-model"
COPIED = ("tokenizer_config.json", "chat_template.jinja")


def export_hf(
    checkpoint: Artifact, target: Path, dtype: Dtype = "float32", *, unverified: bool = False
) -> tuple[Artifact, Proof | None]:
    """Publishes the folder `target`, after transformers gave our logits from it.

    Args:
        checkpoint: of any kind of training.
        target: must not exist.
        dtype: of the written weights.
        unverified: write it without asking transformers; the manifest says so.

    Raises:
        ConfigError: the shape is of no family, transformers is missing, or there is something at `target`.
        MismatchError: transformers does not give our logits; nothing is left behind.
    """
    if not unverified:
        need("transformers", "hf", "An export that is verified (without `--unverified`)")
    refuse_existing(target)
    loaded = load_model(checkpoint)
    family = family_for_export(loaded.config)
    model = rounded(loaded.model, getattr(torch, dtype))
    tokenizer = Tokenizer.load(checkpoint.path)
    config = {"format": "hf", "family": family, "dtype": dtype, "verified": not unverified}
    with ArtifactBuilder(target, kind=KIND, config=config, inputs={"checkpoint": checkpoint}) as builder:
        weights = {name: tensor.to(getattr(torch, dtype)) for name, tensor in model.state_dict().items()}
        save_tensors(builder.path(FILE_NAME), to_family(weights, loaded.config, family))
        for name, content in describing_files(checkpoint, model, tokenizer, dtype).items():
            builder.write_bytes(name, content)
        proof = None if unverified else compare(model, open_with_transformers(builder.folder), "transformers")
        builder.statistics |= {"largest_difference": proof.difference if proof else None}
        return builder.publish(), proof


def family_for_export(config: ModelConfig) -> Family:
    """The family of a shape.

    Raises:
        ConfigError: none; it says which settings are in the way of which family.
    """
    family = family_of(config)
    if family is None:
        nearest = min(FAMILIES, key=lambda candidate: len(list(obstacles(config, candidate))))
        raise ConfigError(
            "No model family that others read has this shape",
            where="the checkpoint's model section",
            mend=f"use it with lumilab, or train one that has. The nearest is {nearest}; in the way are "
            f"{', '.join(obstacles(config, nearest))}.",
        )
    return family


def rounded(model: Transformer, dtype: torch.dtype) -> Transformer:
    """The model with float32 weights that `dtype` holds exactly, in place: what readers of the export will have."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.to(dtype))
    return model


def refuse_existing(target: Path) -> None:
    """Raises ConfigError when there is something already."""
    if target.exists():
        raise ConfigError("There is something there already", where=str(target), mend="choose another place.")


def describing_files(checkpoint: Artifact, model: Transformer, tokenizer: Tokenizer, dtype: Dtype) -> dict[str, bytes]:
    """All files beside the weights."""
    ids = token_ids(checkpoint, tokenizer)
    config = hf_config(
        model.config, model.vocabulary_size, bos_id=ids["bos"], eos_id=ids["eos"], pad_id=ids["pad"], dtype=dtype
    )
    ends = [ids["eos"], *(tokenizer.role_id(role) for role in ("im_end", "eos") if role in tokenizer.roles)]
    generation = {"bos_token_id": ids["bos"], "eos_token_id": list(dict.fromkeys(ends)), "pad_token_id": ids["pad"]}
    files = {
        "config.json": _json(config),
        "generation_config.json": _json(generation),
        "tokenizer.json": tokenizer.to_json().encode(),
        "tokenizer_config.json": tokenizer_config(tokenizer, model.config.context),
    }
    kept = {name: checkpoint.path / name for name in COPIED if name in checkpoint.manifest.files}
    return files | {name: path.read_bytes() for name, path in kept.items()}


def token_ids(checkpoint: Artifact, tokenizer: Tokenizer) -> dict[str, int]:
    """bos, eos and pad as the checkpoint's config.json has them: after fine-tuning, eos is the end of a turn."""
    values = json.loads(checkpoint.file("config.json").read_bytes())
    eos = values.get("eos_token_id", tokenizer.eos_id)
    ids = {"bos": values.get("bos_token_id", tokenizer.bos_id), "eos": eos, "pad": values.get("pad_token_id", eos)}
    return {role: number[0] if isinstance(number, list) else number for role, number in ids.items()}


def _json(value: Any) -> bytes:
    return canonical_json(value, indent=2) + b"\n"
