"""SIGTERM: what runs is finished, nothing new is begun, what takes too long is cut off and told so."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tiny_talkers import lumi_serve

httpx = pytest.importorskip("httpx", reason="httpx is not installed")

pytestmark = pytest.mark.skipif(os.name == "nt", reason="there is no SIGTERM here")


def test_a_stopped_server_finishes_what_it_has_begun(babbler: Path) -> None:
    with lumi_serve(babbler, "--drain-timeout", "60", "--log-prompts", LUMI_API_KEYS="secret") as server:
        client = httpx.Client(base_url=server.url, headers={"authorization": "Bearer secret"}, timeout=120)
        asked = {"prompt": "The cat", "max_tokens": 150, "temperature": 0, "stream": True}
        with client, client.stream("POST", "/v1/completions", json=asked) as response:
            pieces = response.iter_lines()
            assert next(pieces).startswith("data: ")
            server.process.send_signal(signal.SIGTERM)
            rest = [line.removeprefix("data: ") for line in pieces if line.startswith("data: ")]
        assert rest[-1] == "[DONE]"
        assert json.loads(rest[-2])["choices"][0]["finish_reason"] == "length"
        assert server.process.wait(60) == 0
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health")
        entry = json.loads(next(line for line in reversed(server.log) if line.startswith("{")))
        assert (entry["completion_tokens"], entry["prompts"], entry["status"]) == (150, ["The cat"], 200)


def test_an_answer_that_takes_too_long_is_cut_off(babbler: Path) -> None:
    with lumi_serve(babbler, "--drain-timeout", "0.5") as server:
        asked = {"prompt": "The cat", "max_tokens": 8000, "temperature": 0, "stream": True}
        with httpx.stream("POST", f"{server.url}/v1/completions", json=asked, timeout=120) as response:
            pieces = response.iter_lines()
            next(pieces)
            server.process.send_signal(signal.SIGTERM)
            rest = [line.removeprefix("data: ") for line in pieces if line.startswith("data: ")]
        assert json.loads(rest[-1])["error"]["code"] == "unavailable"
        assert server.process.wait(60) == 0
        assert not any("The cat" in line for line in server.log)
