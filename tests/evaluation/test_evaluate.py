"""The evaluation stage: what it publishes, what it says of a model that does not win, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_chat import MODEL, WINDOW, another_tokenizer, publish_model, tiny_model
from tiny_corpus import quiet_context
from tiny_talkers import ANSWERS, GREETING, trained_talker

from lumilab.artifact import Artifact
from lumilab.errors import InputError, Interrupted, MismatchError
from lumilab.evaluation.answers import Answer
from lumilab.evaluation.evaluate import evaluate
from lumilab.evaluation.heldback import HeldBackText
from lumilab.evaluation.measures import Prediction, predict
from lumilab.evaluation.summary import FormKept, Results, write_summary
from lumilab.inference.engine import Engine
from lumilab.model import Transformer, initialise
from lumilab.posttraining.conversations import build_conversations
from lumilab.posttraining.messages import USER, Message
from lumilab.posttraining.template import render_prompt
from lumilab.recipe.conversations import ConversationsConfig, MessagesConversations
from lumilab.recipe.schema import EvaluationConfig, SamplingConfig
from lumilab.tokenizer.load import Tokenizer

SAMPLING = SamplingConfig(temperature=0.0, max_tokens=8)
Run = Callable[..., Artifact]


@pytest.fixture(scope="module")
def checkpoints(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    folder = tmp_path_factory.mktemp("checkpoints")
    known = Tokenizer.load(tokenizer_artifact.path)
    return {
        stage: publish_model(folder / stage, tokenizer_artifact, tiny_model(known, seed=seed))
        for stage, seed in (("pretrain", 3), ("sft", 4))
    }


@pytest.fixture
def run(checkpoints: dict[str, Artifact], dataset: Artifact, tokenizer_artifact: Artifact, tmp_path: Path) -> Run:
    def go(
        models: dict[str, Artifact] = checkpoints, tokenizer: Artifact = tokenizer_artifact, **values: Any
    ) -> Artifact:
        config = EvaluationConfig(sampling=SAMPLING, **values)
        return evaluate(config, models, dataset, tokenizer, tmp_path / "out", quiet_context()[0])

    return go


def test_results_are_the_measures(
    run: Run, checkpoints: dict[str, Artifact], dataset: Artifact, tokenizer: Tokenizer
) -> None:
    results = json.loads(run().file("results.json").read_text())
    text = HeldBackText.of(dataset, tokenizer, limit=None)
    for stage, artifact in checkpoints.items():
        model = Engine.load(artifact.path).model
        expected = predict(model, text, "again", quiet_context()[0])
        assert results["models"][stage]["bits_per_byte"] == pytest.approx(expected.bits_per_byte, rel=1e-5)
    assert list(results["baselines"]) == sorted(["uniform", "unigram", "gzip -9", "xz -9", "xz -9e"])
    assert results["text"]["bytes"] == text.shards.text_bytes


def test_untrained_is_what_training_began_with(run: Run, dataset: Artifact, tokenizer: Tokenizer) -> None:
    results = json.loads(run().file("results.json").read_text())
    first = initialise(Transformer(MODEL, tokenizer.vocabulary_size), 11)
    text = HeldBackText.of(dataset, tokenizer, limit=None)
    expected = predict(first, text.sample(32), "again", quiet_context()[0])
    assert results["models"]["untrained"]["loss"] == pytest.approx(expected.loss, rel=1e-5)


def test_the_chat_model_is_asked(run: Run, checkpoints: dict[str, Artifact], tokenizer: Tokenizer) -> None:
    samples = json.loads(run(prompts=["river?", "bridge?"]).file("samples.json").read_text())
    engine = Engine.load(checkpoints["sft"].path)
    for sample, prompt in zip(samples, ["river?", "bridge?"], strict=True):
        ids = list(engine.stream(render_prompt([Message(USER, prompt)], tokenizer), SAMPLING))
        assert sample["prompt"] == prompt
        assert tokenizer.decode(ids).startswith(sample["text"])
        assert sample["tokens"] == len(ids)


def test_answers_that_keep_the_form_are_counted_for_each_model_that_chats(
    dataset: Artifact, tokenizer_artifact: Artifact, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    answer = {"role": "assistant", "content": ANSWERS[GREETING]}
    rows = [{"messages": [{"role": "user", "content": GREETING + "!" * number}, answer]} for number in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = ConversationsConfig(
        sources=[MessagesConversations(paths=[str(tmp_path / "rows.jsonl")])], validation_share=0.4
    )
    context, _ = quiet_context()
    asked = build_conversations(config, WINDOW, 1, tokenizer_artifact, tmp_path / "conversations", context)
    endless = tiny_model(tokenizer)
    with torch.no_grad():
        endless.output_weight[list(tokenizer.special_names)] = 0
    models = {
        stage: publish_model(tmp_path / stage, tokenizer_artifact, model, model.config)
        for stage, model in (
            ("pretrain", tiny_model(tokenizer)),
            ("sft", trained_talker(tokenizer)),
            ("preference", endless),
        )
    }
    results = {}
    for count in (5, 0):
        wanted = EvaluationConfig(sampling=SAMPLING, held_back_answers=count)
        built = evaluate(wanted, models, dataset, tokenizer_artifact, tmp_path / f"out{count}", context, asked)
        results[count] = json.loads(built.file("results.json").read_text())["form_kept"]
    assert results == {5: {"sft": {"asked": 5, "keeping": 5}, "preference": {"asked": 5, "keeping": 0}}, 0: {}}


def test_a_recipe_without_chat_is_measured_too(run: Run, checkpoints: dict[str, Artifact]) -> None:
    artifact = run({"pretrain": checkpoints["pretrain"]}, prompts=["river?"])
    assert json.loads(artifact.file("samples.json").read_text()) == []
    assert list(json.loads(artifact.file("results.json").read_text())["models"]) == ["pretrain", "untrained"]
    assert "Answers" not in artifact.file("SUMMARY.md").read_text()


def test_fewer_windows_mean_the_same_fewer_bytes_for_all(run: Run) -> None:
    results = json.loads(run(windows=2).file("results.json").read_text())
    measured = [*results["models"].values(), results["baselines"]["unigram"], results["text"]]
    assert {figures["bytes"] for figures in measured} == {results["text"]["bytes"]}
    assert results["text"]["windows"] == 2


def test_lineage_and_statistics(run: Run, checkpoints: dict[str, Artifact], dataset: Artifact) -> None:
    artifact = run()
    inputs = {name: record.digest for name, record in artifact.manifest.inputs.items()}
    assert inputs["dataset"] == dataset.digest
    assert inputs["sft"] == checkpoints["sft"].digest
    assert {"pretrain", "unigram", "xz -9"} <= artifact.manifest.statistics["bits_per_byte"].keys()


def test_summary_is_a_page_for_people(run: Run) -> None:
    page = run(prompts=["river?"]).file("SUMMARY.md").read_text()
    for part in ("# Evaluation", "| pretrain |", "| sft |", "| untrained |", "`xz -9`", "unigram", "**river?**"):
        assert part in page
    # Weights that nobody trained do not win, and the page says so.
    assert "does not beat" in page


def test_a_checkpoint_of_another_tokenizer_is_refused(run: Run, tmp_path: Path) -> None:
    stranger = publish_model(tmp_path / "model", another_tokenizer(tmp_path))
    with pytest.raises(MismatchError, match="checkpoint"):
        run({"pretrain": stranger})
    assert not (tmp_path / "out").exists()


def test_a_dataset_of_another_tokenizer_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="dataset"):
        run(tokenizer=another_tokenizer(tmp_path))


def test_windows_longer_than_the_context_are_refused(run: Run, tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    short = MODEL.model_copy(update={"context": 32})
    model = publish_model(tmp_path / "model", tokenizer_artifact, config=short)
    with pytest.raises(MismatchError, match=r"96 tokens.*context is 32"):
        run({"pretrain": model})


def test_a_prompt_that_does_not_fit_is_refused_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="context of 128"):
        run(prompts=["river and bridge " * 60])
    assert list(tmp_path.iterdir()) == []


def test_a_stop_leaves_nothing(
    checkpoints: dict[str, Artifact], dataset: Artifact, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    context, _ = quiet_context()
    context.stop.request(2)
    with pytest.raises(Interrupted):
        evaluate(EvaluationConfig(), checkpoints, dataset, tokenizer_artifact, tmp_path / "out", context)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_wins_is_said_to(dataset: Artifact, tokenizer: Tokenizer) -> None:
    def with_bits(bits: float) -> Prediction:
        return Prediction(tokens=10, bytes=10, nats=bits * 10 * 0.6931471805599453, hits={1: 1, 5: 2, 10: 3})

    results = Results(
        text=HeldBackText.of(dataset, tokenizer, limit=None),
        models={"untrained": with_bits(8.0), "pretrain": with_bits(1.5)},
        unigram=with_bits(3.0),
        compressors={"gzip -9": 2.0, "xz -9": 1.2},
        forms={"sft": FormKept(asked=20, keeping=19)},
    )
    page = write_summary(results, [Answer("Q", "line one\nline two", 5, "length"), Answer("Q2", " ", 0, "stop")])
    assert "The pretrain model needs 50 % fewer bits than the unigram baseline." in page
    assert "The pretrain model needs 25 % fewer bits than `gzip -9`." in page
    assert "The pretrain model does not beat `xz -9`: it needs 25 % more bits." in page
    assert "Of 20 questions of held-back conversations, sft answers 19 in the form taught." in page
    assert "> line one\n> line two […]" in page
    assert "> (no answer)" in page
