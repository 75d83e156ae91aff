"""The recipe's preference section: where pairs of a better and a worse answer come from, and how they are learned.

Each field says in one line what it is.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lumilab.recipe.conversations import HHPairs, JudgedConversations, PromptPairs, UltraFeedbackPairs
from lumilab.recipe.finetuning import EitherTrainerConfig
from lumilab.recipe.section import Count, Section, Share, runtime, setting
from lumilab.recipe.training import OptimizerConfig

PreferenceSource = Annotated[
    HHPairs | UltraFeedbackPairs | PromptPairs | JudgedConversations, Field(discriminator="kind")
]


class PairsConfig(Section):
    """Raw preferences to rendered pairs."""

    sources: list[PreferenceSource] = setting(..., "where the pairs come from", min_length=1)
    max_tokens: int | None = setting(None, "pairs with a longer side are dropped; null for the window's length", ge=8)
    min_tokens: int = setting(0, "pairs with a shorter side are dropped", ge=0)
    max_turns: int = setting(100, "rows of more messages than this are refused", ge=2)
    max_message: int = setting(200_000, "rows with a longer message than this, in characters, are refused", ge=1)
    max_bad_share: Share = runtime(0.05, "fail when more than this share of a source's rows is refused")
    validation_share: float = setting(0.1, "share of the prompts kept for validation", gt=0, lt=1)
    limit: int | None = setting(None, "keep at most this many pairs (for trials)", ge=1)


class PreferenceConfig(PairsConfig, EitherTrainerConfig):
    """Training on preferences. The defaults of training that differ here are those the field uses."""

    objective: Literal["dpo", "ipo", "orpo", "kto"] = setting(
        "dpo", "the loss; kto takes single answers with a verdict, too, and the others take pairs"
    )
    beta: float = setting(0.1, "how dear it is to move away from the model that training begins with", gt=0)
    label_smoothing: float = setting(
        0.0, "dpo: how likely it is that a preference is the wrong way round", ge=0, lt=0.5
    )
    good_weight: float = setting(1.0, "kto: what a good answer counts", gt=0)
    bad_weight: float = setting(1.0, "kto: what a bad answer counts", gt=0)
    batch_size: Count = setting(16, "pairs (of kto: answers) per optimizer step, over all devices")
    micro_batch_size: Count | Literal["auto"] | None = setting(
        None, "pairs per forward pass; null for the whole batch, auto for the most that fit into memory"
    )
    optimizer: OptimizerConfig = setting(
        OptimizerConfig(learning_rate=5e-6, matrix_learning_rate=5e-4), "how gradients become updates"
    )
    validation_windows: Count = runtime(256, "pairs in each validation during training")

    def pairs(self) -> PairsConfig:
        """The part that decides about the data."""
        return PairsConfig.model_validate({name: getattr(self, name) for name in PairsConfig.model_fields})

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if self.objective != "kto":
            for source in self.sources:
                if isinstance(source, JudgedConversations):
                    raise ValueError(
                        f"the source {source.name!r} has single answers with a verdict, and {self.objective} compares "
                        "two: set objective to kto, or leave the source out"
                    )
        if self.label_smoothing and self.objective != "dpo":
            raise ValueError(f"label_smoothing is dpo's, and the objective is {self.objective}: leave it out")
        if self.objective != "kto" and (self.good_weight, self.bad_weight) != (1.0, 1.0):
            raise ValueError(
                f"good_weight and bad_weight are kto's, and the objective is {self.objective}: leave them out"
            )
        if any(source.weight != 1 for source in self.sources):
            raise ValueError("weight repeats conversations, but each pair is there once: leave it out")
        if self.trainer == "trl" and (self.objective not in ("dpo", "ipo") or self.label_smoothing):
            raise ValueError(
                "trainer is trl, which is for the objectives dpo and ipo without label_smoothing here: change it, or "
                "set trainer to lumilab"
            )
        if self.mixture.phases:
            raise ValueError("mixture mixes the sources of pretraining: leave it out")
        if self.document_mask:
            raise ValueError("document_mask is for pretraining, pairs never see each other: leave it out")
        return self
