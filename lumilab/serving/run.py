"""A listening server, and its end: on SIGTERM what is running is finished and nothing new begun."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import uvicorn

from lumilab.errors import ResourceError
from lumilab.recipe.serving import ServingConfig
from lumilab.serving.app import Server, create_app

LAST_WORDS = 3  # seconds in which answers that are cut off say so


def listen(config: ServingConfig) -> socket.socket:
    """A bound socket, so that a port that is taken is found out before models are loaded.

    Raises:
        ResourceError: the address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((config.host, config.port))
    except (OSError, UnicodeError) as error:
        bound.close()
        raise ResourceError(
            f"The server cannot listen there: {error}",
            where=f"{config.host}:{config.port}",
            mend="give another --host or --port; port 0 takes any that is free.",
        ) from None
    return bound


def address_of(bound: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(server: Server, bound: socket.socket, keys: Sequence[str], ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or Ctrl-C; a second one does not wait for what is running.

    Args:
        server: what is offered.
        bound: from `listen`.
        keys: API keys; none for an open server.
        ready: called once it answers.
    """
    config = uvicorn.Config(
        create_app(server, keys),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(server.config.drain_timeout) + LAST_WORDS,
    )
    try:
        _DrainingServer(config, server, ready).run(sockets=[bound])
    finally:
        server.close()


def log_to_standard_error() -> None:
    """The access log, one JSON object a line, and failures with their tracebacks."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("lumilab.serving")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False


class _DrainingServer(uvicorn.Server):
    """uvicorn stops listening and waits for its connections; this one also sees to what their answers wait for."""

    def __init__(self, config: uvicorn.Config, server: Server, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._server = server
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to listen."""
        await super().startup(sockets=sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which in the end dies of the signal; a server that stopped in good order exits with 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains."""
        if self._server.draining:
            self.force_exit = True
            return
        self._server.draining = True
        self.should_exit = True
        cutting = threading.Timer(self._server.config.drain_timeout, self._server.cut_off)
        cutting.daemon = True
        cutting.start()
