"""Stopping cleanly: SIGINT and SIGTERM become a request that the work honours at its next safe point.

The first signal asks; a second one stops at once. A stage also stops when the process that started it dies
(its end of a pipe closes), so no orphan goes on writing.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from types import FrameType

from lumilab.errors import Interrupted


class StopRequest:
    """Set by a signal, read by the work."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    @property
    def requested(self) -> bool:
        return self.signal_number is not None

    def request(self, signal_number: int) -> None:
        self.signal_number = signal_number

    def check(self) -> None:
        """Raises Interrupted if a stop was requested: call it where nothing would be lost."""
        if self.signal_number is not None:
            raise Interrupted(self.signal_number)


@contextmanager
def stopping_on_signals() -> Iterator[StopRequest]:
    """Turns SIGINT and SIGTERM into a StopRequest for the length of the block (main thread only)."""
    stop = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.requested:
            raise Interrupted(number, "Stopped at once, by a second signal")
        stop.request(number)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            # None: the handler was not set from Python and cannot be set back from it.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def stop_when_closed(pipe: RawIOBase, stop: StopRequest) -> None:
    """Requests a stop once the other end of `pipe` closes, from a background thread.

    The other end may say which signal it was asked to stop by, as a decimal number, before it closes; a process
    that died says nothing, which counts as SIGTERM.

    Args:
        pipe: unbuffered. A buffered reader is locked while it waits, and the interpreter aborts when it meets that
            lock on its way out.
        stop: what to set.
    """

    def wait() -> None:
        said = (pipe.readall() or b"").strip()
        stop.request(int(said) if said.isdigit() else signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
