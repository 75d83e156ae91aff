"""The model's settings: what is possible, and what each impossible combination says to change."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from lumilab.errors import ConfigError
from lumilab.recipe import load_recipe
from lumilab.recipe.model import ModelConfig, RopeScaling

LINEAR = {"factor": 2.0}
YARN = {"method": "yarn", "factor": 2.0, "original_context": 1024}


def test_the_defaults_are_qwen3s() -> None:
    config = ModelConfig()
    assert (config.norm, config.activation, config.positions) == ("rmsnorm", "swiglu", "rope")
    assert config.qk_norm and config.tie_embeddings and not config.attention_bias and config.rope_scaling is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 4, "kv_heads": 3}, "change kv_heads"),
        ({"heads": 4, "kv_heads": 8}, "change kv_heads"),
        ({"head_dim": 33}, "change head_dim"),
        ({"positions": "learned", "rope_scaling": LINEAR}, "rope_scaling has no meaning with learned positions"),
        ({"positions": "learned", "rope_theta": 5e5}, "rope_theta has no meaning with learned positions"),
        ({"rope_scaling": {"method": "yarn", "factor": 2.0}}, "set original_context"),
        ({"rope_scaling": {"method": "llama3", "factor": 2.0}}, "set original_context"),
        ({"rope_scaling": LINEAR | {"original_context": 9}}, "original_context has no meaning for linear"),
        ({"rope_scaling": LINEAR | {"attention_factor": 1.0}}, "attention_factor has no meaning for linear"),
        ({"rope_scaling": YARN | {"beta_slow": 40.0}}, "beta_slow .* must be below beta_fast"),
        ({"rope_scaling": YARN | {"low_frequency": 4.0}}, "low_frequency .* must be below high_frequency"),
        ({"rope_scaling": YARN, "context": 512}, "raise context"),
        ({"rope_scaling": {"factor": 0.5}}, "greater than or equal to 1"),
        ({"rope_theta": 1.0}, "greater than 1"),
        ({"activation": "relu"}, "'swiglu', 'geglu', 'reglu', 'gelu' or 'gelu_tanh'"),
    ],
)
def test_impossible_combinations_name_what_to_change(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelConfig.model_validate(change)


def test_an_odd_head_is_fine_without_rotation() -> None:
    assert ModelConfig(positions="learned", head_dim=33).head_dim == 33


def test_the_recipe_shows_such_a_mistake_with_its_key() -> None:
    with pytest.raises(ConfigError) as error:
        load_recipe("tiny", ["model.rope_scaling={method: yarn, factor: 2.0}"])
    assert "model.rope_scaling" in str(error.value) and "set original_context" in str(error.value)
    loaded = load_recipe("tiny", ["model.rope_scaling={method: yarn, factor: 2.0, original_context: 256}"])
    assert loaded.recipe.model.rope_scaling == RopeScaling(method="yarn", factor=2.0, original_context=256)
