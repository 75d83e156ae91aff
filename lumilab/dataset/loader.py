"""The training batches of a run, and a split's windows in file order for validation.

Step s of a run holds the samples s·B to (s + 1)·B - 1, where B is the global batch; which window a sample is, is a pure
function of its number (`lumilab.dataset.mixture`). Device r of W takes the rows B·r // W to B·(r + 1) // W: the rows of
all devices one after the other are the global batch, for any W, also where W does not divide B. So neither the number
of devices nor that of threads nor a restart changes what a step trains on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lumilab.artifact import Artifact
from lumilab.dataset.mixture import Mixture
from lumilab.dataset.shards import TokenArray, TokenShards
from lumilab.dataset.views import IGNORED, Boundaries, Row, Tokens, Windows, windows_of
from lumilab.errors import ConfigError, InputError
from lumilab.recipe.dataset import DatasetConfig

__all__ = ["IGNORED", "Tokens", "WindowLoader", "open_windows", "rank_rows", "windows_in_order"]

ORDERED_AT_ONCE = 1_024  # samples; working out an order costs nearly the same for one sample as for a thousand


@dataclass(frozen=True)
class Rows:
    """One device's share of a step.

    Attributes:
        inputs, labels: int64, shape [rows, window]; labels are IGNORED where nothing is predicted.
    """

    inputs: Tokens
    labels: Tokens


def rank_rows(batch_size: int, rank: int, world_size: int) -> range:
    """The rows of the global batch that one of several devices takes."""
    return range(batch_size * rank // world_size, batch_size * (rank + 1) // world_size)


class WindowLoader:
    """The training batches of a run, by step.

    Args:
        sources: the windows of each source.
        mixture: which window each sample is.
        batch_size: windows in each step, over all devices.
        rank, world_size: which of how many devices this is.
        first_sample: the first of step 0; a run that goes on with another batch size need not be at a whole step of it.

    Attributes:
        window_count: windows of all sources together.

    Raises:
        ConfigError: there are more devices than windows in a step, or no such device.
    """

    def __init__(
        self,
        sources: Sequence[Windows],
        mixture: Mixture,
        batch_size: int,
        rank: int = 0,
        world_size: int = 1,
        first_sample: int = 0,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ConfigError(f"There is no device {rank} of {world_size}", where="rank", mend="count devices from 0.")
        if batch_size < world_size:
            raise ConfigError(
                f"A batch of {batch_size} windows cannot be shared by {world_size} devices",
                where="batch_size",
                mend="raise batch_size, or use fewer devices.",
            )
        self.sources = tuple(sources)
        self.mixture = mixture
        self.batch_size = batch_size
        self.window = self.sources[0].window
        self.window_count = mixture.window_count
        self.first_sample = first_sample
        rows = rank_rows(batch_size, rank, world_size)
        self._rows = (rows.start, rows.stop)
        self._ordered: tuple[int, list[tuple[int, int]]] = (-1, [])

    @property
    def rows(self) -> int:
        """This device's windows in each step."""
        return self._rows[1] - self._rows[0]

    def batch(self, step: int) -> Rows:
        """This device's share of a step; the arrays are the caller's own."""
        inputs, labels = (np.empty((self.rows, self.window), dtype=np.int64) for _ in range(2))
        self.fill(step, inputs, labels)
        return Rows(inputs, labels)

    def fill(self, step: int, inputs: Row, labels: Row) -> None:
        """Writes this device's share of a step into rows (signed integers, shape [rows, window])."""
        for row, (windows, number) in enumerate(self.picks(step)):
            windows.fill(number, inputs[row], labels[row])

    def boundaries(self, step: int) -> Boundaries:
        """Where documents begin in this device's share of a step."""
        return Boundaries.of((windows.document_starts(number) for windows, number in self.picks(step)), self.window)

    def picks(self, step: int) -> tuple[tuple[Windows, int], ...]:
        """The windows of this device's share of a step, by source and number."""
        first = self.first_sample + step * self.batch_size
        return tuple((self.sources[source], number) for source, number in self._order(first, *self._rows))

    def _order(self, first: int, begin: int, end: int) -> list[tuple[int, int]]:
        """Source and window of the samples first + begin to first + end, from the last stretch worked out if it can."""
        # Threads may both work out a stretch, and then agree; a reader keeps the pair it took.
        start, ordered = self._ordered
        if start < 0 or not start <= first + begin <= first + end <= start + len(ordered):
            start = first + begin
            count = max(end - begin, min(ORDERED_AT_ONCE, self.window_count))  # a tiny epoch's order costs as much
            samples = np.arange(start, start + count, dtype=np.int64)
            sources, windows = self.mixture.locate(samples)
            ordered = list(zip(sources.tolist(), windows.tolist(), strict=True))
            self._ordered = (start, ordered)
        return ordered[first + begin - start : first + end - start]


def open_windows(
    dataset: Artifact, split: str, memory: Callable[[TokenArray], TokenArray] | None = None
) -> list[Windows]:
    """The windows of each source of a split, as the dataset packs them.

    Args:
        dataset: the artifact.
        split: "train" or "validation".
        memory: copies a shard's tokens to where they are to be read from; None for their memory-mapped files.

    Raises:
        DamageError: the split's files are not as its index says.
        InputError: no source has a window.
    """
    config = DatasetConfig.model_validate(dataset.manifest.config["dataset"])
    shards = TokenShards.open_sources(dataset, split)
    if memory is not None:
        shards = [each.held_in(memory) for each in shards]
    found = [windows_of(each, config) for each in shards]
    if not any(windows.count for windows in found):
        tokens = " + ".join(f"{each.token_count:,}" for each in shards)
        raise InputError(
            f"The {split} split has {tokens} tokens, and one window needs {config.window + 1:,}",
            where="dataset.window",
            mend="lower dataset.window, or add text to corpus.sources.",
        )
    return found


def windows_in_order(
    shards: TokenShards, window: int, batch_size: int, limit: int | None = None
) -> Iterator[tuple[Tokens, Tokens]]:
    """A split's windows in file order, as (inputs, labels), both int64 of shape [batch, window].

    Without a limit, each token but the split's first is a label exactly once. The last window is filled up: with 0 as
    input, which nothing attends to because attention is causal, and IGNORED as label. The last batch may have fewer
    rows.

    Args:
        shards: the split.
        window: predictions in each window.
        batch_size: rows in each batch.
        limit: take only this many windows, evenly spread over the split.
    """
    predictions = shards.token_count - 1
    for rows in _starts_in_order(shards, window, batch_size, limit):
        inputs = np.zeros((len(rows), window), dtype=np.int64)
        labels = np.full((len(rows), window), IGNORED, dtype=np.int64)
        for row, start in enumerate(rows):
            length = min(window, predictions - start)
            tokens = shards.read(start, length + 1)
            inputs[row, :length], labels[row, :length] = tokens[:-1], tokens[1:]
        yield inputs, labels


def boundaries_in_order(
    shards: TokenShards, window: int, batch_size: int, limit: int | None = None
) -> Iterator[Boundaries]:
    """Where documents begin in the batches that `windows_in_order` gives for the same arguments.

    What the last window is filled up with counts as part of its last document.
    """
    for rows in _starts_in_order(shards, window, batch_size, limit):
        yield Boundaries.of((shards.ends_within(start, window - 1) for start in rows), window)


def _starts_in_order(shards: TokenShards, window: int, batch_size: int, limit: int | None) -> Iterator[list[int]]:
    """The first token of each window of each batch."""
    count = -(-(shards.token_count - 1) // window)
    taken = count if limit is None else min(limit, count)
    starts = np.arange(taken, dtype=np.int64) * count // taken * window
    for first in range(0, taken, batch_size):
        yield starts[first : first + batch_size].tolist()
