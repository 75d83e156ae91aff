"""Conversations, a base model and a way to fine-tune it, all tiny, for tests of what comes after pretraining.

The rooms that need them import the fixtures into their conftest.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_chat import WINDOW, publish_model
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact
from lumilab.posttraining.conversations import build_conversations
from lumilab.posttraining.sft import sft
from lumilab.recipe.conversations import ConversationsConfig, MessagesConversations
from lumilab.recipe.finetuning import SftConfig
from lumilab.recipe.training import OptimizerConfig

CONFIG = SftConfig(
    steps=6,
    batch_size=3,
    dtype="float32",
    device="cpu",
    compile="no",
    optimizer=OptimizerConfig(learning_rate=3e-3),
    validate_every=3,
    validation_windows=4,
    checkpoint_every=2,
    log_every=1,
)


def publish_conversations(folder: Path, tokenizer: Artifact) -> Artifact:
    """Seventy conversations of one or two turns, a fifth of them for validation."""
    with (folder / "rows.jsonl").open("w") as file:
        for number in range(70):
            turns = [("user", f"river {number}?"), ("assistant", "the morning " + "bridge " * (number % 4))]
            turns += [("user", "of"), ("assistant", f"paints {number}")] if number % 5 == 0 else []
            messages = [{"role": role, "content": content} for role, content in turns]
            file.write(json.dumps({"messages": messages}) + "\n")
    config = ConversationsConfig(
        sources=[MessagesConversations(paths=[str(folder / "rows.jsonl")])], validation_share=0.2
    )
    return build_conversations(config, WINDOW, 1, tokenizer, folder / "out", quiet_context()[0])


@pytest.fixture(scope="session")
def conversations(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_conversations(tmp_path_factory.mktemp("conversations"), tokenizer_artifact)


@pytest.fixture(scope="session")
def base(tokenizer_artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_model(tmp_path_factory.mktemp("base") / "final", tokenizer_artifact)


def run(
    target: Path,
    base: Artifact,
    conversations: Artifact,
    tokenizer: Artifact,
    config: SftConfig = CONFIG,
    **more: Any,
) -> Artifact:
    """Fine-tunes in windows of WINDOW tokens."""
    return sft(config, WINDOW, 5, base, conversations, tokenizer, target, quiet_context()[0], **more)
