"""An HTTP response as a crawler recorded it: status, headers, and the body as the browser would see it.

Some crawlers keep the body as it was sent (in chunks, compressed), others undo that and may or may not change the
headers. So each step is undone where both the header and the bytes say so (RFC 9112, section 7.1; RFC 9110, section
8.4).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from email.message import Message

_STATUS_LINE = re.compile(rb"HTTP/[0-9](?:\.[0-9])? ([0-9]{3})\b[^\n]*\n")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\n]{0,1000})?\r?\n")
MAX_BODY_BYTES = 16 << 20


class UnreadableBodyError(Exception):
    """The body is compressed in a way that is not known or damaged."""


@dataclass(frozen=True, slots=True)
class Response:
    """A response.

    Attributes:
        status: 200 and so on.
        media_type: the Content-Type without its parameters, in lower case; empty if there is none.
        charset: its charset parameter, if there is one.
        headers: names in lower case.
        raw_body: the body as recorded.
    """

    status: int
    media_type: str
    charset: str | None
    headers: dict[str, str]
    raw_body: bytes

    def body(self) -> bytes:
        """The body without transfer and content encoding.

        Raises:
            UnreadableBodyError: its compression is not gzip or deflate, or it is over MAX_BODY_BYTES.
        """
        body = self.raw_body
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            body = _joined_chunks(body)
        match self.headers.get("content-encoding", "").lower():
            case "gzip" | "x-gzip" if body.startswith(b"\x1f\x8b"):
                return _inflated(body, 31)
            case "deflate" if not body.lstrip().startswith(b"<"):
                return _inflated(body, 15 if body[:1] == b"\x78" else -15)
            case "br" | "zstd" if not body.lstrip().startswith(b"<"):
                raise UnreadableBodyError
        return body


def parse_response(message: bytes) -> Response | None:
    """The response in an archive record; None where it is not one."""
    status = _STATUS_LINE.match(message)
    if status is None:
        return None
    end = _HEADER_END.search(message, status.end() - 2)
    lines = message[status.end() : end.start() if end else len(message)].decode("latin-1").splitlines()
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    media_type, charset = content_type(headers.get("content-type", ""))
    return Response(int(status[1]), media_type, charset, headers, message[end.end() :] if end else b"")


def content_type(value: str) -> tuple[str, str | None]:
    """Media type in lower case and charset of a Content-Type header."""
    message = Message()
    message["content-type"] = value.replace("\r", " ").replace("\n", " ")
    charset = message.get_param("charset")
    return value.split(";", maxsplit=1)[0].strip().lower(), charset if isinstance(charset, str) else None


def _joined_chunks(body: bytes) -> bytes:
    pieces: list[bytes] = []
    at = 0
    while head := _CHUNK_SIZE.match(body, at):
        size = int(head[1], 16)
        pieces.append(body[head.end() : head.end() + size])
        at = head.end() + size
        if size == 0:
            break
        at += len(b"\r\n") if body.startswith(b"\r\n", at) else int(body.startswith(b"\n", at))
    # Without a size at its beginning, somebody has joined the chunks before.
    return b"".join(pieces) if pieces else body


def _inflated(body: bytes, wbits: int) -> bytes:
    stream = zlib.decompressobj(wbits)
    try:
        plain = stream.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error as error:
        raise UnreadableBodyError from error
    if len(plain) > MAX_BODY_BYTES:
        raise UnreadableBodyError
    return plain
