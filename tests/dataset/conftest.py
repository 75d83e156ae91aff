"""A corpus, a tokenizer and a dataset, made once for this folder's tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_corpus import DATASET, SEED, publish_corpus, quiet_context, some_documents

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.dataset.pack import build_dataset
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split_writer import SplitWriter
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.train import train_tokenizer


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish_corpus(tmp_path_factory.mktemp("corpus") / "corpus", some_documents(150))


@pytest.fixture(scope="session")
def tokenizer(corpus: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    target = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    return train_tokenizer(TokenizerConfig(vocabulary_size=512), corpus, target, quiet_context()[0])


@pytest.fixture(scope="session")
def dataset(corpus: Artifact, tokenizer: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    target = tmp_path_factory.mktemp("dataset") / "dataset"
    return build_dataset(DATASET, SEED, corpus, tokenizer, target, quiet_context()[0])


@pytest.fixture
def shards_of(tmp_path: Path) -> Callable[..., TokenShards]:
    """Publishes a sequence of tokens, cut into documents, as the train split of a dataset, and opens it."""

    def publish(
        tokens: np.ndarray,
        lengths: list[int] | None = None,
        shard_tokens: int = 1_000,
        vocabulary: int = 2**16,
        best_fit: int | None = None,
    ) -> TokenShards:
        number = len(list(tmp_path.iterdir()))
        dtype = np.dtype(np.uint16 if vocabulary <= 2**16 else np.uint32)
        with ArtifactBuilder(tmp_path / f"dataset-{number}", kind="dataset", config={}) as builder:
            with (
                SplitWriter(builder, "train", dtype, shard_tokens, best_fit) as writer,
                writer.stream("text") as stream,
            ):
                stream.append(tokens, np.cumsum(lengths or [len(tokens)]), 10 * len(tokens))
            (shards,) = TokenShards.open_sources(builder.publish(), "train")
            return shards

    return publish
