"""The depth dial against figures worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.model import count_parameters, family_of
from lumilab.recipe import load_recipe
from lumilab.recipe.depth import as_words, derive, working_parameters


def settings_at(depth: int, vocabulary_size: int = 32_768, window: int = 2_048) -> dict[str, Any]:
    return {row.key: row.value for row in derive(depth, vocabulary_size, window)}


def test_depth_12_is_the_reference() -> None:
    """12 x (4 x 768^2 + 3 x 768 x 2048) + 32768 x 768 = 110,100,480; x 12 = 1,321,205,760 = 2520 x 2^19."""
    assert working_parameters(12, 32_768) == 110_100_480
    values = settings_at(12)
    assert [values[f"model.{name}"] for name in ("layers", "width", "heads", "kv_heads", "feed_forward")] == [
        12, 768, 6, 6, 2048
    ]  # fmt: skip
    assert values["pretrain.batch_size"] * 2_048 == 2**19
    assert values["pretrain.steps"] == 2_520
    rates = ("matrix_learning_rate", "learning_rate", "weight_decay")
    assert [values[f"pretrain.optimizer.{name}"] for name in rates] == [0.02, 0.001, 0.28]
    assert values["pretrain.schedule.warmup"] == pytest.approx(40 / 2_520, rel=1e-3)


def test_depth_20_by_hand() -> None:
    """Width 1280, inner 3456: 20 x 19,824,640 + 41,943,040 = 438,435,840 parameters, 3.9821 times those of depth 12.

    2^19 x 3.9821^0.383 = 2^19.76, so the batch is 2^20; 12 x 438,435,840 / 2^20 = 5017.5 steps.
    """
    values = settings_at(20)
    assert (values["model.width"], values["model.heads"], values["model.feed_forward"]) == (1_280, 10, 3_456)
    assert (values["pretrain.batch_size"], values["pretrain.steps"]) == (512, 5_018)
    assert values["pretrain.optimizer.matrix_learning_rate"] == pytest.approx(0.02 * math.sqrt(2), rel=1e-3)
    assert values["pretrain.optimizer.learning_rate"] == pytest.approx(0.0010954, rel=1e-3)
    assert values["pretrain.optimizer.weight_decay"] == pytest.approx(0.28 * math.sqrt(2) / 3.98215, rel=1e-3)


@given(st.integers(1, 64), st.sampled_from([512, 8_192, 50_257]), st.sampled_from([64, 512, 2_048]))
def test_every_depth_makes_a_recipe(depth: int, vocabulary_size: int, window: int) -> None:
    words = as_words(derive(depth, vocabulary_size, window))
    sizes = [f"tokenizer.vocabulary_size={vocabulary_size}", f"dataset.window={window}", "model.context=2048"]
    recipe = load_recipe("tiny", [*sizes, *words]).recipe
    assert family_of(recipe.model) == "qwen3"
    matrices = working_parameters(depth, vocabulary_size)
    norms = recipe.model.layers * (2 * recipe.model.width + 2 * recipe.model.head_dim) + recipe.model.width
    assert count_parameters(recipe.model, vocabulary_size) == matrices + norms
    tokens = recipe.pretrain.steps * recipe.pretrain.batch_size * window
    assert 0 <= tokens - 12 * matrices < recipe.pretrain.batch_size * window


def test_without_a_gate_a_feed_forward_has_two_matrices() -> None:
    """Depth 12: 12 x (4 x 768^2 + 2 x 768 x 3072) + 32768 x 768, the same number as with three of 2048."""
    assert working_parameters(12, 32_768, gated=False) == 110_100_480
    plain = {row.key: row.value for row in derive(12, 32_768, 2_048, gated=False)}
    assert plain["model.feed_forward"] == 3_072
    assert plain | {"model.feed_forward": 2_048} == settings_at(12)


def test_the_large_batch_of_a_depth_is_read_in_pieces_that_fit() -> None:
    assert settings_at(4)["pretrain.micro_batch_size"] == "auto"


def test_deeper_is_larger_and_trains_longer() -> None:
    values = [settings_at(depth) for depth in range(2, 40, 2)]
    for key in ("model.width", "model.feed_forward", "pretrain.batch_size"):
        assert [row[key] for row in values] == sorted(row[key] for row in values)
    tokens = [row["pretrain.steps"] * row["pretrain.batch_size"] for row in values]
    assert tokens == sorted(tokens)
