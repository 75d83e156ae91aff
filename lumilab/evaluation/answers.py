"""Answers to read: what the chat model says to the recipe's questions, each in a conversation of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lumilab.inference.engine import Engine
from lumilab.inference.requests import FinishReason
from lumilab.inference.text import TextStream
from lumilab.posttraining.messages import USER, Message
from lumilab.posttraining.template import render_prompt
from lumilab.recipe.schema import SamplingConfig
from lumilab.work.context import WorkContext


@dataclass(frozen=True)
class Answer:
    """A question and what the model made of it.

    Attributes:
        prompt: the question.
        text: the answer.
        tokens: its length.
        finish_reason: "stop" when the model ended its turn itself.
    """

    prompt: str
    text: str
    tokens: int
    finish_reason: FinishReason | None


def answer(engine: Engine, prompts: Sequence[str], sampling: SamplingConfig, context: WorkContext) -> Iterator[Answer]:
    """Answers each prompt.

    Raises:
        InputError: a prompt does not fit the model's context.
    """
    with context.report.task("Answering", total=len(prompts), unit="questions") as task:
        for prompt in prompts:
            ids = render_prompt([Message(USER, prompt)], engine.tokenizer, engine.form)
            stream = TextStream(engine.stream(ids, sampling), engine.tokenizer)
            pieces = []
            for piece in stream:
                context.stop.check()
                pieces.append(piece)
            yield Answer(prompt, "".join(pieces), stream.statistics.tokens, stream.statistics.finish_reason)
            task.advance()
