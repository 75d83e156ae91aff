"""Small model shapes that between them take every way through the model."""

from __future__ import annotations

import torch

from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig, RopeScaling

VOCABULARY = 97

QWEN3 = ModelConfig(layers=2, width=48, heads=4, kv_heads=2, head_dim=16, feed_forward=80, context=300)
LLAMA = QWEN3.model_copy(update={"qk_norm": False})
SHAPES = {
    "qwen3": QWEN3,
    "qwen3-untied": QWEN3.model_copy(update={"tie_embeddings": False}),
    "qwen3-multi-query": QWEN3.model_copy(update={"kv_heads": 1, "rope_theta": 1e6, "norm_epsilon": 1e-5}),
    "qwen3-multi-head": QWEN3.model_copy(update={"kv_heads": 4, "head_dim": 8}),
    "qwen3-biased": QWEN3.model_copy(update={"attention_bias": True, "activation": "reglu"}),
    "llama": LLAMA.model_copy(update={"head_dim": 12}),
    "llama-untied": LLAMA.model_copy(update={"tie_embeddings": False}),
    "llama-biased": LLAMA.model_copy(update={"attention_bias": True, "feed_forward_bias": True, "activation": "geglu"}),
    "llama-linear": LLAMA.model_copy(update={"rope_scaling": RopeScaling(factor=4.0)}),
    "llama-llama3": LLAMA.model_copy(
        update={"rope_theta": 5e5, "rope_scaling": RopeScaling(method="llama3", factor=8.0, original_context=64)}
    ),
    "llama-yarn": LLAMA.model_copy(
        update={"rope_scaling": RopeScaling(method="yarn", factor=4.0, original_context=75)}
    ),
    "qwen3-yarn": QWEN3.model_copy(
        update={
            "rope_theta": 1e6,
            "rope_scaling": RopeScaling(method="yarn", factor=2.5, original_context=120, attention_factor=0.9),
        }
    ),
}
"""What transformers opens under our own parameter names."""

GPT2 = ModelConfig(
    layers=2, width=48, heads=4, kv_heads=4, head_dim=12, feed_forward=80, context=300, activation="gelu_tanh",
    norm="layernorm", norm_epsilon=1e-5, qk_norm=False, positions="learned", attention_bias=True,
    feed_forward_bias=True,
)  # fmt: skip
OTHER_SHAPES = {
    "gpt2": GPT2,
    "gpt2-exact-untied": GPT2.model_copy(update={"activation": "gelu", "tie_embeddings": False}),
    "of-no-family": QWEN3.model_copy(
        update={"norm": "layernorm", "positions": "learned", "activation": "gelu", "attention_bias": True}
    ),
    "of-no-family-rotary": QWEN3.model_copy(update={"norm": "layernorm", "feed_forward_bias": True}),
}
ALL_SHAPES = SHAPES | OTHER_SHAPES


def made(config: ModelConfig, seed: int = 3) -> Transformer:
    """A model whose norms are not all ones and whose biases are not all zeros, so that a forgotten one shows."""
    model = initialise(Transformer(config, VOCABULARY), seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            number = sum(name.encode()) % 7
            parameter.data.mul_(1 + 0.1 * number)
            if name.endswith("bias"):
                parameter.data += 0.05 * torch.linspace(-1, 1, len(parameter)).roll(number)
    return model
