"""A Hugging Face model, from a folder or from the hub, as a checkpoint of ours.

transformers opens the same folder and must give the same logits before the checkpoint gets its name.
"""

from __future__ import annotations

from pathlib import Path

from lumilab.artifact import Artifact
from lumilab.interop.export_hf import refuse_existing
from lumilab.interop.proof import Proof, need
from lumilab.interop.publish import publish_imported
from lumilab.interop.read_hf import read_hf
from lumilab.interop.with_transformers import open_with_transformers


def import_hf(
    folder: Path, target: Path, tokenizer: Path | None = None, *, unverified: bool = False
) -> tuple[Artifact, Proof | None]:
    """Publishes the model in `folder` as the checkpoint `target`.

    Args:
        folder: with config.json and safetensors.
        target: must not exist.
        tokenizer: where its tokenizer is, if not in the folder.
        unverified: do it without asking transformers; the manifest says so.

    Raises:
        ConfigError: transformers is missing, or there is something at `target`.
        InputError: it is a model that is not possible here, or there is none.
        DamageError, MismatchError: a file is not whole; the parts do not fit; transformers gives other logits.
    """
    if not unverified:
        need("transformers", "hf", "An import that is verified (without `--unverified`)")
    refuse_existing(target)
    found = read_hf(folder.absolute())
    reference = None if unverified else open_with_transformers(folder)
    return publish_imported(found, folder.absolute(), tokenizer or folder, target, "hf", reference)
