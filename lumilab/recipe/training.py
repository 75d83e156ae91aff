"""The recipe's training: one set of settings for pretraining, fine-tuning and preference training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lumilab.recipe.dataset import MixtureConfig
from lumilab.recipe.section import Count, Section, Share, runtime, setting

DecayRate = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Section):
    """How gradients become updates."""

    name: Literal["adamw", "muon"] = setting("adamw", "adamw, or muon for the matrices with adamw for the rest")
    learning_rate: float = setting(1e-3, "peak learning rate of adamw's parameters", gt=0)
    matrix_learning_rate: float = setting(0.02, "peak learning rate of muon's matrices", gt=0)
    betas: tuple[DecayRate, DecayRate] = setting((0.9, 0.95), "adamw's decay rates of the gradient and its square")
    epsilon: float = setting(1e-8, "adamw's epsilon", gt=0)
    momentum: DecayRate = setting(0.95, "muon's momentum")
    weight_decay: float = setting(0.1, "decoupled weight decay of matrices (none on norms and embeddings)", ge=0)
    clip: float = setting(1.0, "largest gradient norm; 0 for no clipping", ge=0)


class ScheduleConfig(Section):
    """The learning rate over the run, as a share of the peak."""

    name: Literal["cosine", "linear", "wsd", "constant"] = setting("cosine", "shape after the warm-up")
    warmup: Share = setting(0.1, "share of the steps with a linear rise from zero")
    minimum: Share = setting(0.1, "share of the peak at the end")
    decay: Share = setting(0.2, "share of the steps in which `wsd` falls to the minimum")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.name == "wsd" and self.warmup + self.decay > 1:
            raise ValueError(
                f"warmup ({self.warmup}) and decay ({self.decay}) are together more than the whole run: "
                "lower one of them"
            )
        return self


class TrainingConfig(Section):
    """One loop for every kind of training."""

    steps: Count = setting(1_000, "optimizer steps")
    batch_size: Count = setting(8, "windows per optimizer step, over all devices")
    micro_batch_size: int | None = setting(None, "windows per forward pass; null for the whole batch", ge=1)
    mixture: MixtureConfig = setting(MixtureConfig(), "which source each window comes from (pretraining)")
    residency: Literal["auto", "mmap", "pinned", "device"] = runtime(
        "auto", "where the tokens wait: files, page-locked memory, or the GPU; auto decides by size"
    )
    optimizer: OptimizerConfig = setting(OptimizerConfig(), "how gradients become updates")
    schedule: ScheduleConfig = setting(ScheduleConfig(), "the learning rate over the run")
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto", "arithmetic of the matrix products; auto is bfloat16 where the hardware has it"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = setting(
        "auto", "where to train; auto takes cuda, then mps, then cpu"
    )
    compile: Literal["auto", "yes", "no"] = setting("auto", "torch.compile; auto means where a C++ compiler is at hand")
    validate_every: Count = runtime(100, "steps between validations")
    validation_windows: Count = runtime(64, "windows in each validation during training")
    checkpoint_every: Count = runtime(100, "steps between checkpoints")
    keep_checkpoints: Count = runtime(2, "how many of the newest checkpoints stay on disk")
    log_every: Count = runtime(10, "steps between log lines")
    sample_every: int = runtime(0, "steps between sample generations; 0 for none", ge=0)
    sample_prompts: list[str] = runtime([], "what the samples continue (or, after sft, answer)")
    time_limit: str | None = runtime(
        None, "stop cleanly after this long, for example 30m or 2h; run again to go on", pattern=r"^\d+(\.\d+)?[smhd]$"
    )
    max_skipped_steps: int = runtime(10, "fail after this many steps in a row with a non-finite gradient", ge=0)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of micro_batch_size ({self.micro_batch_size}): "
                "change micro_batch_size"
            )
        return self
