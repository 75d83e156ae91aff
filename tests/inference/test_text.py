"""Text from the engine: the pieces are the whole, and the statistics count."""

from __future__ import annotations

import pytest

from lumilab.errors import InputError
from lumilab.inference.engine import Engine
from lumilab.inference.text import Statistics, TextStream, stream_text
from lumilab.model import Transformer
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer


@pytest.fixture
def engine(model: Transformer, tokenizer: Tokenizer) -> Engine:
    return Engine(model, tokenizer)


SAMPLING = SamplingConfig(temperature=1.2, top_k=0, top_p=1.0, max_tokens=40, seed=3)


@pytest.mark.parametrize("seed", range(6))
def test_the_pieces_are_the_decoded_whole(engine: Engine, seed: int) -> None:
    sampling = SAMPLING.model_copy(update={"seed": seed})
    stream = stream_text(engine, "the river 東京", sampling)
    pieces = list(stream)
    assert all(pieces)
    whole = engine.tokenizer.decode(stream.ids)
    text = "".join(pieces)
    assert whole == text or (whole.startswith(text) and whole[len(text) :] == "\ufffd")  # cut inside a character


def test_it_continues_a_document_that_begins_with_the_prompt(engine: Engine) -> None:
    prompt_ids = [engine.tokenizer.bos_id, *engine.tokenizer.encode("the morning")]
    expected = list(engine.stream(prompt_ids, SAMPLING))
    stream = stream_text(engine, "the morning", SAMPLING)
    stream.read()
    assert stream.ids == expected


def test_a_stop_string_ends_the_text_before_it(engine: Engine) -> None:
    free = stream_text(engine, "the river", SAMPLING).read()
    stop = free[len(free) // 2 : len(free) // 2 + 3]
    stream = stream_text(engine, "the river", SAMPLING, stop=[stop])
    assert stream.read() == free[: free.index(stop)]
    assert stream.statistics.finish_reason == "stop"


def test_statistics_count_tokens(engine: Engine) -> None:
    stream = stream_text(engine, "the river", SAMPLING)
    assert stream.statistics.tokens == 0
    assert str(stream.statistics) == "nothing was generated"
    stream.read()
    statistics = stream.statistics
    assert statistics.tokens == len(stream.ids)
    assert statistics.prompt_tokens == 1 + len(engine.tokenizer.encode("the river"))
    assert statistics.finish_reason == ("length" if statistics.tokens == SAMPLING.max_tokens else "stop")
    assert statistics.first_token_seconds is not None
    assert 0 < statistics.first_token_seconds <= statistics.seconds


def test_rate_leaves_out_the_first_token() -> None:
    statistics = Statistics(prompt_tokens=9, tokens=11, first_token_seconds=2.0, seconds=3.0, finish_reason="stop")
    assert statistics.tokens_per_second == 10.0
    assert str(statistics) == "11 tokens at 10 tokens/s, first after 2000 ms"


def test_a_single_token_has_no_rate() -> None:
    statistics = Statistics(prompt_tokens=9, tokens=1, first_token_seconds=0.5, seconds=0.5, finish_reason="stop")
    assert statistics.tokens_per_second is None
    assert str(statistics) == "1 token, first after 500 ms"


def test_a_prompt_longer_than_the_context_names_both_lengths(engine: Engine) -> None:
    with pytest.raises(InputError, match=r"\d+ tokens.*context of 128"):
        stream_text(engine, "the river and the bridge " * 40, SAMPLING)


def test_an_empty_prompt_begins_a_document(engine: Engine) -> None:
    assert stream_text(engine, "", SAMPLING).statistics.prompt_tokens == 1


def test_reading_nothing_computes_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr(Transformer, "features", fail)
    assert isinstance(stream_text(engine, "the river", SAMPLING), TextStream)
