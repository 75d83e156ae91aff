"""The recipe's training: one set of settings for pretraining, fine-tuning and preference training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lumilab.recipe.dataset import MixtureConfig
from lumilab.recipe.section import Count, Section, Share, runtime, setting

DecayRate = Annotated[float, Field(ge=0, lt=1)]
ShareOfEpoch = Annotated[float, Field(gt=0, lt=1)]


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


class AverageConfig(Section):
    """An exponential moving average of the weights (Polyak averaging), beside those that are trained."""

    decay: float = setting(0.999, "share of the average that each step keeps; less in the first steps", gt=0, lt=1)
    validated: bool = setting(True, "validate and sample with the average rather than with the last weights")
    published: bool = setting(True, "publish the average rather than the last weights")


class SuiteConfig(Section):
    """Benchmarks of lm-evaluation-harness that a model is measured on while it is being trained."""

    tasks: list[str] = runtime(..., "as for `lumi eval --suite`: names, NAME:LIMIT, task files", min_length=1)
    data: str | None = runtime(None, "folder with local files of the tasks; null for the hub")
    limit: Count = runtime(50, "items of each task that says no number itself")
    every: Count | None = runtime(None, "steps between two; null for one with each checkpoint")


class TrainingConfig(Section):
    """One loop for every kind of training."""

    steps: Count = setting(1_000, "optimizer steps")
    batch_size: Count = setting(8, "windows per optimizer step, over all devices")
    micro_batch_size: Count | Literal["auto"] | None = setting(
        None, "windows per forward pass; null for the whole batch, auto for the most that fit into memory"
    )
    mixture: MixtureConfig = setting(MixtureConfig(), "which source each window comes from (pretraining)")
    document_mask: bool = setting(False, "attention stays within a document, and positions begin anew with each")
    residency: Literal["auto", "mmap", "pinned", "device"] = runtime(
        "mmap", "where the tokens wait: files, page-locked memory, or the GPU; auto decides by size"
    )
    optimizer: OptimizerConfig = setting(OptimizerConfig(), "how gradients become updates")
    schedule: ScheduleConfig = setting(ScheduleConfig(), "the learning rate over the run")
    ema: AverageConfig | None = setting(None, "a moving average of the weights; null for none")
    early_stopping: Count | None = setting(
        None, "stop after this many validations in a row without a lower loss; null to take all steps"
    )
    publish: Literal["last", "best"] = setting("last", "the weights after the last step, or of the best validation")
    spike_sigmas: float = setting(
        6.0, "skip a step whose loss or gradient norm is this many deviations above the last 128; 0 for never", ge=0
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto", "arithmetic of the matrix products; auto is bfloat16 where the hardware has it"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = setting(
        "auto", "where to train; auto takes cuda, then mps, then cpu"
    )
    deterministic: bool = setting(
        False, "on a GPU, too, only operations that give the same bits each time, which are slower; a CPU's always do"
    )
    compile: Literal["auto", "yes", "no"] = setting("auto", "torch.compile; auto means where a C++ compiler is at hand")
    activation_checkpointing: bool = setting(
        False, "compute activations again in the backward pass instead of keeping them: less memory, more time"
    )
    parallel: Literal["auto", "ddp", "fsdp"] = runtime(
        "auto", "over several devices: all weights on each (ddp), some rows on each (fsdp); auto decides by size"
    )
    save_in_background: Literal["auto", "yes", "no"] = runtime(
        "auto", "write checkpoints while training goes on; auto where memory has ample room for the copy"
    )
    validate_every: Count | ShareOfEpoch | None = runtime(
        None, "steps between validations, or a share of an epoch; null for a tenth of one, 10 to 100 times a run"
    )
    validation_windows: Count = runtime(64, "windows in each validation during training")
    validate_first: bool = runtime(False, "validate before the first step, too")
    checkpoint_every: Count = runtime(100, "steps between checkpoints")
    keep_checkpoints: Count = runtime(2, "how many of the newest checkpoints stay on disk")
    log_every: Count = runtime(10, "steps between log lines")
    sample_every: int | None = runtime(
        0, "steps between sample generations; 0 for none, null for one with each validation", ge=0
    )
    suite: SuiteConfig | None = runtime(None, "benchmarks measured while training; null for none")
    sample_prompts: list[str] = runtime([], "what the samples continue (or, after sft, answer)")
    time_limit: str | None = runtime(
        None, "stop cleanly after this long, for example 30m or 2h; run again to go on", pattern=r"^\d+(\.\d+)?[smhd]$"
    )
    max_skipped_steps: int = runtime(10, "fail when more steps in a row than this were skipped", ge=0)
    go_back: bool = runtime(False, "where the newest training state is damaged, go on from the one before it")
    wandb: Literal["off", "online", "offline"] = runtime("off", "log to Weights & Biases, too")
    wandb_project: str = runtime("lumilab", "the project there", min_length=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if isinstance(self.micro_batch_size, int) and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"batch_size ({self.batch_size}) must be a multiple of micro_batch_size ({self.micro_batch_size}): "
                "change micro_batch_size"
            )
        return self

    def deciding(self) -> frozenset[str]:
        """When to validate decides which weights are the best, and when to stop early."""
        chosen = self.early_stopping is not None or self.publish == "best"
        first = {"validate_first"} if self.validate_first else set()
        return frozenset({"validate_every", "validation_windows"} | first if chosen else ())
