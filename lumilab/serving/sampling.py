"""The part of a request that says how tokens are drawn and where a text ends: the same for completions and for chats.

Defaults are OpenAI's: temperature 1, all tokens. `null` stands for a default, as some clients send every field. Beside
OpenAI's fields there are those of vLLM that this engine knows: top_k, min_p, repetition_penalty, stop_token_ids and
ignore_eos. Fields that nobody here knows are passed over, as clients send many that mean nothing to a text; those that
would change it and cannot be had are refused by name.
"""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lumilab.recipe.schema import SamplingConfig
from lumilab.serving.errors import ApiError
from lumilab.serving.models import ServedModel

MAX_LOGPROBS = 20
SEEDS = 1 << 63
COLDEST = 1e-4
"""A temperature below this is taken for 0: the scores divided by it would no longer be numbers."""

StopString = Annotated[str, Field(min_length=1, max_length=256)]
TokenId = Annotated[int, Field(ge=0)]
TokenIds = Annotated[list[TokenId], Field(fail_fast=True)]


class StreamOptions(BaseModel):
    """What a stream tells besides the text."""

    model_config = ConfigDict(strict=True)

    include_usage: bool | None = Field(None, description="a last chunk with the numbers of tokens")


class SamplingFields(BaseModel):
    """How the text is drawn."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, extra="ignore")

    model: str | None = Field(None, description="name of the model; the server's first otherwise")
    n: int | None = Field(None, ge=1, description="how many texts; each has a seed of its own; default 1")
    temperature: float | None = Field(None, ge=0, le=2, description="0 for always the most likely token; default 1")
    top_p: float | None = Field(None, gt=0, le=1, description="draw among tokens that hold this probability; default 1")
    top_k: int | None = Field(None, ge=-1, description="draw among so many most likely tokens; 0 or -1 for all")
    min_p: float | None = Field(None, ge=0, le=1, description="drop tokens less likely than this share of the best's")
    repetition_penalty: float | None = Field(None, gt=0, le=100, description="above 1, seen tokens are less likely")
    presence_penalty: float | None = Field(None, ge=-2, le=2, description="taken from each token's score once said")
    frequency_penalty: float | None = Field(None, ge=-2, le=2, description="the same, as often as it was said")
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(
        None, description="added to the scores of these token ids; -100 forbids one"
    )
    seed: int | None = Field(None, ge=-SEEDS, lt=SEEDS, description="same seed, same text; random otherwise")
    stop: StopString | Annotated[list[StopString], Field(max_length=16)] | None = Field(
        None, description="strings that end the text and are not part of it"
    )
    stop_token_ids: Annotated[list[TokenId], Field(max_length=64)] | None = Field(
        None, description="tokens that end the text, besides the model's own"
    )
    ignore_eos: bool | None = Field(None, description="go on where the model would end")
    stream: bool | None = Field(None, description="send the text as it is made, as server-sent events")
    stream_options: StreamOptions | None = Field(None, description="with stream only")
    user: str | None = Field(None, description="passed over")

    @property
    def count(self) -> int:
        """How many texts are asked for."""
        return self.n or 1

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """The strings that end a text."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def with_usage(self) -> bool:
        """Whether a stream ends with the numbers of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def stop_ids(self, model: ServedModel) -> frozenset[int]:
        """The tokens that end a text of a model."""
        own: frozenset[int] = frozenset() if self.ignore_eos else model.service.engine.stop_ids
        return own | frozenset(self.stop_token_ids or ())

    def sampling(self, model: ServedModel, max_tokens: int) -> list[SamplingConfig]:
        """How each of the texts is drawn.

        Raises:
            ApiError: a token to be biased does not exist.
        """
        seed = secrets.randbelow(SEEDS) if self.seed is None else self.seed
        temperature = 1.0 if self.temperature is None else self.temperature
        values: dict[str, Any] = {
            "temperature": temperature if temperature >= COLDEST else 0.0,
            "top_p": self.top_p or 1.0,
            "top_k": max(self.top_k or 0, 0),
            "min_p": self.min_p or 0.0,
            "repetition_penalty": self.repetition_penalty or 1.0,
            "presence_penalty": self.presence_penalty or 0.0,
            "frequency_penalty": self.frequency_penalty or 0.0,
            "logit_bias": self._biases(model),
            "max_tokens": max_tokens,
        }
        return [SamplingConfig(**values, seed=(seed + number) % SEEDS) for number in range(self.count)]

    def check(self, choices: int, limit: int) -> None:
        """Refuses what does not go together.

        Args:
            choices: texts asked for, over all prompts.
            limit: most of them.

        Raises:
            ApiError: it does not.
        """
        if choices > limit:
            raise ApiError(400, f"{choices} texts are asked for, and {limit} may be.", code="invalid_value", param="n")
        if self.stream_options is not None and not self.stream:
            raise ApiError(400, "stream_options are for streams: set stream.", param="stream_options")

    def _biases(self, model: ServedModel) -> dict[int, float]:
        biases: dict[int, float] = {}
        for key, bias in (self.logit_bias or {}).items():
            if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < model.tokenizer.vocabulary_size):
                last = model.tokenizer.vocabulary_size - 1
                raise ApiError(
                    400, f"logit_bias names {key[:40]!r}, which is no token id from 0 to {last}.", param="logit_bias"
                )
            biases[int(key)] = bias
        return biases


def refuse(given: object, name: str, why: str) -> None:
    """Refuses a field that would change the text and that this server cannot honour.

    Raises:
        ApiError: it was given.
    """
    if given:
        raise ApiError(400, f"{name} is not available here: {why}", code="unsupported_parameter", param=name)
