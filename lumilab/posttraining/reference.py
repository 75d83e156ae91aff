"""What the model that preference training begins with gives each answer: worked out once, and kept on disk.

The reference never changes, so its log-probabilities are part of the data. They are an artifact beside the runs that
use them, named by the digests of model and data, the rows' form and the arithmetic: other learning rates, betas or
objectives find it again, and so does a run that goes on. While it is made, parts of it are kept, so that a build that
was stopped or killed goes on behind the last of them.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lumilab.artifact import Artifact, ArtifactBuilder, digest_of, sweep_leftovers, work_folder, write_atomically
from lumilab.errors import DamageError, InputError, MismatchError
from lumilab.model import Transformer
from lumilab.model.log_probabilities import token_log_probabilities
from lumilab.posttraining.comparisons import PADDING, SIDES, RowBatches
from lumilab.training.devices import Devices
from lumilab.work.context import WorkContext

KIND = "reference"
PART = 1024  # rows that are kept at once: what a killed build does again

Scores = dict[str, npt.NDArray[np.float32]]


def answer_scores(model: Transformer, ids: Tensor, labels: Tensor) -> Tensor:
    """Log-probabilities of the labels summed over each sequence, in nats.

    Args:
        ids, labels: [..., T], int64; -100 where there is no label.

    Returns:
        [...], float32.
    """
    features = model.features(ids.flatten(0, -2))
    found = token_log_probabilities(features, model.output_weight, labels.flatten(0, -2))
    return found.float().sum(-1).view(ids.shape[:-1])


class ReferenceScores:
    """The reference's log-probabilities of all answers, from the disk or worked out.

    Args:
        model: the reference, on the device that trains.
        batches: rows by split, without a reference.
        dtype: of the arithmetic.
        inputs: the artifacts that model and rows are from.
        form: of the rows: "pairs" or "judged".
        folder: where to keep them.
        rows: how many at once.
    """

    def __init__(
        self,
        model: Transformer,
        batches: Mapping[str, RowBatches],
        dtype: torch.dtype,
        *,
        inputs: Mapping[str, Artifact],
        form: str,
        folder: Path,
        rows: int,
    ) -> None:
        self._model, self._batches, self._inputs, self._rows = model, batches, inputs, rows
        self._config = {"form": form, "dtype": str(dtype).removeprefix("torch.")}
        key = digest_of(self._config | {role: artifact.digest for role, artifact in inputs.items()})
        self.path = folder / f"reference-{key[:12]}"

    def get(self, context: WorkContext, devices: Devices) -> Scores:
        """Of each split, [rows, 2]. All ranks call this at the same time, and share the work.

        Raises:
            Interrupted: a stop was asked for; the parts done are kept.
        """
        if not devices.from_first(self._there()):
            devices.together(lambda: self._make(context, devices), "work out the reference's log-probabilities")
            devices.together(self._publish if devices.first else lambda: None, "keep them")
        return self._read()

    def _there(self) -> bool:
        try:
            self._read()
        except (InputError, DamageError, MismatchError):
            return False
        return True

    def _parts(self) -> list[tuple[str, range]]:
        """The parts of all splits: a split and some of its rows each."""
        return [
            (split, range(first, min(first + PART, len(batches))))
            for split, batches in self._batches.items()
            for first in range(0, len(batches), PART)
        ]

    def _place(self, split: str, numbers: range) -> Path:
        return work_folder(self.path) / f"{split}-{numbers.start:09d}.npy"

    def _make(self, context: WorkContext, devices: Devices) -> None:
        """Works out this rank's parts, those that are not there."""
        work_folder(self.path).mkdir(parents=True, exist_ok=True)
        mine = self._parts()[devices.rank :: devices.count]
        total = sum(len(numbers) for _, numbers in mine)
        with context.report.task("What the first model makes of the answers", total=total, unit="rows") as task:
            for split, numbers in mine:
                path = self._place(split, numbers)
                if not _whole(path, len(numbers)):
                    written = io.BytesIO()
                    np.save(written, np.concatenate(list(self._scores(self._batches[split], numbers, context))))
                    write_atomically(path, written.getvalue())
                task.advance(len(numbers))

    def _scores(self, batches: RowBatches, numbers: range, context: WorkContext) -> Iterator[npt.NDArray[np.float32]]:
        device = next(self._model.parameters()).device
        for first in range(0, len(numbers), self._rows):
            context.stop.check()
            mine = list(numbers[first : first + self._rows])
            batch = batches.batch(mine + [PADDING] * (self._rows - len(mine))).to(device)
            with torch.no_grad():
                found = answer_scores(self._model, batch.ids, batch.labels)
            yield found[: len(mine)].cpu().numpy()

    def _publish(self) -> None:
        """Puts the parts together."""
        sweep_leftovers(self.path)
        with ArtifactBuilder(self.path, kind=KIND, config=self._config, inputs=self._inputs) as builder:
            for split in self._batches:
                parts = [np.load(self._place(split, numbers)) for name, numbers in self._parts() if name == split]
                none = np.zeros((0, SIDES), dtype=np.float32)
                np.save(builder.path(f"{split}.npy"), np.concatenate([none, *parts]))
            builder.publish(replace=True)
        shutil.rmtree(work_folder(self.path))

    def _read(self) -> Scores:
        artifact = Artifact.open(self.path, kind=KIND)
        return {
            split: _checked(_loaded(artifact.file(f"{split}.npy")), len(batches))
            for split, batches in self._batches.items()
        }


def _loaded(path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path)
    except (ValueError, EOFError) as error:
        raise DamageError("The array cannot be read", where=str(path)) from error
    return array


def _whole(path: Path, rows: int) -> bool:
    """Whether a part is there."""
    try:
        _checked(_loaded(path), rows)
    except (FileNotFoundError, DamageError):
        return False
    return True


def _checked(array: npt.NDArray[Any], rows: int) -> npt.NDArray[np.float32]:
    if array.shape != (rows, SIDES) or array.dtype != np.float32:
        raise DamageError(
            f"The array is {array.dtype} of shape {array.shape}, and should be float32 of {(rows, SIDES)}"
        )
    return array
