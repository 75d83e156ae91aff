"""Generated text, piece by piece as it becomes certain, and how fast it came."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lumilab.inference.decoding import IncrementalDecoder, StopStrings
from lumilab.inference.engine import Engine
from lumilab.inference.requests import FinishReason
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer


@dataclass(frozen=True)
class Statistics:
    """How a generation went. Times count the engine's work, not what the reader does between the pieces.

    Attributes:
        prompt_tokens: tokens before the text.
        tokens: tokens generated.
        first_token_seconds: until the first token; None when there was none.
        seconds: for all tokens.
        finish_reason: why it ended; None when the reader left before the end.
    """

    prompt_tokens: int
    tokens: int
    first_token_seconds: float | None
    seconds: float
    finish_reason: FinishReason | None

    @property
    def tokens_per_second(self) -> float | None:
        """Rate after the first token, whose time is mostly the prompt's; None for fewer than two tokens."""
        if self.first_token_seconds is None or self.tokens < 2:
            return None
        return (self.tokens - 1) / max(self.seconds - self.first_token_seconds, 1e-9)

    def __str__(self) -> str:
        if self.first_token_seconds is None:
            return "nothing was generated"
        rate = f" at {self.tokens_per_second:.0f} tokens/s" if self.tokens_per_second is not None else ""
        plural = "" if self.tokens == 1 else "s"
        return f"{self.tokens} token{plural}{rate}, first after {1000 * self.first_token_seconds:.0f} ms"


class Tokens(Iterator[int], Protocol):
    """What is being generated: the engine's TokenStream, or something that steers one."""

    @property
    def prompt_length(self) -> int: ...

    @property
    def finish_reason(self) -> FinishReason | None: ...


class TextStream(Iterator[str]):
    """Pieces of generated text: never empty, never part of a character, never part of a stop string.

    Args:
        tokens: what is being generated.
        tokenizer: the model's.
        stop: strings that end the text; the first of them to appear is cut off with all that follows.
        decoder: makes text of tokens; by default all of them but special ones.
    """

    def __init__(
        self,
        tokens: Tokens,
        tokenizer: Tokenizer,
        stop: Sequence[str] = (),
        decoder: IncrementalDecoder | None = None,
    ) -> None:
        self.ids: list[int] = []
        self._tokens = tokens
        self._decoder = decoder or IncrementalDecoder(tokenizer)
        self._stop = StopStrings(stop)
        self._seconds = 0.0
        self._first: float | None = None

    def __next__(self) -> str:
        piece = ""
        while not piece:
            if self._stop.found:
                raise StopIteration
            token = self._next_token()
            if token is None:
                piece = self._stop.flush()
                if not piece:
                    raise StopIteration
            else:
                piece = self._stop.push(self._decoder.push(token))
        return piece

    def read(self) -> str:
        """All the text that is still to come."""
        return "".join(self)

    @property
    def statistics(self) -> Statistics:
        """How it went so far."""
        return Statistics(
            prompt_tokens=self._tokens.prompt_length,
            tokens=len(self.ids),
            first_token_seconds=self._first,
            seconds=self._seconds,
            finish_reason="stop" if self._stop.found else self._tokens.finish_reason,
        )

    def _next_token(self) -> int | None:
        started = time.perf_counter()
        token = next(self._tokens, None)
        self._seconds += time.perf_counter() - started
        if token is not None:
            self.ids.append(token)
            self._first = self._seconds if self._first is None else self._first
        return token


def stream_text(engine: Engine, prompt: str, sampling: SamplingConfig, stop: Sequence[str] = ()) -> TextStream:
    """Continues a text as the model would go on with a document that begins so.

    Raises:
        InputError: the prompt does not fit the model's context.
    """
    return TextStream(engine.stream(prompt_ids_of(engine, prompt), sampling), engine.tokenizer, stop)


def prompt_ids_of(engine: Engine, prompt: str) -> list[int]:
    """The ids of a text as the beginning of a document."""
    return [engine.tokenizer.bos_id, *engine.tokenizer.encode(prompt)]
