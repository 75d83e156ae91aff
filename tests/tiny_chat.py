"""A tokenizer, a dataset and a model small enough for tests of what is done with trained models.

The rooms that need them import the fixtures into their conftest.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_corpus import publish_corpus, quiet_context, some_documents

from lumilab.artifact import Artifact
from lumilab.dataset.pack import build_dataset
from lumilab.model import Transformer, initialise
from lumilab.recipe.dataset import DatasetConfig
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.section import identity
from lumilab.recipe.tokenizer import TokenizerConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.train import train_tokenizer
from lumilab.training.checkpoint import publish_checkpoint

SEED = 11
WINDOW = 96
MODEL = ModelConfig(
    layers=2, width=32, heads=4, kv_heads=2, head_dim=16, feed_forward=48, context=128, tie_embeddings=False
)


def publish_data(folder: Path) -> tuple[Artifact, Artifact]:
    """A tokenizer and a dataset of the same corpus."""
    corpus = publish_corpus(folder / "corpus", some_documents(150))
    context, _ = quiet_context()
    tokenizer = train_tokenizer(TokenizerConfig(vocabulary_size=512), corpus, folder / "tokenizer", context)
    config = DatasetConfig(window=WINDOW, validation_share=0.2)
    return tokenizer, build_dataset(config, SEED, corpus, tokenizer, folder / "dataset", context)


def another_tokenizer(folder: Path) -> Artifact:
    """One that was learned from other text."""
    corpus = publish_corpus(folder / "corpus", some_documents(40, seed=5))
    config = TokenizerConfig(vocabulary_size=512, min_frequency=3)
    return train_tokenizer(config, corpus, folder / "tokenizer", quiet_context()[0])


def tiny_model(tokenizer: Tokenizer, seed: int = SEED, config: ModelConfig = MODEL) -> Transformer:
    """Untrained, but with weights large enough that its next tokens differ clearly."""
    model = initialise(Transformer(config, tokenizer.vocabulary_size), seed)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(5)
    return model.eval()


def publish_model(
    target: Path, tokenizer: Artifact, model: Transformer | None = None, config: ModelConfig = MODEL
) -> Artifact:
    """A checkpoint of a tiny model."""
    known = Tokenizer.load(tokenizer.path)
    model = model or tiny_model(known, config=config)
    description = {
        "stage": "pretrain",
        "model": identity(config),
        "vocabulary_size": known.vocabulary_size,
        "tokenizer_identity": known.identity,
        "seed": SEED,
    }
    return publish_checkpoint(target, model, config=description, inputs={"tokenizer": tokenizer}, tokenizer=known)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Artifact]:
    return publish_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def tokenizer_artifact(data: tuple[Artifact, Artifact]) -> Artifact:
    return data[0]


@pytest.fixture(scope="session")
def dataset(data: tuple[Artifact, Artifact]) -> Artifact:
    return data[1]


@pytest.fixture(scope="session")
def tokenizer(tokenizer_artifact: Artifact) -> Tokenizer:
    return Tokenizer.load(tokenizer_artifact.path)


@pytest.fixture
def model(tokenizer: Tokenizer) -> Transformer:
    return tiny_model(tokenizer)
