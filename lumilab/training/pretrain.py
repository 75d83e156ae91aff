"""Pretraining: every token of packed windows predicts the next one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.dataset.belonging import tokenizer_for
from lumilab.dataset.loader import WindowLoader, windows_in_order
from lumilab.dataset.shards import TokenShards
from lumilab.model import Transformer, initialise
from lumilab.recipe.schema import ModelConfig, TrainingConfig
from lumilab.training.loop import Sampler
from lumilab.training.objective import UNTRAINED, Batch, summed_cross_entropy
from lumilab.training.stage import train_stage
from lumilab.work.context import WorkContext


def pretrain(
    config: TrainingConfig,
    model_config: ModelConfig,
    seed: int,
    dataset: Artifact,
    tokenizer: Artifact,
    target: Path,
    context: WorkContext,
    sampler: Sampler | None = None,
) -> Artifact:
    """Trains a new model on a dataset and publishes it as `target`, going on where an earlier run was stopped.

    Raises:
        MismatchError: the dataset was made with another tokenizer.
        As `lumilab.training.loop.train`.
    """
    known = tokenizer_for(dataset, tokenizer)
    objective = NextToken(dataset, config, seed)
    model = initialise(Transformer(model_config, known.vocabulary_size), seed)
    validation = dataset.manifest.statistics["validation"]
    return train_stage(
        "pretrain",
        model,
        objective,
        config,
        seed,
        inputs={"dataset": dataset, "tokenizer": tokenizer},
        tokenizer=known,
        target=target,
        context=context,
        sampler=sampler,
        tokens_per_byte=validation["tokens"] / validation["bytes"] if validation["bytes"] else None,
    )


class NextToken:
    """The objective of pretraining, over a dataset artifact.

    Args:
        dataset: token shards in the splits "train" and "validation".
        config: batch sizes, and how many validation windows.
        seed: of the order.
    """

    def __init__(self, dataset: Artifact, config: TrainingConfig, seed: int) -> None:
        self.window = int(dataset.manifest.config["dataset"]["window"])
        self._train = WindowLoader(TokenShards.open(dataset, "train"), self.window, config.batch_size, seed)
        self._validation = TokenShards.open(dataset, "validation")
        self._rows = config.micro_batch_size or config.batch_size
        self._validation_windows = config.validation_windows

    def batch(self, step: int) -> Batch:
        """The global batch of a step: [batch_size, window]."""
        windows = torch.from_numpy(self._train.batch(step))
        return Batch(windows[:, :-1].contiguous(), windows[:, 1:].contiguous())

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        """Cross-entropy summed over the trained tokens."""
        return summed_cross_entropy(model, batch)

    def validation(self) -> Iterator[Batch]:
        """Windows evenly spread over the validation split; the last batch is filled up with untrained rows."""
        for ids, labels in windows_in_order(self._validation, self.window, self._rows, self._validation_windows):
            missing = ((0, self._rows - len(ids)), (0, 0))
            yield Batch(
                torch.from_numpy(np.pad(ids, missing)),
                torch.from_numpy(np.pad(labels, missing, constant_values=UNTRAINED)),
            )
