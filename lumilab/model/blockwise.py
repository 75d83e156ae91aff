"""Causal attention in blocks of queries, for CPUs.

PyTorch's fused attention for CPUs multiplies many small tiles one by one, which reaches a tenth of the machine's
bfloat16 speed. Here a block of queries meets all keys up to its own end in one batched product: the products are large,
and only the block on the diagonal computes what causality then hides. A block's attention weights are used at once and
forgotten; the backward pass makes them again, the same bits: kept, they would be half of [T, T] for each head and
layer, and soon most of the memory. Figures: docs/experiments.md, "Attention on a CPU".

It is an operator of its own, opaque to torch.compile, so that a compiled model does not grow with the number of blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

BLOCK = 128  # queries: small blocks waste less on the diagonal, large ones make faster products


def blockwise_causal_attention(query: Tensor, key: Tensor, value: Tensor, documents: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention in which each token sees itself and earlier ones of its document.

    Args:
        query: [B, heads, T, head_dim].
        key, value: [B, kv_heads, T, head_dim]; each serves heads / kv_heads consecutive query heads.
        documents: the number of each token's document [B, T]; None for one document a row.

    Returns:
        [B, heads, T, head_dim], all in the query's dtype; sums inside the softmax are float32.
    """
    batch, heads, length, size = query.shape
    kv_heads = key.shape[1]
    query = (query * size**-0.5).reshape(batch * kv_heads, heads // kv_heads, length, size)
    key = key.reshape(batch * kv_heads, length, size)
    value = value.reshape(batch * kv_heads, length, size)
    mixed: Tensor = _attention(query, key, value, documents)
    return mixed.view(batch, heads, length, size)


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) query of each block; the block's keys end with its queries."""
    for start in range(0, length, BLOCK):
        yield start, min(start + BLOCK, length)


def _weights(query: Tensor, key: Tensor, documents: Tensor | None, start: int, end: int) -> tuple[Tensor, Tensor]:
    """A block's queries [rows, groups * block, D] and the softmax of their scores [rows, groups * block, end]."""
    rows, groups, _, size = query.shape
    queries = query[:, :, start:end].reshape(rows, -1, size)
    scores = torch.bmm(queries, key[:, :end].transpose(1, 2))
    diagonal = scores.view(rows, groups, end - start, end)[..., start:]
    diagonal += scores.new_full((end - start, end - start), -torch.inf).triu(1)
    if documents is not None:
        apart = documents[:, start:end, None] != documents[:, None, :end]
        scores.view(len(documents), -1, end - start, end).masked_fill_(apart[:, None], -torch.inf)
    return queries, torch.softmax(scores, -1, out=scores)


@torch.library.custom_op("lumilab::blockwise_causal_attention", mutates_args=())
def _attention(query: Tensor, key: Tensor, value: Tensor, documents: Tensor | None) -> Tensor:
    """Scaled queries [N, groups, T, D], keys and values [N, T, D] to the mix [N, groups, T, D]."""
    rows, groups, length, size = query.shape
    mixed = torch.empty_like(query)
    for start, end in _blocks(length):
        _, weights = _weights(query, key, documents, start, end)
        mixed[:, :, start:end] = torch.bmm(weights, value[:, :end]).view(rows, groups, -1, size)
    return mixed


@_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, documents: Tensor | None) -> Tensor:
    return torch.empty_like(query)


@torch.library.custom_op("lumilab::blockwise_causal_attention_backward", mutates_args=())
def _attention_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, documents: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value from that of the mix (the chain rule, block by block)."""
    rows, groups, length, size = query.shape
    to_query, to_key, to_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
    for start, end in _blocks(length):
        queries, weights = _weights(query, key, documents, start, end)
        to_mixed = gradient[:, :, start:end].reshape(rows, -1, size)
        to_weights = torch.bmm(to_mixed, value[:, :end].transpose(1, 2))
        to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
        to_query[:, :, start:end] = torch.bmm(to_scores, key[:, :end]).view(rows, groups, -1, size)
        to_key[:, :end].baddbmm_(to_scores.transpose(1, 2), queries)
        to_value[:, :end].baddbmm_(weights.transpose(1, 2), to_mixed)
    return to_query, to_key, to_value


@_attention_backward.register_fake
def _(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, documents: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _save(ctx: Any, inputs: tuple[Tensor | None, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _differentiate(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    return *_attention_backward(gradient, *ctx.saved_tensors), None


_attention.register_autograd(_differentiate, setup_context=_save)
