"""From the engine's threads to the event loop: the tokens of one HTTP request, and their end when its client leaves.

A request may ask for several texts. Each is a request to the engine; their events come together in one queue of the
event loop. Whoever iterates gets all that has come since last time, so a slow client is caught up with in one piece
and never holds up the engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request

from lumilab.inference.requests import GenerationRequest, TokenEvent
from lumilab.inference.service import Ticket
from lumilab.serving.errors import CLIENT_GONE, SERVER_ERROR, ApiError
from lumilab.serving.metrics import RequestClock
from lumilab.serving.models import ServedModel

T = TypeVar("T")
Arrived = tuple[int, TokenEvent]
"""Which of the texts, and what became of it."""


class Generation:
    """Several texts being generated.

    Args:
        model: generates them.
        requests: one for each text.
        clock: made for each text; measures it.
        timeout: seconds for all of them.

    Raises:
        LumiError: the engine takes one of them not; then none is generated.
    """

    def __init__(
        self,
        model: ServedModel,
        requests: Sequence[GenerationRequest],
        clock: Callable[[int], RequestClock],
        timeout: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived: list[Arrived] = []
        self._news = asyncio.Event()
        self._left = set(range(len(requests)))
        self._deadline = self._loop.time() + timeout
        self._clocks = [clock(len(request.prompt_ids)) for request in requests]
        self._tickets: list[Ticket] = []
        try:
            for index, request in enumerate(requests):
                self._tickets.append(model.service.submit(request, self._listener(index)))
        except BaseException:
            self.cancel()
            raise

    async def events(self, patience: float | None = None) -> AsyncIterator[list[Arrived]]:
        """What has come since the last time, until all texts have ended.

        Args:
            patience: seconds; where nothing comes for so long, an empty list does.

        Raises:
            ApiError: the engine failed, or the time is over.
        """
        while self._left:
            await self._wait(patience)
            arrived, self._arrived = self._arrived, []
            self._news.clear()
            for index, event in arrived:
                self._check(event)
                if event.finish_reason is not None:
                    self._left.discard(index)
            yield arrived

    def cancel(self) -> None:
        """Gives up whatever has not ended."""
        for ticket in self._tickets:
            ticket.cancel()

    async def _wait(self, patience: float | None) -> None:
        left = self._deadline - self._loop.time()
        if left <= 0 and not self._arrived:
            raise ApiError(504, "The answer took longer than this server allows.", code="timeout", type=SERVER_ERROR)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), left if patience is None else min(left, patience))

    def _listener(self, index: int) -> Callable[[TokenEvent], None]:
        clock = self._clocks[index]

        def on_event(event: TokenEvent) -> None:
            clock.event(event, time.perf_counter())
            with suppress(RuntimeError):  # the loop is closed: nobody is there to be told
                self._loop.call_soon_threadsafe(self._arrive, index, event)

        return on_event

    def _arrive(self, index: int, event: TokenEvent) -> None:
        self._arrived.append((index, event))
        self._news.set()

    @staticmethod
    def _check(event: TokenEvent) -> None:
        if event.finish_reason == "error":
            raise ApiError(500, f"The engine failed: {event.error}", code="engine_error", type=SERVER_ERROR)
        if event.finish_reason == "cancelled":
            raise ApiError(503, "The server is being stopped.", code="unavailable", type=SERVER_ERROR)


async def disconnected(request: Request) -> None:
    """Returns when the client has left. To be awaited after the body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client leaves.

    Raises:
        ApiError: the client left.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(disconnected(request))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(CLIENT_GONE, "The client left.", code="client_gone")
        return task.result()
    finally:
        task.cancel()
        watcher.cancel()
