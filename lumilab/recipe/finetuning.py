"""The recipe's fine-tuning: what training has besides when it goes on from a model that can continue text."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from lumilab.recipe.adapter import AdapterConfig
from lumilab.recipe.section import Count, runtime, setting
from lumilab.recipe.training import OptimizerConfig, ShareOfEpoch, TrainingConfig


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


class EitherTrainerConfig(FinetuningConfig):
    """Fine-tuning that TRL's trainers can do, too."""

    trainer: Literal["lumilab", "trl"] = setting("lumilab", "who trains: our own loop, or TRL's trainer")

    @model_validator(mode="after")
    def _by_trl(self) -> Self:
        if self.trainer == "lumilab":
            return self
        lacking = {
            "optimizer.name is muon": self.optimizer.name == "muon",
            "ema is set": self.ema is not None,
            "early_stopping is set": self.early_stopping is not None,
            "publish is best": self.publish == "best",
            "micro_batch_size is auto": self.micro_batch_size == "auto",
        }
        found = next((name for name, there in lacking.items() if there), None)
        if found is not None:
            raise ValueError(f"trainer is trl, which does not have this: {found}: change it, or set trainer to lumilab")
        return self


class SftConfig(EitherTrainerConfig):
    """Supervised fine-tuning. The defaults of training that differ here are those the field uses."""

    optimizer: OptimizerConfig = setting(OptimizerConfig(learning_rate=5e-5), "how gradients become updates")
    batch_size: Count = setting(8, "windows per optimizer step, over all devices")
    validate_every: Count | ShareOfEpoch | None = runtime(
        0.2, "steps between validations, or a share of an epoch; null for a tenth of one, 10 to 100 times a run"
    )
    sample_every: int | None = runtime(
        None, "steps between sample generations; 0 for none, null for one with each validation", ge=0
    )
    held_back_answers: int = runtime(
        4, "questions of the validation conversations that the samples answer, beside sample_prompts", ge=0
    )

    @model_validator(mode="after")
    def _for_conversations(self) -> Self:
        if self.mixture.phases:
            raise ValueError("mixture mixes the sources of pretraining, but conversations are one: leave it out")
        if self.document_mask:
            raise ValueError("document_mask is for pretraining, conversations never see each other: leave it out")
        return self
