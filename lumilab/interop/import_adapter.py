"""A low-rank adapter that PEFT wrote, merged into one of our checkpoints: ours, or trained elsewhere on our export.

The merged model is compared with what PEFT itself computes with the adapter on transformers' model of the base, before
the checkpoint gets its name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.corpus.sources.source import RawPath, inventory
from lumilab.errors import ConfigError
from lumilab.interop.export_hf import refuse_existing
from lumilab.interop.proof import Proof, compare
from lumilab.model import family_of
from lumilab.posttraining.adapters import CONFIG_FILE, WEIGHTS_FILE, load_adapter, merge_adapter
from lumilab.posttraining.chat_files import FORM_FILE
from lumilab.recipe.section import identity
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model, publish_checkpoint

KEPT = ("tokenizer_config.json", "generation_config.json", "chat_template.jinja", FORM_FILE)


def import_adapter(
    adapter: Path, base: Artifact, target: Path, *, unverified: bool = False
) -> tuple[Artifact, Proof | None]:
    """Publishes the checkpoint `target`.

    Args:
        adapter: the folder that PEFT wrote.
        base: the checkpoint that the adapter was trained on.
        target: must not exist.
        unverified: do not compare; the manifest says so.

    Raises:
        ConfigError: there is something at `target`, or the shape is not one that transformers opens as it is.
        ResourceError: PEFT is not installed.
        InputError, MismatchError, DamageError: the adapter cannot be read, or is not for this model.
        MismatchError: PEFT computes other logits.
    """
    refuse_existing(target)
    loaded = load_model(base)
    if not unverified and family_of(loaded.config) not in ("qwen3", "llama"):
        raise ConfigError(
            "transformers cannot open a model of this shape under a checkpoint's own names, so the merged model cannot "
            "be compared with PEFT's",
            where="the checkpoint's model section",
            mend="give --unverified to merge without the comparison.",
        )
    load_adapter(loaded.model, adapter)
    merge_adapter(loaded.model)
    proof = None if unverified else compare(loaded.model.eval(), _with_peft(base.path, adapter), "PEFT")
    description = {
        "stage": "import",
        "form": "adapter",
        "model": identity(loaded.config),
        "vocabulary_size": loaded.model.vocabulary_size,
        "tokenizer_identity": loaded.tokenizer_identity,
        "verified": proof is not None,
    }
    raw = inventory(RawPath("adapter", adapter, name) for name in (CONFIG_FILE, WEIGHTS_FILE))
    artifact = publish_checkpoint(
        target,
        loaded.model,
        config=description,
        inputs={"base": base},
        tokenizer=Tokenizer.load(base.path),
        eos_id=json.loads((base.path / "config.json").read_bytes()).get("eos_token_id"),
        files={name: (base.path / name).read_bytes() for name in KEPT if (base.path / name).is_file()},
        raw=raw,
        statistics={"largest_difference": proof.difference if proof else None},
    )
    return artifact, proof


def _with_peft(base: Path, adapter: Path) -> Any:
    """Ids to logits, by PEFT on transformers' model."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), str(adapter))
    model.eval()

    def forward(ids: Tensor) -> Tensor:
        logits: Tensor = model(input_ids=ids).logits
        return logits

    return forward
