"""The recipe: one description of a whole pipeline, from raw text to a model to talk to.

Each field says in one line what it is; `lumi config explain` prints those lines. The corpus's own sections are in
`recipe/corpus.py` and `recipe/filters.py`, those of the tokenizer, the dataset and the conversations in files of their
names.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lumilab.recipe.conversations import ConversationsConfig
from lumilab.recipe.corpus import CorpusConfig
from lumilab.recipe.dataset import DatasetConfig, MixtureConfig
from lumilab.recipe.section import Count, Section, Share, runtime, setting
from lumilab.recipe.tokenizer import TokenizerConfig

DecayRate = Annotated[float, Field(ge=0, lt=1)]

# --- model -------------------------------------------------------------------------------------------------------


class ModelConfig(Section):
    """A decoder-only transformer in the Qwen3 layout (Llama's when qk_norm is off)."""

    layers: Count = setting(6, "transformer blocks")
    width: Count = setting(256, "size of the residual stream")
    heads: Count = setting(4, "query heads")
    kv_heads: Count = setting(4, "key/value heads (fewer than `heads` is grouped-query attention)")
    head_dim: Count = setting(64, "size of each head")
    feed_forward: Count = setting(768, "inner size of the SwiGLU feed-forward layer")
    context: Count = setting(2_048, "longest sequence in tokens")
    rope_theta: float = setting(10_000.0, "base of the rotary position embedding", gt=0)
    norm_epsilon: float = setting(1e-6, "RMSNorm's epsilon", gt=0)
    qk_norm: bool = setting(True, "normalise queries and keys per head before the rotation")
    tie_embeddings: bool = setting(True, "share the input embedding with the output layer")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads}): change kv_heads")
        if self.head_dim % 2:
            raise ValueError(f"head_dim ({self.head_dim}) must be even for the rotary embedding: change head_dim")
        return self


# --- training ----------------------------------------------------------------------------------------------------


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
        "mmap", "where the tokens wait: files, page-locked memory, or the GPU; auto decides by size"
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


# --- evaluation, generation --------------------------------------------------------------------------------------


class SamplingConfig(Section):
    """How the next token is drawn."""

    temperature: float = setting(0.8, "0 for always the most likely token", ge=0)
    top_k: int = setting(50, "draw among this many most likely tokens; 0 for all", ge=0)
    top_p: float = setting(0.95, "draw among the most likely tokens that hold this probability", gt=0, le=1)
    repetition_penalty: float = setting(1.0, "above 1, tokens already seen become less likely", gt=0)
    max_tokens: Count = setting(200, "longest answer in tokens")
    seed: int = setting(0, "same seed, same text")


class EvaluationConfig(Section):
    """How the finished models are measured."""

    windows: int | None = setting(None, "validation windows to measure; null for all", ge=1)
    prompts: list[str] = setting([], "questions put to the chat model; the answers are kept with the results")
    sampling: SamplingConfig = setting(
        SamplingConfig(temperature=0.0, max_tokens=80, repetition_penalty=1.1), "how the answers are drawn"
    )


class Recipe(Section):
    """A whole pipeline. Sections that are null or absent are stages that do not run."""

    name: str = setting(
        ...,
        "name of the run and of its folder: letters, digits, dots, dashes, underscores",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
    )
    description: str = runtime("", "what the recipe is for, in a sentence")
    seed: int = setting(42, "seed of the split, of the order, of the weights and of the dropouts", ge=0)
    corpus: CorpusConfig = setting(..., "raw sources to clean, deduplicated documents")
    tokenizer: TokenizerConfig = setting(TokenizerConfig(), "one tokenizer for the whole pipeline")
    dataset: DatasetConfig = setting(DatasetConfig(), "documents to packed windows of token ids")
    model: ModelConfig = setting(ModelConfig(), "the transformer")
    pretrain: TrainingConfig = setting(TrainingConfig(), "training on the corpus")
    conversations: ConversationsConfig | None = setting(
        None, "conversations to learn from; null to stop after pretraining"
    )
    sft: TrainingConfig = setting(
        TrainingConfig(optimizer=OptimizerConfig(learning_rate=5e-5), batch_size=8), "training on the conversations"
    )
    evaluation: EvaluationConfig = setting(EvaluationConfig(), "how the finished models are measured")
    chat: SamplingConfig = runtime(
        SamplingConfig(temperature=0.7, top_p=0.9, repetition_penalty=1.1), "how `lumi chat` draws its answers"
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.dataset.window > self.model.context:
            raise ValueError(
                f"dataset.window ({self.dataset.window}) is longer than model.context ({self.model.context}): "
                "lower dataset.window or raise model.context"
            )
        longest = self.conversations.max_tokens if self.conversations else None
        if longest and longest > self.dataset.window:
            raise ValueError(
                f"conversations.max_tokens ({longest}) is longer than dataset.window ({self.dataset.window}): "
                "lower conversations.max_tokens"
            )
        return self
