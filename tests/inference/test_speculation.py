"""Prompt lookup says what greedy decoding says, in fewer passes where a text repeats itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.errors import ConfigError
from lumilab.inference.engine import Engine
from lumilab.inference.speculation import LookupStream, propose
from lumilab.inference.text import TextStream
from lumilab.model import Transformer
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer


def test_what_followed_the_longest_match_is_proposed() -> None:
    assert propose([1, 2, 3, 9, 1, 2, 3], 2) == [9, 1]
    assert propose([1, 2, 8, 3, 1, 2, 7, 4, 1, 2], 3) == [7, 4, 1]  # the latest
    assert propose([5, 1, 2, 8, 6, 1, 2, 7, 5, 1, 2], 1) == [8]  # the longest
    assert propose([1, 2, 3], 4) == propose([1], 4) == propose([4, 4], 0) == []
    assert propose([4, 4, 4], 4) == [4]


@settings(max_examples=40)
@given(
    text=st.lists(st.integers(100, 104), min_size=1, max_size=30),
    most=st.integers(1, 12),
    penalty=st.sampled_from([1.0, 1.2]),
    tokens=st.integers(1, 60),
)
def test_the_text_is_the_greedy_one(
    engine_of_a_repeater: Engine, text: list[int], most: int, penalty: float, tokens: int
) -> None:
    sampling = SamplingConfig(temperature=0.0, max_tokens=tokens, repetition_penalty=penalty)
    plain = engine_of_a_repeater.stream(text, sampling)
    quick = LookupStream(engine_of_a_repeater, text, sampling, most=most)
    assert list(quick) == list(plain)
    assert quick.finish_reason == plain.finish_reason
    assert quick.acceptance.accepted <= quick.acceptance.proposed


@pytest.fixture(scope="module")
def engine_of_a_repeater(tokenizer: Tokenizer) -> Engine:
    """Small weights: soon it says the same again and again."""
    from tiny_chat import tiny_model

    return Engine(tiny_model(tokenizer, seed=3), tokenizer)


def test_repeated_text_takes_fewer_passes(engine_of_a_repeater: Engine) -> None:
    sampling = SamplingConfig(temperature=0.0, max_tokens=80)
    stream = LookupStream(engine_of_a_repeater, [1, 100, 101], sampling, stop_ids=())
    assert len(list(stream)) == 80
    assert stream.acceptance.passes < 79
    assert stream.acceptance.rate and 0 < stream.acceptance.rate <= 1


def test_the_context_ends_it_too(engine_of_a_repeater: Engine) -> None:
    sampling = SamplingConfig(temperature=0.0, max_tokens=500)
    prompt = [100, 101, 102] * 20
    stream = LookupStream(engine_of_a_repeater, prompt, sampling, stop_ids=())
    assert list(stream) == list(engine_of_a_repeater.stream(prompt, sampling, stop_ids=()))
    assert stream.finish_reason == "context"


def test_drawn_text_is_refused(model: Transformer, tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="temperature"):
        LookupStream(Engine(model, tokenizer), [1], SamplingConfig())


def test_it_is_read_like_any_stream(engine_of_a_repeater: Engine) -> None:
    sampling = SamplingConfig(temperature=0.0, max_tokens=30)
    stream = TextStream(LookupStream(engine_of_a_repeater, [100], sampling), engine_of_a_repeater.tokenizer)
    assert (
        stream.read() == TextStream(engine_of_a_repeater.stream([100], sampling), engine_of_a_repeater.tokenizer).read()
    )
