"""Finished checkpoints: published so that lumilab and Hugging Face's transformers open the same folder, and opened.

A checkpoint artifact holds `model.safetensors` and `config.json` in the Hugging Face layout and the `tokenizer.json` it
was trained with, so the folder is all another tool needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lumilab.artifact import Artifact, ArtifactBuilder, RawFile, canonical_json, record_raw_files
from lumilab.errors import DamageError, MismatchError
from lumilab.model import Transformer, family_of, hf_config, own_config, parameter_shapes
from lumilab.recipe.model import ModelConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.stored_tensors import StoredTensors
from lumilab.training.weights import FILE_NAME, check_shapes, save_tensors

CHECKPOINT = "checkpoint"
TRAINING_STATE = "training-state"


@dataclass(frozen=True)
class LoadedModel:
    """A model and what is known of it."""

    model: Transformer
    config: ModelConfig
    tokenizer_identity: str
    artifact: Artifact


def publish_checkpoint(
    target: Path,
    model: Transformer,
    *,
    config: dict[str, Any],
    inputs: Mapping[str, Artifact],
    tokenizer: Tokenizer,
    files: Mapping[str, bytes] | None = None,
    statistics: Mapping[str, Any] | None = None,
    eos_id: int | None = None,
    raw: tuple[Iterable[RawFile], Mapping[str, Path | str]] | None = None,
) -> Artifact:
    """Publishes a model as a checkpoint, in the place of an earlier one if there is one.

    Args:
        target: the folder it will be.
        config: what made it; holds at least "model", "vocabulary_size" and "tokenizer_identity".
        inputs: the artifacts it was made from, by role.
        tokenizer: copied into the folder.
        files: more files by name; a tokenizer_config.json among them takes the place of the plain one.
        statistics: facts for people, no part of the digest.
        eos_id: the token that ends a text for config.json; the tokenizer's own by default.
        raw: the files from outside that the weights were read from, and where their roots are.
    """
    with ArtifactBuilder(target, kind=CHECKPOINT, config=config, inputs=inputs) as builder:
        save_tensors(builder.path(FILE_NAME), model.state_dict())
        builder.write_json("config.json", _config_json(model, tokenizer, eos_id))
        builder.write_bytes("tokenizer.json", tokenizer.to_json().encode())
        named = {"tokenizer_config.json": tokenizer_config(tokenizer, model.config.context)}
        for name, content in (named | dict(files or {})).items():
            builder.write_bytes(name, content)
        if raw is not None:
            record_raw_files(builder, *raw)
        builder.statistics |= statistics or {}
        return builder.publish(replace=True)


def _config_json(model: Transformer, tokenizer: Tokenizer, eos_id: int | None) -> dict[str, Any]:
    """What transformers opens the folder with, where the weights' names are those of a family it knows."""
    describe = hf_config if family_of(model.config) in ("qwen3", "llama") else own_config
    eos = tokenizer.eos_id if eos_id is None else eos_id
    return describe(
        model.config,
        model.vocabulary_size,
        bos_id=tokenizer.bos_id,
        eos_id=eos,
        pad_id=tokenizer.pad_id if "pad" in tokenizer.roles else eos,
        dtype=str(model.output_weight.dtype).removeprefix("torch."),
    )


def tokenizer_config(tokenizer: Tokenizer, context: int, **more: Any) -> bytes:
    """The tokenizer_config.json with which transformers gives the special tokens their parts.

    Args:
        tokenizer: knows the names of its special tokens.
        context: most tokens the model can read.
        more: further values, which win.
    """
    names = {f"{role}_token": tokenizer.roles[role] for role in ("bos", "eos", "pad", "unk") if role in tokenizer.roles}
    values = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        **more,
    }
    return canonical_json(values, indent=2) + b"\n"


def load_model(
    source: Path | Artifact, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> LoadedModel:
    """Opens a checkpoint, or the training state of a step, for use.

    Args:
        source: its folder, or the opened artifact.
        device, dtype: where the weights go and in which type.

    Raises:
        InputError: there is no artifact.
        MismatchError: it is an artifact of another kind, or a state of an adapter.
        DamageError: a file's size, or a tensor's name or shape, is not what it should be.
    """
    artifact = source if isinstance(source, Artifact) else Artifact.open(source)
    manifest = artifact.manifest
    if manifest.kind not in (CHECKPOINT, TRAINING_STATE):
        raise MismatchError(
            f"Expected a checkpoint, but this is a {manifest.kind}",
            where=str(artifact.path),
            mend="give the folder of a checkpoint; `lumi inspect` shows what a folder is.",
        )
    try:
        config = ModelConfig.model_validate(manifest.config["model"])
        vocabulary_size, identity = manifest.config["vocabulary_size"], manifest.config["tokenizer_identity"]
    except (KeyError, ValueError) as error:
        raise DamageError(f"The manifest does not describe a model: {error}", where=str(artifact.path)) from error
    if manifest.kind == TRAINING_STATE and manifest.config.get("training", {}).get("adapter"):
        raise MismatchError(
            "This training state holds an adapter only, and not the weights it is for",
            where=str(artifact.path),
            mend="give the finished checkpoint beside it (`final`), in which both are merged.",
        )
    path = artifact.path / FILE_NAME
    tensors = StoredTensors(artifact, path.stem).read()  # a state of several ranks has it in pieces
    check_shapes(tensors, parameter_shapes(config, vocabulary_size), path)
    with torch.device("meta"):
        model = Transformer(config, vocabulary_size)
    moved = {name: tensor.to(device=device, dtype=dtype) for name, tensor in tensors.items()}
    model.load_state_dict(moved, assign=True)
    model.to(device)  # the rotary table is in no file
    return LoadedModel(model, config, identity, artifact)
