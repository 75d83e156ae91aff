"""Causal attention in blocks of queries, for CPUs.

PyTorch's fused attention for CPUs multiplies many small tiles one by one, which reaches a tenth of the machine's
bfloat16 speed. Here a block of queries meets all keys up to its own end in one batched product: the products are large,
and only the block on the diagonal computes what causality then hides. The attention weights, half of [T, T] a head,
are kept for the backward pass. Figures: docs/experiments.md, "Attention on a CPU".

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
    mixed: Tensor = _attention(query, key, value, documents)[0]
    return mixed.view(batch, heads, length, size)


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) query of each block; the block's keys end with its queries."""
    for start in range(0, length, BLOCK):
        yield start, min(start + BLOCK, length)


def _weights_like(query: Tensor) -> Tensor:
    """Room for the attention weights of all blocks, one after the other."""
    rows, groups, length, _ = query.shape
    return query.new_empty(rows * groups * sum((end - start) * end for start, end in _blocks(length)))


def _weights_by_block(weights: Tensor, query: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Each block's first and last query and its weights [rows, groups * block, keys]."""
    rows, groups, length, _ = query.shape
    used = 0
    for start, end in _blocks(length):
        size = rows * groups * (end - start) * end
        yield start, end, weights[used : used + size].view(rows, groups * (end - start), end)
        used += size


@torch.library.custom_op("lumilab::blockwise_causal_attention", mutates_args=())
def _attention(query: Tensor, key: Tensor, value: Tensor, documents: Tensor | None) -> tuple[Tensor, Tensor]:
    """Scaled queries [N, groups, T, D], keys and values [N, T, D] to the mix [N, groups, T, D] and the weights."""
    rows, groups, _, size = query.shape
    mixed, weights = torch.empty_like(query), _weights_like(query)
    hidden = query.new_full((BLOCK, BLOCK), -torch.inf).triu(1)
    for start, end, block in _weights_by_block(weights, query):
        queries = query[:, :, start:end].reshape(rows, -1, size)
        scores = torch.bmm(queries, key[:, :end].transpose(1, 2))
        diagonal = scores.view(rows, groups, end - start, end)[..., start:]
        diagonal += hidden[: end - start, : end - start]
        if documents is not None:
            apart = documents[:, start:end, None] != documents[:, None, :end]
            scores.view(len(documents), -1, end - start, end).masked_fill_(apart[:, None], -torch.inf)
        torch.softmax(scores, -1, out=block)
        mixed[:, :, start:end] = torch.bmm(block, value[:, :end]).view(rows, groups, -1, size)
    return mixed, weights


@_attention.register_fake
def _(query: Tensor, key: Tensor, value: Tensor, documents: Tensor | None) -> tuple[Tensor, Tensor]:
    return torch.empty_like(query), _weights_like(query)


@torch.library.custom_op("lumilab::blockwise_causal_attention_backward", mutates_args=())
def _attention_backward(
    gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and value from that of the mix (the chain rule, block by block)."""
    rows, groups, _, size = query.shape
    to_query, to_key, to_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
    for start, end, block in _weights_by_block(weights, query):
        to_mixed = gradient[:, :, start:end].reshape(rows, -1, size)
        queries = query[:, :, start:end].reshape(rows, -1, size)
        to_weights = torch.bmm(to_mixed, value[:, :end].transpose(1, 2))
        to_scores = torch._softmax_backward_data(to_weights, block, -1, block.dtype)
        to_query[:, :, start:end] = torch.bmm(to_scores, key[:, :end]).view(rows, groups, -1, size)
        to_key[:, :end].baddbmm_(to_scores.transpose(1, 2), queries)
        to_value[:, :end].baddbmm_(block.transpose(1, 2), to_mixed)
    return to_query, to_key, to_value


@_attention_backward.register_fake
def _(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:3], output[1])


def _differentiate(ctx: Any, gradient: Tensor, of_weights: Tensor) -> tuple[Tensor | None, ...]:
    return *_attention_backward(gradient, *ctx.saved_tensors), None


_attention.register_autograd(_differentiate, setup_context=_save)
