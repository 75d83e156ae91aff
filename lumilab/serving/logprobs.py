"""Log-probabilities as OpenAI has them: an object a token for chats, parallel lists for completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lumilab.inference.decoding import IncrementalDecoder
from lumilab.inference.requests import TokenEvent
from lumilab.serving.models import ServedModel


def chat_logprobs(model: ServedModel, events: Sequence[TokenEvent]) -> dict[str, Any]:
    """`choices[].logprobs` of a chat: each token with its bytes, and the most likely ones in its place."""

    def entry(token: int, logprob: float) -> dict[str, Any]:
        return {"token": model.token_text(token), "logprob": logprob, "bytes": model.token_bytes(token)}

    return {
        "content": [
            entry(event.token_id, event.logprob)
            | {"top_logprobs": [entry(token, logprob) for token, logprob in event.top_logprobs]}
            for event in events
            if event.token_id is not None and event.logprob is not None
        ],
        "refusal": None,
    }


class CompletionLogprobs:
    """`choices[].logprobs` of a completion, whose offsets go on from piece to piece of a stream.

    Args:
        model: whose tokens they are.
        alternatives: most likely tokens that were asked for.
        offset: characters of the text before the first token.
    """

    def __init__(self, model: ServedModel, alternatives: int, offset: int = 0) -> None:
        self._model = model
        self._alternatives = alternatives
        self._decoder = IncrementalDecoder(model.tokenizer)
        self._offset = offset

    def of(self, events: Sequence[TokenEvent]) -> dict[str, Any]:
        """The lists for further tokens."""
        tokens = [event for event in events if event.token_id is not None]
        return {
            "tokens": [self._model.token_text(event.token_id) for event in tokens if event.token_id is not None],
            "token_logprobs": [event.logprob for event in tokens],
            "top_logprobs": [self._alternatives_of(event) for event in tokens] if self._alternatives else None,
            "text_offset": [self._next_offset(event.token_id) for event in tokens if event.token_id is not None],
        }

    def _alternatives_of(self, event: TokenEvent) -> dict[str, float] | None:
        """The most likely tokens and, where it is not among them, the chosen one; None for a prompt's first token."""
        if event.logprob is None or event.token_id is None:
            return None
        best = {self._model.token_text(token): logprob for token, logprob in event.top_logprobs}
        return best | {self._model.token_text(event.token_id): event.logprob}

    def _next_offset(self, token: int) -> int:
        offset = self._offset
        self._offset += len(self._decoder.push(token))
        return offset
