"""Rows in the form of ShareGPT, `{"conversations": [{"from": ..., "value": ...}, ...]}`, also with tools.

The names of the sides are those met in published sets (Vicuna's, LLaMA-Factory's, Glaive's).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lumilab.posttraining.instructions import Found, opening
from lumilab.posttraining.messages import (
    ASSISTANT,
    SYSTEM,
    TOOL,
    USER,
    Malformed,
    Message,
    conversation_of,
    object_of,
    text_of,
)
from lumilab.posttraining.tools import called

CALL = "function_call"
ROLE_OF: Mapping[str, str] = {
    "human": USER,
    "user": USER,
    "gpt": ASSISTANT,
    "assistant": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bard": ASSISTANT,
    "bing": ASSISTANT,
    "model": ASSISTANT,
    CALL: ASSISTANT,
    "observation": TOOL,
    "tool": TOOL,
    "system": SYSTEM,
}


def parse_sharegpt(row: Any) -> Found:
    """The conversation of a row; `tools` and `system` beside it count.

    Raises:
        Malformed: it is none.
    """
    fields = object_of(row)
    said = [*opening(text_of(fields, "system", "")), *parse_turns(fields.get("conversations"))]
    return [conversation_of(said, fields.get("tools"))]


def parse_turns(listed: Any) -> list[Message]:
    """The list of messages, unchecked as a conversation.

    Raises:
        Malformed: an entry is no message.
    """
    if not isinstance(listed, list) or not listed:
        raise Malformed("no messages", "`conversations` is not a list with something in it")
    return [parse_turn(entry) for entry in listed]


def parse_turn(entry: Any) -> Message:
    """One message `{"from", "value"}`.

    Raises:
        Malformed: it is none.
    """
    fields = object_of(entry)
    side, text = fields.get("from"), text_of(fields, "value")
    if not isinstance(side, str) or side not in ROLE_OF:
        raise Malformed("unknown role", f"a message is from {side!r}; known are {', '.join(ROLE_OF)}")
    return Message(ROLE_OF[side], called(text) if side == CALL else text)
