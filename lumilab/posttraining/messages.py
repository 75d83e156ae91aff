"""What a conversation is, and which rows of a file are one.

The form is the field's "messages": an optional system message, then user and assistant in turn, the assistant last.
A row of any other form is not repaired but refused with a reason, because a guess about who said what would be
trained into the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from lumilab.artifact import canonical_json

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
ROLES = (SYSTEM, USER, ASSISTANT)


@dataclass(frozen=True)
class Message:
    """What one side said. `role` is one of ROLES."""

    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """Messages with a name.

    Attributes:
        id: unique within a build. What is before a `#` decides the split, so that several conversations about one
            thing (`docstrings/json.dumps#1`, `#2`) stay on the same side of it.
        source: the configured name of where it is from.
        messages: as `parse_messages` accepts them.
    """

    id: str
    source: str
    messages: tuple[Message, ...]

    @property
    def split_key(self) -> str:
        """What the split of the conversation depends on, besides the seed."""
        return self.id.partition("#")[0]


def fingerprint_of(messages: Sequence[Message]) -> bytes:
    """SHA-256 of who says what, 32 bytes."""
    return sha256(canonical_json([[message.role, message.content] for message in messages])).digest()


class Malformed(ValueError):
    """A row that is not a conversation: `reason` is one of few words to count by, `detail` says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def parse_messages(row: Any) -> tuple[Message, ...]:
    """The messages of one JSON row `{"messages": [{"role": ..., "content": ...}, ...]}`.

    A system message without text is left out, as if it were not there.

    Raises:
        Malformed: the row is not a conversation in which each question is answered.
    """
    if not isinstance(row, dict):
        raise Malformed("not an object", f"the row is a JSON {type(row).__name__}")
    listed = row.get("messages")
    if not isinstance(listed, list) or not listed:
        raise Malformed("no messages", "the row has no list of messages" if listed != [] else "the list is empty")
    messages = [_parse_message(number, entry) for number, entry in enumerate(listed, start=1)]
    if messages[0].role == SYSTEM and not messages[0].content.strip():
        del messages[0]
    _check_content(messages)
    _check_order(messages)
    return tuple(messages)


def _parse_message(number: int, entry: Any) -> Message:
    if not isinstance(entry, dict):
        raise Malformed("not an object", f"message {number} is a JSON {type(entry).__name__}")
    role, content = entry.get("role"), entry.get("content")
    if role not in ROLES:
        raise Malformed("unknown role", f"message {number} has role {role!r}; known are {', '.join(ROLES)}")
    if not isinstance(content, str):
        raise Malformed("content is not text", f"message {number} has content of type {type(content).__name__}")
    return Message(role, content)


def _check_content(messages: list[Message]) -> None:
    for number, message in enumerate(messages, start=1):
        if not message.content.strip():
            raise Malformed("empty content", f"message {number} of the {message.role} has no text")


def _check_order(messages: list[Message]) -> None:
    if not any(message.role == ASSISTANT for message in messages):
        raise Malformed("no answer", "there is no assistant message, so nothing to train on")
    turns = messages[1:] if messages[0].role == SYSTEM else messages
    for number, message in enumerate(turns):
        expected = ASSISTANT if number % 2 else USER
        if message.role != expected:
            raise Malformed("roles out of order", f"turn {number + 1} is the {message.role}'s, not the {expected}'s")
    if turns[-1].role != ASSISTANT:
        raise Malformed("roles out of order", "the last message is not the assistant's")
