"""Pretraining: every token of packed windows predicts the next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.dataset.belonging import tokenizer_for
from lumilab.dataset.loader import WindowLoader, boundaries_in_order, open_windows, windows_in_order
from lumilab.dataset.mixture import Mixture
from lumilab.dataset.residency import BatchStream, choose_residency, page_locked, parts_needed, token_bytes
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split import TRAIN, VALIDATION
from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.devices import Devices
from lumilab.training.hardware import resolve_device
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.run import Probe, Sampler
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
    probe: Probe | None = None,
) -> Artifact:
    """Trains a new model on a dataset and publishes it as `target`, going on where an earlier run was stopped.

    Raises:
        MismatchError: the dataset was made with another tokenizer.
        As `lumilab.training.loop.train`.
    """
    known = tokenizer_for(dataset, tokenizer)
    model = initialise(Transformer(model_config, known.vocabulary_size), seed)
    validation = dataset.manifest.statistics["validation"]
    with NextToken(dataset, config, seed) as objective:
        for line in objective.describe():
            context.report.say(f"  {line}", style="dim")
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
            probe=probe,
            tokens_per_byte=validation["tokens"] / validation["bytes"] if validation["bytes"] else None,
        )


class NextToken:
    """The objective of pretraining, over a dataset artifact; as a context manager, it ends its threads.

    Args:
        dataset: token shards in the splits "train" and "validation".
        config: batch sizes, mixture, residency, device, and how many validation windows.
        seed: of the order.

    Attributes:
        window: tokens in each.
        epoch_steps: steps in which as many windows are seen as there are.

    Raises:
        ConfigError: the mixture names a source that the dataset lacks, or its weights cannot be used.
        InputError: there is not one window, or none of a source that has a weight.
        ResourceError: the machine lacks the device or the memory that was chosen.
    """

    def __init__(self, dataset: Artifact, config: TrainingConfig, seed: int) -> None:
        device = resolve_device(config.device)
        sources = open_windows(dataset, TRAIN)
        self.window = sources[0].window
        epoch_tokens = sum(windows.count for windows in sources) * self.window
        self.residency = choose_residency(config.residency, device, epoch_tokens, token_bytes(dataset, TRAIN))
        if self.residency == "pinned":
            sources = open_windows(dataset, TRAIN, page_locked)
        counts = {windows.source: windows.count for windows in sources}
        self.mixture = Mixture.planned(config.mixture, counts, seed, self.window, config.batch_size)
        devices = Devices.of_this_process()
        loader = WindowLoader(sources, self.mixture, config.batch_size, devices.rank, devices.count)
        parts = parts_needed(device, epoch_tokens) if self.residency == "device" else None
        self._batches = BatchStream(loader, device, parts=parts, boundaries=config.document_mask)
        self.epoch_steps = self.mixture.window_count / config.batch_size
        self._validation = TokenShards.open(dataset, VALIDATION)
        self._config = config

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._batches.close()

    def describe(self) -> Iterator[str]:
        """What is trained on, in lines."""
        samples, sources = self._config.steps * self._config.batch_size, self.mixture.sources
        windows = self.mixture.window_count
        of = sources[0] if len(sources) == 1 else f"the mix of {len(sources)} sources"
        yield f"{samples:,} windows to train on; {of} has {windows:,} ({self.residency})"
        for segment in self.mixture.segments if self._config.mixture.phases else ():
            shares = ", ".join(f"{name} {weight:g}" for name, weight in (segment.weights or {}).items())
            yield f"from step {segment.from_sample // self._config.batch_size:,}: {shares}"

    def batch(self, step: int) -> Batch:
        """This rank's rows of a step's global batch: [rows, window]. The coming ones are made in a thread meanwhile."""
        batch = self._batches.get(step)
        return Batch(batch.inputs, batch.labels, batch.documents, batch.positions)

    def facts(self, first: int, count: int) -> dict[str, float]:
        """The realised mix, where there is more than one source: each one's share of the windows."""
        if len(self.mixture.sources) == 1:
            return {}
        shares = self.mixture.shares(first * self._config.batch_size, count * self._config.batch_size)
        return {f"mix/{source}": share for source, share in shares.items()}

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        """Cross-entropy summed over the trained tokens."""
        return summed_cross_entropy(model, batch)

    def measures(self, means: Sequence[float]) -> dict[str, float]:
        """Nothing but the loss is summed."""
        return {}

    def validation(self, rows: int) -> Iterator[Batch]:
        """Windows evenly spread over the validation split; the last batch is filled up with untrained rows."""
        options = (self._validation, self.window, rows, self._config.validation_windows)
        documents = boundaries_in_order(*options) if self._config.document_mask else repeat(None)
        for (ids, labels), found in zip(windows_in_order(*options), documents, strict=False):
            batch = Batch(torch.from_numpy(ids), torch.from_numpy(labels))
            if found is not None:
                positions, numbers = torch.from_numpy(found.positions), torch.from_numpy(found.documents)
                batch = replace(batch, documents=numbers, positions=positions)
            yield batch.filled(rows)
