"""The recipe's sections of reinforcement learning from rewards that can be computed: prompts, and training on them.

Each field says in one line what it is.
"""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import Field, model_validator

from lumilab.recipe.conversations import ArithmeticConversations, ColumnsConversations, MessagesConversations
from lumilab.recipe.finetuning import FinetuningConfig
from lumilab.recipe.section import Count, Section, Share, runtime, setting
from lumilab.recipe.training import OptimizerConfig, ScheduleConfig

BUILT_IN_REWARDS = ("answer", "format")

PromptSource = Annotated[
    ArithmeticConversations | ColumnsConversations | MessagesConversations, Field(discriminator="kind")
]


class PromptsConfig(Section):
    """Questions to practise on, each with what a reward may compare an answer with."""

    sources: list[PromptSource] = setting(..., "where the questions and their right answers come from", min_length=1)
    validation_share: float = setting(0.1, "share of the questions that are never trained on", gt=0, lt=1)
    limit: int | None = setting(None, "keep at most this many questions (for trials)", ge=2)
    max_bad_share: Share = runtime(0.05, "fail when more than this share of a source's rows is refused")


class RewardConfig(Section):
    """One reward; an answer's whole reward is the weighted sum of all."""

    function: str = setting(
        "answer",
        "`answer` (1 for the right number or text), `format` (1 for the right form), or module:function of yours",
        pattern=r"^(answer|format|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$",
    )
    weight: float = setting(1.0, "what it counts in the sum")
    pattern: str | None = setting(
        None, "of `format`: the regular expression of a whole answer; null for a closed think block and text behind it"
    )

    @property
    def name(self) -> str:
        """In the log: the built-in's name, or that of the function."""
        return self.function.rpartition(":")[2]

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.pattern is None:
            return self
        if self.function != "format":
            raise ValueError(f"pattern is of the reward `format`, and this is {self.function}: leave it out")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern is no regular expression ({error}): mend it") from error
        return self


class GrpoConfig(FinetuningConfig):
    """Group-relative policy optimisation. The defaults of training that differ here are those the field uses."""

    rewards: list[RewardConfig] = setting([RewardConfig()], "what makes an answer good", min_length=1)
    group_size: int = setting(8, "answers to each question, compared with one another", ge=2)
    batch_size: Count = setting(64, "answers per optimizer step, over all devices: questions times group_size")
    temperature: float = setting(1.0, "of the answers that are trained on; 1 for the model as it is", gt=0)
    max_tokens: Count = setting(128, "longest answer in tokens; longer ones are cut off, and graded as they are")
    scale_rewards: bool = setting(False, "divide a group's advantages by the standard deviation of its rewards")
    beta: float = setting(0.0, "weight of the distance (KL) to the model that training began with; 0 for none", ge=0)
    optimizer: OptimizerConfig = setting(
        OptimizerConfig(learning_rate=1e-5, matrix_learning_rate=1e-3, weight_decay=0.0), "how gradients become updates"
    )
    schedule: ScheduleConfig = setting(ScheduleConfig(name="constant", warmup=0.02), "the learning rate over the run")
    steps: Count = setting(200, "optimizer steps")
    # Rewards come in bursts: after quiet steps one with a signal would look like a spike, and be skipped.
    spike_sigmas: float = setting(
        0.0, "skip a step whose loss or gradient norm is this many deviations above the last 128; 0 for never", ge=0
    )
    validation_windows: Count = runtime(256, "held-back questions in each validation during training")
    validate_first: bool = runtime(True, "validate before the first step, too")

    @model_validator(mode="after")
    def _groups(self) -> Self:
        if self.batch_size % self.group_size:
            raise ValueError(
                f"batch_size ({self.batch_size} answers) must be a multiple of group_size ({self.group_size}): "
                "change one of them"
            )
        names = [reward.name for reward in self.rewards]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two rewards are called {twice}: leave one out, or rename your function")
        if self.mixture.phases:
            raise ValueError("mixture mixes the sources of pretraining: leave it out")
        if self.document_mask:
            raise ValueError("document_mask is for pretraining: leave it out")
        return self
