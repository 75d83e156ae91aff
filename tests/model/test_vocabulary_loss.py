"""The loss that never holds all logits, against PyTorch's cross-entropy of all of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lumilab.model import vocabulary_loss
from lumilab.model.vocabulary_loss import IGNORED, summed_vocabulary_loss

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small tensors have several pieces and blocks, the last ones not full."""
    monkeypatch.setattr(vocabulary_loss, "CPU_ROWS", 7)
    monkeypatch.setattr(vocabulary_loss, "CPU_BLOCK", 10)


def plain(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """All logits, in float64 where the features are, else in float32."""
    wide = torch.promote_types(features.dtype, torch.float32)
    logits = (features @ weight.to(features.dtype).T).to(wide)
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED, reduction="sum")


class InRows(vocabulary_loss._SummedLoss):
    """What a GPU would do, here."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        loss, *gradients = vocabulary_loss._in_rows(features, weight, labels, True, 7)
        ctx.save_for_backward(*gradients)
        return loss


class FrozenInRows(InRows):
    """The same, for a weight that is not trained."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
        loss, *gradients = vocabulary_loss._in_rows(features, weight, labels, True, 7, False)
        ctx.save_for_backward(*gradients)
        return loss


def in_rows(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    return InRows.apply(features, weight, labels)


WAYS = pytest.mark.parametrize("ours", [summed_vocabulary_loss, in_rows])


def drawn(rows: int, vocabulary: int, ignored: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    """Features [rows, 5], weight and labels, a share of them ignored."""
    draw = torch.Generator().manual_seed(rows * 1000 + vocabulary)
    features = torch.randn(rows, 5, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(vocabulary, 5, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
    labels = torch.randint(0, vocabulary, (rows,), generator=draw)
    labels[torch.rand(rows, generator=draw) < ignored] = IGNORED
    return features, weight, labels


def with_gradients(loss_of: Loss, features: Tensor, weight: Tensor, labels: Tensor) -> Iterator[Tensor]:
    loss = loss_of(features, weight, labels)
    yield loss
    # Some other function of the loss, so that a gradient from above must be passed on.
    yield from torch.autograd.grad(loss * 0.3 + loss.square() * 1e-3, (features, weight))


@WAYS
@given(
    rows=st.integers(0, 30),
    vocabulary=st.integers(1, 45),
    ignored=st.sampled_from([0.0, 0.5, 1.0]),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_loss_and_gradients_are_pytorchs(
    ours: Loss, rows: int, vocabulary: int, ignored: float, dtype: torch.dtype
) -> None:
    tensors = drawn(rows, vocabulary, ignored, dtype)
    close = {"atol": 1e-11, "rtol": 1e-10} if dtype is torch.float64 else {"atol": 1e-4, "rtol": 1e-4}
    for mine, reference in zip(with_gradients(ours, *tensors), with_gradients(plain, *tensors), strict=True):
        torch.testing.assert_close(mine, reference, **close)
    with torch.no_grad():
        torch.testing.assert_close(summed_vocabulary_loss(*tensors), plain(*tensors), **close)


def test_the_gradient_is_that_of_small_changes() -> None:
    features, weight, labels = drawn(16, 23, 0.2)
    assert torch.autograd.gradcheck(lambda f, w: summed_vocabulary_loss(f, w, labels), (features, weight))


def test_rows_may_be_a_batch_of_sequences_and_either_side_may_need_no_gradient() -> None:
    features, weight, labels = drawn(24, 31, 0.1)
    flat = summed_vocabulary_loss(features, weight, labels)
    shaped = summed_vocabulary_loss(features.view(4, 6, 5), weight, labels.view(4, 6))
    assert torch.equal(flat, shaped)
    frozen = FrozenInRows.apply(features, weight.detach(), labels)
    torch.testing.assert_close(torch.autograd.grad(frozen, features), torch.autograd.grad(flat, features))
    flat = summed_vocabulary_loss(features, weight, labels)
    for chosen in (features, weight):
        alone = [tensor if tensor is chosen else tensor.detach() for tensor in (features, weight)]
        assert torch.equal(
            *(
                torch.autograd.grad(summed_vocabulary_loss(*pair, labels), chosen)[0]
                for pair in (alone, (features, weight))
            )
        )
    with pytest.raises(ValueError, match="labels"):
        summed_vocabulary_loss(features, weight, labels[1:])


@WAYS
def test_logits_far_apart_and_beyond_exp(ours: Loss) -> None:
    features, weight, labels = drawn(15, 40, 0.1, torch.float32)
    tensors = (features.detach() * 200).requires_grad_(), weight, labels
    mine, reference = ours(*tensors), plain(*tensors)
    assert reference > 1000 and mine.isfinite()
    torch.testing.assert_close(mine, reference, rtol=1e-5, atol=0)


def test_what_is_not_finite_shows() -> None:
    features, weight, labels = drawn(15, 40, 0.0, torch.float32)
    for bad in (torch.nan, torch.inf):
        spoilt = features.detach().clone()
        spoilt[9, 2] = bad
        loss, *gradients = with_gradients(summed_vocabulary_loss, spoilt.requires_grad_(), weight, labels)
        assert not loss.isfinite() and not any(gradient.isfinite().all() for gradient in gradients)


@WAYS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_as_near_to_the_truth_as_pytorchs(ours: Loss, dtype: torch.dtype) -> None:
    features, weight, labels = drawn(60, 45, 0.1, dtype)
    master = weight.detach().float().requires_grad_()  # as in training: weights float32, activations not
    truth = list(
        with_gradients(
            plain, features.detach().double().requires_grad_(), weight.detach().double().requires_grad_(), labels
        )
    )
    mine = list(with_gradients(ours, features, master, labels))
    theirs = list(with_gradients(plain, features, master, labels))
    assert [tensor.dtype for tensor in mine] == [torch.float32, dtype, torch.float32]
    for ours_, reference, exact in zip(mine, theirs, truth, strict=True):
        wrong, usual = ((tensor.double() - exact).norm() / exact.norm() for tensor in (ours_, reference))
        assert wrong < max(usual, torch.finfo(dtype).eps)  # of one rounding


def test_ignored_rows_cost_nothing_and_their_values_do_not_matter() -> None:
    features, weight, labels = drawn(20, 30, 0.5, torch.float32)
    spoilt = torch.where((labels == IGNORED)[:, None], torch.nan, features.detach()).requires_grad_()
    for mine, reference in zip(
        with_gradients(summed_vocabulary_loss, spoilt, weight, labels),
        with_gradients(summed_vocabulary_loss, features, weight, labels),
        strict=True,
    ):
        assert torch.equal(mine, reference)


def test_the_operator_keeps_pytorchs_rules_for_operators() -> None:
    features, weight, labels = drawn(20, 30, 0.5, torch.float32)
    for wanted in ((True, True), (True, False), (False, False)):  # of both, of the features, none
        torch.library.opcheck(
            torch.ops.lumilab.summed_vocabulary_loss.default,
            (features.detach(), weight.detach(), labels, *wanted),
            test_utils=("test_schema", "test_faketensor"),
        )


@WAYS
def test_compiled_is_the_same_in_one_program(ours: Loss) -> None:
    tensors = drawn(20, 30, 0.2, torch.float32)
    compiled = torch.compile(ours, backend="aot_eager", fullgraph=True, dynamic=False)
    for mine, reference in zip(with_gradients(compiled, *tensors), with_gradients(ours, *tensors), strict=True):
        torch.testing.assert_close(mine, reference, atol=1e-5, rtol=1e-5)


def test_two_threads_give_the_same_bits_each_time() -> None:
    features, weight, labels = drawn(400, 900, 0.1, torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first = list(with_gradients(summed_vocabulary_loss, features, weight, labels))
        for _ in range(3):
            again = with_gradients(summed_vocabulary_loss, features, weight, labels)
            assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    finally:
        torch.set_num_threads(before)


MEASURED = """
import re, sys, torch, torch.nn.functional as F
from lumilab.model.vocabulary_loss import summed_vocabulary_loss

def peak():  # of this program; what getrusage tells begins with the peak of the process that started it
    return int(re.findall(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[0])

def loss(rows, size):
    features, weight = torch.randn(rows, 8, requires_grad=True), torch.randn(size, 8, requires_grad=True)
    labels = torch.randint(0, size, (rows,))
    if sys.argv[1] == "ours":
        summed_vocabulary_loss(features, weight, labels).backward()
    else:
        F.cross_entropy(features @ weight.T, labels, reduction="sum").backward()

loss(2, 4)  # loads what the first call loads
before = peak()
loss(8192, 16384)
print(peak() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="a process's peak memory is told in kilobytes on Linux")
def test_it_takes_a_fraction_of_the_memory() -> None:
    def peak(which: str) -> int:
        done = subprocess.run([sys.executable, "-c", MEASURED, which], check=True, capture_output=True, text=True)
        return int(done.stdout)

    logits = 8192 * 16384 * 4 // 1024
    assert peak("plain") > logits
    assert peak("ours") < logits / 4  # a fraction of one such tensor
