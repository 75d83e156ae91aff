"""Parameters and operations of small shapes, worked out by hand and counted by PyTorch."""

from __future__ import annotations

import pytest
import torch
from tiny_model import ALL_SHAPES, VOCABULARY
from torch.utils.flop_counter import FlopCounterMode

from lumilab.model import Transformer
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import AverageConfig, OptimizerConfig, TrainingConfig
from lumilab.training.cost import (
    checkpoint_bytes,
    dataset_bytes,
    operations_per_token,
    optimal_tokens,
    parameters_of,
    state_bytes,
    tokens_of,
)
from lumilab.training.flops import training_operations_per_token

SMALL = ModelConfig(layers=3, width=20, heads=4, kv_heads=2, head_dim=6, feed_forward=50, context=64)
# Query and output 24 x 20 each, key and value 12 x 20 each, three of 50 x 20.
BLOCK = 2 * 24 * 20 + 2 * 12 * 20 + 3 * 50 * 20


def test_parameters_by_hand() -> None:
    counted = parameters_of(SMALL, 100)
    assert counted.matrices == 3 * BLOCK
    assert counted.embeddings == 100 * 20
    assert counted.vectors == 3 * (2 * 20 + 2 * 6) + 20
    assert counted.largest_stack == 3 * 2 * 50 * 20  # gate and up have one shape
    assert counted.total == 3 * 4440 + 2000 + 176
    untied = parameters_of(SMALL.model_copy(update={"tie_embeddings": False}), 100)
    assert untied.embeddings == 2 * 100 * 20


@pytest.mark.parametrize("name", ALL_SHAPES)
def test_parameters_and_operations_are_those_of_the_model(name: str) -> None:
    model = Transformer(ALL_SHAPES[name], VOCABULARY)
    assert parameters_of(ALL_SHAPES[name], VOCABULARY).total == sum(each.numel() for each in model.parameters())
    foretold = operations_per_token(ALL_SHAPES[name], VOCABULARY, 200).total
    assert foretold == training_operations_per_token(model, 200), "as the MFU counts them"


def test_operations_by_hand() -> None:
    found = operations_per_token(SMALL, 100, window=32)
    assert found.multiplied == 3 * BLOCK + 100 * 20 + 176  # the tied output layer is multiplied with
    assert found.products == 6 * found.multiplied
    assert found.attention == 12 * 3 * 24 * 32
    assert found.total == found.products + found.attention


def test_operations_of_the_products_are_those_pytorch_counts() -> None:
    model, window = Transformer(SMALL, 100), 32
    ids = torch.zeros((2, window), dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model(ids).sum().backward()
    products = sum(
        count for operator, count in counter.get_flop_counts()["Global"].items() if "mm" in str(operator)
    )  # attention is an operator of our own, which PyTorch does not look into
    vectors = 6 * 176 * 2 * window  # norms, which the formula counts as if they were products
    assert operations_per_token(SMALL, 100, window).products * 2 * window == products + vectors


def test_tokens_and_bytes_by_hand() -> None:
    training = TrainingConfig(steps=50, batch_size=4, keep_checkpoints=3)
    counted = parameters_of(SMALL, 100)
    assert tokens_of(training, 32) == 6_400
    assert optimal_tokens(124_000_000) == 2_480_000_000
    assert state_bytes(counted, training) == 12 * counted.total
    assert checkpoint_bytes(counted, training) == (4 * 12 + 4) * counted.total
    muon = TrainingConfig(optimizer=OptimizerConfig(name="muon"), ema=AverageConfig())
    assert state_bytes(counted, muon) == 16 * counted.total - 4 * counted.matrices
    assert dataset_bytes(1_000, 65_536) == 2_000
    assert dataset_bytes(1_000, 65_537) == 4_000
