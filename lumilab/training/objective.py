"""What is trained: where batches come from and how a model's loss on one is computed.

Pretraining, supervised fine-tuning and preference training differ only here; the loop is one. A loss is a *sum*, over
trained tokens or over whatever else a batch counts as its divisor: the loop divides by that number in the whole global
batch, so that the split into micro-batches (or over devices) never weighs anything differently. What else is to be
logged of a batch (rewards, how often the better answer won) is summed and divided beside the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from typing import Protocol, Self

import torch
import torch.nn.functional as F
from torch import Tensor

from lumilab.model import Transformer
from lumilab.model.vocabulary_loss import IGNORED, summed_vocabulary_loss

UNTRAINED = IGNORED  # the label of a token that is not trained


@dataclass(frozen=True)
class Batch:
    """Some rows of tokens.

    Attributes:
        ids: [B, T], int64.
        labels: the token to predict at each place, [B, T], int64; -100 where nothing is trained.
        documents, positions: as for `Transformer.features`; None for one document a row, counted from its start.
    """

    ids: Tensor
    labels: Tensor
    documents: Tensor | None = None
    positions: Tensor | None = None

    @property
    def trained(self) -> int:
        """Number of trained tokens. Waits for the device that the batch is on."""
        return int(self.count_trained())

    def count_trained(self) -> Tensor:
        """Number of trained tokens, an int64 scalar where the batch is."""
        return (self.labels != UNTRAINED).sum()

    def divisor(self) -> Tensor:
        """What the loss is averaged over, an int64 scalar where the batch is: here the trained tokens."""
        return self.count_trained()

    def split(self, rows: int | None) -> Iterator[Self]:
        """The batch in pieces of `rows` rows each (the last may have fewer); None for the whole."""
        rows = rows or len(self.ids)
        for start in range(0, len(self.ids), rows):
            yield self._map(itemgetter(slice(start, start + rows)))

    def filled(self, rows: int) -> Self:
        """The batch with untrained rows added up to so many, so that all batches have one shape."""
        missing = rows - len(self.ids)

        def pad(tensor: Tensor, value: int = 0) -> Tensor:
            return F.pad(tensor, (0, 0) * (tensor.ndim - 1) + (0, missing), value=value)

        return replace(self._map(pad), labels=pad(self.labels, UNTRAINED))

    def to(self, device: torch.device) -> Self:
        """The batch on another device; a copy to a GPU goes on while the caller does."""

        def move(tensor: Tensor) -> Tensor:
            if device.type == "cuda" and tensor.device.type == "cpu":
                tensor = tensor.pin_memory()  # from other memory a copy would wait for the GPU's work so far
            return tensor.to(device, non_blocking=True)

        return self._map(move)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        changed = {
            field.name: change(value) for field in fields(self) if (value := getattr(self, field.name)) is not None
        }
        return replace(self, **changed)


class Objective(Protocol):
    """A source of batches and the loss on them.

    Attributes:
        window: tokens in each row of a batch.
        epoch_steps: steps in which everything there is to train on is seen once.
    """

    window: int
    epoch_steps: float

    def batch(self, step: int) -> Batch:
        """This rank's rows of the global batch of a step: a pure function of the step and the ranks."""
        ...

    def loss(self, model: Transformer, batch: Batch) -> Tensor:
        """The summed loss, a float32 scalar; or a vector [1 + n] of it and n further sums, which are only logged. May
        be compiled: no side effects."""
        ...

    def measures(self, means: Sequence[float]) -> dict[str, float]:
        """What to log of the further sums that `loss` gave, by name.

        Args:
            means: each of them, added up over a step (or a validation) and divided by its divisor.
        """
        ...

    def facts(self, first: int, count: int) -> dict[str, float]:
        """What to log of the batches of `count` steps from `first` on, by name: a pure function of them."""
        ...

    def validation(self, rows: int) -> Iterator[Batch]:
        """Batches of so many rows that are never trained on, the same ones each time."""
        ...


def summed_cross_entropy(model: Transformer, batch: Batch) -> Tensor:
    """Cross-entropy in nats summed over the trained tokens, a float32 scalar."""
    features = model.features(batch.ids, batch.positions, batch.documents)
    return summed_vocabulary_loss(features, model.output_weight, batch.labels)
