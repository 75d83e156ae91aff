"""The two talkers, published, and a live server with both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_chat import data, dataset, model, tokenizer, tokenizer_artifact
from tiny_talkers import LiveServer, endless_babbler, lumi_serve, publish, trained_talker

from lumilab.artifact import Artifact
from lumilab.tokenizer.load import Tokenizer

__all__ = ["data", "dataset", "model", "tokenizer", "tokenizer_artifact"]


@pytest.fixture(scope="session")
def talker(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact, tokenizer: Tokenizer) -> Path:
    return publish(tmp_path_factory.mktemp("talker") / "model", tokenizer_artifact, trained_talker(tokenizer))


@pytest.fixture(scope="session")
def babbler(tmp_path_factory: pytest.TempPathFactory, tokenizer_artifact: Artifact, tokenizer: Tokenizer) -> Path:
    return publish(tmp_path_factory.mktemp("babbler") / "model", tokenizer_artifact, endless_babbler(tokenizer))


@pytest.fixture(scope="session")
def live(talker: Path, babbler: Path) -> Iterator[LiveServer]:
    """One server for all tests that do not stop it."""
    with lumi_serve(f"talker={talker}", f"babbler={babbler}", "--slots", "4", "--queue", "8") as server:
        yield server
