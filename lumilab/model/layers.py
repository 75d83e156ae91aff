"""The parts of a transformer block, in the Qwen3 layout: names, shapes and order of operations as published there.

Grouped-query attention (Ainslie et al. 2023) with queries and keys normalised per head before the rotation (Qwen3
report 2025, section 2), and a block that normalises before each part (Xiong et al. 2020). Norms, rotation, feed-forward
layers and the joined products have files of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lumilab.model.blockwise import blockwise_causal_attention
from lumilab.model.feed_forward import feed_forward
from lumilab.model.kv_cache import KVCache
from lumilab.model.linear import Linear, linear
from lumilab.model.norms import RMSNorm, residual_norm
from lumilab.model.rotary import rotate
from lumilab.recipe.model import ModelConfig


@dataclass(frozen=True)
class Context:
    """What every layer of one forward pass shares.

    Attributes:
        turns: cosines and sines of the tokens' positions, [B or 1, T, 2, head_dim / 2]; None for learned positions.
        causal: whether a token sees only itself and earlier ones; when false it sees what `mask` says.
        mask: [B or 1, 1, T, S], true where a query (T) may see a key (S); None where it may see all.
        documents: [B, T], for causal attention on a CPU: a token sees only its own document.
        cache: where keys and values are kept, and at which `slots` [B, T].
    """

    turns: Tensor | None
    causal: bool
    mask: Tensor | None = None
    documents: Tensor | None = None
    cache: KVCache | None = None
    slots: Tensor | None = None


def attend(query: Tensor, key: Tensor, value: Tensor, context: Context) -> Tensor:
    """Attention of query [B, heads, T, head_dim] to key and value [B, kv_heads, S, head_dim] by the fastest way."""
    if context.causal and query.device.type == "cpu":
        return blockwise_causal_attention(query, key, value, context.documents)
    groups = query.shape[1] // key.shape[1]
    if query.is_cuda and context.mask is not None and groups > 1:
        # Of PyTorch's fused kernels one knows no masks and the other no groups; all scores at once would be the rest.
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=context.mask,
        is_causal=context.causal,
        enable_gqa=query.shape[1] != key.shape[1],
    )


class Attention(nn.Module):
    """Grouped-query self-attention."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        queries, keys, bias = config.heads * config.head_dim, config.kv_heads * config.head_dim, config.attention_bias
        self.q_proj = Linear(config.width, queries, bias=bias)
        self.k_proj = Linear(config.width, keys, bias=bias)
        self.v_proj = Linear(config.width, keys, bias=bias)
        self.o_proj = Linear(queries, config.width, bias=bias)
        self.q_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None

    def forward(self, x: Tensor, context: Context) -> Tensor:
        batch, length, _ = x.shape
        joined = linear(x, self.q_proj, self.k_proj, self.v_proj).view(batch, length, -1, self.head_dim)
        query, key, value = torch.split(joined, [self.heads, self.kv_heads, self.kv_heads], dim=2)
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        if context.turns is not None:
            query, key = rotate(query, context.turns), rotate(key, context.turns)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        if context.cache is not None and context.slots is not None:
            key, value = context.cache.store(self.index, context.slots, key, value)
            key, value = key.to(query.dtype), value.to(query.dtype)
        mixed = attend(query, key, value, context)
        return linear(mixed.transpose(1, 2).reshape(batch, length, -1), self.o_proj)


class Block(nn.Module):
    """Attention, then feed-forward, each on a normalised copy of the residual stream."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, index)
        self.mlp = feed_forward(config)
        self.input_layernorm = residual_norm(config)
        self.post_attention_layernorm = residual_norm(config)

    def forward(self, x: Tensor, context: Context, wanted: Tensor | None = None) -> Tensor:
        """The stream after the block, [B, T, width], or [N, width] of the `wanted` tokens [B, T] alone."""
        x = x + self.self_attn(self.input_layernorm(x), context)
        if wanted is not None:  # nothing after the attention looks at other tokens
            x = x[wanted]
        fed: Tensor = self.mlp(self.post_attention_layernorm(x))
        return x + fed
