"""Many requests at once: one thread owns the model and gives each running request a token in turn.

Requests join and leave between any two steps (continuous batching: Yu et al. 2022, "Orca", section 4.1). Callers on
other threads only hand in requests and are told of tokens; they never touch the model.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from lumilab.inference.batch import Batch
from lumilab.inference.engine import Engine
from lumilab.inference.requests import FinishReason, GenerationRequest, QueueFull, ServiceClosed, TokenEvent
from lumilab.inference.running import RunningRequest

PROMPT_TOKENS_ALONE = 256  # of prompts in a step when no one waits for its next token


@dataclass(frozen=True)
class ServiceStatistics:
    """What the service is doing and has done.

    Attributes:
        running, waiting: requests in a slot, and in the queue.
        slots, queue_limit: how many of each there may be.
        kv_used: share of the room for keys and values that running requests hold.
        prompt_tokens, generated_tokens: since the start.
        prefix_queries, prefix_hits: tokens of prompts, and how many of them a slot held already.
        finished: requests that ended, by reason.
    """

    running: int
    waiting: int
    slots: int
    queue_limit: int
    kv_used: float
    prompt_tokens: int
    generated_tokens: int
    prefix_queries: int
    prefix_hits: int
    finished: dict[str, int] = field(default_factory=dict)


class Ticket:
    """A request that was handed in."""

    def __init__(self, running: RunningRequest, wake: Callable[[], None]) -> None:
        self.running = running
        self._wake = wake
        self.cancelled = False

    def cancel(self) -> None:
        """Ends the request; its slot is free after the step under way. Harmless when it has ended."""
        self.cancelled = True
        self._wake()


class GenerationService:
    """Generates for many callers.

    Args:
        engine: the model. No one else may use it while the service runs.
        slots: requests that run at the same time.
        queue_limit: requests that may wait for a slot.
        prompt_tokens: most tokens of new prompts that are read while others are being answered, between two of their
            tokens. More of them makes new requests start sooner, and running ones stutter.
    """

    def __init__(self, engine: Engine, slots: int = 16, queue_limit: int = 64, prompt_tokens: int = 64) -> None:
        self.engine = engine
        self._slots = slots
        self._batch = Batch(engine.new_memory(slots), prompt_tokens, max(prompt_tokens, PROMPT_TOKENS_ALONE))
        self._queue_limit = queue_limit
        self._waiting: deque[Ticket] = deque()
        self._running: list[Ticket] = []
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._condition = threading.Condition()
        self._accepting = True
        self._closing = False
        self._failure: str | None = None
        self._finished: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, name="generation", daemon=True)
        self._thread.start()

    def submit(self, request: GenerationRequest, on_event: Callable[[TokenEvent], None]) -> Ticket:
        """Hands in a request. `on_event` is called on the service's thread and must return at once.

        Raises:
            InputError: the prompt leaves no room, or the request names tokens that do not exist.
            QueueFull: as many requests as may wait are waiting.
            ServiceClosed: the service is shut down, or its engine failed.
        """
        self.engine.check_prompt(request.prompt_ids, answered=request.sampling.max_tokens > 0)
        stop_ids = self.engine.stop_ids if request.stop_ids is None else frozenset(request.stop_ids)
        drawer = self.engine.new_drawer(request.prompt_ids, request.sampling)
        running = RunningRequest(request, on_event, self.engine.tokenizer, drawer, stop_ids, self.engine.context)
        ticket = Ticket(running, self._wake)
        with self._condition:
            if not self._accepting or self._failure:
                raise ServiceClosed("The service takes no more requests", mend="start it again.")
            # Those that have just come may still be in the queue while slots are free: a burst must find all the room.
            if len(self._waiting) + len(self._running) >= self._slots + self._queue_limit:
                raise QueueFull(f"{self._queue_limit} requests are waiting already", mend="try again a little later.")
            self._waiting.append(ticket)
            self._condition.notify()
        return ticket

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Runs a function on the service's thread between two steps, so that it may use the model.

        Raises:
            ServiceClosed: as for `submit`.
        """
        future: Future[Any] = Future()
        with self._condition:
            if not self._accepting or self._failure:
                raise ServiceClosed("The service takes no more requests", mend="start it again.")
            self._calls.append((function, future))
            self._condition.notify()
        return future

    def healthy(self) -> bool:
        """Whether the thread lives and the engine works."""
        return self._thread.is_alive() and self._failure is None

    def statistics(self) -> ServiceStatistics:
        """What it is doing now, and has done."""
        with self._condition:
            tokens = self._batch.tokens
            return ServiceStatistics(
                running=len(self._running),
                waiting=len(self._waiting),
                slots=self._slots,
                queue_limit=self._queue_limit,
                kv_used=self._batch.held / (self._slots * self.engine.context),
                prompt_tokens=tokens["prompt"],
                generated_tokens=tokens["generated"],
                prefix_queries=tokens["queries"],
                prefix_hits=tokens["hits"],
                finished=dict(self._finished),
            )

    def drain(self, timeout: float | None = None) -> bool:
        """Takes no more requests and waits, at most `timeout` seconds, until the accepted ones have ended.

        Returns:
            Whether all have.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._condition:
            self._accepting = False
            while self._waiting or self._running or self._calls:
                left = None if deadline is None else deadline - time.monotonic()
                if (left is not None and left <= 0) or not self._thread.is_alive():
                    return False
                self._condition.wait(0.05 if left is None else min(left, 0.05))
        return True

    def close(self) -> None:
        """Cancels what is running and ends the thread."""
        with self._condition:
            self._accepting = False
            self._closing = True
            self._condition.notify()
        self._thread.join()

    # --- the service's thread ----------------------------------------------------------------------------------------

    def _wake(self) -> None:
        with self._condition:
            self._condition.notify()

    def _run(self) -> None:
        try:
            while self._wait_for_work():
                self._step()
            self._end_all("cancelled", None)
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
            self._end_all("error", self._failure)
            raise

    def _wait_for_work(self) -> bool:
        with self._condition:
            while not (self._waiting or self._running or self._calls or self._closing):
                self._condition.wait()
            return not self._closing

    def _step(self) -> None:
        self._do_calls()
        self._drop_cancelled()
        with self._condition:
            while self._waiting and self._batch.has_room:
                self._running.append(self._waiting.popleft())
                self._batch.add(self._running[-1].running)
        if self._running:
            ended = self._batch.step()
            self._leave([ticket for ticket in self._running if ticket.running in ended])

    def _do_calls(self) -> None:
        while self._calls:
            function, future = self._calls.popleft()
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)

    def _drop_cancelled(self) -> None:
        with self._condition:
            gone = [ticket for ticket in self._waiting if ticket.cancelled]
            self._waiting = deque(ticket for ticket in self._waiting if not ticket.cancelled)
            self._finished["cancelled"] += len(gone)
        dropped = [ticket for ticket in self._running if ticket.cancelled]
        for ticket in (*gone, *dropped):
            ticket.running.finish("cancelled")
        self._leave(dropped)

    def _leave(self, tickets: list[Ticket]) -> None:
        with self._condition:
            for ticket in tickets:
                self._batch.remove(ticket.running)
                self._running.remove(ticket)
                self._finished[str(ticket.running.finish_reason)] += 1
            self._condition.notify_all()

    def _end_all(self, reason: FinishReason, error: str | None) -> None:
        with self._condition:
            self._accepting = False
            everyone = [*self._running, *self._waiting]
            self._running.clear()
            self._waiting.clear()
            self._finished[reason] += len(everyone)
            calls = list(self._calls)
            self._calls.clear()
        for ticket in everyone:
            ticket.running.finish(reason, error=error)
        for _, future in calls:
            future.set_exception(ServiceClosed("The service has ended", mend="start it again."))
