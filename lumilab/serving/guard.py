"""What stands between the network and the routes: names for requests, keys, hosts, the size of bodies, the access log.

It is written for the ASGI protocol itself and not as a framework's middleware, because those wrap the body of a
streamed answer and the news that a client has left.

Keys are compared by their SHA-256 with `hmac.compare_digest`, all of them each time, so the time taken tells nothing.
A server without keys that listens on this machine alone answers to this machine's names only: otherwise any web page
could reach it under a name that it lets point here (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from hashlib import sha256
from typing import Any
from uuid import uuid4

from lumilab.recipe.serving import ServingConfig
from lumilab.serving.errors import ApiError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

FACTS = "lumilab.facts"
"""Where in a request's scope its routes leave what the access log is to say of it."""

OPEN_PATHS = ("/", "/health", "/openapi.json")
OPEN_FOLDER = "/page/"
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
DISCARDED = 32  # a body up to so many times the limit is read to its end, so that its sender gets to read why

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")
_access = logging.getLogger("lumilab.serving.access")


class Guard:
    """An ASGI application around another.

    Args:
        app: the routes.
        config: the server's.
        keys: any of which opens it; none for an open server.
    """

    def __init__(self, app: App, config: ServingConfig, keys: Iterable[str] = ()) -> None:
        self._app = app
        self._config = config
        self._keys = [sha256(key.encode()).digest() for key in keys]
        self._local_only = config.loopback and not self._keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._config)
        try:
            self._check_host(exchange)
            self._check_key(exchange)
            await exchange.check_length()
            await self._app(scope, exchange.receive, exchange.send)
        except ApiError as error:
            if exchange.status is None:
                await error.response()(scope, receive, exchange.send)
        finally:
            exchange.log()

    def _check_host(self, exchange: _Exchange) -> None:
        host = exchange.header(b"host").decode("latin-1").rpartition("]")
        name = f"{host[0]}]" if host[1] else host[2].partition(":")[0]
        if self._local_only and name.lower() not in LOCAL_HOSTS and name != self._config.host:
            raise ApiError(
                403,
                f"This server answers to localhost, not to {name[:100]!r}; with API keys it answers to any name.",
                code="unknown_host",
            )

    def _check_key(self, exchange: _Exchange) -> None:
        path = exchange.scope["path"]
        if (
            not self._keys
            or path in OPEN_PATHS
            or path.startswith(OPEN_FOLDER)
            or exchange.scope["method"] == "OPTIONS"
        ):
            return
        scheme, _, given = exchange.header(b"authorization").partition(b" ")
        digest = sha256(given.strip()).digest()
        matches = [hmac.compare_digest(digest, key) for key in self._keys]
        if scheme.lower() != b"bearer" or not any(matches):
            missing = "No API key was given" if not given else "The API key is not one of this server's"
            raise ApiError(
                401,
                f"{missing}; send it as `Authorization: Bearer KEY`.",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )


class _Exchange:
    """A request and what becomes of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, config: ServingConfig) -> None:
        self.scope = scope
        self.status: int | None = None
        self._receive, self._send = receive, send
        self._limit, self._patience = config.max_body_bytes, config.body_timeout
        self._reading = True
        self._headers = dict(scope["headers"])
        self._begun = time.perf_counter()
        self._bytes = 0
        given = self.header(b"x-request-id")
        self._id = given.decode() if _REQUEST_ID.fullmatch(given) else f"req-{uuid4().hex}"
        scope[FACTS] = {}

    def header(self, name: bytes) -> bytes:
        """A header's value; empty where there is none."""
        return bytes(self._headers.get(name, b""))

    async def check_length(self) -> None:
        """Refuses a body that says it is too long, after reading it away, as far as that is reasonable."""
        given = self.header(b"content-length")
        announced = int(given) if given.isdigit() else 0
        if announced > self._limit:
            left = announced if announced <= DISCARDED * self._limit else 0
            while left > 0:
                message = await self._next()
                if message["type"] != "http.request" or not message.get("more_body"):
                    break
                left -= len(message["body"])
            raise self._too_large()

    async def receive(self) -> Message:
        """The next message of the client, unless its body has grown too long or does not come.

        Raises:
            ApiError: so it is.
        """
        if not self._reading:  # what is waited for now is the client's leaving
            return await self._receive()
        message = await self._next()
        self._reading = bool(message.get("more_body"))
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit:
            raise self._too_large()
        return message

    async def _next(self) -> Message:
        try:
            return await asyncio.wait_for(self._receive(), self._patience)
        except TimeoutError:
            raise ApiError(408, "The body of the request did not come.", code="timeout") from None

    async def send(self, message: Message) -> None:
        """Sends, with the request's name among the headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self._id.encode())]
        await self._send(message)

    def log(self) -> None:
        """One line for the access log."""
        client = self.scope.get("client") or ("", 0)
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "id": self._id,
            "client": client[0],
            "method": self.scope["method"],
            "path": self.scope["path"],
            "status": self.status,
            "seconds": round(time.perf_counter() - self._begun, 4),
            **self.scope[FACTS],
        }
        _access.info(json.dumps(line))

    def _too_large(self) -> ApiError:
        return ApiError(
            413, f"The body is larger than the {self._limit} bytes that this server reads.", code="body_too_large"
        )
