"""The recipes that come along: their models have the sizes they are named for."""

from __future__ import annotations

import re

import pytest

from lumilab.model import count_parameters, family_of
from lumilab.recipe import load_recipe, preset_names
from lumilab.recipe.load import preset_text

SIZES = {
    "tiny": (6.8, "qwen3"),
    "quickstart": (6.8, "qwen3"),
    "small": (42, "qwen3"),
    "base": (124, "qwen3"),
    "codellama-25m": (25, "llama"),
    "codellama-110m": (110, "llama"),
    "gpt-125m": (124, "gpt2"),
    "gpt-350m": (355, "gpt2"),
    "gpt-760m": (759, "gpt2"),
    "gpt-1.3b": (1_314, "gpt2"),
    "llama-505m": (505, "llama"),
}
SHAPES = {"tiny": (6, 256, 4), "small": (12, 512, 8), "base": (24, 768, 12)}


def test_all_are_here() -> None:
    assert sorted({*SIZES, "arithmetic"}) == preset_names()  # the last is for an exercise, not for its size


@pytest.mark.parametrize("name", SIZES)
def test_the_size_is_the_one_it_is_named_for(name: str) -> None:
    recipe = load_recipe(name).recipe
    count = count_parameters(recipe.model, recipe.tokenizer.vocabulary_size)
    millions, family = SIZES[name]
    assert round(count / 1e6, 1 if millions < 10 else None) == millions
    assert family_of(recipe.model) == family
    written = re.search(r"^model: +# ([\d,]+) parameters", preset_text(name), flags=re.MULTILINE)
    assert written is None or int(written[1].replace(",", "")) == count
    assert written is not None or name == "quickstart"
    if name in SHAPES:
        assert (recipe.model.layers, recipe.model.width, recipe.model.heads) == SHAPES[name]


@pytest.mark.parametrize("name", sorted(SIZES.keys() - {"tiny", "quickstart"}))
def test_training_takes_twenty_tokens_a_parameter(name: str) -> None:
    recipe = load_recipe(name).recipe
    tokens = recipe.pretrain.steps * recipe.pretrain.batch_size * recipe.dataset.window
    assert tokens / count_parameters(recipe.model, recipe.tokenizer.vocabulary_size) == pytest.approx(20, rel=0.02)
