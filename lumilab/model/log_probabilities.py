"""The log-probability of each token, without ever holding all logits: what preference and reinforcement learning need.

Rows are done in pieces. Only the log-probabilities of the chosen tokens are kept; the backward pass makes a piece's
logits again and takes upstream * (one-hot - softmax) from them, where autograd would have kept the logits and their
softmax of the whole batch. That is one product more, for memory that does not grow with the vocabulary. It is an
operator of its own, opaque to torch.compile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lumilab.model.vocabulary_loss import IGNORED

PIECE_LOGITS = {"cpu": 2**23, "cuda": 2**28}  # logits a piece; of float32 32 MB and 1 GB
FEWEST_ROWS = 16


def token_log_probabilities(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """log softmax(features @ weight.T) at the labels.

    Args:
        features: [..., width], float32, float64, bfloat16 or float16; the products are in this dtype.
        weight: [vocabulary, width], any floating dtype: it is cast to that of the features.
        labels: [...], int64; -100 for a row that does not count.

    Returns:
        [...], float32 (float64 for float64 features), in nats; 0 where the label is -100. It can be differentiated
        once, with respect to features and weight.

    Raises:
        ValueError: there are not as many labels as features.
    """
    if features.shape[:-1] != labels.shape:
        raise ValueError(f"labels {list(labels.shape)} are not one for each of features {list(features.shape)}")
    found: Tensor = _chosen(features.flatten(0, -2), weight, labels.flatten())
    return found.view(labels.shape)


@torch.library.custom_op("lumilab::token_log_probabilities", mutates_args=())
def _chosen(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    """[N] of features [N, width] and labels [N]."""
    wide = torch.float64 if features.dtype is torch.float64 else torch.float32
    result, cast = features.new_zeros(len(labels), dtype=wide), weight.to(features.dtype)
    for rows in _pieces(labels, len(weight)):
        logits = (features[rows] @ cast.T).to(wide)
        result[rows] = logits.gather(1, labels[rows, None])[:, 0] - logits.logsumexp(1)
    return result


@torch.library.custom_op("lumilab::token_log_probabilities_backward", mutates_args=())
def _gradients(upstream: Tensor, features: Tensor, weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients with respect to features and weight."""
    cast = weight.to(features.dtype)
    to_features, to_weight = torch.zeros_like(features), torch.zeros_like(weight, dtype=upstream.dtype)
    for rows in _pieces(labels, len(weight)):
        piece = features[rows]
        to_logits = (piece @ cast.T).to(upstream.dtype).softmax(1).neg_()
        to_logits.scatter_add_(1, labels[rows, None], torch.ones_like(to_logits[:, :1]))
        to_logits = (to_logits * upstream[rows, None]).to(features.dtype)
        to_features[rows] = to_logits @ cast
        to_weight += to_logits.T @ piece
    return to_features, to_weight.to(weight.dtype)


def _pieces(labels: Tensor, vocabulary: int) -> Iterator[Tensor]:
    """The indices of the rows that count, some at a time."""
    limit = PIECE_LOGITS.get(labels.device.type, PIECE_LOGITS["cuda"])
    yield from torch.split((labels != IGNORED).nonzero()[:, 0], max(FEWEST_ROWS, limit // vocabulary))


@_chosen.register_fake
def _(features: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    wide = torch.float64 if features.dtype is torch.float64 else torch.float32
    return features.new_empty(len(labels), dtype=wide)


@_gradients.register_fake
def _(upstream: Tensor, features: Tensor, weight: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(features), torch.empty_like(weight)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None]:
    to_features, to_weight = _gradients(upstream.contiguous(), *ctx.saved_tensors)
    return to_features, to_weight, None


_chosen.register_autograd(_backward, setup_context=_keep)
