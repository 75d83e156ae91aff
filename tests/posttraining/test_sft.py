"""Fine-tuning: packed conversations train as if each were alone, and the result can be chatted with elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_chat import WINDOW, another_tokenizer, publish_model, tiny_model
from tiny_corpus import quiet_context
from tiny_sft import CONFIG, run
from transformers import AutoModelForCausalLM, AutoTokenizer

from lumilab.artifact import Artifact
from lumilab.errors import MismatchError
from lumilab.inference.engine import Engine
from lumilab.inference.sampler import answer_prompts
from lumilab.model import Transformer
from lumilab.posttraining.examples import Examples
from lumilab.posttraining.messages import ASSISTANT, USER, Message
from lumilab.posttraining.sft import AnswerTokens, sft
from lumilab.posttraining.template import render, render_prompt
from lumilab.posttraining.windows import PackedWindows
from lumilab.recipe.schema import SamplingConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.objective import UNTRAINED, summed_cross_entropy
from lumilab.training.run import Sample

# --- packing ----------------------------------------------------------------------------------------------------


def test_packed_loss_is_the_sum_of_the_losses_alone(conversations: Artifact, tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer).double()
    examples = Examples.open(conversations, "train")
    windows = PackedWindows(examples, WINDOW, tokenizer.pad_id)
    assert len(windows) < len(examples)
    packed, alone = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for window in range(len(windows)):
            packed += summed_cross_entropy(model, windows.batch([window]))
        for index in range(len(examples)):
            ids, labels = (torch.from_numpy(array)[None] for array in examples.example(index))
            logits = model(ids)  # one conversation by itself: no mask, no padding, positions from 0
            alone += F.cross_entropy(logits[0], labels[0], ignore_index=UNTRAINED, reduction="sum")
    torch.testing.assert_close(packed, alone, rtol=1e-6, atol=0)


def test_no_conversation_sees_another(conversations: Artifact, tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer)
    batch = PackedWindows(Examples.open(conversations, "train"), WINDOW, tokenizer.pad_id).batch([0])
    assert batch.documents is not None
    documents = batch.documents[0]
    assert documents.max() >= 2
    changed = batch.ids.clone()
    changed[0, documents == 1] = 99
    with torch.no_grad():
        before = model(batch.ids, None, batch.documents)[0]
        after = model(changed, None, batch.documents)[0]
    others = documents != 1
    torch.testing.assert_close(before[others], after[others], rtol=0, atol=0)
    assert not torch.equal(before[~others], after[~others])


def test_windows_hold_every_conversation_once(conversations: Artifact, tokenizer: Tokenizer) -> None:
    examples = Examples.open(conversations, "train")
    windows = PackedWindows(examples, WINDOW, tokenizer.pad_id)
    batch = windows.batch(range(len(windows)))
    assert batch.trained == int(examples.trained.sum())
    assert batch.documents is not None
    assert int((batch.documents > 0).sum()) == sum(examples.lengths())
    assert bool((batch.ids[batch.documents == 0] == tokenizer.pad_id).all())
    assert bool((batch.labels[batch.documents == 0] == UNTRAINED).all())


def test_labels_are_the_answers_shifted_by_one(conversations: Artifact, tokenizer: Tokenizer) -> None:
    rendered = render([Message(USER, "river 1?"), Message(ASSISTANT, "the morning bridge ")], tokenizer)
    examples = Examples.open(conversations, "train")
    found = [examples.example(index) for index in range(len(examples))]
    labels = next(pair[1] for pair in found if pair[0].tolist() == rendered.ids[:-1])
    expected = [
        token if trained else UNTRAINED for token, trained in zip(rendered.ids[1:], rendered.trained[1:], strict=True)
    ]
    assert labels.tolist() == expected
    assert tokenizer.im_end_id in labels.tolist()


# --- the objective -----------------------------------------------------------------------------------------------


def test_every_epoch_visits_every_window_once(conversations: Artifact, tokenizer: Tokenizer) -> None:
    windows = PackedWindows(Examples.open(conversations, "train"), WINDOW, tokenizer.pad_id)
    config = CONFIG.model_copy(update={"batch_size": 1})
    objective = AnswerTokens(conversations, WINDOW, config, 5, tokenizer.pad_id)
    every = sorted(windows.batch([number]).ids[0].tolist() for number in range(len(windows)))
    orders = []
    for epoch in range(2):
        seen = [objective.batch(epoch * len(windows) + step).ids[0].tolist() for step in range(len(windows))]
        assert sorted(seen) == every
        orders.append(seen)
    assert orders[0] != orders[1]


def test_a_batch_is_a_function_of_seed_and_step(conversations: Artifact, tokenizer: Tokenizer) -> None:
    first, second = (AnswerTokens(conversations, WINDOW, CONFIG, 5, tokenizer.pad_id) for _ in range(2))
    second.batch(1)
    assert torch.equal(first.batch(7).ids, second.batch(7).ids)
    other = AnswerTokens(conversations, WINDOW, CONFIG, 6, tokenizer.pad_id)
    assert not torch.equal(first.batch(7).ids, other.batch(7).ids)


def test_validation_batches_have_one_shape_and_the_right_tokens(conversations: Artifact, tokenizer: Tokenizer) -> None:
    config = CONFIG.model_copy(update={"validation_windows": 1000})
    batches = list(AnswerTokens(conversations, WINDOW, config, 5, tokenizer.pad_id).validation(3))
    assert {tuple(batch.ids.shape) for batch in batches} == {(3, WINDOW)}
    assert sum(batch.trained for batch in batches) == int(Examples.open(conversations, "validation").trained.sum())


def test_a_window_shorter_than_a_conversation_is_refused(conversations: Artifact, tokenizer: Tokenizer) -> None:
    with pytest.raises(MismatchError, match=r"places.*windows have 8"):
        AnswerTokens(conversations, 8, CONFIG, 5, tokenizer.pad_id)


# --- the stage ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tuned(
    base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> Artifact:
    config = CONFIG.model_copy(update={"steps": 40})
    return run(tmp_path_factory.mktemp("tuned") / "final", base, conversations, tokenizer_artifact, config)


def test_it_learns_to_answer(tuned: Artifact, base: Artifact, conversations: Artifact, tokenizer: Tokenizer) -> None:
    objective = AnswerTokens(conversations, WINDOW, CONFIG, 5, tokenizer.pad_id)

    def validation_loss(model: Transformer) -> float:
        with torch.no_grad():
            return sum(float(objective.loss(model, batch)) for batch in objective.validation(3))

    assert validation_loss(load_model(tuned).model) < 0.7 * validation_loss(load_model(base).model)


def test_manifest_tells_where_it_is_from(tuned: Artifact, base: Artifact, conversations: Artifact) -> None:
    assert tuned.manifest.kind == "checkpoint"
    assert tuned.manifest.config["stage"] == "sft"
    assert {name: record.digest for name, record in tuned.manifest.inputs.items()} | {"tokenizer": ""} == {
        "base": base.digest,
        "conversations": conversations.digest,
        "tokenizer": "",
    }


def test_transformers_chats_with_the_folder_as_we_do(tuned: Artifact, tokenizer: Tokenizer) -> None:
    theirs = AutoTokenizer.from_pretrained(tuned.path)
    prompt = theirs.apply_chat_template(
        [{"role": "user", "content": "river 3?"}], add_generation_prompt=True, return_tensors="pt"
    )["input_ids"]
    assert prompt[0].tolist() == render_prompt([Message(USER, "river 3?")], tokenizer)
    generated = AutoModelForCausalLM.from_pretrained(tuned.path).generate(
        prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=20
    )
    answer = generated[0, prompt.shape[1] :].tolist()
    ours = list(Engine.load(tuned.path).stream(prompt[0].tolist(), SamplingConfig(temperature=0.0, max_tokens=20)))
    assert [token for token in answer if token not in (tokenizer.im_end_id, tokenizer.eos_id)] == ours


def test_a_stopped_run_goes_on_to_the_same_weights(
    base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    whole = run(tmp_path / "whole" / "final", base, conversations, tokenizer_artifact)
    context, _ = quiet_context()

    def stop_at_four(model: Transformer, step: int) -> list[Sample]:
        if step == 4:
            context.stop.request(2)
        return []

    config = CONFIG.model_copy(update={"sample_every": 1})
    target = tmp_path / "parts" / "final"
    with pytest.raises(BaseException, match="Stopped"):
        sft(config, WINDOW, 5, base, conversations, tokenizer_artifact, target, context, sampler=stop_at_four)
    assert not target.exists()
    assert run(target, base, conversations, tokenizer_artifact).digest == whole.digest


def test_samples_are_asked_for(
    base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    steps: list[int] = []

    def sampler(model: Transformer, step: int) -> list[Sample]:
        steps.append(step)
        return [Sample("Q", "A", "R", step == 3)]

    config = CONFIG.model_copy(update={"sample_every": 3})
    run(tmp_path / "final", base, conversations, tokenizer_artifact, config, sampler=sampler)
    assert steps == [3, 6]
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    sample = {"event": "sample", "step": 3, "prompt": "Q", "text": "A", "reference": "R", "keeps_form": True}
    assert sample in events
    assert [event["keeping_form"] for event in events if event["event"] == "samples"] == [1.0, 0.0]


def test_by_default_each_validation_has_answers(
    base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"steps": 8})
    sampling = SamplingConfig(temperature=0.0, max_tokens=5)
    sampler = answer_prompts(tokenizer_artifact, ["river?"], sampling, held_back=(conversations, 2))
    run(tmp_path / "final", base, conversations, tokenizer_artifact, config, sampler=sampler)
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    answers = [event for event in events if event["event"] == "sample"]
    assert [event["step"] for event in answers] == [3, 3, 3, 6, 6, 6, 8, 8, 8]
    assert {event.get("reference") is None for event in answers if event["prompt"] == "river?"} == {True}
    held_back = [event for event in answers if event["prompt"] != "river?"]
    assert all(event["prompt"].startswith("river ") and "the morning" in event["reference"] for event in held_back)


def test_conversations_of_another_tokenizer_are_refused(
    base: Artifact, conversations: Artifact, tmp_path: Path
) -> None:
    other = another_tokenizer(tmp_path)
    with pytest.raises(MismatchError, match="conversations"):
        run(tmp_path / "final", base, conversations, other)
    assert not (tmp_path / "final").exists()


def test_a_base_of_another_tokenizer_is_refused(
    conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    stranger = publish_model(tmp_path / "base", another_tokenizer(tmp_path))
    with pytest.raises(MismatchError, match="checkpoint"):
        run(tmp_path / "final", stranger, conversations, tokenizer_artifact)


def test_windows_longer_than_the_models_context_are_refused(
    base: Artifact, conversations: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    with pytest.raises(MismatchError, match=r"129 tokens.*context of 128"):
        sft(CONFIG, 129, 5, base, conversations, tokenizer_artifact, tmp_path / "final", quiet_context()[0])
