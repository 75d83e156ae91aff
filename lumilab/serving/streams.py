"""Answers that grow: server-sent events as OpenAI's clients read them.

Each event is `data: JSON`, and the last `data: [DONE]`. An error after the beginning is an event too, which the
`openai` package raises. Where nothing comes for a while a comment is sent: proxies keep a connection open that says
something, and a client that has silently gone is found out. (WHATWG HTML standard, section 9.2, "Server-sent events".)
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from lumilab.serving.errors import ApiError, api_error
from lumilab.serving.generation import Generation, disconnected
from lumilab.serving.guard import Receive, Scope, Send

PATIENCE = 10.0
"""Seconds of silence before a comment is sent."""

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would otherwise collect the pieces
]
_log = logging.getLogger("lumilab.serving")


class EventStream(Response):
    """A response that sends objects as they come, and gives up their generation when the client leaves.

    Args:
        request: whose answer it is.
        generation: cancelled in the end, however it comes about; harmless where it has ended.
        objects: JSON values to send, None for "nothing new yet". Called once, when sending begins.
    """

    def __init__(
        self, request: Request, generation: Generation, objects: Callable[[], AsyncIterator[dict[str, Any] | None]]
    ) -> None:
        super().__init__()
        self._request, self._generation, self._objects = request, generation, objects

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it all."""
        sending = asyncio.ensure_future(self._send_all(send))
        watching = asyncio.ensure_future(disconnected(self._request))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                sending.result()
        finally:
            self._generation.cancel()
            sending.cancel()
            watching.cancel()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        try:
            async with aclosing(self._objects()) as objects:  # type: ignore[type-var]
                async for each in objects:
                    await send(_body(f"data: {json.dumps(each)}\n\n" if each is not None else ": still here\n\n"))
            await send(_body("data: [DONE]\n\n"))
        except Exception as error:
            told = api_error(error)
            if not isinstance(error, ApiError):
                _log.error("a stream failed", exc_info=error)
            await send(_body(f"data: {json.dumps(told.body)}\n\n"))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _body(text: str) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}
