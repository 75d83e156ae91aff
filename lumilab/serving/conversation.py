"""The messages of a request, as the renderer of training takes them.

Training refuses a conversation whose turns are out of order, because a guess would be learned. Here a person waits for
an answer, so messages are rendered in the order in which they come; only the end must be one that can be answered.
Images and sounds are refused. What a tool returned is said by the user, in the marks that models were trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lumilab.posttraining.messages import ASSISTANT, SYSTEM, USER, Message
from lumilab.posttraining.tools import called, returned
from lumilab.serving.errors import ApiError

MAX_PARTS = 1024


class ContentPart(BaseModel):
    """A part of a message; text is the only kind that the models read."""

    model_config = ConfigDict(strict=True)

    type: str
    text: str | None = None


class ChatMessage(BaseModel):
    """What one side said."""

    model_config = ConfigDict(strict=True)

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[ContentPart], Field(max_length=MAX_PARTS)] | None = None
    reasoning_content: str | None = Field(None, description="what the assistant thought before it")
    tool_calls: Annotated[list[dict[str, Any]], Field(max_length=64)] | None = None

    def text(self) -> str:
        """All its text, calls of tools included.

        Raises:
            ApiError: it has a part that is no text.
        """
        if isinstance(self.content, list):
            for part in self.content:
                if part.type not in ("text", "input_text", "refusal") or part.text is None:
                    raise ApiError(
                        400,
                        f"A message has a part of type {part.type[:40]!r}; the models read text only.",
                        code="unsupported_content",
                        param="messages",
                    )
            said = "\n".join(part.text or "" for part in self.content)
        else:
            said = self.content or ""
        return "\n".join(text for text in [said, *map(called, self.tool_calls or [])] if text)


def messages_of(given: Sequence[ChatMessage]) -> list[Message]:
    """The messages as the renderer takes them.

    Raises:
        ApiError: the last one is not one to answer, or a part is no text.
    """
    messages = [_message(each) for each in given]
    if messages[-1].role != USER:
        raise ApiError(
            400, "The last message is to be answered, so it must be the user's or a tool's.", param="messages"
        )
    # An empty system message is as if there were none, which is how models were trained.
    return [message for message in messages if message.role != SYSTEM or message.content.strip()]


def _message(given: ChatMessage) -> Message:
    text = given.text()
    if given.role == "assistant":
        return Message(ASSISTANT, text, given.reasoning_content)
    if given.role == "tool":
        return Message(USER, returned(text))
    return Message(USER if given.role == "user" else SYSTEM, text)
