"""What a conversation is, and which rows of a file are one.

The form is the field's "messages": an optional system message, then user and assistant in turn, the assistant last.
Tools speak in it too: what a model calls is part of what it says, what comes back is said to it, and what it may call
stands in the system message (`tools.py`). A row of any other form is not repaired but refused with a reason, because a
guess about who said what would be trained into the model.

What a model thinks before it answers, a `<think>` block at the beginning of its message or a `reasoning_content` beside
it, is kept apart from the answer, so that the renderer can train it, keep it or leave it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from types import NoneType
from typing import Any, Protocol

from lumilab.artifact import canonical_json
from lumilab.posttraining.tools import called, list_of_tools, returned

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
ROLES = (SYSTEM, USER, ASSISTANT)
TOOL = "tool"
THINK, END_THINK = "<think>", "</think>"


@dataclass(frozen=True)
class Message:
    """What one side said.

    Attributes:
        role: one of ROLES.
        content: the text.
        thinking: what the assistant thought before it; None for nothing.
        trained: whether an assistant's message is one to learn.
    """

    role: str
    content: str
    thinking: str | None = None
    trained: bool = True


@dataclass(frozen=True)
class Conversation:
    """Messages with a name.

    Attributes:
        id: unique within a build. What is before a `#` decides the split, so that several conversations about one
            thing (`docstrings/json.dumps#1`, `#2`) stay on the same side of it.
        source: the configured name of where it is from.
        messages: as `parse_messages` accepts them.
        row: the JSON value it was made of, where there is one.
    """

    id: str
    source: str
    messages: tuple[Message, ...]
    row: Any = field(default=None, compare=False, repr=False)

    @property
    def sides(self) -> tuple[tuple[Message, ...], ...]:
        """What is rendered of it: all of it is one."""
        return (self.messages,)

    @property
    def split_key(self) -> str:
        """What the split of the conversation depends on, besides the seed."""
        return self.id.partition("#")[0]


class Example(Protocol):
    """What a source yields: a conversation, or several that belong together."""

    @property
    def id(self) -> str:
        """Unique within a build."""
        ...

    @property
    def source(self) -> str:
        """The configured name of where it is from."""
        ...

    @property
    def sides(self) -> Sequence[tuple[Message, ...]]:
        """The conversations that are rendered of it."""
        ...


def fingerprint_of(messages: Sequence[Message]) -> bytes:
    """SHA-256 of who says what, 32 bytes."""
    said = [[part for part in (message.role, message.content, message.thinking) if part] for message in messages]
    return sha256(canonical_json(said)).digest()


class Malformed(ValueError):
    """A row that is not a conversation: `reason` is one of few words to count by, `detail` says what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def parse_messages(row: Any) -> tuple[Message, ...]:
    """The messages of one JSON row `{"messages": [{"role": ..., "content": ...}, ...]}`.

    Content is text, or a list of parts `{"type": "text", "text": ...}`, also of the types reasoning and tool_call. A
    message of the assistant may have `reasoning_content`, `tool_calls` and a `weight` of 0, with which it is not
    trained. Role tool gives back what a tool returned; `tools` beside the messages lists what there is. A system
    message without text is left out, as if it were not there.

    Raises:
        Malformed: the row is not a conversation in which each question is answered.
    """
    fields = object_of(row)
    listed = fields.get("messages")
    if not isinstance(listed, list) or not listed:
        raise Malformed("no messages", "the row has no list of messages" if listed != [] else "the list is empty")
    messages = [_parse_message(number, entry) for number, entry in enumerate(listed, start=1)]
    return conversation_of(messages, fields.get("tools"))


def object_of(row: Any) -> dict[str, Any]:
    """The row as an object.

    Raises:
        Malformed: it is none.
    """
    if not isinstance(row, dict):
        raise Malformed("not an object", f"the row is {kind_of(row)}")
    return row


def kind_of(value: Any) -> str:
    """What a JSON value is, in JSON's own words."""
    named = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", NoneType: "null"}
    return named.get(type(value), "a number")


def text_of(fields: dict[str, Any], name: str, default: str | None = None) -> str:
    """A field that holds text.

    Args:
        fields: the row.
        name: of the field.
        default: for a field that is absent or null; None if it must be there.

    Raises:
        Malformed: it does not.
    """
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        what = f"no field {name!r}" if name not in fields else f"field {name!r} is {kind_of(value)}"
        raise Malformed("content is not text", what)
    return value


def conversation_of(said: Iterable[Message], tools: Any = None) -> tuple[Message, ...]:
    """Messages as a conversation: think blocks apart, what tools return as the user's, checked.

    Args:
        said: in order; also with role TOOL.
        tools: what the assistant may call, as a list or as its JSON text.

    Raises:
        Malformed: each question is not answered in turn.
    """
    messages = [_with_thinking(message) for message in _with_returns(said)]
    described = list_of_tools(tools)
    opening = messages.pop(0).content if messages and messages[0].role == SYSTEM else ""
    opening = "\n\n".join(part for part in (opening, described) if part.strip())
    if opening:
        messages.insert(0, Message(SYSTEM, opening))
    _check_content(messages)
    _check_order(messages)
    return tuple(messages)


def _parse_message(number: int, entry: Any) -> Message:
    if not isinstance(entry, dict):
        raise Malformed("not an object", f"message {number} is {kind_of(entry)}")
    role = entry.get("role")
    if role not in (*ROLES, TOOL):
        raise Malformed("unknown role", f"message {number} has role {role!r}; known are {', '.join((*ROLES, TOOL))}")
    content, thinking = _parse_content(number, entry)
    return Message(role, content, thinking, _parse_weight(number, entry))


def _parse_content(number: int, entry: dict[str, Any]) -> tuple[str, str | None]:
    """The text of a message with its calls of tools, and what was thought before it."""
    content, thinking = entry.get("content"), entry.get("reasoning_content")
    calls = entry.get("tool_calls") or []
    if not isinstance(calls, list) or not isinstance(thinking, str | None):
        raise Malformed("content is not text", f"message {number} has tool_calls or reasoning of another kind")
    if content is None and calls:
        content = ""
    if isinstance(content, str):
        texts = [content]
    elif isinstance(content, list) and content:
        parts = [_parse_part(number, part) for part in content]
        texts = [text for kind, text in parts if kind != "reasoning"]
        thinking = "\n\n".join(text for kind, text in parts if kind == "reasoning") or thinking
    else:
        raise Malformed("content is not text", f"the content of message {number} is {kind_of(content)}")
    return "\n".join(text for text in [*texts, *map(called, calls)] if text), thinking


def _parse_part(number: int, part: Any) -> tuple[str, str]:
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get("text", part.get("value")) if isinstance(part, dict) else None
    if kind not in ("text", "reasoning", "tool_call") or not isinstance(text, str):
        raise Malformed("content is not text", f"message {number} has a part of type {kind!r} without text")
    return kind, called(text) if kind == "tool_call" else text


def _parse_weight(number: int, entry: dict[str, Any]) -> bool:
    weight = entry.get("weight", entry.get("loss_weight"))
    if weight not in (None, 0, 1):
        raise Malformed("unknown weight", f"message {number} has weight {weight!r}; known are 0 and 1")
    return weight != 0 or entry.get("role") != ASSISTANT


def _with_thinking(message: Message) -> Message:
    """A think block that the content begins with, apart from it."""
    content = message.content.lstrip()
    if message.role != ASSISTANT or message.thinking or not content.startswith(THINK):
        return message
    block, end, answer = content.removeprefix(THINK).partition(END_THINK)
    if not end:
        raise Malformed("unclosed think block", f"{THINK} without {END_THINK}")
    return Message(ASSISTANT, answer.lstrip(), block.strip() or None, message.trained)


def _with_returns(said: Iterable[Message]) -> list[Message]:
    """What tools return as a message of the user, several in a row as one."""
    messages: list[Message] = []
    after_tool = False
    for message in said:
        if message.role != TOOL:
            messages.append(message)
        elif after_tool:
            messages[-1] = Message(USER, f"{messages[-1].content}\n{returned(message.content)}")
        else:
            messages.append(Message(USER, returned(message.content)))
        after_tool = message.role == TOOL
    return messages


def _check_content(messages: list[Message]) -> None:
    for number, message in enumerate(messages, start=1):
        if not message.content.strip():
            raise Malformed("empty content", f"message {number} of the {message.role} has no text")


def _check_order(messages: list[Message]) -> None:
    answers = [message for message in messages if message.role == ASSISTANT]
    if not answers:
        raise Malformed("no answer", "there is no assistant message, so nothing to train on")
    if not any(message.trained for message in answers):
        raise Malformed("nothing to train", "every assistant message has weight 0")
    turns = messages[1:] if messages[0].role == SYSTEM else messages
    for number, message in enumerate(turns):
        expected = ASSISTANT if number % 2 else USER
        if message.role != expected:
            raise Malformed("roles out of order", f"turn {number + 1} is the {message.role}'s, not the {expected}'s")
    if turns[-1].role != ASSISTANT:
        raise Malformed("roles out of order", "the last message is not the assistant's")
