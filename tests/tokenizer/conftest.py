"""A corpus and a tokenizer learned from it, made once for this folder's tests."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from tiny_corpus import publish_corpus, quiet_context, some_documents

from lumilab.artifact import Artifact
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.train import train_tokenizer


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    documents = some_documents(120) + some_documents(40, seed=1, source="other|one")
    return publish_corpus(tmp_path_factory.mktemp("corpus") / "corpus", documents)


@pytest.fixture(scope="session")
def trained(corpus: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    target = tmp_path_factory.mktemp("trained") / "tokenizer"
    return train_tokenizer(TokenizerConfig(vocabulary_size=512), corpus, target, quiet_context()[0])


@pytest.fixture(scope="session")
def tokenizer(trained: Artifact) -> Tokenizer:
    return Tokenizer.load(trained.path)


@pytest.fixture(scope="session")
def wikipedia(shared_data: Path) -> list[Path]:
    """The ten files of Wikipedia articles, to be read with `articles`."""
    return sorted((shared_data / "wikipedia-en-2015").glob("*.jsonl.*"))


@pytest.fixture(scope="session")
def articles() -> Callable[[Path], list[str]]:
    """Reads the texts of one file of articles."""

    def read(path: Path) -> list[str]:
        data = path.read_bytes()
        if path.suffix == ".gz":
            lines = gzip.decompress(data)
        else:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as stream:
                lines = stream.read()
        return [json.loads(line)["text"] for line in lines.splitlines()]

    return read
