"""The recipe's dataset section, and how training mixes a dataset's sources."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from lumilab.recipe.section import Count, Section, runtime, setting


class DatasetConfig(Section):
    """Documents to packed windows of token ids."""

    window: int = setting(2_048, "tokens in each training window", ge=8)
    packing: Literal["concat", "sliding", "best_fit"] = setting(
        "concat",
        "concat: one after the other; sliding: windows that overlap; best_fit: documents cut as rarely as can be",
    )
    overlap: int | None = setting(
        None, "of sliding windows: tokens that a window shares with the one before; null for half", ge=0
    )
    validation_share: float = setting(0.1, "share of the documents kept for validation", gt=0, lt=1)
    shard_tokens: Count = setting(100_000_000, "tokens in each shard file")
    workers: int | None = runtime(None, "processes that encode; null for one per core", ge=1)
    executor: Literal["local", "ray"] = runtime("local", "where they run")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.overlap is not None and self.packing != "sliding":
            raise ValueError("overlap is of sliding windows: set packing to sliding, or leave overlap out")
        if self.overlap is not None and self.overlap >= self.window:
            raise ValueError(f"overlap ({self.overlap}) must be less than window ({self.window}): lower overlap")
        return self


class PhaseConfig(Section):
    """A stretch of training with its own mix of the corpus's sources."""

    weights: dict[str, float] = setting(..., "share of the windows by the corpus's source", min_length=1)
    tokens: int | None = setting(None, "length in tokens; null, in the last phase alone, for the rest of the run", ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if any(weight < 0 for weight in self.weights.values()) or not any(self.weights.values()):
            raise ValueError("weights must not be negative, nor all zero: change weights")
        return self


class MixtureConfig(Section):
    """Which source each training window comes from."""

    phases: list[PhaseConfig] = setting(
        [], "one after the other; empty to take all windows of all sources once an epoch"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if any(phase.tokens is None for phase in self.phases[:-1]):
            raise ValueError("only the last phase may go on for the rest of the run: give the others `tokens`")
        return self
