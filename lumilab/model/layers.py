"""The parts of a transformer block, in the Qwen3 layout: names, shapes and order of operations as published there.

RMSNorm (Zhang and Sennrich 2019), rotary position embedding in the rotate-half form (Su et al. 2021), grouped-query
attention (Ainslie et al. 2023) with queries and keys normalised per head before the rotation (Qwen3 report 2025,
section 2), SwiGLU (Shazeer 2020). Products that read the same input are done as one: their weights are joined in the
forward pass, which costs a small copy and saves passes over the activations.

Weights are kept in their own dtype and cast to that of the activations where they are used: with float32 weights and
bfloat16 activations this is mixed-precision training, and the cast's backward gives float32 gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lumilab.model.blockwise import blockwise_causal_attention
from lumilab.model.kv_cache import KVCache
from lumilab.recipe.model import ModelConfig


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last dimension, computed in float32, in x's dtype."""

    def __init__(self, size: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.epsilon)
        return self.weight.to(x.dtype) * wide.to(x.dtype)


def linear(x: Tensor, *layers: nn.Linear) -> Tensor:
    """The layers' outputs side by side in the last dimension, as one matrix product."""
    weights = [layer.weight for layer in layers]
    joined = weights[0] if len(weights) == 1 else torch.cat(weights)
    return F.linear(x, joined.to(x.dtype))


def rotary_table(length: int, head_dim: int, theta: float) -> Tensor:
    """Cosines and sines [length, 2, head_dim / 2] of each position's angles, float32, always on the CPU."""
    exponents = torch.arange(0, head_dim, 2, device="cpu", dtype=torch.float32) / head_dim
    angles = torch.arange(length, device="cpu", dtype=torch.float32)[:, None] * (1.0 / theta**exponents)
    return torch.stack((angles.cos(), angles.sin()), dim=1)


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotates x [B, T, heads, head_dim] by `turns` [B or 1, T, 2, head_dim / 2]: the first half against the second."""
    cosine, sine = turns[:, :, None, 0], turns[:, :, None, 1]
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


@dataclass(frozen=True)
class Context:
    """What every layer of one forward pass shares.

    Attributes:
        turns: cosines and sines of the tokens' positions, [B or 1, T, 2, head_dim / 2].
        causal: whether a token sees only itself and earlier ones; when false it sees what `mask` says.
        mask: [B or 1, 1, T, S], true where a query (T) may see a key (S); None where it may see all.
        documents: [B, T], for causal attention on a CPU: a token sees only its own document.
        cache: where keys and values are kept, and at which `slots` [B, T].
    """

    turns: Tensor
    causal: bool
    mask: Tensor | None = None
    documents: Tensor | None = None
    cache: KVCache | None = None
    slots: Tensor | None = None


def attend(query: Tensor, key: Tensor, value: Tensor, context: Context) -> Tensor:
    """Attention of query [B, heads, T, head_dim] to key and value [B, kv_heads, S, head_dim] by the fastest way."""
    if context.causal and query.device.type == "cpu":
        return blockwise_causal_attention(query, key, value, context.documents)
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
        self.q_proj = nn.Linear(config.width, config.heads * config.head_dim, bias=False)
        self.k_proj = nn.Linear(config.width, config.kv_heads * config.head_dim, bias=False)
        self.v_proj = nn.Linear(config.width, config.kv_heads * config.head_dim, bias=False)
        self.o_proj = nn.Linear(config.heads * config.head_dim, config.width, bias=False)
        self.q_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None

    def forward(self, x: Tensor, context: Context) -> Tensor:
        batch, length, _ = x.shape
        joined = linear(x, self.q_proj, self.k_proj, self.v_proj).view(batch, length, -1, self.head_dim)
        query, key, value = torch.split(joined, [self.heads, self.kv_heads, self.kv_heads], dim=2)
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        query = rotate(query, context.turns).transpose(1, 2)
        key = rotate(key, context.turns).transpose(1, 2)
        value = value.transpose(1, 2)
        if context.cache is not None and context.slots is not None:
            key, value = context.cache.store(self.index, context.slots, key, value)
            key, value = key.to(query.dtype), value.to(query.dtype)
        mixed = attend(query, key, value, context)
        return linear(mixed.transpose(1, 2).reshape(batch, length, -1), self.o_proj)


class FeedForward(nn.Module):
    """SwiGLU: down(silu(gate(x)) * up(x))."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.feed_forward, bias=False)
        self.up_proj = nn.Linear(config.width, config.feed_forward, bias=False)
        self.down_proj = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = linear(x, self.gate_proj, self.up_proj).chunk(2, dim=-1)
        return linear(F.silu(gate) * up, self.down_proj)


class Block(nn.Module):
    """Attention, then feed-forward, each on a normalised copy of the residual stream."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        self.self_attn = Attention(config, index)
        self.mlp = FeedForward(config)
        self.input_layernorm = RMSNorm(config.width, config.norm_epsilon)
        self.post_attention_layernorm = RMSNorm(config.width, config.norm_epsilon)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), context)
        fed: Tensor = self.mlp(self.post_attention_layernorm(x))
        return x + fed
