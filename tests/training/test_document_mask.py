"""Pretraining with attention inside documents: a window's loss is that of its documents, each computed alone."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_corpus import quiet_context
from tiny_model import QWEN3

from lumilab.artifact import Artifact
from lumilab.model import Transformer, initialise
from lumilab.recipe.training import TrainingConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.objective import UNTRAINED, Batch
from lumilab.training.pretrain import NextToken, pretrain


def config(**changes: Any) -> TrainingConfig:
    values = {"steps": 3, "batch_size": 8, "dtype": "float32", "device": "cpu", "compile": "no", "document_mask": True}
    return TrainingConfig.model_validate(values | changes)


def alone(model: Transformer, batch: Batch, bos_id: int) -> float:
    """The loss with each document, from its first token to its last in the row, as a text of its own."""
    total = 0.0
    for ids, labels in zip(batch.ids, batch.labels, strict=True):
        begins = [0, *(place for place in range(1, len(ids)) if ids[place] == bos_id), len(ids)]
        for first, end in pairwise(begins):
            logits = model(ids[None, first:end])[0]
            total += F.cross_entropy(logits, labels[first:end], ignore_index=UNTRAINED, reduction="sum").item()
    return total


@torch.no_grad()
def test_the_loss_is_that_of_each_document_alone(data: dict[str, Artifact]) -> None:
    tokenizer = Tokenizer.load(data["tokenizer"].path)
    model = initialise(Transformer(QWEN3, tokenizer.vocabulary_size), 3)
    with (
        NextToken(data["dataset"], config(), seed=3) as masked,
        NextToken(data["dataset"], config(document_mask=False), seed=3) as plain,
    ):
        batches = [masked.batch(0), masked.batch(5), *masked.validation(4)]
        assert torch.equal(batches[0].ids, plain.batch(0).ids) and plain.batch(0).documents is None
        inner = 0
        for batch in batches:
            expected = alone(model, batch, tokenizer.bos_id)
            assert masked.loss(model, batch).item() == pytest.approx(expected, rel=1e-5)
            inner += int((batch.ids[:, 1:] == tokenizer.bos_id).sum())
        assert inner > 10, "documents do begin inside windows"
        seen_whole = plain.loss(model, plain.batch(0)).item()
        assert seen_whole != pytest.approx(masked.loss(model, batches[0]).item(), rel=1e-5)


def test_it_trains_in_micro_batches_as_in_one(data: dict[str, Artifact], tmp_path: Path) -> None:
    losses = []
    for size in (None, 2):
        target = tmp_path / str(size) / "final"
        inputs = data["dataset"], data["tokenizer"]
        artifact = pretrain(config(micro_batch_size=size), QWEN3, 3, *inputs, target, quiet_context()[0])
        losses.append(artifact.manifest.statistics["validation_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
