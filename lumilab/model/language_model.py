"""The model as a plain PyTorch module with loss and generation, for those who bring their own training loop.

    model = create_model("small")              # a preset, a recipe, or a config.json
    output = model(ids, labels=ids)            # output.loss, output.logits
    new = model.generate(ids, max_tokens=100, temperature=0.8)

The pipeline uses the Transformer within it; the weights there have the published names.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lumilab.errors import ConfigError
from lumilab.model.generation import generate
from lumilab.model.initialise import initialise
from lumilab.model.transformer import Transformer
from lumilab.recipe.described_model import read_shape
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.schema import SamplingConfig


@dataclass(frozen=True)
class Output:
    """What a forward pass gives, by attribute or by name: `output.loss`, `output["loss"]`.

    Attributes:
        logits: [B, T, vocabulary].
        loss: mean cross-entropy in nats, a float32 scalar; None without labels.
    """

    logits: Tensor
    loss: Tensor | None = None

    def __getitem__(self, name: str) -> Tensor | None:
        value: Tensor | None = getattr(self, name)
        return value


class LanguageModel(nn.Module):
    """A Transformer with loss and generation.

    Args:
        transformer: the model within; `model.transformer.state_dict()` has the published names.
    """

    def __init__(self, transformer: Transformer) -> None:
        super().__init__()
        self.transformer = transformer

    @property
    def config(self) -> ModelConfig:
        """The shape."""
        return self.transformer.config

    def forward(self, ids: Tensor, labels: Tensor | None = None, documents: Tensor | None = None) -> Output:
        """Logits, and the loss of predicting each next token.

        Args:
            ids: [B, T], int64.
            labels: [B, T], usually `ids` itself: the token at each place, predicted from those before it; -100 where
                nothing is trained, as on padding.
            documents: as for `Transformer.features`.
        """
        logits = self.transformer(ids, documents=documents)
        if labels is None:
            return Output(logits)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=-100)
        return Output(logits, loss)

    def generate(
        self,
        ids: Tensor | Sequence[Sequence[int]],
        attention_mask: Tensor | None = None,
        *,
        eos_ids: int | Collection[int] = (),
        stop: Sequence[Sequence[int]] = (),
        pad_id: int = 0,
        **sampling: Any,
    ) -> Tensor:
        """The prompts with their continuations, [B, longest], filled up with `pad_id` behind their ends.

        Args:
            ids: [B, T], or a list of prompts of any lengths.
            attention_mask: [B, T], 0 on the padding of `ids`, on either side; None for no padding.
            eos_ids: tokens that end a text; they are not part of it.
            stop: sequences of tokens that end a text.
            pad_id: fills up.
            sampling: fields of SamplingConfig: max_tokens, temperature, top_k, top_p, min_p, repetition_penalty, seed.

        Raises:
            ConfigError: a field of sampling is unknown or out of its bounds.
            InputError: a prompt is empty, or leaves no room for an answer.
        """
        try:
            config = SamplingConfig(**sampling)
        except ValueError as error:
            field, reason = (line.strip() for line in str(error).splitlines()[1:3])
            message = f"This is no way to draw tokens: {field}: {reason.partition(' [type=')[0]}"
            raise ConfigError(message, where="generate") from None
        rows = [list(map(int, row)) for row in ids]
        if attention_mask is not None:
            rows = [
                [token for token, seen in zip(row, mask, strict=True) if seen]
                for row, mask in zip(rows, attention_mask.tolist(), strict=True)
            ]
        ends = (eos_ids,) if isinstance(eos_ids, int) else eos_ids
        new = generate(self.transformer, rows, config, ends, stop)
        texts = [torch.tensor([*row, *more]) for row, more in zip(rows, new, strict=True)]
        padded = nn.utils.rnn.pad_sequence(texts, batch_first=True, padding_value=pad_id)
        return padded.to(self.transformer.output_weight.device)


def create_model(
    config: ModelConfig | str | Path, vocabulary_size: int | None = None, *, seed: int = 0
) -> LanguageModel:
    """A new model with its first weights.

    Args:
        config: a shape, or what describes one: a preset's name, a recipe, a config.json of Hugging Face's Qwen3, Llama
            or GPT-2, or a JSON or YAML file with our fields or the usual names for them (`hidden_size`, `n_layer`...).
        vocabulary_size: number of token ids; by default what the description says.
        seed: of the first weights.

    Raises:
        ConfigError: nothing says how large the vocabulary is.
        InputError: the file describes no possible model.
    """
    shape, told = (config, None) if isinstance(config, ModelConfig) else read_shape(config)
    size = vocabulary_size or told
    if size is None:
        raise ConfigError(
            "Nothing says how large the vocabulary is",
            where="create_model",
            mend="give vocabulary_size, or write it into the file.",
        )
    return LanguageModel(initialise(Transformer(shape, size), seed))
