"""Rows that hold an instruction and its answer, or a list of questions and answers: Alpaca, Dolly, LIMA, any columns.

Forms as published: Alpaca (Taori et al. 2023) and self-instruct's seed tasks (Wang et al. 2022), Dolly (Databricks
2023), LIMA (Zhou et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lumilab.posttraining.messages import (
    ASSISTANT,
    SYSTEM,
    USER,
    Malformed,
    Message,
    conversation_of,
    object_of,
    text_of,
)

Found = Sequence[tuple[Message, ...]]
"""The conversations of one row."""


def parse_alpaca(row: Any, joint: str = "\n\n") -> Found:
    """`{"instruction", "input", "output"}`, with `system` and `history` ([question, answer] pairs) where there are any;
    or with `instances`, a list of inputs and outputs of which each makes a conversation.

    Args:
        row: a JSON value.
        joint: between the instruction and an input that is not empty.

    Raises:
        Malformed: it is none of these.
    """
    fields = object_of(row)
    instances = fields.get("instances")
    if instances is None:
        return [_instructed(fields, fields, joint)]
    if not isinstance(instances, list) or not instances:
        raise Malformed("no answer", "`instances` is not a list with something in it")
    return [_instructed(fields, object_of(instance), joint) for instance in instances]


def parse_dolly(row: Any, joint: str = "\n\n") -> Found:
    """`{"instruction", "context", "response"}`.

    Raises:
        Malformed: it is not.
    """
    fields = object_of(row)
    question = joined(text_of(fields, "instruction"), text_of(fields, "context", ""), joint)
    return [question_and_answer(question, text_of(fields, "response"))]


def parse_lima(row: Any) -> Found:
    """`{"conversations": [question, answer, question, ...]}`.

    Raises:
        Malformed: it is not.
    """
    listed = object_of(row).get("conversations")
    if not isinstance(listed, list) or not listed:
        raise Malformed("no messages", "`conversations` is not a list with something in it")
    texts = [text_of({"conversations": text}, "conversations") for text in listed]
    return [conversation_of(in_turn(texts))]


def parse_columns(row: Any, question: str, answer: str, system: str | None) -> Found:
    """One question and one answer under names of their own.

    Raises:
        Malformed: a column is missing or holds no text.
    """
    fields = object_of(row)
    opening = text_of(fields, system) if system is not None else ""
    return [question_and_answer(text_of(fields, question), text_of(fields, answer), opening)]


def question_and_answer(question: str, answer: str, system: str = "") -> tuple[Message, ...]:
    """A conversation of one turn; an empty system message is none.

    Raises:
        Malformed: one of them is empty.
    """
    return conversation_of([*opening(system), Message(USER, question), Message(ASSISTANT, answer)])


def opening(system: str) -> list[Message]:
    """A system message, if there is anything in it."""
    return [Message(SYSTEM, system)] if system.strip() else []


def in_turn(texts: Sequence[str]) -> Iterator[Message]:
    """The user's and the assistant's messages by turns."""
    for number, text in enumerate(texts):
        yield Message(ASSISTANT if number % 2 else USER, text)


def joined(instruction: str, more: str, joint: str) -> str:
    """An instruction and what it is about."""
    return f"{instruction.rstrip()}{joint}{more.strip()}" if more.strip() else instruction


def _instructed(task: dict[str, Any], instance: dict[str, Any], joint: str) -> tuple[Message, ...]:
    question = joined(text_of(task, "instruction"), text_of(instance, "input", ""), joint)
    return conversation_of(
        [
            *opening(text_of(task, "system", "")),
            *in_turn(_history(task)),
            Message(USER, question),
            Message(ASSISTANT, text_of(instance, "output")),
        ]
    )


def _history(task: dict[str, Any]) -> list[str]:
    pairs = task.get("history") or []
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise Malformed("no messages", "`history` is not a list of [question, answer]")
    return [text_of({"history": text}, "history") for pair in pairs for text in pair]
