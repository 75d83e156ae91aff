"""`/v1/chat/completions`: what the assistant answers to a conversation, in the form the model was fine-tuned on.

What a model thinks between its special think tokens comes apart from the answer, as `reasoning_content`, which is
where DeepSeek's interface and vLLM have it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from lumilab.inference.requests import GenerationRequest, TokenEvent
from lumilab.posttraining.template import think_marks
from lumilab.serving.conversation import ChatMessage, messages_of
from lumilab.serving.errors import ApiError
from lumilab.serving.generation import Generation, while_connected
from lumilab.serving.logprobs import chat_logprobs
from lumilab.serving.models import ServedModel
from lumilab.serving.replies import ERRORS, Envelope, Usage, finish_reason, server_of
from lumilab.serving.sampling import MAX_LOGPROBS, SamplingFields, refuse
from lumilab.serving.streams import PATIENCE, EventStream

router = APIRouter(responses=ERRORS)


class ChatRequest(SamplingFields):
    """A conversation to answer."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=4096)] = Field(
        description="the conversation so far; the last message is the user's or a tool's"
    )
    max_tokens: int | None = Field(None, ge=1, description="longest answer in tokens; default: what there is room for")
    max_completion_tokens: int | None = Field(None, ge=1, description="the newer name of max_tokens")
    logprobs: bool | None = Field(None, description="tell each token's log-probability")
    top_logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS, description="and those of so many most likely ones")
    response_format: dict[str, Any] | None = Field(None, description='refused, unless it is {"type": "text"}')
    tools: list[Any] | None = Field(None, description="refused")
    functions: list[Any] | None = Field(None, description="refused")
    modalities: list[str] | None = Field(None, description='refused, unless it is ["text"]')

    @property
    def longest(self) -> int | None:
        """The limit, by whichever name it was given."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def alternatives(self) -> int | None:
        """How many log-probabilities the engine is to tell for each place."""
        return (self.top_logprobs or 0) if self.logprobs else None

    def check_parts(self) -> None:
        """Refuses what cannot be had.

        Raises:
            ApiError: something was asked for that would change the answer, and is not there.
        """
        as_text = (self.response_format or {}).get("type", "text") == "text"
        refuse(not as_text, "response_format", "the answer is text; describe the format in the prompt.")
        refuse(self.tools, "tools", "describe them in the system message; what the model calls stands in its text.")
        refuse(self.functions, "functions", "describe them in the system message.")
        refuse(self.modalities not in (None, [], ["text"]), "modalities", "the models read and write text.")
        if self.top_logprobs and not self.logprobs:
            raise ApiError(400, "top_logprobs are told with logprobs only: set it.", param="top_logprobs")


@router.post("/v1/chat/completions", tags=["generation"])
async def chat_completions(asked: ChatRequest, request: Request) -> Response:
    """Answers a conversation."""
    server = server_of(request)
    model = server.shelf.find(asked.model)
    asked.check_parts()
    asked.check(asked.count, server.config.max_choices)
    messages = messages_of(asked.messages)
    ids = await model.encode_chat(messages)
    model.check_room(len(ids), "messages")
    longest = min(asked.longest or model.context, model.context)
    requests = [
        GenerationRequest(
            prompt_ids=ids,
            sampling=sampling,
            stop=asked.stop_strings,
            stop_ids=asked.stop_ids(model),
            logprobs=asked.alternatives,
        )
        for sampling in asked.sampling(model, longest)
    ]
    server.note(request, model, prompts=[f"{message.role}: {message.content}" for message in messages])
    generation = server.generate(model, requests)
    reply = _Reply(asked, model, Usage(request, len(ids)))
    if asked.stream:
        return EventStream(request, generation, lambda: reply.pieces(generation))
    return await while_connected(request, reply.whole(generation))


class _Answer:
    """One answer as it grows: what is thought, and what is said."""

    def __init__(self, model: ServedModel) -> None:
        self._marks = think_marks(model.service.engine.tokenizer, model.service.engine.form)
        self._thinking = False
        self._spoken = {False: False, True: False}

    def push(self, events: list[TokenEvent]) -> dict[str, str]:
        """The text of some events: `content` and `reasoning_content`, where there is any."""
        parts = {"content": "", "reasoning_content": ""}
        for event in events:
            if self._marks is not None and event.token_id in self._marks:
                self._thinking = event.token_id == self._marks[0]
            parts["reasoning_content" if self._thinking else "content"] += self._spaced(event.text)
        return {name: text for name, text in parts.items() if text}

    def _spaced(self, text: str) -> str:
        """Without the space that the template has between a header or a think mark and the words."""
        if not self._spoken[self._thinking]:
            text = text.lstrip()
            self._spoken[self._thinking] = bool(text)
        return text


class _Reply:
    """What has been made of a request, whole or in pieces."""

    def __init__(self, asked: ChatRequest, model: ServedModel, usage: Usage) -> None:
        self._asked, self._model, self._usage = asked, model, usage
        self._envelope = Envelope("chatcmpl", "chat.completion", model.name, "chat.completion.chunk")
        self._answers = [_Answer(model) for _ in range(asked.count)]

    async def whole(self, generation: Generation) -> Response:
        """The answers in one piece."""
        events: list[list[TokenEvent]] = [[] for _ in self._answers]
        try:
            async for arrived in generation.events():
                for index, event in arrived:
                    events[index].append(event)
        finally:
            generation.cancel()
        return self._envelope.response([self._choice(*each) for each in enumerate(events)], self._usage)

    async def pieces(self, generation: Generation) -> AsyncIterator[dict[str, Any] | None]:
        """The answers as they come."""
        begun: set[int] = set()
        async for arrived in generation.events(PATIENCE):
            for index in sorted({index for index, _ in arrived}):
                if index not in begun:
                    begun.add(index)
                    yield self._piece(index, {"role": "assistant", "content": ""})
                events = [event for which, event in arrived if which == index]
                self._usage.count(events)
                delta = self._answers[index].push(events)
                logprobs = self._logprobs(events)
                if delta or logprobs:
                    yield self._piece(index, delta, logprobs)
                if events[-1].finish_reason is not None:
                    yield self._piece(index, {}, None, finish_reason(events[-1].finish_reason))
            if not arrived:
                yield None
        if self._asked.with_usage:
            yield self._envelope.piece([], self._usage)

    def _choice(self, index: int, events: list[TokenEvent]) -> dict[str, Any]:
        self._usage.count(events)
        said = self._answers[index].push(events)
        return {
            "index": index,
            "message": {"role": "assistant", "content": "", "refusal": None} | said,
            "logprobs": self._logprobs(events),
            "finish_reason": finish_reason(events[-1].finish_reason),
        }

    def _piece(
        self, index: int, delta: dict[str, str], logprobs: dict[str, Any] | None = None, reason: str | None = None
    ) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return self._envelope.piece([choice])

    def _logprobs(self, events: list[TokenEvent]) -> dict[str, Any] | None:
        wanted = self._asked.logprobs and any(event.token_id is not None for event in events)
        return chat_logprobs(self._model, events) if wanted else None
