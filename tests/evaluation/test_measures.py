"""Likelihoods and accuracies against a whole forward pass by transformers, and figures by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_chat import publish_model
from tiny_corpus import quiet_context
from transformers import AutoModelForCausalLM

from lumilab.artifact import Artifact
from lumilab.errors import Interrupted
from lumilab.evaluation import heldback, scoring
from lumilab.evaluation.heldback import HeldBackText
from lumilab.evaluation.measures import Prediction, predict
from lumilab.model import Transformer
from lumilab.tokenizer.load import Tokenizer


@pytest.fixture
def text(dataset: Artifact, tokenizer: Tokenizer) -> HeldBackText:
    return HeldBackText.of(dataset, tokenizer, limit=None)


def test_figures_are_those_of_transformers(
    text: HeldBackText, model: Transformer, tokenizer_artifact: Artifact, tmp_path: Path
) -> None:
    checkpoint = publish_model(tmp_path / "model", tokenizer_artifact, model)
    theirs = AutoModelForCausalLM.from_pretrained(checkpoint.path)
    nats, ranks = 0.0, []
    shards = text.shards
    with torch.no_grad():
        for start in range(0, shards.token_count - 1, text.window):
            ids = torch.from_numpy(
                shards.read(start, min(text.window + 1, shards.token_count - start)).astype(np.int64)
            )
            scores = theirs(ids[None, :-1]).logits[0].double().log_softmax(-1)
            own = scores.gather(1, ids[1:, None])
            nats -= float(own.sum())
            ranks += (scores > own).sum(1).tolist()
    prediction = predict(model, text, "measuring", quiet_context()[0])
    assert prediction.tokens == shards.token_count - 1 == len(ranks)
    assert prediction.bytes == shards.text_bytes
    assert prediction.nats == pytest.approx(nats, rel=1e-5)
    for rank in (1, 5, 10):
        assert prediction.hits[rank] == pytest.approx(sum(found < rank for found in ranks), abs=1)


def test_batches_and_chunks_make_no_difference(
    text: HeldBackText, model: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict(model, text, "measuring", quiet_context()[0])
    monkeypatch.setattr(heldback, "BATCH_TOKENS", 1)
    monkeypatch.setattr(scoring, "CHUNK_SCORES", 512 * 7)
    pieces = predict(model, text, "measuring", quiet_context()[0])
    assert pieces.nats == pytest.approx(whole.nats, rel=1e-5)
    assert (pieces.tokens, pieces.bytes) == (whole.tokens, whole.bytes)
    assert pieces.hits == whole.hits


def test_a_model_that_knows_nothing_needs_log_v(text: HeldBackText, model: Transformer) -> None:
    for parameter in model.parameters():
        parameter.data.zero_()
    prediction = predict(model, text, "measuring", quiet_context()[0])
    assert prediction.loss == pytest.approx(math.log(model.vocabulary_size), rel=1e-5)
    assert prediction.accuracy(1) < 0.2


def test_a_limit_measures_that_many_windows(dataset: Artifact, tokenizer: Tokenizer, model: Transformer) -> None:
    text = HeldBackText.of(dataset, tokenizer, limit=2)
    prediction = predict(model, text, "measuring", quiet_context()[0])
    assert prediction.tokens == 2 * text.window
    assert prediction.bytes == sum(len(part) for part in text.text())


def test_a_stop_is_heard(text: HeldBackText, model: Transformer) -> None:
    context, _ = quiet_context()
    context.stop.request(15)
    with pytest.raises(Interrupted):
        predict(model, text, "measuring", context)


def test_figures_by_hand() -> None:
    prediction = Prediction(tokens=4, bytes=8, nats=8 * math.log(2), hits={1: 1, 5: 2, 10: 4})
    assert prediction.bits_per_byte == pytest.approx(1.0)
    assert prediction.loss == pytest.approx(2 * math.log(2))
    assert prediction.perplexity == pytest.approx(4.0)
    figures = prediction.figures()
    assert [figures[f"top_{rank}_accuracy"] for rank in (1, 5, 10)] == [0.25, 0.5, 1.0]
    assert figures["bits_per_byte"] == pytest.approx(1.0)
