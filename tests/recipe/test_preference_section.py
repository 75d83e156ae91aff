"""The recipe's preference section: what it refuses, and what it keeps by default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_pairs import CONFIG, changed

from lumilab.recipe.load import load_recipe
from lumilab.recipe.preference import PreferenceConfig
from lumilab.recipe.section import identity

RECIPE = """\
name: small
corpus: {sources: [{kind: files, paths: [texts]}]}
conversations: {sources: [{kind: messages, paths: [a.jsonl]}]}
preference:
  sources: [{kind: hh-rlhf, paths: [b.jsonl]}]
  optimizer: {clip: 0.5}
"""
PAIRS: list[dict[str, Any]] = [{"kind": "pairs", "paths": ["a"]}]
JUDGED: list[dict[str, Any]] = [{"kind": "judged", "paths": ["a"]}]


def loaded(folder: Path, *overrides: str, without: str = "") -> PreferenceConfig:
    path = folder / "recipe.yaml"
    path.write_text("".join(line for line in RECIPE.splitlines(keepends=True) if not without or without not in line))
    found = load_recipe(str(path), list(overrides)).recipe.preference
    assert found is not None
    return found


def test_a_value_of_a_section_within_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    assert loaded(tmp_path).optimizer.clip == 0.5
    assert loaded(tmp_path).optimizer.learning_rate == 5e-6
    assert loaded(tmp_path, "preference.optimizer.learning_rate=1e-6").optimizer.learning_rate == 1e-6


def test_the_defaults_are_the_fields_of_the_field() -> None:
    found = PreferenceConfig.model_validate({"sources": PAIRS})
    assert (found.objective, found.beta, found.label_smoothing, found.adapter) == ("dpo", 0.1, 0.0, None)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"sources": JUDGED}, "set objective to kto"),
        ({"objective": "ipo", "label_smoothing": 0.1}, "label_smoothing is dpo's"),
        ({"good_weight": 2.0}, "good_weight and bad_weight are kto's"),
        ({"sources": [PAIRS[0] | {"weight": 2.0}]}, "each pair is there once"),
        ({"document_mask": True}, "document_mask"),
        ({"label_smoothing": 0.5}, "less than 0.5"),
        ({"beta": 0.0}, "greater than 0"),
    ],
)
def test_impossible_combinations_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PreferenceConfig.model_validate({"sources": PAIRS} | values)


def test_kto_takes_both_kinds_of_sources() -> None:
    assert changed(objective="kto", sources=[*PAIRS, *JUDGED]).objective == "kto"


def test_preferences_need_a_model_that_answers(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="preference goes on from a model that answers"):
        loaded(tmp_path, without="conversations")
    with pytest.raises(Exception, match=r"lower preference\.max_tokens"):
        loaded(tmp_path, "preference.max_tokens=100000")


def test_the_pairs_depend_on_their_own_part_alone() -> None:
    assert identity(changed(steps=99, beta=0.5).pairs()) == identity(CONFIG.pairs())
    assert identity(changed(min_tokens=9).pairs()) != identity(CONFIG.pairs())
