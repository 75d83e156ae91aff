"""Rows that say which of two answers is better, or whether one is good: what preference training learns from.

HH-RLHF (Bai et al. 2022) writes both dialogues out as text; UltraFeedback, binarised, as lists of messages; others give
a prompt and two answers. KTO's rows (Ethayarajh et al. 2024) have one answer and a verdict. Where conversations are
wanted, the chosen or good answer is taken as one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self

from lumilab.posttraining.instructions import Found, joined, opening, question_and_answer
from lumilab.posttraining.messages import (
    ASSISTANT,
    SYSTEM,
    USER,
    Malformed,
    Message,
    conversation_of,
    fingerprint_of,
    object_of,
    parse_messages,
    text_of,
)
from lumilab.posttraining.sharegpt import parse_turn, parse_turns

_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
ID_DIGITS = 32  # hexadecimal, of an example's fingerprint
_SPEAKERS = {"Human": USER, "Assistant": ASSISTANT}


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt.

    Attributes:
        prompt: a conversation up to the user's last message.
        chosen, rejected: the assistant's, the first of them the better one.
    """

    prompt: tuple[Message, ...]
    chosen: Message
    rejected: Message


@dataclass(frozen=True)
class Comparison:
    """A pair, or a single answer with a verdict, with a name.

    Attributes:
        id: unique within a build.
        source: the configured name of where it is from.
        sides: conversations of which the last answer alone is trained; of a pair the good one comes first.
        verdicts: whether the last answer of each side is good.
    """

    id: str
    source: str
    sides: tuple[tuple[Message, ...], ...]
    verdicts: tuple[bool, ...]

    @classmethod
    def of_pair(cls, pair: Pair, source: str) -> Self:
        """A better and a worse answer."""
        return cls._of(source, ((*pair.prompt, pair.chosen), (*pair.prompt, pair.rejected)), (True, False))

    @classmethod
    def of_judged(cls, messages: Sequence[Message], good: bool, source: str) -> Self:
        """An answer with a verdict."""
        return cls._of(source, (tuple(messages),), (good,))

    @classmethod
    def _of(cls, source: str, sides: tuple[tuple[Message, ...], ...], verdicts: tuple[bool, ...]) -> Self:
        digest = sha256(b"".join(fingerprint_of(side) for side in sides)).hexdigest()[:ID_DIGITS]
        return cls(f"{source}:{digest}", source, tuple(_last_trained(side) for side in sides), verdicts)

    @property
    def split_key(self) -> str:
        """What the split depends on, besides the seed: how the dialogue begins, up to the first question. So no prompt
        is in both splits, nor are a dialogue's later turns on the other side of it."""
        messages = self.sides[0]
        return fingerprint_of(messages[: 1 + (messages[0].role == SYSTEM)]).hex()


def _last_trained(messages: Sequence[Message]) -> tuple[Message, ...]:
    *before, last = messages
    return (*(replace(message, trained=False) for message in before), replace(last, trained=True))


class LeftOut(Exception):
    """A row that is well formed and not wanted here: `reason` is one of few words to count by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def chosen_of(pair: Pair) -> Found:
    """The conversation with the better answer."""
    return [(*pair.prompt, pair.chosen)]


def parse_hh(row: Any) -> Pair:
    """`{"chosen", "rejected"}`, each `\\n\\nHuman: ...\\n\\nAssistant: ...`.

    Raises:
        Malformed: they are not two dialogues that differ in the last answer alone.
    """
    fields = object_of(row)
    return pair_of(*(_dialogue(text_of(fields, name)) for name in ("chosen", "rejected")))


def parse_ultrafeedback(row: Any) -> Pair:
    """`{"chosen", "rejected"}`, each a list of messages.

    Raises:
        Malformed: they are not two conversations that differ in the last answer alone.
    """
    fields = object_of(row)
    return pair_of(*(parse_messages({"messages": fields.get(name)}) for name in ("chosen", "rejected")))


def parse_prompt(row: Any) -> Pair:
    """A prompt, as text, as messages, as Alpaca's instruction and input or as ShareGPT's turns, and two answers, as
    text, as a list with one message or as one message.

    Raises:
        Malformed: a part is missing.
    """
    fields = object_of(row)
    prompt = _prompt(fields)
    return pair_of(*((*prompt, _answer(name, fields.get(name))) for name in ("chosen", "rejected")))


def parse_judged(row: Any) -> tuple[tuple[Message, ...], bool]:
    """A conversation and whether its last answer is good: `{"messages", "label"}`, or prompt and completion.

    Raises:
        Malformed: it has no verdict, or is no conversation.
    """
    fields = object_of(row)
    label = fields.get("label", fields.get("kto_tag"))
    if not isinstance(label, bool):
        raise Malformed("no verdict", f"`label` is {label!r}; it has to be true or false")
    if "messages" in fields:
        return parse_messages(fields), label
    prompt, answer = text_of(fields, "prompt"), text_of(fields, "completion")
    return question_and_answer(prompt, answer), label


def good_of(row: Any) -> Found:
    """The conversation of a judged row that was found good.

    Raises:
        LeftOut: it was found bad.
        Malformed: as `parse_judged`.
    """
    messages, good = parse_judged(row)
    if not good:
        raise LeftOut("judged bad")
    return [messages]


def pair_of(chosen: tuple[Message, ...], rejected: tuple[Message, ...]) -> Pair:
    """Two conversations as a pair.

    Raises:
        Malformed: they differ in more than the last answer, or not at all, or are no conversations.
    """
    chosen, rejected = conversation_of(chosen), conversation_of(rejected)
    if chosen[:-1] != rejected[:-1]:
        raise Malformed("different prompts", "the two conversations differ before their last answers")
    if chosen[-1] == rejected[-1]:
        raise Malformed("no preference", "both answers are the same")
    return Pair(chosen[:-1], chosen[-1], rejected[-1])


def _dialogue(text: str) -> tuple[Message, ...]:
    before, *parts = _SPEAKER.split(text)
    if before.strip() or not parts:
        raise Malformed("no messages", "the text does not begin with Human:")
    messages = [
        Message(_SPEAKERS[speaker], said.strip()) for speaker, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    return conversation_of(messages)


def _prompt(fields: dict[str, Any]) -> list[Message]:
    system = opening(text_of(fields, "system", ""))
    if "conversations" in fields:
        return [*system, *parse_turns(fields["conversations"])]
    if "instruction" in fields:
        question = joined(text_of(fields, "instruction"), text_of(fields, "input", ""), "\n\n")
        return [*system, Message(USER, question)]
    prompt = fields.get("prompt", fields.get("question"))
    if isinstance(prompt, list):
        # Read with an answer behind it, because a prompt alone is no conversation.
        asked = parse_messages({"messages": [*prompt, {"role": ASSISTANT, "content": "."}]})
        return [*system, *asked[:-1]]
    return [*system, Message(USER, text_of({"prompt": prompt}, "prompt"))]


def _answer(name: str, value: Any) -> Message:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict) and "from" in value:
        return parse_turn(value)
    if isinstance(value, dict):
        return Message(ASSISTANT, text_of(value, "content"))
    return Message(ASSISTANT, text_of({name: value}, name))
