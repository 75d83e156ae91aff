"""The cross-entropy over the vocabulary, without ever holding all logits.

The logits of a batch are by far its largest tensor (4 096 tokens and 32 768 ids: 537 MB in float32), and the plain way
holds several of that size. Here rows are done in pieces, and the gradients of a piece are taken while its logits
are there, in the forward pass: softmax minus one-hot times the weight, and its transpose times the features. The
backward pass only multiplies by the upstream gradient. (The method is known from Liger Kernel, Hsu et al. 2024, section
3.2; that of the blocks below from FlashAttention, Dao et al. 2022, algorithm 1.)

On a CPU a piece of rows meets the vocabulary in blocks: exp(logit - running maximum) is made while a block is in the
cache, and is written to memory once. What later blocks add to the maximum, and the normaliser itself, are factors of a
row, so they are applied to the few features instead of the many probabilities. It is an operator of its own,
opaque to torch.compile. Elsewhere the same sum is written plainly, for torch.compile to fuse.
Figures: docs/experiments.md, "The vocabulary's loss".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100  # the label of a row that does not count: PyTorch's own convention (`ignore_index`)
CPU_ROWS, CPU_BLOCK = 512, 4096  # rows a piece and vocabulary entries a block: a block of float32 is 8 MB
PIECE_LOGITS = 2**28  # logits a piece elsewhere: large products, half a gigabyte of bfloat16
ALIGNMENT = 64  # entries: a GPU multiplies matrices of odd sizes (GPT-2's 50 257) several times slower

Gradients = tuple[Tensor, Tensor, Tensor]


def summed_vocabulary_loss(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, in nats, of softmax(features @ weight.T) against the labels, summed over rows with a label.

    Args:
        features: [B, T, width] or [N, width], float32, float64, bfloat16 or float16; the products are in this dtype.
        weight: [vocabulary, width], any floating dtype: it is cast to that of the features.
        labels: [B, T] or [N], int64; -100 for a row that does not count.

    Returns:
        A scalar, float32 (float64 for float64 features). Sums over the vocabulary and over pieces are in that dtype.
        It can be differentiated once, with respect to features and weight.

    Raises:
        ValueError: there are not as many labels as features.
    """
    if features.shape[:-1] != labels.shape:
        raise ValueError(f"labels {list(labels.shape)} are not one for each of features {list(features.shape)}")
    rows, labels = features.flatten(0, -2), labels.flatten()
    if torch.is_grad_enabled() and (features.requires_grad or weight.requires_grad):
        loss: Tensor = _SummedLoss.apply(rows, weight, labels, weight.requires_grad)  # type: ignore[no-untyped-call]
        return loss
    return _loss_and_gradients(rows, weight, labels, False, False)[0]


class _SummedLoss(torch.autograd.Function):
    """Takes the gradients in the forward pass and scales them in the backward pass. A frozen weight gets none, which
    saves a third of the work and a tensor of its size."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, labels: Tensor, trained: bool) -> Tensor:
        loss, to_features, to_weight = _loss_and_gradients(features, weight, labels, True, trained)
        ctx.save_for_backward(to_features, to_weight)
        return loss

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        to_features, to_weight = ctx.saved_tensors
        scale = upstream[0]  # may be a loss scale that float16 cannot hold
        scaled = ((tensor.to(scale.dtype) * scale).to(tensor.dtype) for tensor in (to_features, to_weight))
        for_features, for_weight = scaled
        return for_features, for_weight if len(to_weight) else None, None, None


def _loss_and_gradients(
    features: Tensor, weight: Tensor, labels: Tensor, gradients: bool, weight_gradient: bool
) -> Gradients:
    """The loss and its gradients with respect to features and weight (empty tensors when not wanted)."""
    if features.device.type == "cpu":
        result: Gradients = _in_blocks(features, weight, labels, gradients, weight_gradient)
        return result
    rows = max(128, PIECE_LOGITS // len(weight) // 128 * 128)
    return _in_rows(features, weight, labels, gradients, rows, weight_gradient)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype of sums."""
    return torch.float64 if dtype is torch.float64 else torch.float32


# --- on a GPU --------------------------------------------------------------------------------------------------------


def _in_rows(
    features: Tensor, weight: Tensor, labels: Tensor, gradients: bool, rows: int, weight_gradient: bool = True
) -> Gradients:
    """Pieces of `rows` rows against the whole vocabulary, in operations that torch.compile makes two kernels of.

    Ignored rows are computed and masked: to leave them out, the processor would have to wait for the GPU.
    """
    vocabulary, wide = len(weight), _wide(features.dtype)
    cast = F.pad(weight.to(features.dtype), (0, 0, 0, -vocabulary % ALIGNMENT))
    entries = torch.arange(len(cast), device=features.device)
    loss = features.new_zeros((), dtype=wide)
    to_features, to_weight = [], weight.new_zeros(cast.shape if gradients and weight_gradient else 0, dtype=wide)
    for start in range(0, len(features), rows):
        piece, label = features[start : start + rows], labels[start : start + rows, None]
        trained = label != IGNORED
        logits = (piece @ cast.T).to(wide).masked_fill(entries >= vocabulary, -torch.inf)
        normaliser = torch.logsumexp(logits, -1, keepdim=True)
        loss = loss + ((normaliser - logits.gather(1, label.clamp_min(0))) * trained).sum()
        if gradients:
            to_logits = ((logits - normaliser).exp() - (entries == label).to(wide)) * trained
            to_logits = to_logits.to(features.dtype)
            to_features.append(to_logits @ cast)
            if weight_gradient:
                to_weight = to_weight + (to_logits.T @ piece).to(wide)
    if not gradients:
        return loss, to_weight, to_weight.clone()
    whole = torch.cat(to_features) if to_features else torch.zeros_like(features)
    return loss, whole, to_weight[:vocabulary].to(weight.dtype)


# --- on a CPU --------------------------------------------------------------------------------------------------------


@torch.library.custom_op("lumilab::summed_vocabulary_loss", mutates_args=())
def _in_blocks(
    features: Tensor, weight: Tensor, labels: Tensor, gradients: bool, weight_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Pieces of rows, each against blocks of the vocabulary; rows without a label are left out."""
    wide, cast = _wide(features.dtype), weight.to(features.dtype)
    trained = (labels != IGNORED).nonzero().squeeze(1)
    every = len(trained) == len(labels)
    chosen, label = (features, labels) if every else (features[trained], labels[trained])
    loss = features.new_zeros((), dtype=wide)
    to_chosen = torch.empty_like(chosen)
    to_weight = weight.new_zeros(weight.shape if gradients and weight_gradient else 0, dtype=wide)
    height = len(weight) if weight_gradient else min(CPU_BLOCK, len(weight))  # one block after another in the same room
    room = features.new_empty(height if gradients else 0, min(CPU_ROWS, len(trained)))
    for start in range(0, len(trained), CPU_ROWS):
        rows = slice(start, start + CPU_ROWS)
        piece = _meet(chosen[rows], cast, label[rows], room[:, : len(chosen[rows])])
        loss += (piece.highest - piece.at_label + piece.total.log()).sum()
        if gradients:
            to_chosen[rows] = piece.mixed / piece.total[:, None] - cast[label[rows]]
            if weight_gradient:
                _add_to_weight(to_weight, piece, chosen[rows], label[rows])
    if not gradients:
        return loss, to_weight, to_weight.clone()
    to_features = to_chosen if every else torch.zeros_like(features).index_copy_(0, trained, to_chosen)
    return loss, to_features, to_weight.to(weight.dtype)


@_in_blocks.register_fake
def _(
    features: Tensor, weight: Tensor, labels: Tensor, gradients: bool, weight_gradient: bool
) -> tuple[Tensor, Tensor, Tensor]:
    loss = features.new_empty((), dtype=_wide(features.dtype))
    if not gradients:
        return loss, loss.new_empty(0), loss.new_empty(0)
    return loss, torch.empty_like(features), torch.empty_like(weight) if weight_gradient else weight.new_empty(0)


class _Piece(NamedTuple):
    """What some rows and the whole vocabulary gave.

    Attributes:
        exponentials: exp(logit - highest of the blocks so far), [vocabulary, rows], in the features' dtype; the last
            block's alone where there is room for one.
        highest_so_far: the highest logit of each row after each block, [rows] each.
        highest, at_label: each row's highest logit and that of its label, [rows].
        total: sum over the vocabulary of exp(logit - highest), [rows].
        mixed: the same sum, of the exponentials times the weight's rows, [rows, width].
    """

    exponentials: Tensor
    highest_so_far: list[Tensor]
    highest: Tensor
    at_label: Tensor
    total: Tensor
    mixed: Tensor


def _meet(features: Tensor, weight: Tensor, label: Tensor, room: Tensor) -> _Piece:
    """Some rows [rows, width] against the vocabulary; `room` is for the exponentials: of all of it, or of a block where
    they are not needed later; empty without gradients."""
    wide = _wide(features.dtype)
    highest = features.new_full((len(features),), -torch.inf, dtype=wide)
    at_label, total, highest_so_far = torch.empty_like(highest), torch.zeros_like(highest), []
    mixed = features.new_zeros(features.shape, dtype=wide)
    for start, end in _blocks(len(weight)):
        block = weight[start:end]
        logits = (block @ features.T).to(wide)
        place = label - start
        at_place = logits.gather(0, place.clamp(0, len(block) - 1)[None])[0]
        at_label = torch.where((place >= 0) & (place < len(block)), at_place, at_label)
        before, highest = highest, torch.maximum(highest, logits.amax(0))
        exponentials, decay = logits.sub_(highest).exp_(), (before - highest).exp_()
        total.mul_(decay).add_(exponentials.sum(0))
        if len(room):
            first = start if len(room) == len(weight) else 0
            kept = room[first : first + end - start].copy_(exponentials)
            _add_product(mixed.mul_(decay[:, None]), kept.T, block)
            highest_so_far.append(highest)
    return _Piece(room, highest_so_far, highest, at_label, total, mixed)


def _add_to_weight(to_weight: Tensor, piece: _Piece, features: Tensor, label: Tensor) -> None:
    """Adds softmax.T @ features - onehot.T @ features; each block's missing factors go to the features."""
    for (start, end), highest in zip(_blocks(len(to_weight)), piece.highest_so_far, strict=True):
        factor = (highest - piece.highest).exp_() / piece.total
        scaled = (features * factor[:, None]).to(features.dtype)
        _add_product(to_weight[start:end], piece.exponentials[start:end], scaled)
    to_weight.index_add_(0, label, features.to(to_weight.dtype), alpha=-1)


def _blocks(vocabulary: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) entry of each block."""
    for start in range(0, vocabulary, CPU_BLOCK):
        yield start, min(start + CPU_BLOCK, vocabulary)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, whatever the dtype of the product."""
    if total.dtype is left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right
