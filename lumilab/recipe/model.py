"""The recipe's model: the shape of the transformer, with impossible combinations refused when it is built."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from lumilab.recipe.section import Count, Section, setting


class ModelConfig(Section):
    """A decoder-only transformer in the Qwen3 layout (Llama's when qk_norm is off)."""

    layers: Count = setting(6, "transformer blocks")
    width: Count = setting(256, "size of the residual stream")
    heads: Count = setting(4, "query heads")
    kv_heads: Count = setting(4, "key/value heads (fewer than `heads` is grouped-query attention)")
    head_dim: Count = setting(64, "size of each head")
    feed_forward: Count = setting(768, "inner size of the SwiGLU feed-forward layer")
    context: Count = setting(2_048, "longest sequence in tokens")
    rope_theta: float = setting(10_000.0, "base of the rotary position embedding", gt=0)
    norm_epsilon: float = setting(1e-6, "RMSNorm's epsilon", gt=0)
    qk_norm: bool = setting(True, "normalise queries and keys per head before the rotation")
    tie_embeddings: bool = setting(True, "share the input embedding with the output layer")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads}): change kv_heads")
        if self.head_dim % 2:
            raise ValueError(f"head_dim ({self.head_dim}) must be even for the rotary embedding: change head_dim")
        return self
