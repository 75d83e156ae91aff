"""The recipe's fine-tuning: what training has besides when it goes on from a model that can continue text."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from lumilab.recipe.adapter import AdapterConfig
from lumilab.recipe.section import Count, setting
from lumilab.recipe.training import OptimizerConfig, TrainingConfig


class FinetuningConfig(TrainingConfig):
    """Training that begins with a finished model: of all its weights, or of an adapter on them."""

    adapter: AdapterConfig | None = setting(None, "train a low-rank adapter (LoRA) only; null to train all weights")

    @model_validator(mode="after")
    def _adaptable(self) -> Self:
        if self.adapter is None:
            return self
        if self.optimizer.name == "muon":
            raise ValueError(
                "optimizer.name is muon, which is for whole matrices and not for an adapter's thin factors: "
                "set optimizer.name to adamw, or leave adapter out"
            )
        if self.parallel == "fsdp":
            raise ValueError(
                "parallel is fsdp, but an adapter trains with all weights on each device: set parallel to ddp, "
                "or leave adapter out"
            )
        return self


class SftConfig(FinetuningConfig):
    """Supervised fine-tuning. The defaults of training that differ here are those the field uses."""

    optimizer: OptimizerConfig = setting(OptimizerConfig(learning_rate=5e-5), "how gradients become updates")
    batch_size: Count = setting(8, "windows per optimizer step, over all devices")

    @model_validator(mode="after")
    def _for_conversations(self) -> Self:
        if self.mixture.phases:
            raise ValueError("mixture mixes the sources of pretraining, but conversations are one: leave it out")
        if self.document_mask:
            raise ValueError("document_mask is for pretraining, conversations never see each other: leave it out")
        return self
