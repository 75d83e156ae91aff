"""Small model shapes that between them take every way through the model."""

from __future__ import annotations

from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig

VOCABULARY = 97

QWEN3 = ModelConfig(layers=2, width=48, heads=4, kv_heads=2, head_dim=16, feed_forward=80, context=300)
SHAPES = {
    "qwen3": QWEN3,
    "qwen3-untied": QWEN3.model_copy(update={"tie_embeddings": False}),
    "qwen3-multi-query": QWEN3.model_copy(update={"kv_heads": 1, "rope_theta": 1e6, "norm_epsilon": 1e-5}),
    "qwen3-multi-head": QWEN3.model_copy(update={"kv_heads": 4, "head_dim": 8}),
    "llama": QWEN3.model_copy(update={"qk_norm": False, "head_dim": 12}),
    "llama-untied": QWEN3.model_copy(update={"qk_norm": False, "tie_embeddings": False}),
}


def made(config: ModelConfig, seed: int = 3) -> Transformer:
    """A model whose norms are not all ones, so that a forgotten one shows."""
    model = initialise(Transformer(config, VOCABULARY), seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            scale = 1 + 0.1 * (sum(name.encode()) % 7)
            parameter.data.mul_(scale)
    return model
