"""Documents read in windows, against one token at a time by transformers; BLEU and ROUGE against hand-made texts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_chat import MODEL, publish_model
from tiny_corpus import quiet_context
from transformers import AutoModelForCausalLM

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError
from lumilab.evaluation.journal import Journal
from lumilab.evaluation.text_measures import Document, continue_documents, read_documents, windows
from lumilab.inference.engine import Engine


@given(st.integers(1, 300), st.integers(1, 64), st.data())
def test_windows_predict_each_token_once_with_what_context_there_is(
    length: int, context: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(1, context))
    predicted: list[int] = []
    for start, first, end in windows(length, context, stride):
        assert 0 <= start <= first < end <= length and end - start <= context
        assert end - first <= stride or first == 0
        assert start == 0 or end - start == context  # all the context that fits is used
        predicted += range(first, end)
    assert predicted == list(range(length))


@pytest.mark.parametrize("stride", [None, 1, 10])
def test_perplexity_is_that_of_one_token_after_another(
    tokenizer_artifact: Artifact, tmp_path: Path, stride: int | None
) -> None:
    config = MODEL.model_copy(update={"context": 24})
    checkpoint = publish_model(tmp_path / "model", tokenizer_artifact, config=config)
    engine = Engine.load(checkpoint.path)
    texts = ["a short one", "word " * 40, "Ünïcode ✓ and more words to read here. " * 2]
    documents = [Document.of(text) for text in texts]
    scores = read_documents(engine, documents, stride, Journal(None), quiet_context()[0])
    theirs = AutoModelForCausalLM.from_pretrained(checkpoint.path, dtype=torch.float32).eval()
    nats, tokens, moves = 0.0, 0, stride or engine.context
    for text in texts:
        ids = [engine.tokenizer.bos_id, *engine.tokenizer.encode(text)]
        for place in range(1, len(ids)):
            moved = math.ceil(max(0, place - engine.context) / moves) * moves
            start = max(0, min(engine.context + moved, len(ids) - 1) - engine.context) if moved else 0
            with torch.no_grad():
                logits = theirs(torch.tensor([ids[start:place]])).logits[0, -1].double().log_softmax(-1)
            nats -= float(logits[ids[place]])
            tokens += 1
    assert scores.tokens == tokens
    assert scores.nats == pytest.approx(nats, rel=1e-4)
    assert scores.words == 3 + 40 + 2 * 8
    assert scores.bytes == sum(len(text.encode()) for text in texts)
    figures = scores.figures()
    assert figures["word_perplexity,none"] == pytest.approx(math.exp(nats / scores.words), rel=1e-3)
    assert figures["bits_per_byte,none"] == pytest.approx(nats / scores.bytes / math.log(2), rel=1e-4)
    assert 0 <= figures["top_1_accuracy,none"] <= figures["top_5_accuracy,none"] <= figures["top_10_accuracy,none"] <= 1


def test_documents_that_were_read_are_not_read_again(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    engine = Engine.load(publish_model(tmp_path / "model", tokenizer_artifact).path)
    documents = [Document.of("one text"), Document.of("another text")]
    context, file = quiet_context()[0], tmp_path / "answers.jsonl"
    first = read_documents(engine, documents[:1], None, Journal(file), context)
    journal = Journal(file)
    both = read_documents(engine, documents, None, journal, context)
    assert (journal.asked, journal.remembered) == (1, 1)
    assert both.documents[0] == first.documents[0]
    with file.open("a") as lines:
        lines.write('{"key": "cut of')
    assert read_documents(engine, documents, None, Journal(file), context) == both


def test_a_stride_that_leaves_tokens_out_is_refused(tokenizer_artifact: Artifact, tmp_path: Path) -> None:
    engine = Engine.load(publish_model(tmp_path / "model", tokenizer_artifact).path)
    with pytest.raises(ConfigError, match="leaves out tokens"):
        read_documents(engine, [Document.of("x")], engine.context + 1, Journal(None), quiet_context()[0])


def test_a_model_that_continues_rightly_scores_fully(
    tokenizer_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sacrebleu")
    pytest.importorskip("rouge_score")
    engine = Engine.load(publish_model(tmp_path / "model", tokenizer_artifact).path)
    text = " ".join(f"word{number}" for number in range(400))
    ids = engine.tokenizer.encode(text)
    shown = min(64, engine.context // 2)
    answers = {True: ids[shown:], False: engine.tokenizer.encode("nothing of the kind at all")}
    found = {}
    for right, new in answers.items():
        monkeypatch.setattr(Engine, "stream", lambda self, prompt, sampling, new=new: iter(new[: sampling.max_tokens]))
        found[right], count = continue_documents(engine, [Document.of(text)], Journal(None), quiet_context()[0])
    assert count == 1
    assert found[True]["bleu,none"] == pytest.approx(100)
    assert found[True]["rougeL,none"] == pytest.approx(1)
    assert found[False]["bleu,none"] < 5
    assert found[False]["rougeL,none"] == 0
