"""The engine against generation without a cache and against transformers on the published checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_chat import MODEL, another_tokenizer, publish_model, tiny_model
from transformers import AutoModelForCausalLM

from lumilab.artifact import Artifact
from lumilab.errors import InputError, MismatchError
from lumilab.inference.engine import Engine, Slot
from lumilab.model import Transformer
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer

GREEDY = SamplingConfig(temperature=0.0, max_tokens=30)
PROMPT = [1, 100, 200, 300, 150, 101]


@pytest.fixture
def engine(model: Transformer, tokenizer: Tokenizer) -> Engine:
    return Engine(model, tokenizer)


def without_cache(model: Transformer, prompt: list[int], count: int) -> list[int]:
    ids = list(prompt)
    with torch.no_grad():
        for _ in range(count):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def test_greedy_is_what_repeated_whole_passes_give(engine: Engine) -> None:
    expected = without_cache(engine.model, PROMPT, 30)
    assert list(engine.stream(PROMPT, GREEDY, stop_ids=())) == expected
    assert len(set(expected)) > 3  # a model that says something


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_is_what_transformers_generates(
    tokenizer_artifact: Artifact, tmp_path: Path, tokenizer: Tokenizer, penalty: float
) -> None:
    checkpoint = publish_model(tmp_path / "model", tokenizer_artifact)
    theirs = AutoModelForCausalLM.from_pretrained(checkpoint.path)
    generated = theirs.generate(
        torch.tensor([PROMPT]), do_sample=False, max_new_tokens=30, repetition_penalty=penalty, eos_token_id=None
    )
    config = GREEDY.model_copy(update={"repetition_penalty": penalty})
    assert (
        list(Engine.load(checkpoint.path).stream(PROMPT, config, stop_ids=())) == generated[0, len(PROMPT) :].tolist()
    )


def test_a_long_prompt_is_read_in_pieces(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = [token % 400 + 72 for token in range(40)]
    whole = list(engine.stream(prompt, GREEDY, stop_ids=()))
    monkeypatch.setattr("lumilab.inference.engine.PREFILL_TOKENS", 7)
    assert list(engine.stream(prompt, GREEDY, stop_ids=())) == whole


def test_a_stop_token_ends_the_text_and_is_not_part_of_it(engine: Engine) -> None:
    expected = without_cache(engine.model, PROMPT, 10)
    stop = expected[4]
    stream = engine.stream(PROMPT, GREEDY, stop_ids=[stop])
    assert list(stream) == expected[: expected.index(stop)]
    assert stream.finish_reason == "stop"
    assert list(stream) == []


def test_by_default_both_ends_of_text_stop(engine: Engine, tokenizer: Tokenizer) -> None:
    assert engine.stop_ids == {tokenizer.eos_id, tokenizer.im_end_id}


def test_as_many_tokens_as_asked_for(engine: Engine) -> None:
    stream = engine.stream(PROMPT, SamplingConfig(temperature=0.0, max_tokens=5), stop_ids=())
    assert len(list(stream)) == 5
    assert stream.finish_reason == "length"


def test_generation_ends_with_the_context(engine: Engine) -> None:
    prompt = [100 + token for token in range(124)]
    stream = engine.stream(prompt, SamplingConfig(temperature=0.0, max_tokens=100), stop_ids=())
    generated = list(stream)
    assert len(prompt) + len(generated) == engine.context == MODEL.context
    assert stream.finish_reason == "context"
    assert generated == without_cache(engine.model, prompt, len(generated))


@pytest.mark.parametrize("length", [128, 129, 500])
def test_a_prompt_without_room_for_an_answer_is_refused(engine: Engine, length: int) -> None:
    with pytest.raises(InputError, match=f"{length} tokens.*context of 128"):
        engine.stream([100] * length, GREEDY)


def test_an_empty_prompt_is_refused(engine: Engine) -> None:
    with pytest.raises(InputError, match="no prompt"):
        engine.stream([], GREEDY)


def test_a_slot_keeps_what_prompts_have_in_common(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = engine.new_slot()
    config = SamplingConfig(temperature=0.0, max_tokens=6)
    first = list(engine.stream(PROMPT, config, stop_ids=(), slot=slot))
    following = PROMPT + first + [77, 78]
    read: list[int] = []
    read_slot = Slot.read

    def counting(self: Slot, ids: list[int]) -> torch.Tensor:
        read.append(len(ids))
        return read_slot(self, ids)

    monkeypatch.setattr(Slot, "read", counting)
    second = list(engine.stream(following, config, stop_ids=(), slot=slot))
    # The last of the first answer's tokens was never read, and the two new ones follow it.
    assert read[0] == 3
    assert second == list(engine.stream(following, config, stop_ids=()))


@pytest.mark.parametrize("other", [[*PROMPT[:3], 9, 9, 9], PROMPT, PROMPT[:2], [300, 301]])
def test_a_used_slot_changes_nothing(engine: Engine, other: list[int]) -> None:
    slot = engine.new_slot()
    list(engine.stream(PROMPT, GREEDY, stop_ids=(), slot=slot))
    assert list(engine.stream(other, GREEDY, stop_ids=(), slot=slot)) == list(engine.stream(other, GREEDY, stop_ids=()))


def test_same_seed_same_text(engine: Engine) -> None:
    config = SamplingConfig(temperature=1.0, max_tokens=20, seed=4)
    assert list(engine.stream(PROMPT, config)) == list(engine.stream(PROMPT, config))
    other = config.model_copy(update={"seed": 5})
    assert list(engine.stream(PROMPT, config)) != list(engine.stream(PROMPT, other))


def test_two_streams_taken_in_turns_do_not_disturb_each_other(engine: Engine) -> None:
    config = SamplingConfig(temperature=1.0, max_tokens=12, seed=1)
    alone = [list(engine.stream(prompt, config, stop_ids=())) for prompt in (PROMPT, PROMPT[::-1])]
    streams = [engine.stream(prompt, config, stop_ids=()) for prompt in (PROMPT, PROMPT[::-1])]
    together = list(zip(*streams, strict=True))
    assert [[pair[place] for pair in together] for place in (0, 1)] == alone


def test_generation_leaves_no_trace_in_a_model_that_is_trained_on(model: Transformer, tokenizer: Tokenizer) -> None:
    list(Engine(model, tokenizer).stream(PROMPT, GREEDY))
    model(torch.tensor([PROMPT])).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_model_in_bfloat16_generates(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer)
    model.activation_dtype = torch.bfloat16
    assert len(list(Engine(model, tokenizer).stream(PROMPT, GREEDY, stop_ids=()))) == 30


def test_a_checkpoint_with_another_tokenizer_is_refused(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    checkpoint = publish_model(tmp_path / "model", tokenizer_artifact)
    other = another_tokenizer(tmp_path)
    tokenizer_file = checkpoint.path / "tokenizer.json"
    tokenizer_file.write_bytes(other.file("tokenizer.json").read_bytes())
    # The size check of the artifact is what a user meets first; here the damage has to look whole.
    record = dataclasses.replace(checkpoint.manifest.files["tokenizer.json"], size=tokenizer_file.stat().st_size)
    manifest = dataclasses.replace(checkpoint.manifest, files=checkpoint.manifest.files | {"tokenizer.json": record})
    (checkpoint.path / "manifest.json").write_bytes(manifest.to_bytes())
    with pytest.raises(MismatchError, match="tokenizer"):
        Engine.load(checkpoint.path)
