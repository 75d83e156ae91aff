"""Weights in fewer bits: how far they are from the given ones, and what the model makes of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_model import QWEN3, VOCABULARY, made

from lumilab.inference.quantise import GROUP, StoredMatrix, quantise, stored_bytes


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-4, 1.0, 300.0]))
def test_each_weight_is_within_half_a_step(seed: int, scale: float) -> None:
    weight = scale * torch.randn(7, 96, generator=torch.Generator().manual_seed(seed))
    eighth = StoredMatrix(weight, None, "int8").weight
    assert ((eighth - weight).abs() <= weight.abs().amax(1, keepdim=True) / 127 * 0.5001).all()
    groups = weight.view(7, -1, GROUP)
    fourth = StoredMatrix(weight, None, "int4").weight.view_as(groups)
    largest = groups.abs().amax(-1, keepdim=True)
    # The largest is exact; one as large on the other side of zero has only 7 steps, and is a whole step off.
    assert ((fourth - groups).abs() <= largest / 8 * 1.0001).all()
    assert ((fourth - groups).abs().mean() <= largest.mean() / 8 * 0.3).all()
    assert torch.equal(fourth.abs().amax(-1, keepdim=True), largest)
    assert torch.equal(StoredMatrix(weight, None, "bf16").weight, weight.bfloat16().float())


def test_bytes_are_laid_out_as_described() -> None:
    weight = torch.zeros(1, 32)
    weight[0, 0], weight[0, 1], weight[0, 16] = -8.0, 3.0, 5.0
    matrix = StoredMatrix(weight, None, "int4")
    assert matrix.scales.tolist() == [[1.0]]
    assert matrix.stored[0, :2].tolist() == [0 | 13 << 4, 11 | 8 << 4]
    assert torch.equal(matrix.weight, weight)
    assert torch.equal(StoredMatrix(torch.zeros(2, 64), None, "int4").weight, torch.zeros(2, 64))
    assert torch.equal(StoredMatrix(torch.zeros(2, 64), None, "int8").weight, torch.zeros(2, 64))


@pytest.mark.parametrize("shape", [QWEN3, QWEN3.model_copy(update={"tie_embeddings": False, "attention_bias": True})])
def test_a_stored_model_is_smaller_and_says_nearly_the_same(shape) -> None:  # type: ignore[no-untyped-def]
    shape = shape.model_copy(update={"width": 64, "feed_forward": 96})
    ids = torch.arange(40)[None] % VOCABULARY
    with torch.no_grad():
        expected = made(shape)(ids)
        sizes, errors = [stored_bytes(made(shape))], []
        for kind in ("bf16", "int8", "int4"):
            model = quantise(made(shape), kind)
            sizes.append(stored_bytes(model))
            errors.append(float((model(ids) - expected).abs().mean() / expected.abs().mean()))
            assert not [name for name, parameter in model.named_parameters() if parameter.ndim > 1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] / sizes[1] > 1.9 and sizes[0] / sizes[2] > 3.5
    assert errors[0] < 0.02 and errors[1] < 0.03 and errors[2] < 0.3
    assert quantise(made(shape), "none").output_weight.dtype is torch.float32
