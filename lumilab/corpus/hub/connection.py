"""One request to the hub, with nothing taken for granted: what can go wrong is one of two exceptions.

`Refused` is an answer with another status than success; `Cut` is everything that a network does to a request: no
connection, silence, an end before the announced one, or bytes so slow that waiting for them is no use. Whether it is
worth trying again is decided in `persistence.py`.

Redirects are followed, to the storage behind the hub for example. The token goes only to the host it was meant for:
signed storage addresses carry their own right of access, and a header there would be a leak.
"""

from __future__ import annotations

import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit

import lumilab

PIECE_BYTES = 1 << 18


class Cut(Exception):
    """The network failed in the middle; the message says how."""


class Refused(Exception):
    """The server answered, and not with success.

    Attributes:
        status: of the answer.
        headers: of the answer; names are found in any case.
        url: that was asked last, behind all redirects.
        redirected: whether it was another host that refused than the one asked.
    """

    def __init__(self, status: int, headers: Message, url: str, redirected: bool) -> None:
        super().__init__(f"status {status}")
        self.status = status
        self.headers = headers
        self.url = url
        self.redirected = redirected


@dataclass(frozen=True)
class Limits:
    """How long one request may keep us waiting.

    Attributes:
        silence: seconds without a byte, and the time over which the speed is measured.
        slowest: bytes per second; less is as good as silence.
    """

    silence: float = 30.0
    slowest: int = 1_000


class Answer:
    """A successful answer, read piece by piece; use it as a context manager."""

    def __init__(self, response: Any, limits: Limits) -> None:
        self._response = response
        self._limits = limits
        self.status: int = response.status
        self.headers: Message = response.headers
        self.url: str = response.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()

    @property
    def length(self) -> int | None:
        """Announced bytes of this answer."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isdecimal() else None

    def span(self) -> tuple[int, int | None]:
        """The first byte's place in the whole file, and the size of the whole file where it is said."""
        if self.status == 206:
            # RFC 9110, section 14.4: "bytes first-last/complete", where complete may be "*".
            place = re.fullmatch(r"bytes (\d+)-\d+/(?:(\d+)|\*)", self.headers.get("Content-Range", "").strip())
            if place is None:
                raise Cut("a range without its place")
            return int(place[1]), int(place[2]) if place[2] else None
        return 0, self.length

    def pieces(self) -> Iterator[bytes]:
        """What arrives, as it arrives, to the announced end.

        Raises:
            Cut: it ends before, falls silent, or is too slow.
        """
        received, before, waited = 0, 0, 0.0
        while self.length is None or received < self.length:
            began = time.monotonic()
            try:
                # read1 returns after one receive; `read` would wait for all of it, however slowly it drips.
                piece = self._response.read1(PIECE_BYTES)
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise Cut(_words(error)) from error
            # Only our own waiting counts: whoever uses the pieces may take its time.
            waited += time.monotonic() - began
            if not piece:
                break
            received += len(piece)
            yield piece
            if waited >= self._limits.silence:
                if received - before < self._limits.slowest * waited:
                    raise Cut(f"fewer than {self._limits.slowest} bytes a second")
                before, waited = received, 0.0
        if self.length is not None and received < self.length:
            raise Cut(f"the connection ended after {received:,} of {self.length:,} bytes")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects; the token is sent along only where host, port and scheme stay the same."""

    def redirect_request(
        self, request: urllib.request.Request, file: IO[bytes], code: int, message: str, headers: Any, url: str
    ) -> urllib.request.Request | None:
        followed = super().redirect_request(request, file, code, message, headers, url)
        token = request.unredirected_hdrs.get("Authorization")
        if followed is not None and token and urlsplit(url)[:2] == urlsplit(request.full_url)[:2]:
            followed.add_unredirected_header("Authorization", token)
        return followed


@dataclass(frozen=True)
class Connector:
    """Makes requests; proxies are those of the environment."""

    limits: Limits = field(default_factory=Limits)
    _opener: urllib.request.OpenerDirector = field(
        default_factory=lambda: urllib.request.build_opener(_Redirects()), repr=False, compare=False
    )

    def get(self, url: str, headers: Mapping[str, str], token: str | None) -> Answer:
        """Asks once.

        Args:
            url: where.
            headers: also sent behind redirects.
            token: sent to the host of `url` only.

        Raises:
            Refused: the answer is no success.
            Cut: there is none.
        """
        request = urllib.request.Request(url, headers={"User-Agent": f"lumilab/{lumilab.__version__}", **headers})
        if token:
            request.add_unredirected_header("Authorization", f"Bearer {token}")
        try:
            return Answer(self._opener.open(request, timeout=self.limits.silence), self.limits)
        except urllib.error.HTTPError as error:
            error.close()
            # A redirect without a new place has no address.
            last = error.url or url
            raise Refused(
                error.code, error.headers or Message(), last, urlsplit(last)[:2] != urlsplit(url)[:2]
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise Cut(_words(error)) from error


def _words(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _words(reason)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    strerror = error.strerror if isinstance(error, OSError) else None
    return str(strerror or reason or error) or type(error).__name__
