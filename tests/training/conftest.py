"""A corpus, a tokenizer and a dataset, made once for this folder's tests."""

from __future__ import annotations

import pytest
from tiny_corpus import publish_corpus, quiet_context, some_documents

from lumilab.artifact import Artifact
from lumilab.dataset.pack import build_dataset
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.train import train_tokenizer


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Artifact]:
    """A tokenizer and a dataset of 24-token windows: 60 documents, so an epoch is a few dozen small batches."""
    folder, context = tmp_path_factory.mktemp("data"), quiet_context()[0]
    corpus = publish_corpus(folder / "corpus", some_documents(60))
    tokenizer = train_tokenizer(TokenizerConfig(vocabulary_size=512), corpus, folder / "tokenizer", context)
    config = DatasetConfig(window=24, validation_share=0.2)
    return {"tokenizer": tokenizer, "dataset": build_dataset(config, 7, corpus, tokenizer, folder / "dataset", context)}
