"""A model read from elsewhere, published as a checkpoint of ours: with its tokenizer, and with its files on record."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from lumilab.artifact import Artifact
from lumilab.corpus.sources.source import RawPath, inventory
from lumilab.errors import InputError, MismatchError
from lumilab.interop.proof import Forward, Proof, compare
from lumilab.interop.read_hf import FoundModel
from lumilab.model import Transformer
from lumilab.recipe.section import identity
from lumilab.tokenizer.files import FoundTokenizer, find_tokenizer
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.pretrained import with_all_roles
from lumilab.training.checkpoint import publish_checkpoint

KEPT = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja")


def publish_imported(
    found: FoundModel, source: Path, tokenizer: Path, target: Path, form: str, reference: Forward | None
) -> tuple[Artifact, Proof | None]:
    """Publishes the checkpoint `target`.

    Args:
        found: the model.
        source: the folder or file it was read from.
        tokenizer: where its tokenizer is.
        target: must not exist.
        form: what was read, for the manifest.
        reference: computes the logits elsewhere; None to do without proof.

    Raises:
        InputError: there is no tokenizer, or it does not fit the model.
        MismatchError: `reference` gives other logits.
    """
    known, files = matching_tokenizer(tokenizer, found.vocabulary_size)
    model = assembled(found)
    proof = None if reference is None else compare(_as_float32(found), reference, "transformers")
    description = {
        "stage": "import",
        "form": form,
        "model": identity(found.config),
        "vocabulary_size": found.vocabulary_size,
        "tokenizer_identity": known.identity,
        "verified": proof is not None,
    }
    folder = source if source.is_dir() else source.parent
    kept = {name: (folder / name).read_bytes() for name in KEPT if (folder / name).is_file()}
    raw = inventory(
        RawPath(root, file.parent, file.name)
        for root, paths in (("model", found.files), ("tokenizer", files))
        for file in paths
    )
    artifact = publish_checkpoint(
        target, model, config=description, inputs={}, tokenizer=known, files=kept, raw=raw,
        statistics={"largest_difference": proof.difference if proof else None},
    )  # fmt: skip
    return artifact, proof


def assembled(found: FoundModel) -> Transformer:
    """The model with the weights as they were found, in their own dtype, which must be one."""
    with torch.device("meta"):
        model = Transformer(found.config, found.vocabulary_size)
    wide = max((tensor.dtype for tensor in found.tensors.values()), key=lambda dtype: dtype.itemsize)
    model.load_state_dict({name: tensor.to(wide) for name, tensor in found.tensors.items()}, assign=True)
    return model


def matching_tokenizer(place: Path, vocabulary_size: int) -> tuple[Tokenizer, tuple[Path, ...]]:
    """The tokenizer at a place, with the roles it lacks added where the model has rows for them, and its files.

    Raises:
        InputError: there is none.
        MismatchError: it has more tokens than the model.
    """
    found = find_tokenizer(place)
    for definition in (with_all_roles(found.definition, found.declared), _with_declared(found), found.definition):
        tokenizer = Tokenizer(json.dumps(definition, ensure_ascii=False), str(place))
        if tokenizer.vocabulary_size <= vocabulary_size:
            break
    else:
        raise MismatchError(
            f"The tokenizer has {tokenizer.vocabulary_size:,} tokens, but the model only {vocabulary_size:,}",
            where=str(place),
            mend="give the tokenizer that the model was trained with.",
        )
    if "eos" not in tokenizer.roles:
        raise InputError(
            "The tokenizer does not say which token ends a text",
            where=str(place),
            mend="put a tokenizer_config.json with an eos_token beside it.",
        )
    return tokenizer, found.files


def _with_declared(found: FoundTokenizer) -> dict[str, object]:
    """The definition in which the tokens that files beside it declare are special; no token is added."""
    declared = set(found.declared.values())
    added = [
        token | {"special": token["special"] or token["content"] in declared}
        for token in found.definition.get("added_tokens") or []
    ]
    return found.definition | {"added_tokens": added}


def _as_float32(found: FoundModel) -> Transformer:
    with torch.device("meta"):
        model = Transformer(found.config, found.vocabulary_size)
    model.load_state_dict({name: tensor.float() for name, tensor in found.tensors.items()}, assign=True)
    return model.eval()
