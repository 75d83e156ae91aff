"""Batches and the loss that every kind of training shares."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import VOCABULARY
from tiny_training import Counting, fresh_model

from lumilab.training.objective import UNTRAINED, Batch, summed_cross_entropy


def test_the_loss_is_the_sum_over_trained_tokens() -> None:
    model, batch = fresh_model(), Counting().batch(0)
    expected = sum(
        -F.log_softmax(model(batch.ids)[row, place].float(), dim=-1)[label]
        for row, labels in enumerate(batch.labels.tolist())
        for place, label in enumerate(labels)
        if label != UNTRAINED
    )
    loss = summed_cross_entropy(model, batch)
    assert loss.dtype is torch.float32 and loss.ndim == 0
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_documents_and_positions_reach_the_model() -> None:
    model = fresh_model()
    batch = Counting().batch(1)
    documents = (torch.arange(16) // 8).expand(4, 16)
    positions = torch.arange(16).expand(4, 16) % 8
    halves = Batch(
        torch.cat((batch.ids[:, :8], batch.ids[:, 8:])), torch.cat((batch.labels[:, :8], batch.labels[:, 8:]))
    )
    packed = Batch(batch.ids, batch.labels, documents, positions)
    assert summed_cross_entropy(model, packed).item() == pytest.approx(
        summed_cross_entropy(model, halves).item(), rel=1e-5
    )


@given(st.integers(1, 9), st.one_of(st.none(), st.integers(1, 12)))
def test_pieces_hold_every_row_once(rows: int, size: int | None) -> None:
    whole = Batch(torch.arange(rows)[:, None], torch.full((rows, 1), UNTRAINED), positions=torch.arange(rows)[:, None])
    pieces = list(whole.split(size))
    assert [len(piece.ids) for piece in pieces[:-1]] == [size] * (len(pieces) - 1)
    assert torch.equal(torch.cat([piece.ids for piece in pieces]), whole.ids)
    assert torch.equal(torch.cat([piece.positions for piece in pieces if piece.positions is not None]), whole.ids)
    assert all(piece.documents is None and piece.trained == 0 for piece in pieces)


def test_all_of_the_gradient_comes_from_trained_tokens() -> None:
    model = fresh_model()
    batch = Counting().batch(2)
    features = model.features(batch.ids).detach().requires_grad_()
    F.cross_entropy(
        model.logits(features).flatten(0, 1), batch.labels.flatten(), ignore_index=UNTRAINED, reduction="sum"
    ).backward()
    assert features.grad is not None
    silent = batch.labels == UNTRAINED
    assert 0 < silent.sum() < silent.numel()
    assert features.grad[silent].abs().max() == 0
    assert features.grad[~silent].abs().amax(-1).min() > 0
    assert model.vocabulary_size == VOCABULARY
