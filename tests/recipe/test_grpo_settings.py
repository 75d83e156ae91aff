"""What a recipe's reinforcement learning needs, and what its mistakes are told as."""

from __future__ import annotations

import pytest

from lumilab.errors import ConfigError
from lumilab.recipe import identity, load_recipe
from lumilab.recipe.grpo import GrpoConfig
from lumilab.recipe.training import TrainingConfig

PROMPTS = 'prompts={"sources": [{"kind": "arithmetic"}]}'


def test_the_preset_practises_what_it_holds_back_in_both_stages() -> None:
    recipe = load_recipe("arithmetic").recipe
    assert recipe.grpo is not None and recipe.prompts is not None and recipe.conversations is not None
    assert recipe.prompts.validation_share == recipe.conversations.validation_share
    assert recipe.grpo.spike_sigmas == 0 and recipe.grpo.validate_first


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["grpo={}"], "there are none: add a section `prompts`"),
        (["grpo={}", PROMPTS, "conversations=null"], "add a section `conversations`"),
        (["grpo={}", PROMPTS, "grpo.max_tokens=100000"], "leaves no room for a question"),
        (
            ["grpo={}", PROMPTS, "grpo.batch_size=30"],
            r"batch_size \(30 answers\) must be a multiple of group_size \(8\)",
        ),
        (["grpo={}", PROMPTS, 'grpo.rewards=[{}, {"weight": 2}]'], "two rewards are called answer"),
        (["grpo={}", 'prompts={"sources": [{"kind": "arithmetic", "lowest": 9, "highest": 3}]}'], "lowest.*is above"),
        (["grpo={}", 'prompts={"sources": [{"kind": "alpaca"}]}'], "alpaca"),
    ],
)
def test_mistakes_are_explained(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_recipe("quickstart", words)


def test_validating_first_changes_the_result_only_where_the_best_is_published() -> None:
    assert identity(TrainingConfig(validate_first=True)) == identity(TrainingConfig())
    first, not_first = TrainingConfig(publish="best", validate_first=True), TrainingConfig(publish="best")
    assert identity(first) != identity(not_first)
    assert "validate_first" in identity(GrpoConfig(publish="best"))
