"""The recipe's model: the shape of the transformer, with impossible combinations refused when it is built."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from lumilab.recipe.section import Count, Section, setting

GATED = ("swiglu", "geglu", "reglu")
"""The activations with a gate, which have three matrices in each feed-forward layer; the others have two."""


class RopeScaling(Section):
    """Rotary angles stretched, so that a model reads longer texts than it was first trained on."""

    method: Literal["linear", "llama3", "yarn"] = setting(
        "linear", "all frequencies alike, Llama 3's blend of slow and fast ones, or YaRN's"
    )
    factor: float = setting(..., "how many times longer", ge=1)
    original_context: int | None = setting(
        None, "llama3 and yarn: longest sequence of the first training, in tokens", ge=1
    )
    low_frequency: float = setting(
        1.0, "llama3: slower than this many turns in the original context is stretched", gt=0
    )
    high_frequency: float = setting(4.0, "llama3: faster than this many turns in the original context stays", gt=0)
    beta_fast: float = setting(32.0, "yarn: faster than this many turns in the original context stays", gt=0)
    beta_slow: float = setting(1.0, "yarn: slower than this many turns in the original context is stretched", gt=0)
    attention_factor: float | None = setting(
        None, "yarn: queries and keys are multiplied by it; null for 0.1 ln(factor) + 1", gt=0
    )

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.method == "linear" and self.original_context is not None:
            raise ValueError("original_context has no meaning for linear scaling: leave it out, or change method")
        if self.method != "linear" and self.original_context is None:
            raise ValueError(f"{self.method} scaling needs the context before stretching: set original_context")
        if self.low_frequency >= self.high_frequency:
            raise ValueError(
                f"low_frequency ({self.low_frequency}) must be below high_frequency ({self.high_frequency}): "
                "change one of them"
            )
        if self.beta_slow >= self.beta_fast:
            raise ValueError(
                f"beta_slow ({self.beta_slow}) must be below beta_fast ({self.beta_fast}): change one of them"
            )
        if self.attention_factor is not None and self.method != "yarn":
            raise ValueError(f"attention_factor has no meaning for {self.method} scaling: leave it out")
        return self


class ModelConfig(Section):
    """A decoder-only transformer. The defaults are Qwen3's layout; Llama's and GPT-2's are choices among the fields."""

    layers: Count = setting(6, "transformer blocks")
    width: Count = setting(256, "size of the residual stream")
    heads: Count = setting(4, "query heads")
    kv_heads: Count = setting(4, "key/value heads (fewer than `heads` is grouped-query attention)")
    head_dim: Count = setting(64, "size of each head")
    feed_forward: Count = setting(768, "inner size of the feed-forward layer")
    activation: Literal["swiglu", "geglu", "reglu", "gelu", "gelu_tanh"] = setting(
        "swiglu", "of the feed-forward layer: gated (swiglu, geglu, reglu) or plain (gelu, gelu_tanh as in GPT-2)"
    )
    norm: Literal["rmsnorm", "layernorm"] = setting("rmsnorm", "before attention, before feed-forward and at the end")
    norm_epsilon: float = setting(1e-6, "the norms' epsilon", gt=0)
    qk_norm: bool = setting(True, "normalise queries and keys per head before the rotation (RMSNorm)")
    positions: Literal["rope", "learned"] = setting("rope", "rotary, or a learned vector for each place (GPT-2)")
    context: Count = setting(2_048, "longest sequence in tokens")
    rope_theta: float = setting(10_000.0, "base of the rotary position embedding", gt=1)
    rope_scaling: RopeScaling | None = setting(None, "stretching of the rotary angles; null for none")
    attention_bias: bool = setting(False, "biases in the attention's four products")
    feed_forward_bias: bool = setting(False, "biases in the feed-forward layer's products")
    tie_embeddings: bool = setting(True, "share the input embedding with the output layer")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads}): change kv_heads")
        if self.positions == "rope" and self.head_dim % 2:
            raise ValueError(f"head_dim ({self.head_dim}) must be even for the rotary embedding: change head_dim")
        if self.positions == "learned":
            if self.rope_scaling is not None:
                raise ValueError(
                    "rope_scaling has no meaning with learned positions: leave it out, or change positions"
                )
            if self.rope_theta != type(self).model_fields["rope_theta"].default:
                raise ValueError("rope_theta has no meaning with learned positions: leave it out, or change positions")
        before = self.rope_scaling.original_context if self.rope_scaling else None
        if before is not None and before > self.context:
            raise ValueError(
                f"rope_scaling.original_context ({before}) is longer than context ({self.context}), so nothing would "
                "be stretched: raise context"
            )
        return self

    @property
    def gated(self) -> bool:
        """Whether the feed-forward layer has a gate."""
        return self.activation in GATED
