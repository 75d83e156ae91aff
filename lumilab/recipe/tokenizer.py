"""The recipe's tokenizer section: learn a vocabulary from the corpus, or take one that exists."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from lumilab.recipe.section import Count, Section, setting


class TokenizerConfig(Section):
    """One tokenizer for the whole pipeline."""

    algorithm: Literal["bpe", "sentencepiece_bpe", "sentencepiece_unigram", "pretrained"] = setting(
        "bpe", "byte-level byte-pair encoding, SentencePiece's two kinds, or a pretrained one"
    )
    vocabulary_size: int = setting(32_768, "number of token ids, reserved ones included", ge=512, le=2**20)
    min_frequency: Count = setting(2, "pairs seen less often are not merged")
    train_characters: int | None = setting(
        200_000_000, "learn from about this much text, evenly taken from the corpus; null for all of it", ge=1
    )
    weights: dict[str, float] = setting(
        {}, "share of the learning text by the corpus's source; empty to take all sources as they come"
    )
    model_file: str | None = setting(
        None, "of a pretrained one: tokenizer.json, a SentencePiece .model, a .tiktoken file, or a folder that has one"
    )
    hub: str | None = setting(None, "of a pretrained one: its name on the hub, or `codellama`")
    revision: str = setting("main", "of a pretrained one on the hub: branch, tag or commit")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        given = sum(value is not None for value in (self.model_file, self.hub))
        if self.algorithm == "pretrained" and given != 1:
            raise ValueError("a pretrained tokenizer needs one of model_file and hub: set one of them")
        if self.algorithm != "pretrained" and given:
            raise ValueError("model_file and hub are of pretrained tokenizers: set algorithm to pretrained")
        if any(weight < 0 for weight in self.weights.values()) or (self.weights and not any(self.weights.values())):
            raise ValueError("weights must not be negative, nor all zero: change weights")
        return self
