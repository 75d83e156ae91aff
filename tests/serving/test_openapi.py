"""Requests made of the OpenAPI schema, valid and not: whatever comes, no answer is a failure of the server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from in_thread import served_in_thread
from tiny_chat import tiny_model

from lumilab.inference.engine import Engine
from lumilab.recipe.serving import ServingConfig
from lumilab.tokenizer.load import Tokenizer

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from schemathesis import GenerationMode  # noqa: E402

QUICK, LONG = 4, 150  # requests for each operation and kind
OPERATIONS = 10


@pytest.fixture(scope="module")
def url(tokenizer: Tokenizer) -> Iterator[str]:
    config = ServingConfig(port=0, slots=8)
    with served_in_thread(Engine(tiny_model(tokenizer), tokenizer), config) as (address, _):
        yield address


def hammer(url: str, examples: int) -> int:
    """Sends requests to every operation; returns the number of operations."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        wrong = [] if operation.method == "get" else [GenerationMode.NEGATIVE]  # what takes a name takes any
        for mode in (GenerationMode.POSITIVE, *wrong):
            strategy = operation.as_strategy(generation_mode=mode)

            @settings(max_examples=examples, database=None)
            @given(case=strategy)
            def attempt(case: Any) -> None:
                if isinstance(case.body, dict):
                    case.body.pop("model", None)  # hardly any name would be one
                response = case.call(timeout=120)
                told = f"{case.as_curl_command()}\n{response.status_code} {response.text[:500]}"
                assert response.status_code < 500, told
                assert response.status_code == 200 or set(response.json()["error"]) == {
                    "message", "type", "param", "code",
                }, told  # fmt: skip

            attempt()
    return len(operations)


def test_no_request_of_the_schema_breaks_the_server(url: str) -> None:
    assert hammer(url, QUICK) == OPERATIONS


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_no_request_of_the_schema_breaks_the_server_in_many_tries(url: str) -> None:
    assert hammer(url, LONG) == OPERATIONS
