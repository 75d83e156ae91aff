"""Log-probabilities of tokens against the plain way, which holds all logits."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lumilab.model import log_probabilities
from lumilab.model.log_probabilities import token_log_probabilities

ROWS, WIDTH, VOCABULARY = 70, 12, 33


def case(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, weight, labels (a few untrained), and an upstream gradient."""
    draw = torch.Generator().manual_seed(3)
    features = torch.randn(2, ROWS // 2, WIDTH, generator=draw, dtype=dtype, requires_grad=True)
    weight = torch.randn(VOCABULARY, WIDTH, generator=draw, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, VOCABULARY, (2, ROWS // 2), generator=draw)
    labels[0, ::3] = -100
    return features, weight, labels, torch.randn(2, ROWS // 2, generator=draw, dtype=dtype)


@pytest.mark.parametrize("piece", [1, 2**23])
def test_values_and_gradients_are_those_of_the_plain_way(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(log_probabilities.PIECE_LOGITS, "cpu", piece)  # pieces of 16 rows, or all at once
    features, weight, labels, upstream = case()
    plain = (features @ weight.T).log_softmax(-1).gather(-1, labels.clamp_min(0)[..., None])[..., 0]
    plain = plain * (labels != -100)
    expected = torch.autograd.grad(plain, (features, weight), upstream)
    found = token_log_probabilities(features, weight, labels)
    torch.testing.assert_close(found, plain)
    for ours, theirs in zip(torch.autograd.grad(found, (features, weight), upstream), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_autograd_itself_agrees() -> None:
    features, weight, labels, _ = case()
    assert torch.autograd.gradcheck(
        lambda f, w: token_log_probabilities(f, w, labels[:, :5]), (features[:, :5], weight)
    )


def test_lower_precision_sums_in_float32() -> None:
    features, weight, labels, _ = case(torch.float32)
    low = token_log_probabilities(features.bfloat16(), weight, labels)
    assert low.dtype is torch.float32
    torch.testing.assert_close(low, token_log_probabilities(features, weight, labels), atol=0.2, rtol=0.05)


def test_nothing_trained_is_zero_and_has_zero_gradients() -> None:
    features, weight, labels, upstream = case()
    found = token_log_probabilities(features, weight, torch.full_like(labels, -100))
    assert not found.any()
    assert not any(gradient.any() for gradient in torch.autograd.grad(found, (features, weight), upstream))


def test_other_shapes_are_refused() -> None:
    features, weight, labels, _ = case()
    with pytest.raises(ValueError, match="not one for each"):
        token_log_probabilities(features, weight, labels[:, 1:])
