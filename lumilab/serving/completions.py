"""`/v1/completions`: a text and how a model goes on with it; or, with `echo` and `logprobs`, how likely it finds it.

Prompts are texts or token ids, one or several. The token that begins a text is put before a text and not before ids:
who sends ids has decided. lm-eval's `local-completions` measures a model through this route alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from lumilab.inference.requests import GenerationRequest, TokenEvent
from lumilab.serving.errors import ApiError
from lumilab.serving.generation import Generation, while_connected
from lumilab.serving.logprobs import CompletionLogprobs
from lumilab.serving.models import ServedModel
from lumilab.serving.replies import ERRORS, Envelope, Usage, finish_reason, server_of
from lumilab.serving.sampling import MAX_LOGPROBS, SamplingFields, TokenIds, refuse
from lumilab.serving.streams import PATIENCE, EventStream

DEFAULT_TOKENS = 16  # OpenAI's

router = APIRouter(responses=ERRORS)


class CompletionRequest(SamplingFields):
    """A text to go on with."""

    prompt: (
        str
        | TokenIds
        | Annotated[list[str], Field(min_length=1, max_length=1024)]
        | Annotated[list[TokenIds], Field(min_length=1, max_length=1024)]
    ) = Field("", description="a text or token ids, one or several")
    max_tokens: int | None = Field(None, ge=0, description="longest text in tokens; default 16")
    echo: bool | None = Field(None, description="begin the text with the prompt")
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS, description="so many most likely tokens for each place")
    best_of: int | None = Field(None, description="refused, unless it is n")
    suffix: str | None = Field(None, description="refused")

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts as a list of them."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        one = bool(self.prompt) and isinstance(self.prompt[0], int)
        return cast("list[str] | list[list[int]]", [self.prompt] if one else self.prompt)


@dataclass(frozen=True)
class _Prompt:
    """A prompt's ids, how many of them were put before what the client sent, and its text."""

    ids: list[int]
    added: int
    text: str


@router.post("/v1/completions", tags=["generation"])
async def completions(asked: CompletionRequest, request: Request) -> Response:
    """Goes on with a text."""
    server = server_of(request)
    model = server.shelf.find(asked.model)
    limit = DEFAULT_TOKENS if asked.max_tokens is None else asked.max_tokens
    refuse(asked.suffix, "suffix", "the models go on with a text and cannot fill it in.")
    refuse(asked.best_of not in (None, asked.count), "best_of", "ask for n texts with logprobs and choose.")
    asked.check(len(asked.prompts) * asked.count, server.config.max_choices)
    if limit == 0 and not asked.echo:
        raise ApiError(400, "max_tokens is 0, so nothing is asked for: raise it, or set echo.", param="max_tokens")
    prompts = [await _prepared(model, prompt, limit) for prompt in asked.prompts]
    # Who scores a prompt with one token behind it (lm-eval does) cuts off the last entry: it must be there even where
    # the model would end the text, and no text follows one token in any case.
    scoring = bool(asked.echo) and asked.logprobs is not None and limit == 1
    requests = [
        GenerationRequest(
            prompt_ids=prompt.ids,
            sampling=sampling,
            stop=asked.stop_strings,
            stop_ids=() if scoring else asked.stop_ids(model),
            logprobs=asked.logprobs,
            echo_logprobs=bool(asked.echo) and (asked.logprobs is not None or limit == 0),
        )
        for prompt in prompts
        for sampling in asked.sampling(model, limit)
    ]
    server.note(request, model, prompts=[prompt.text for prompt in prompts])
    generation = server.generate(model, requests)
    reply = _Reply(asked, model, prompts, Usage(request, sum(len(prompt.ids) for prompt in prompts)))
    if asked.stream:
        return EventStream(request, generation, lambda: reply.pieces(generation))
    return await while_connected(request, reply.whole(generation))


async def _prepared(model: ServedModel, prompt: str | list[int], limit: int) -> _Prompt:
    if isinstance(prompt, str):
        bare = await model.encode(prompt, begin=False)
        added = model.beginning
        ids, text = [*added, *bare], prompt
    else:
        model.check_ids(prompt)
        added = [] if prompt else model.beginning
        ids, text = [*added, *prompt], model.tokenizer.decode(prompt)
    model.check_room(len(ids), answer=limit > 0)
    return _Prompt(ids, len(added), text)


class _Reply:
    """What has been made of a request, whole or in pieces."""

    def __init__(self, asked: CompletionRequest, model: ServedModel, prompts: list[_Prompt], usage: Usage) -> None:
        self._asked = asked
        self._envelope = Envelope("cmpl", "text_completion", model.name)
        self._usage = usage
        self._prompts = [prompt for prompt in prompts for _ in range(asked.count)]
        self._skipped = [prompt.added for prompt in self._prompts]
        # With echo the first token stands at the beginning of the text, which is the prompt's.
        self._logprobs = [CompletionLogprobs(model, asked.logprobs or 0) for _ in self._prompts]

    async def whole(self, generation: Generation) -> Response:
        """The answer in one piece."""
        events: list[list[TokenEvent]] = [[] for _ in self._prompts]
        try:
            async for arrived in generation.events():
                for index, event in arrived:
                    events[index].append(event)
        finally:
            generation.cancel()
        choices = [self._choice(index, each, beginning=True) for index, each in enumerate(events)]
        return self._envelope.response(choices, self._usage)

    async def pieces(self, generation: Generation) -> AsyncIterator[dict[str, Any] | None]:
        """The answer as it comes."""
        begun: set[int] = set()
        async for arrived in generation.events(PATIENCE):
            for index in sorted({index for index, _ in arrived}):
                events = [event for which, event in arrived if which == index]
                choice = self._choice(index, events, beginning=index not in begun)
                begun.add(index)
                if choice["text"] or choice["finish_reason"] or choice["logprobs"]:
                    yield self._envelope.piece([choice])
            if not arrived:
                yield None
        if self._asked.with_usage:
            yield self._envelope.piece([], self._usage)

    def _choice(self, index: int, events: list[TokenEvent], *, beginning: bool) -> dict[str, Any]:
        """A text, or the next piece of it."""
        events = self._without_added(index, events)
        self._usage.count(events)
        echoed = self._prompts[index].text if self._asked.echo and beginning else ""
        reason = events[-1].finish_reason if events else None
        with_logprobs = self._asked.logprobs is not None and any(event.token_id is not None for event in events)
        return {
            "index": index,
            "text": echoed + "".join(event.text for event in events),
            "logprobs": self._logprobs[index].of(events) if with_logprobs else None,
            "finish_reason": finish_reason(reason),
        }

    def _without_added(self, index: int, events: list[TokenEvent]) -> list[TokenEvent]:
        """Without the scores of the tokens that the client did not send."""
        kept = []
        for event in events:
            if event.echoed and self._skipped[index]:
                self._skipped[index] -= 1
            else:
                kept.append(event)
        return kept
