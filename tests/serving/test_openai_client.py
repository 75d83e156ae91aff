"""The real `openai` client against a live server process: every parameter, streams, errors."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import pytest
from tiny_talkers import ANSWERS, GREETING, SCRIPT, LiveServer

from lumilab.tokenizer.load import Tokenizer

openai = pytest.importorskip("openai", reason="openai is not installed")

HELLO = ANSWERS[GREETING]
ASKED = [{"role": "user", "content": GREETING}]
SCORED = "The old clock answers"


@pytest.fixture(scope="module")
def client(live: LiveServer) -> Iterator[Any]:
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0, timeout=120) as made:
        yield made


def chat(client: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {"model": "talker", "messages": ASKED, "temperature": 0}
    return client.chat.completions.create(**(defaults | options))


def complete(client: Any, **options: Any) -> Any:
    defaults: dict[str, Any] = {"model": "babbler", "prompt": "The cat", "temperature": 0, "max_tokens": 8}
    return client.completions.create(**(defaults | options))


def test_models_are_listed_and_found(client: Any) -> None:
    assert [model.id for model in client.models.list()] == ["talker", "babbler"]
    assert client.models.retrieve("babbler").max_model_len == 8192


def test_a_chat_is_answered(client: Any) -> None:
    answer = chat(client)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == HELLO
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert answer._request_id


@pytest.mark.parametrize(
    "content", [GREETING, [{"type": "text", "text": GREETING}]], ids=["text", "parts"]
)  # fmt: skip
def test_a_stream_begins_and_ends_as_clients_expect(client: Any, content: Any) -> None:
    messages = [{"role": "user", "content": content}]
    pieces = list(chat(client, messages=messages, stream=True, stream_options={"include_usage": True}))
    assert pieces[0].choices[0].delta.role == "assistant"
    assert pieces[0].choices[0].delta.content == ""
    texts = [piece.choices[0].delta.content or "" for piece in pieces if piece.choices]
    assert "".join(texts) == HELLO
    assert "\ufffd" not in "".join(texts)
    assert [piece.choices[0].finish_reason for piece in pieces if piece.choices][-1] == "stop"
    assert all(piece.usage is None for piece in pieces[:-1])
    assert pieces[-1].choices == []
    assert pieces[-1].usage.completion_tokens == chat(client).usage.completion_tokens
    assert len({piece.id for piece in pieces}) == 1


def test_a_long_answer_comes_in_pieces(client: Any) -> None:
    """A short one may be complete before the first piece is sent."""
    pieces = [piece.choices[0].text for piece in complete(client, max_tokens=2000, stream=True)]
    assert len([text for text in pieces if text]) > 1


def test_no_usage_is_streamed_unless_asked_for(client: Any) -> None:
    assert all(piece.choices and piece.usage is None for piece in chat(client, stream=True))


def test_limits_by_either_name(client: Any) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        answer = chat(client, **{name: 3})
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.completion_tokens == 3
    assert chat(client, max_tokens=10_000).choices[0].finish_reason == "stop"


def test_a_full_context_ends_a_text_by_length(client: Any) -> None:
    prompt = [70] * 510
    answer = complete(client, model="talker", prompt=prompt, max_tokens=50, extra_body={"ignore_eos": True})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


def test_several_texts_differ_and_come_back_with_the_seed(client: Any) -> None:
    options: dict[str, Any] = {"n": 3, "seed": 7, "temperature": 1.5, "max_tokens": 12}
    first, again = (complete(client, **options) for _ in range(2))
    texts = [choice.text for choice in first.choices]
    assert [choice.index for choice in first.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    assert [choice.text for choice in again.choices] == texts
    streamed = ["", "", ""]
    for piece in complete(client, stream=True, **options):
        streamed[piece.choices[0].index] += piece.choices[0].text
    assert streamed == texts
    assert [choice.text for choice in complete(client, **options | {"seed": 8}).choices] != texts


def test_a_stop_string_may_span_tokens(client: Any) -> None:
    for stop in ("wör", ["never", " wör"]):
        answer = chat(client, stop=stop)
        assert answer.choices[0].message.content.rstrip() == "Hello 😀"
        assert answer.choices[0].finish_reason == "stop"
    streamed = "".join(piece.choices[0].delta.content or "" for piece in chat(client, stop="wör", stream=True))
    assert streamed == "Hello 😀 "


def test_logit_bias_forces_and_forbids(client: Any, tokenizer: Tokenizer) -> None:
    (token,) = tokenizer.encode("Q")
    assert complete(client, logit_bias={str(token): 100}).choices[0].text == "Q" * 8
    usual = complete(client, max_tokens=1, logprobs=0).choices[0].logprobs.tokens[0]
    (first,) = tokenizer.encode(usual)
    changed = complete(client, max_tokens=1, logprobs=0, logit_bias={str(first): -100})
    assert changed.choices[0].logprobs.tokens[0] != usual


def test_penalties_and_further_samplers_are_heeded(client: Any, tokenizer: Tokenizer) -> None:
    (token,) = tokenizer.encode("Q")
    bias = {str(token): 60}
    assert complete(client, logit_bias=bias, max_tokens=4).choices[0].text == "QQQQ"
    forced = {"logit_bias": {str(token): 10}, "max_tokens": 24}
    plain = complete(client, **forced).choices[0].text.count("Q")
    assert complete(client, frequency_penalty=2, **forced).choices[0].text.count("Q") < plain
    greedy = complete(client).choices[0].text
    for extra in ({"top_k": 1}, {"min_p": 1.0}):
        assert complete(client, temperature=2.0, extra_body=extra).choices[0].text == greedy
    assert complete(client, temperature=2.0, top_p=1e-9).choices[0].text == greedy
    assert complete(client, extra_body={"repetition_penalty": 5.0}).choices[0].text != greedy


def test_chat_logprobs(client: Any) -> None:
    content = chat(client, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert bytes(byte for entry in content for byte in entry.bytes).decode() == HELLO
    for entry in content:
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].logprob == pytest.approx(entry.logprob)  # greedy: the best one is the chosen one
        assert sum(math.exp(other.logprob) for other in entry.top_logprobs) <= 1.0001
    streamed = [piece.choices[0].logprobs for piece in chat(client, logprobs=True, stream=True)]
    tokens = [entry.token for piece in streamed if piece for entry in piece.content]
    assert tokens == [entry.token for entry in content]
    assert chat(client).choices[0].logprobs is None


def test_echo_scores_the_prompt(client: Any, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(SCORED)
    answer = complete(client, prompt=ids, echo=True, logprobs=2, max_tokens=1)
    logprobs = answer.choices[0].logprobs
    assert answer.choices[0].text.startswith(SCORED)
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(ids) + 1
    assert logprobs.token_logprobs[0] is None
    assert all(number < 0 for number in logprobs.token_logprobs[1:])
    for offset, token in zip(logprobs.text_offset, logprobs.tokens[: len(ids)], strict=False):
        assert answer.choices[0].text[offset:].startswith(token)
    alone = complete(client, prompt=ids, echo=True, logprobs=2, max_tokens=0)
    assert alone.choices[0].text == SCORED
    assert alone.choices[0].logprobs.token_logprobs == logprobs.token_logprobs[:-1]
    assert alone.usage.completion_tokens == 0


def test_scores_end_with_one_generated_token_even_where_the_text_ends(client: Any, tokenizer: Tokenizer) -> None:
    prompt = [tokenizer.im_start_id, *tokenizer.encode(f"assistant\n{HELLO}")]
    usual = complete(client, model="talker", prompt=prompt, logprobs=0, echo=True, max_tokens=2).choices[0]
    assert len(usual.logprobs.tokens) == len(prompt)  # the next token would be the end
    scored = complete(client, model="talker", prompt=prompt, logprobs=0, echo=True, max_tokens=1).choices[0]
    assert scored.logprobs.tokens == [*usual.logprobs.tokens, "<|im_end|>"]
    assert scored.text == usual.text


def test_prompts_in_every_form_and_several_at_once(client: Any, tokenizer: Tokenizer) -> None:
    texts = ["The cat", "A river", "Our train"]
    single = [complete(client, prompt=text).choices[0].text for text in texts]
    assert [choice.text for choice in complete(client, prompt=texts).choices] == single
    ids = [[tokenizer.bos_id, *tokenizer.encode(text)] for text in texts]
    assert complete(client, prompt=ids[0]).choices[0].text == single[0]
    assert [choice.text for choice in complete(client, prompt=ids).choices] == single
    assert [choice.text for choice in complete(client, prompt=texts[:2], echo=True).choices] == [
        text + answer for text, answer in zip(texts[:2], single[:2], strict=True)
    ]


def test_embeddings_are_directions_and_come_in_both_encodings(client: Any) -> None:
    plain = client.embeddings.create(model="talker", input=["The cat", "A river"], encoding_format="float")
    packed = client.embeddings.create(model="talker", input=["The cat", "A river"])  # base64 on the wire
    for one, other in zip(plain.data, packed.data, strict=True):
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-5)
        assert other.embedding == pytest.approx(one.embedding, abs=1e-6)
    assert len(plain.data[0].embedding) == 64
    assert plain.usage.prompt_tokens > 2


@pytest.mark.parametrize("messages", [
    [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
    [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": None, "tool_calls": [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
     {"role": "tool", "tool_call_id": "1", "content": "4"}],
], ids=["developer", "twice", "tool"])  # fmt: skip
def test_other_orders_of_messages_are_answered(client: Any, messages: Any) -> None:
    assert chat(client, messages=messages, max_tokens=4).choices[0].finish_reason in ("length", "stop")


@pytest.mark.parametrize(
    ("error", "options"),
    [
        ("NotFoundError", {"model": "nobody"}),
        ("BadRequestError", {"temperature": 3}),
        ("BadRequestError", {"n": 1000}),
        ("BadRequestError", {"max_tokens": -1}),
        ("BadRequestError", {"top_logprobs": 2}),
        ("BadRequestError", {"logit_bias": {"cat": 1}}),
        ("BadRequestError", {"logit_bias": {"99999": 1}}),
        ("BadRequestError", {"stop": [""]}),
        ("BadRequestError", {"response_format": {"type": "json_object"}}),
        ("BadRequestError", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("BadRequestError", {"messages": []}),
        ("BadRequestError", {"messages": [{"role": "assistant", "content": "a"}]}),
        ("BadRequestError", {"messages": [{"role": "user", "content": "long " * 9999}]}),
        ("BadRequestError", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
    ],
)
def test_mistakes_are_the_clients_exceptions(client: Any, error: str, options: dict[str, Any]) -> None:
    with pytest.raises(getattr(openai, error)) as caught:
        chat(client, **options)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    assert caught.value.type == "invalid_request_error"
    if error == "NotFoundError":
        assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("options", [{"best_of": 3}, {"suffix": "end"}, {"max_tokens": 0}, {"prompt": [10**6]}])
def test_completions_refuse_what_they_cannot_do(client: Any, options: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        complete(client, **options)
    assert caught.value.param == next(iter(options))


def test_a_stream_that_is_closed_midway_frees_its_slot(client: Any, live: LiveServer) -> None:
    stream = complete(client, stream=True, max_tokens=8000, n=2)
    assert next(iter(stream)).choices[0].text
    assert live.metric("vllm:num_requests_running", model_name="babbler") == 2
    stream.close()
    live.wait_for("vllm:num_requests_running", 0)


def test_a_client_that_leaves_before_its_answer_frees_its_slot(client: Any, live: LiveServer) -> None:
    with pytest.raises(openai.APITimeoutError):
        complete(client.with_options(timeout=0.5), max_tokens=8000)
    live.wait_for("vllm:num_requests_running", 0)
    assert live.metric("vllm:request_success_total", finished_reason="abort") >= 1


def test_asynchronous_clients_at_once(live: LiveServer) -> None:
    async def run() -> None:
        async with openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none", timeout=120) as client:
            whole = [chat(client, messages=[{"role": "user", "content": asked}]) for asked in (GREETING, SCRIPT)]
            streams = [chat(client, stream=True) for _ in range(3)]
            answers = await asyncio.gather(*whole)
            assert [answer.choices[0].message.content for answer in answers] == [HELLO, ANSWERS[SCRIPT]]
            for stream in await asyncio.gather(*streams):
                assert "".join([piece.choices[0].delta.content or "" async for piece in stream]) == HELLO
            left = await complete(client, stream=True, max_tokens=8000)
            await anext(left)
            await left.close()

    asyncio.run(run())
    live.wait_for("vllm:num_requests_running", 0)
