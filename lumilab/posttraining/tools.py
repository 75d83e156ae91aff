"""Tools in a conversation, as text: what there is, what the model calls, what comes back.

The marks are those of Hermes (Nous Research 2024) and Qwen2.5. They are text like any other to the tokenizer, so every
chat template carries them, and a model learns to write a call as it learns to write anything else.
"""

from __future__ import annotations

import json
from typing import Any

_INTRODUCTION = "You may call these functions:"


def list_of_tools(tools: Any) -> str:
    """What a system message says of the tools there are; nothing where there are none.

    Args:
        tools: a list of descriptions, its JSON text, or nothing.
    """
    text = tools if isinstance(tools, str) else json.dumps(tools or [], ensure_ascii=False)
    if text.strip() in ("", "[]", "null"):
        return ""
    return f"{_INTRODUCTION}\n<tools>\n{text.strip()}\n</tools>"


def called(call: Any) -> str:
    """A call of a tool.

    Args:
        call: its JSON text, or OpenAI's object with a `function` of `name` and `arguments` (an object or JSON text).
    """
    if isinstance(call, dict):
        call = call.get("function", call)
    if isinstance(call, dict) and isinstance(call.get("arguments"), str):
        call = call | {"arguments": _parsed(call["arguments"])}
    text = call if isinstance(call, str) else json.dumps(call, ensure_ascii=False)
    return f"<tool_call>\n{text.strip()}\n</tool_call>"


def returned(text: str) -> str:
    """What a tool gave back."""
    return f"<tool_response>\n{text.strip()}\n</tool_response>"


def _parsed(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments
