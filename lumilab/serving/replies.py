"""What all answers have in common: their name and date, the numbers of tokens, why a text ended, the form of errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fastapi import Request
from pydantic import BaseModel

from lumilab.inference.requests import FinishReason, TokenEvent
from lumilab.serving.errors import JsonResponse
from lumilab.serving.guard import FACTS

if TYPE_CHECKING:
    from lumilab.serving.app import Server


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """The answer to a request that failed."""

    error: ErrorDetail


ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "The request cannot work."},
    401: {"model": ErrorBody, "description": "The API key is missing or wrong."},
    403: {"model": ErrorBody, "description": "The server does not answer to this name."},
    404: {"model": ErrorBody, "description": "There is no such model."},
    405: {"model": ErrorBody, "description": "The path does not answer to this method."},
    408: {"model": ErrorBody, "description": "The body of the request did not come."},
    413: {"model": ErrorBody, "description": "The body is too large."},
    429: {"model": ErrorBody, "description": "The queue is full; Retry-After says when to come again."},
    500: {"model": ErrorBody, "description": "The server failed."},
    503: {"model": ErrorBody, "description": "The server is being stopped, or its engine failed."},
    504: {"model": ErrorBody, "description": "It took too long."},
}
"""For the OpenAPI schema of every route."""


def server_of(request: Request) -> Server:
    """The server that a request came to."""
    server: Server = request.app.state.server
    return server


class Usage:
    """The numbers of tokens of one request, for its client and for the access log.

    Args:
        request: whose they are.
        prompt_tokens: of all prompts, each counted once however many texts follow it.
    """

    def __init__(self, request: Request, prompt_tokens: int) -> None:
        self._facts: dict[str, Any] = request.scope[FACTS]
        self._facts |= {"prompt_tokens": prompt_tokens, "completion_tokens": 0}

    def count(self, events: Sequence[TokenEvent]) -> None:
        """Counts generated tokens."""
        self._facts["completion_tokens"] += sum(event.token_id is not None and not event.echoed for event in events)
        if events and events[-1].finish_reason:
            self._facts.setdefault("finish_reasons", []).append(events[-1].finish_reason)

    def values(self) -> dict[str, int]:
        """As OpenAI names them."""
        prompt, completion = self._facts["prompt_tokens"], self._facts["completion_tokens"]
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class Envelope:
    """What is around the choices of an answer, and the same around all pieces of a stream.

    Args:
        prefix: of the answer's name.
        kind: what OpenAI calls the object.
        model: the model's name.
        piece_kind: what it calls a piece of it.
    """

    def __init__(self, prefix: str, kind: str, model: str, piece_kind: str | None = None) -> None:
        self._constant = {"id": f"{prefix}-{uuid4().hex}", "created": int(time.time()), "model": model}
        self._kind, self._piece_kind = kind, piece_kind or kind

    def response(self, choices: list[dict[str, Any]], usage: Usage) -> JsonResponse:
        """The whole answer."""
        return JsonResponse(self._constant | {"object": self._kind, "choices": choices, "usage": usage.values()})

    def piece(self, choices: list[dict[str, Any]], usage: Usage | None = None) -> dict[str, Any]:
        """A piece of a stream."""
        numbers = {"usage": usage.values()} if usage else {}
        return self._constant | {"object": self._piece_kind, "choices": choices} | numbers


def finish_reason(reason: FinishReason | None) -> str | None:
    """Why a text ended, in OpenAI's words, which have none for a full context but "length"."""
    return "length" if reason == "context" else reason
