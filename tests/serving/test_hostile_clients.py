"""What nobody should send: wrong keys, endless bodies, endless prompts, bytes that are no text, paths that lead out."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from in_thread import served_in_thread
from tiny_talkers import LiveServer, endless_babbler

from lumilab.inference.engine import Engine
from lumilab.recipe.serving import ServingConfig
from lumilab.tokenizer.load import Tokenizer

httpx = pytest.importorskip("httpx", reason="httpx is not installed")

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def locked(tokenizer: Tokenizer) -> Iterator[str]:
    """A server with two keys, one slot and a queue of one, whose bodies may have 64 KiB."""
    config = ServingConfig(port=0, slots=1, queue=1, max_body=1 / 16, max_choices=2)
    with served_in_thread(Engine(endless_babbler(tokenizer), tokenizer), config, keys=["first-key", "schlüssel"]) as (
        url,
        _,
    ):
        yield url


def check_error(response: Any, status: int, code: str | None = None) -> None:
    assert response.status_code == status, response.text[:300]
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert len(error["message"]) < 1000
    assert response.headers["x-request-id"]
    if code is not None:
        assert error["code"] == code


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", "Basic first-key", "first-key", "Bearer first-key-"]
)
@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/tokenize", "/nothing"])
def test_without_a_key_nothing_opens(locked: str, header: str | None, path: str) -> None:
    response = httpx.get(locked + path, headers={"authorization": header} if header else {})
    check_error(response, 401, "invalid_api_key")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["first-key", "schlüssel"])
def test_each_key_opens(locked: str, key: str) -> None:
    header = f"Bearer {key}".encode()
    assert httpx.get(f"{locked}/v1/models", headers={"authorization": header}).status_code == 200


def test_the_page_and_health_need_no_key(locked: str) -> None:
    for path in ("/", "/page/chat.js", "/health"):
        assert httpx.get(locked + path).status_code == 200


# --- bodies ------------------------------------------------------------------------------------------------------


def test_a_body_of_fifty_megabytes_is_refused(live: LiveServer) -> None:
    body = b'{"prompt": "' + b"x" * 50_000_000 + b'"}'
    check_error(httpx.post(f"{live.url}/v1/completions", content=body, headers=JSON, timeout=60), 413, "body_too_large")


def test_a_body_that_does_not_say_its_length_is_cut_off(locked: str) -> None:
    headers = JSON | {"authorization": "Bearer first-key"}
    pieces = (b"x" * 10_000 for _ in range(8))
    check_error(httpx.post(f"{locked}/v1/completions", content=pieces, headers=headers), 413, "body_too_large")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"nonsense", b'"text"', b'{"prompt": "\xff\xfe"}', b"\x00", b"[" * 20_000, b'{"prompt": 1e999}',
     b'{"temperature": NaN}', b'{"seed": 1' + b"0" * 5000 + b"}", b'{"prompt": "\\ud800"}', b'{"model": "\\udc00"}',
     b'{"stop": "\\ud800", "prompt": {"a": 1}}'],
)  # fmt: skip
def test_bodies_that_are_no_request(live: LiveServer, body: bytes) -> None:
    for path in ("/v1/completions", "/v1/chat/completions", "/v1/embeddings", "/tokenize", "/detokenize"):
        response = httpx.post(live.url + path, content=body, headers=JSON, timeout=60)
        check_error(response, 404 if response.status_code == 404 and b"model" in body else 400)


@pytest.mark.parametrize("prompt", [[5] * 1_000_000, "word " * 1_000_000], ids=["ids", "text"])
def test_a_prompt_of_a_million_tokens(live: LiveServer, prompt: Any) -> None:
    response = httpx.post(f"{live.url}/v1/completions", json={"prompt": prompt}, timeout=60)
    check_error(response, 400, "context_length_exceeded")
    messages = [{"role": "user", "content": "word " * 1_000_000}]
    response = httpx.post(f"{live.url}/v1/chat/completions", json={"messages": messages}, timeout=60)
    check_error(response, 400, "context_length_exceeded")


@pytest.mark.parametrize("name", ["max_tokens", "n", "logprobs", "top_p", "repetition_penalty", "top_k", "temperature"])
@pytest.mark.parametrize("value", [-5, "5", 10**30, [], True])
def test_limits_that_make_no_sense(live: LiveServer, name: str, value: Any) -> None:
    response = httpx.post(f"{live.url}/v1/completions", json={"prompt": "a", "max_tokens": 1, name: value}, timeout=60)
    if name in ("max_tokens", "top_k") and value == 10**30:
        assert response.status_code in (200, 400)
    else:
        check_error(response, 400)
        assert response.json()["error"]["param"].startswith(name)


# --- paths and hosts ---------------------------------------------------------------------------------------------


def raw(url: str, head: str) -> tuple[int, bytes]:
    """Sends a request as it is written, without a client that would tidy it up."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(head.encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split()[1]), answer


@pytest.mark.parametrize("path", [
    "/page/../../../../etc/passwd", "/page/..%2f..%2f..%2fetc%2fpasswd", "/page//etc/passwd", "/page/__init__.py",
    "/page/%2e%2e/app.py", "/../../etc/passwd", "/v1/models/../../../etc/passwd", "/v1/models/%00", "/page/",
    "/page/chat.js%00.html", "/%ff%fe", "/v1/models/%ff", "/" + "a" * 30_000,
])  # fmt: skip
def test_paths_that_lead_out(live: LiveServer, path: str) -> None:
    status, answer = raw(live.url, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert status == 404, answer[:300]
    assert b"root:" not in answer
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])["error"]) == {"message", "type", "param", "code"}


def test_no_other_name_is_answered_to(live: LiveServer) -> None:
    status, answer = raw(live.url, "GET /v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert status == 403
    assert b"unknown_host" in answer


def test_other_sites_may_not_read_answers_by_default(live: LiveServer) -> None:
    response = httpx.get(f"{live.url}/v1/models", headers={"origin": "https://example.org"})
    assert "access-control-allow-origin" not in response.headers


# --- crowds ------------------------------------------------------------------------------------------------------


def test_a_full_queue_says_when_to_come_again(locked: str) -> None:
    headers = {"authorization": "Bearer first-key"}
    long = {"prompt": "a", "max_tokens": 8000, "temperature": 0, "n": 2, "stream": True}
    with httpx.stream("POST", f"{locked}/v1/completions", json=long, headers=headers, timeout=60) as running:
        assert running.status_code == 200
        refused = httpx.post(f"{locked}/v1/completions", json=long | {"stream": False}, headers=headers, timeout=60)
    check_error(refused, 429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
