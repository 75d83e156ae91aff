"""The recipe: one description of a whole pipeline, from raw text to a model to talk to.

Each field says in one line what it is; `lumi config explain` prints those lines. The corpus's own sections are in
`recipe/corpus.py` and `recipe/filters.py`; tokenizer, dataset, model, training and conversations have files of their
names.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from lumilab.recipe.conversations import ConversationsConfig
from lumilab.recipe.corpus import CorpusConfig
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.finetuning import SftConfig
from lumilab.recipe.grpo import GrpoConfig, PromptsConfig
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.preference import PreferenceConfig
from lumilab.recipe.section import Section, runtime, setting
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.recipe.training import TrainingConfig

# --- evaluation, generation --------------------------------------------------------------------------------------


class SamplingConfig(Section):
    """How the next token is drawn."""

    temperature: float = setting(0.8, "0 for always the most likely token", ge=0)
    top_k: int = setting(50, "draw among this many most likely tokens; 0 for all", ge=0)
    top_p: float = setting(0.95, "draw among the most likely tokens that hold this probability", gt=0, le=1)
    min_p: float = setting(0.0, "drop tokens less likely than this share of the most likely one's", ge=0, le=1)
    repetition_penalty: float = setting(1.0, "above 1, tokens already seen become less likely", gt=0)
    presence_penalty: float = setting(0.0, "taken from the score of each token generated before", ge=-2, le=2)
    frequency_penalty: float = setting(0.0, "the same, as often as it was generated", ge=-2, le=2)
    logit_bias: dict[int, float] = setting({}, "added to the scores of these token ids; -100 forbids one")
    max_tokens: int = setting(200, "longest answer in tokens", ge=0)
    seed: int = setting(0, "same seed, same text")


class EvaluationConfig(Section):
    """How the finished models are measured."""

    windows: int | None = setting(None, "validation windows to measure; null for all", ge=1)
    prompts: list[str] = setting([], "questions put to the chat model; the answers are kept with the results")
    sampling: SamplingConfig = setting(
        SamplingConfig(temperature=0.0, max_tokens=80, repetition_penalty=1.1), "how the answers are drawn"
    )
    held_back_answers: int = setting(
        20, "questions of held-back conversations that each chat model answers, to tell how many keep the form", ge=0
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
    sft: SftConfig = setting(SftConfig(), "training on the conversations")
    preference: PreferenceConfig | None = setting(
        None, "training on pairs of a better and a worse answer; null for none"
    )
    prompts: PromptsConfig | None = setting(None, "questions to practise on by reinforcement learning")
    grpo: GrpoConfig | None = setting(None, "practice on the prompts, graded by rewards; null for none")
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

    @model_validator(mode="after")
    def _preferences(self) -> Self:
        if self.preference is None:
            return self
        if self.conversations is None:
            raise ValueError("preference goes on from a model that answers: add a section `conversations` for sft")
        if self.preference.max_tokens and self.preference.max_tokens > self.dataset.window:
            raise ValueError(
                f"preference.max_tokens ({self.preference.max_tokens}) is longer than dataset.window "
                f"({self.dataset.window}): lower preference.max_tokens"
            )
        return self

    @model_validator(mode="after")
    def _practice(self) -> Self:
        if self.grpo is None:
            return self
        if self.prompts is None:
            raise ValueError("grpo practises on prompts, and there are none: add a section `prompts` with `sources`")
        if self.conversations is None:
            raise ValueError("grpo goes on from a model that answers: add a section `conversations` for sft")
        if self.grpo.max_tokens >= self.model.context:
            raise ValueError(
                f"grpo.max_tokens ({self.grpo.max_tokens}) leaves no room for a question in model.context "
                f"({self.model.context}): lower grpo.max_tokens"
            )
        return self

    @model_validator(mode="after")
    def _mixture(self) -> Self:
        sources = [source.name for source in self.corpus.sources]
        for number, phase in enumerate(self.pretrain.mixture.phases):
            for name in phase.weights:
                if name not in sources:
                    raise ValueError(
                        f"pretrain.mixture.phases.{number}.weights names {name}, but the sources are "
                        f"{', '.join(sources)}: change the name, or give a source of corpus.sources this one"
                    )
        return self
