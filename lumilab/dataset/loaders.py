"""Loaders for a training loop of one's own: `create_train_val_loaders`.

    train, validation, info = create_train_val_loaders("runs/NAME", batch_size=8, seed=42)
    for batch in train:  # one epoch; the next loop is the next one
        loss = model(batch.inputs, labels=batch.labels)

A training loader is at a sample of the run and nowhere else: its state is that number, what the order depends on, and
no more. `state_dict()` is a few JSON values; a loader with any batch size and any number of devices goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import ceil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from pydantic import ValidationError

from lumilab.artifact import Artifact
from lumilab.dataset.loader import Tokens, WindowLoader, open_windows, windows_in_order
from lumilab.dataset.mixture import Mixture, Segment, check_state
from lumilab.dataset.order import order_key
from lumilab.dataset.residency import (
    BatchStream,
    TokenBatch,
    choose_residency,
    page_locked,
    parts_needed,
    token_bytes,
)
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split import TRAIN, VALIDATION
from lumilab.dataset.views import DrawnWindows, Windows
from lumilab.errors import ConfigError, InputError
from lumilab.recipe.dataset import DatasetConfig, MixtureConfig


class TrainLoader:
    """The training batches of a run, from a sample on; end it with `close`, or use it as a context manager.

    Iterating gives one epoch: `len(loader)` batches, to where the epoch's whole batches end. The windows that do not
    fill one are the first of the next epoch.

    Args:
        sources: the windows of each source.
        mixture: which window each sample is.
        batch_size: windows in a step, over all devices.
        dataset: names what is trained on: the dataset's digest, and what was held out of it.
        rank, world_size: which of how many devices this is.
        options: of `lumilab.dataset.residency.BatchStream`.

    Attributes:
        sample: the first one not given out yet.
    """

    def __init__(
        self,
        sources: Sequence[Windows],
        mixture: Mixture,
        batch_size: int,
        dataset: str,
        *,
        rank: int = 0,
        world_size: int = 1,
        **options: Any,
    ) -> None:
        self.batch_size = batch_size
        self._sources = sources
        self._dataset = dataset
        self._devices = (rank, world_size)
        self._options = options
        self._begin(0, mixture)

    def __len__(self) -> int:
        return max(1, self.mixture.window_count // self.batch_size)

    def __iter__(self) -> Iterator[TokenBatch]:
        epoch = len(self) * self.batch_size
        end = (self.sample // epoch + 1) * epoch
        while self.sample < end:
            step = (self.sample - self._first) // self.batch_size
            batch = self._stream.get(step)
            self.sample += self.batch_size
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the run is, as JSON values: behind the last batch given out."""
        return {
            "sample": self.sample,
            "seed": self.mixture.seed,
            "dataset": self._dataset,
            "segments": [segment.to_json() for segment in self.mixture.segments],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where another loader was, with the mix of its run.

        Raises:
            MismatchError: that loader had another dataset or seed.
        """
        check_state(state, self.mixture.seed, self._dataset)
        mixture = self.mixture.with_segments([Segment.from_json(segment) for segment in state["segments"]])
        self._stream.close()
        self._begin(int(state["sample"]), mixture)

    def extend(self, weights: Mapping[str, float] | None, from_sample: int | None = None) -> None:
        """Changes the mix (None: the natural one) from a sample on, the next one by default. What was planned for
        later is given up; the samples before are as they were.

        Raises:
            ConfigError: the sample is given out already, or the weights cannot be used.
        """
        start = self.sample if from_sample is None else from_sample
        if start < self.sample:
            raise ConfigError(
                f"Sample {start:,} is given out already, and its source cannot change",
                where="from_sample",
                mend=f"change the weights from sample {self.sample:,} on, or later.",
            )
        mixture = self.mixture.extend(start, weights)
        self._stream.close()
        self._begin(self.sample, mixture)

    def close(self) -> None:
        """Ends the threads."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, sample: int, mixture: Mixture) -> None:
        self.sample = self._first = sample
        self.mixture = mixture
        loader = WindowLoader(self._sources, mixture, self.batch_size, *self._devices, first_sample=sample)
        self._stream = BatchStream(loader, **self._options)


class ValidationLoader:
    """The validation batches, the same ones each time; labels are -100 where nothing is predicted.

    Args:
        arrays: begins a pass over (inputs, labels), int64 of shape [rows, window].
        device: where the batches go.

    Attributes:
        windows: how many there are.
    """

    def __init__(
        self, arrays: Callable[[], Iterator[tuple[Tokens, Tokens]]], windows: int, batch_size: int, device: torch.device
    ) -> None:
        self.windows = windows
        self._arrays = arrays
        self._batch_size = batch_size
        self._device = device

    def __len__(self) -> int:
        return ceil(self.windows / self._batch_size)

    def __iter__(self) -> Iterator[TokenBatch]:
        for inputs, labels in self._arrays():
            yield TokenBatch(torch.from_numpy(inputs).to(self._device), torch.from_numpy(labels).to(self._device))


def create_train_val_loaders(
    dataset: str | Path | Artifact,
    batch_size: int = 8,
    val_split: float | None = None,
    seed: int = 42,
    *,
    phases: Sequence[Mapping[str, Any]] = (),
    rank: int = 0,
    world_size: int = 1,
    workers: int = 1,
    residency: str = "mmap",
    device: str | torch.device = "cpu",
    boundaries: bool = False,
) -> tuple[TrainLoader, ValidationLoader, dict[str, Any]]:
    """A training loader, a validation loader, and what there is to know of them.

    Args:
        dataset: a dataset, its folder, or the folder of a run that has one.
        batch_size: windows in a step, over all devices.
        val_split: None to validate on the dataset's own validation split, which is of other documents. A share of the
            *training* split's windows to hold those out instead: they may be of the documents that are trained on.
        seed: of the order, and of the windows held out.
        phases: as the recipe's `mixture.phases`; none to take all windows of all sources once an epoch.
        rank, world_size: which of how many devices this is. Each takes its share of every step.
        workers: threads that put batches together ahead; 0 for none.
        residency: "auto", "mmap", "pinned" or "device" (`lumilab.dataset.residency`).
        device: where the batches go.
        boundaries: training batches tell where documents begin, too.

    Returns:
        The loaders of `TokenBatch`es, and a dictionary: dataset (digest), tokenizer (identity), vocabulary_size,
        window, packing, residency, steps_per_epoch, train_windows, validation_windows, sources (training windows by
        source).

    Raises:
        InputError: there is no dataset, or no window to train or to validate on.
        ConfigError: phases, val_split or the devices cannot be used.
        MismatchError, DamageError: the folder holds something else, or is not whole.
        ResourceError: the residency needs what the machine lacks.
    """
    artifact = dataset if isinstance(dataset, Artifact) else _open_dataset(Path(dataset))
    target = torch.device(device)
    sources = open_windows(artifact, TRAIN)
    window = sources[0].window
    epoch_tokens = window * sum(windows.count for windows in sources)
    kept_in = choose_residency(residency, target, epoch_tokens, token_bytes(artifact, TRAIN))
    if kept_in == "pinned":
        sources = open_windows(artifact, TRAIN, page_locked)
    if val_split is None:
        validation = _own_validation(artifact, window, batch_size, target)
    else:
        sources, held_out = _held_out(artifact, sources, val_split, seed)
        validation = _drawn_validation(held_out, window, batch_size, target)
    counts = {windows.source: windows.count for windows in sources}
    train = TrainLoader(
        sources,
        Mixture.planned(_mixture_config(phases), counts, seed, window, batch_size),
        batch_size,
        artifact.digest if val_split is None else f"{artifact.digest}, val_split {val_split}",
        rank=rank,
        world_size=world_size,
        device=target,
        workers=workers,
        parts=parts_needed(target, epoch_tokens) if kept_in == "device" else None,
        boundaries=boundaries,
    )
    info = {
        "dataset": artifact.digest,
        "tokenizer": artifact.manifest.config["tokenizer_identity"],
        "vocabulary_size": artifact.manifest.config["vocabulary_size"],
        "window": window,
        "packing": artifact.manifest.config["dataset"].get("packing", "concat"),
        "residency": kept_in,
        "steps_per_epoch": len(train),
        "train_windows": train.mixture.window_count,
        "validation_windows": validation.windows,
        "sources": counts,
    }
    return train, validation, info


def _open_dataset(path: Path) -> Artifact:
    run = path / "run.json"  # a run's folder has this pointer to what its stages made
    if not run.is_file():
        return Artifact.open(path, kind="dataset")
    try:
        place = json.loads(run.read_bytes())["stages"]["dataset"]["path"]
    except (ValueError, KeyError, TypeError):
        raise InputError(
            "This run has no dataset yet", where=str(path), mend="build it with `lumi pack RECIPE`."
        ) from None
    return Artifact.open(path / place, kind="dataset")


def _mixture_config(phases: Sequence[Mapping[str, Any]]) -> MixtureConfig:
    try:
        return MixtureConfig.model_validate({"phases": [dict(phase) for phase in phases]})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The phases cannot be used: {first['msg']}",
            where=place,
            mend='give each phase as {"weights": {SOURCE: SHARE}, "tokens": LENGTH}.',
        ) from None


def _own_validation(dataset: Artifact, window: int, batch_size: int, device: torch.device) -> ValidationLoader:
    shards = TokenShards.open(dataset, VALIDATION)
    windows = -(-(shards.token_count - 1) // window)
    return ValidationLoader(lambda: windows_in_order(shards, window, batch_size), windows, batch_size, device)


def _held_out(
    dataset: Artifact, sources: Sequence[Windows], share: float, seed: int
) -> tuple[list[Windows], list[Windows]]:
    """Each source's windows in two: those to train on, and those held out."""
    if not 0 < share < 1:
        raise ConfigError(f"val_split is {share}", where="val_split", mend="give a share between 0 and 1, or None.")
    if DatasetConfig.model_validate(dataset.manifest.config["dataset"]).packing == "sliding":
        raise ConfigError(
            "Sliding windows overlap, so that windows held out would be trained on in part",
            where="val_split",
            mend="leave val_split out to validate on the dataset's own validation split.",
        )
    kept: list[Windows] = []
    held: list[Windows] = []
    for windows in sources:
        count, key = round(share * windows.count), order_key(seed, "held out", windows.source)
        kept.append(DrawnWindows(windows, 0, windows.count - count, key))
        held.append(DrawnWindows(windows, windows.count - count, count, key))
    if not sum(windows.count for windows in kept) or not sum(windows.count for windows in held):
        total = sum(windows.count for windows in sources)
        raise InputError(
            f"A share of {share} of {total:,} windows leaves none to {'train' if share > 1 / 2 else 'validate'} on",
            where="val_split",
            mend="change val_split, or leave it out to validate on the dataset's own validation split.",
        )
    return kept, held


def _drawn_validation(
    sources: Sequence[Windows], window: int, batch_size: int, device: torch.device
) -> ValidationLoader:
    total = sum(windows.count for windows in sources)

    def batches() -> Iterator[tuple[Tokens, Tokens]]:
        picks = ((windows, number) for windows in sources for number in range(windows.count))
        while taken := list(islice(picks, batch_size)):
            inputs, labels = (np.empty((len(taken), window), dtype=np.int64) for _ in range(2))
            for row, (windows, number) in enumerate(taken):
                windows.fill(number, inputs[row], labels[row])
            yield inputs, labels

    return ValidationLoader(batches, total, batch_size, device)
