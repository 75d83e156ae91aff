"""The samplers that training calls."""

from __future__ import annotations

from lumilab.artifact import Artifact
from lumilab.inference.engine import Engine
from lumilab.inference.sampler import SAMPLE_TOKENS, answer_prompts, continue_prompts
from lumilab.inference.text import stream_text
from lumilab.model import Transformer
from lumilab.posttraining.messages import USER, Message
from lumilab.posttraining.template import answer_text, render_prompt
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer

SAMPLING = SamplingConfig(temperature=1.0, max_tokens=9)


def test_prompts_are_continued(tokenizer_artifact: Artifact, model: Transformer, tokenizer: Tokenizer) -> None:
    sampler = continue_prompts(tokenizer_artifact, ["the river", "a bridge"], SAMPLING)
    engine = Engine(model, tokenizer)
    expected = [(prompt, stream_text(engine, prompt, SAMPLING).read()) for prompt in ("the river", "a bridge")]
    assert [(sample.prompt, sample.text) for sample in sampler(model, 3)] == expected


def test_questions_are_answered(tokenizer_artifact: Artifact, model: Transformer, tokenizer: Tokenizer) -> None:
    ids = render_prompt([Message(USER, "river?")], tokenizer)
    stream = Engine(model, tokenizer).stream(ids, SAMPLING, stop_ids=(tokenizer.im_end_id,))
    expected = answer_text(list(stream), tokenizer)
    kept = stream.finish_reason == "stop" and bool(expected)
    assert answer_prompts(tokenizer_artifact, ["river?"], SAMPLING)(model, 3) == [("river?", expected, None, kept)]


def test_a_sample_is_a_glimpse_and_a_long_prompt_never_stops_the_training(
    tokenizer_artifact: Artifact, model: Transformer
) -> None:
    endless = SamplingConfig(temperature=1.0, max_tokens=100_000)
    (pair,) = continue_prompts(tokenizer_artifact, ["the river " * 200], endless)(model, 1)
    assert pair.text
    assert endless.max_tokens > SAMPLE_TOKENS


def test_no_prompts_no_samples(tokenizer_artifact: Artifact, model: Transformer) -> None:
    assert continue_prompts(tokenizer_artifact, [], SAMPLING)(model, 1) == []
