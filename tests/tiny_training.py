"""Training small enough for tests: an objective with a pattern to learn, its configuration, a folder to train in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tiny_model import QWEN3, VOCABULARY
from torch import Tensor

from lumilab.model import Transformer, initialise
from lumilab.recipe.section import identity
from lumilab.recipe.training import OptimizerConfig, TrainingConfig
from lumilab.training.objective import UNTRAINED, Batch, summed_cross_entropy
from lumilab.training.states import StateFolder

CONFIG = TrainingConfig(
    steps=12,
    batch_size=4,
    optimizer=OptimizerConfig(learning_rate=0.01, matrix_learning_rate=0.01),
    dtype="float32",
    device="cpu",
    compile="no",
    validate_every=5,
    checkpoint_every=4,
    log_every=1,
)


class Counting:
    """Rows that count upwards from a random number, with a tenth of the places untrained.

    Args:
        rows, length: of each batch.
        on_batch: called with the step before its batch is made, to let something happen there.
    """

    def __init__(self, rows: int = 4, length: int = 16, on_batch: Callable[[int], None] | None = None) -> None:
        self.rows, self.length, self.on_batch = rows, length, on_batch
        self.window, self.epoch_steps = length, 100.0

    def batch(self, step: int) -> Batch:
        if self.on_batch is not None:
            self.on_batch(step)
        return self._draw(step)

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        return summed_cross_entropy(model, batch)

    def facts(self, first: int, count: int) -> dict[str, float]:
        return {"first": first, "count": count}

    def measures(self, means: Sequence[float]) -> dict[str, float]:
        return {}

    def validation(self, rows: int) -> Iterator[Batch]:
        for number in range(2):
            yield from self._draw(10_000 + number).split(rows)

    def _draw(self, seed: int) -> Batch:
        draw = torch.Generator().manual_seed(seed)
        first = torch.randint(0, VOCABULARY, (self.rows, 1), generator=draw)
        text = (first + torch.arange(self.length + 1)) % VOCABULARY
        labels = text[:, 1:].clone()
        labels[torch.rand(labels.shape, generator=draw) < 0.1] = UNTRAINED
        return Batch(text[:, :-1].clone(), labels)


def changed(**values: Any) -> TrainingConfig:
    """CONFIG with other values, checked again."""
    return TrainingConfig.model_validate(CONFIG.model_dump() | values)


def fresh_model() -> Transformer:
    return initialise(Transformer(QWEN3, VOCABULARY), 1)


def states_in(folder: Path, config: TrainingConfig = CONFIG) -> StateFolder:
    folder.mkdir(parents=True, exist_ok=True)
    description = {"model": identity(QWEN3), "vocabulary_size": VOCABULARY, "tokenizer_identity": "none"}
    return StateFolder(
        folder, description | {"training": identity(config)}, {}, config.keep_checkpoints, config.go_back
    )
