from __future__ import annotations

import gzip
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.corpus.web import http
from lumilab.corpus.web.http import UnreadableBodyError, content_type, parse_response


def response(body: bytes, *headers: str) -> http.Response:
    head = "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode()
    parsed = parse_response(head + body)
    assert parsed is not None
    return parsed


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n\r\n"


def test_status_type_charset_and_body() -> None:
    parsed = response(b"<p>\r\n\r\nx", 'Content-Type: Text/HTML; Charset="UTF-8"', "X: a:b")
    assert (parsed.status, parsed.media_type, parsed.charset) == (200, "text/html", "UTF-8")
    assert parsed.headers["x"] == "a:b"
    assert parsed.body() == b"<p>\r\n\r\nx"


@pytest.mark.parametrize("message", [b"", b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", b"\x00\x01"])
def test_what_is_no_response_is_told(message: bytes) -> None:
    assert parse_response(message) is None


def test_a_response_may_have_a_bare_status_line_and_bare_line_feeds() -> None:
    assert parse_response(b"HTTP/1.0 404 Not Found\n\n") == http.Response(404, "", None, {}, b"")
    parsed = parse_response(b"HTTP/2 200\nContent-Type: text/html\n\nbody")
    assert parsed is not None
    assert (parsed.media_type, parsed.body()) == ("text/html", b"body")
    cut = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/html")
    assert cut is not None
    assert (cut.media_type, cut.body()) == ("text/html", b"")


@given(st.lists(st.binary()))
def test_chunks_are_joined_as_the_standard_library_does(pieces: list[bytes]) -> None:
    from http.client import HTTPResponse

    class Socket:
        def makefile(self, _mode: str) -> io.BytesIO:
            return io.BytesIO(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(pieces))

    reference = HTTPResponse(Socket())  # type: ignore[arg-type]
    reference.begin()
    assert response(chunked(pieces), "Transfer-Encoding: chunked").body() == reference.read() == b"".join(pieces)


def test_chunks_that_were_joined_before_stay_and_cut_ones_give_what_is_there() -> None:
    assert response(b"<html>", "Transfer-Encoding: chunked").body() == b"<html>"
    assert response(b"5\r\nabcde\r\n9\r\nxy", "Transfer-Encoding: chunked").body() == b"abcdexy"


@given(st.binary())
def test_compressed_bodies_are_inflated(body: bytes) -> None:
    raw = zlib.compressobj(wbits=-15)
    deflated = raw.compress(body) + raw.flush()
    assert response(gzip.compress(body), "Content-Encoding: gzip").body() == body
    assert response(zlib.compress(body), "Content-Encoding: deflate").body() == body
    if not deflated.startswith((b"\x78", b"<")):
        assert response(deflated, "Content-Encoding: deflate").body() == body
    both = response(chunked([gzip.compress(body)]), "Content-Encoding: gzip", "Transfer-Encoding: chunked")
    assert both.body() == body


def test_bodies_that_were_inflated_before_stay() -> None:
    for encoding in ("gzip", "deflate", "br"):
        assert response(b"<html>", f"Content-Encoding: {encoding}").body() == b"<html>"


def test_what_cannot_be_inflated_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for body, encoding in ((b"\x1f\x8bbroken", "gzip"), (b"\x0b\x02\x80", "br"), (b"\x28\xb5\x2f\xfd", "zstd")):
        with pytest.raises(UnreadableBodyError):
            response(body, f"Content-Encoding: {encoding}").body()
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 1000)
    with pytest.raises(UnreadableBodyError):
        response(gzip.compress(bytes(1001)), "Content-Encoding: gzip").body()


@given(st.text())
def test_any_content_type_is_read(value: str) -> None:
    content_type(value)


def test_content_types() -> None:
    assert content_type("text/html;charset=utf-8") == ("text/html", "utf-8")
    assert content_type("TEXT/HTML") == ("text/html", None)
    assert content_type("") == ("", None)
