"""Preference pairs small enough for tests, and a pairs artifact made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_corpus import quiet_context

from lumilab.artifact import Artifact
from lumilab.posttraining.preference_data import build_pairs
from lumilab.posttraining.templates import DEFAULT
from lumilab.recipe.conversations import JudgedConversations, PromptPairs
from lumilab.recipe.preference import PairsConfig, PreferenceConfig
from lumilab.recipe.training import OptimizerConfig

SEED = 3
CONFIG = PreferenceConfig(
    sources=[PromptPairs(paths=["rows.jsonl"])],
    steps=6,
    batch_size=4,
    dtype="float32",
    device="cpu",
    compile="no",
    optimizer=OptimizerConfig(learning_rate=1e-3),
    validate_every=3,
    checkpoint_every=2,
    log_every=1,
)


def changed(**values: Any) -> PreferenceConfig:
    """CONFIG with other values, checked again."""
    return PreferenceConfig.model_validate(CONFIG.model_dump() | values)


def pair(number: int) -> dict[str, Any]:
    """A pair whose better answer is about the morning."""
    good, bad = "the morning " + "bridge " * (number % 4), "paints " * (1 + number % 3) + "the moon"
    return {"prompt": f"river {number}?", "chosen": f"{good}{number}", "rejected": f"{bad} {number}"}


def judged(number: int) -> dict[str, Any]:
    """One side of a pair, with its verdict."""
    row, good = pair(number), number % 3 != 0
    return {"prompt": row["prompt"], "completion": row["chosen" if good else "rejected"], "label": good}


def publish_pairs(
    folder: Path, tokenizer: Artifact, rows: Sequence[Any], *, verdicts: bool = False, window: int = 96, **values: Any
) -> Artifact:
    """The rows as a pairs artifact `folder/out`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = JudgedConversations(paths=[str(path)]) if verdicts else PromptPairs(paths=[str(path)])
    config = PairsConfig.model_validate({"sources": [source], "validation_share": 0.2} | values)
    return build_pairs(config, DEFAULT, window, SEED, tokenizer, folder / "out", quiet_context()[0])
