"""A checkpoint as a GGUF file, opened again before it gets its name.

gguf's own reader takes it apart again, and our model made of what it finds must give our logits; transformers' reader
must too, where it can read such a shape. Both are compared with the model after the loss of the chosen type, so that
the bound is that of equal weights; how much the loss itself changes logits is said beside it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError
from lumilab.interop.export_hf import family_for_export, refuse_existing, token_ids
from lumilab.interop.gguf_file import GgufType, as_stored, read_gguf, write_gguf
from lumilab.interop.gguf_tokenizer import gguf_vocabulary
from lumilab.interop.proof import LENGTH, ROWS, Proof, compare, need
from lumilab.interop.publish import assembled
from lumilab.interop.with_transformers import open_with_transformers
from lumilab.model import Transformer
from lumilab.model.families import Family
from lumilab.recipe.model import ModelConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import LoadedModel, load_model

TYPE_BLOCK = 32  # numbers of a row that Q8_0 stores with one scale


@dataclass(frozen=True)
class GgufExport:
    """What was proven of a file, and what was not."""

    proofs: tuple[Proof, ...]
    notes: tuple[str, ...]


def export_gguf(checkpoint: Artifact, target: Path, kind: GgufType, *, unverified: bool = False) -> GgufExport:
    """Writes the file `target`, after it was read again with equal logits.

    Args:
        checkpoint: of any kind of training.
        target: must not exist; its name ends in .gguf.
        kind: of the matrices' numbers.
        unverified: do without transformers' reader.

    Raises:
        ConfigError: GGUF's readers cannot have this model; a library is missing; there is something at `target`.
        MismatchError: a reader does not give our logits; nothing is left behind.
    """
    need("gguf", "gguf", "A GGUF file")
    if not unverified:
        need("transformers", "hf", "An export that is verified (without `--unverified`)")
    refuse_existing(target)
    if target.suffix != ".gguf":
        raise ConfigError("The name of a GGUF file ends in .gguf", where=str(target), mend="give such a name.")
    loaded = load_model(checkpoint)
    family = family_for_export(loaded.config)
    _refuse_unreadable(loaded.config, family, kind)
    tokenizer = Tokenizer.load(checkpoint.path)
    vocabulary = gguf_vocabulary(json.loads(tokenizer.to_json()), loaded.model.vocabulary_size)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.gguf")
    try:
        tensors = loaded.model.state_dict()
        metadata = _metadata(checkpoint, tokenizer)
        write_gguf(temporary, tensors, loaded.config, family, kind, vocabulary, metadata)
        done = _prove(temporary, loaded, family, kind, unverified)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
    return done


def _prove(path: Path, loaded: LoadedModel, family: Family, kind: GgufType, unverified: bool) -> GgufExport:
    model, notes = loaded.model, []
    before = _some_logits(model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(as_stored(parameter.detach(), name, kind))
    lost = (_some_logits(model) - before).abs().max().item()
    if lost:
        notes.append(f"{kind} changes logits by {lost:.2g} at most (the largest is {before.abs().max():.3g}).")
    proofs = [compare(model, assembled(read_gguf(path)).eval(), "gguf's reader")]
    obstacle = next(_in_transformers_way(loaded.config, family), None)
    if unverified:
        notes.append("transformers has not opened it.")
    elif obstacle is not None:
        notes.append(f"transformers' reader of GGUF was not asked: {obstacle}.")
    else:
        proofs.append(compare(model, open_with_transformers(path.parent, path.name), "transformers"))
    return GgufExport(tuple(proofs), tuple(notes))


@torch.no_grad()
def _some_logits(model: Transformer) -> torch.Tensor:
    length = min(LENGTH, model.config.context)
    ids = torch.randint(0, model.vocabulary_size, (ROWS, length), generator=torch.Generator().manual_seed(1))
    logits: torch.Tensor = model(ids)
    return logits


def _refuse_unreadable(config: ModelConfig, family: Family, kind: GgufType) -> None:
    wanted: dict[str, Any] = {"activation": "gelu_tanh"}
    if family != "gpt2":
        wanted = {"activation": "swiglu", "attention_bias": False, "feed_forward_bias": False}
    odd = [f"{field}={getattr(config, field)}" for field, value in wanted.items() if getattr(config, field) != value]
    if config.rope_scaling is not None and config.rope_scaling.method != "linear":
        odd.append(f"rope_scaling.method={config.rope_scaling.method}")
    rows = {
        "width": config.width,
        "feed_forward": config.feed_forward,
        "heads x head_dim": config.heads * config.head_dim,
    }
    if kind == "Q8_0":
        odd += [f"{name}={size} (no multiple of {TYPE_BLOCK})" for name, size in rows.items() if size % TYPE_BLOCK]
    if odd:
        raise ConfigError(
            f"GGUF's readers have no {family} model with {', '.join(odd)}",
            where="the checkpoint's model section",
            mend="export it with `lumi export hf`"
            + (", or with another --type." if all("multiple" in text for text in odd) else "."),
        )


def _in_transformers_way(config: ModelConfig, family: Family) -> Iterator[str]:
    """What its reader of GGUF does not look at, and takes a fixed value for."""
    if family == "qwen3" and config.head_dim != 128:
        yield f"it takes head_dim to be 128, here it is {config.head_dim}"
    if config.rope_scaling is not None:
        yield "it does not look at the scaling of the rotation"
    if family == "gpt2" and config.feed_forward != 4 * config.width:
        yield f"it takes feed_forward to be 4 x width, here it is {config.feed_forward}"
    if family == "gpt2" and config.context != 1_024:
        yield f"it takes context to be 1024, here it is {config.context}"


def _metadata(checkpoint: Artifact, tokenizer: Tokenizer) -> dict[str, Any]:
    """Special tokens, the chat template, and which checkpoint it is."""
    ids = token_ids(checkpoint, tokenizer)
    values: dict[str, Any] = {
        "general.name": checkpoint.path.parent.name,
        "lumilab.checkpoint": checkpoint.digest,
        "tokenizer.ggml.bos_token_id": ids["bos"],
        "tokenizer.ggml.eos_token_id": ids["eos"],
        "tokenizer.ggml.padding_token_id": ids["pad"],
    }
    if "unk" in tokenizer.roles:
        values["tokenizer.ggml.unknown_token_id"] = tokenizer.unk_id
    template = None
    if "tokenizer_config.json" in checkpoint.manifest.files:
        template = json.loads(checkpoint.file("tokenizer_config.json").read_bytes()).get("chat_template")
    if template and "im_end" in tokenizer.roles:
        values |= {"tokenizer.chat_template": template, "tokenizer.ggml.eot_token_id": tokenizer.im_end_id}
    # Documents begin with the beginning-of-text token in training; the turns of a chat do not.
    return values | {"tokenizer.ggml.add_bos_token": not template}
