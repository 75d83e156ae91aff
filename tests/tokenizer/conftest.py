"""A corpus and a tokenizer learned from it, made once for this folder's tests."""

from __future__ import annotations

import pytest
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
