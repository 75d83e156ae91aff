"""The held-back text that everything is measured on: the same windows, tokens and bytes for models and baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np

from lumilab.artifact import Artifact
from lumilab.dataset.loader import IGNORED, Tokens, windows_in_order
from lumilab.dataset.shards import TokenShards
from lumilab.dataset.split import VALIDATION
from lumilab.tokenizer.load import Tokenizer

BATCH_TOKENS = 2**13  # predicted in one forward pass


@dataclass(frozen=True)
class HeldBackText:
    """Windows of a dataset's validation split.

    Attributes:
        shards: the split.
        tokenizer: the one that encoded it.
        window: predictions in each window.
        limit: take this many windows, evenly spread; None for all, in which every token but the first is predicted.
    """

    shards: TokenShards
    tokenizer: Tokenizer
    window: int
    limit: int | None = None

    @classmethod
    def of(cls, dataset: Artifact, tokenizer: Tokenizer, limit: int | None) -> Self:
        """The validation split of a dataset in windows as long as those it was made for."""
        window = int(dataset.manifest.config["dataset"]["window"])
        return cls(TokenShards.open(dataset, VALIDATION), tokenizer, window, limit)

    @property
    def count(self) -> int:
        """How many windows there are."""
        whole = -(-(self.shards.token_count - 1) // self.window)
        return whole if self.limit is None else min(self.limit, whole)

    def sample(self, count: int) -> Self:
        """At most this many windows of the text, evenly spread."""
        return replace(self, limit=min(count, self.count))

    def batches(self) -> Iterator[tuple[Tokens, Tokens]]:
        """Inputs and labels, both [B, window] int64; labels that are not predicted are -100."""
        return windows_in_order(self.shards, self.window, max(1, BATCH_TOKENS // self.window), self.limit)

    def labels(self) -> Iterator[Tokens]:
        """The predicted tokens of each batch, in order, [N] int64."""
        for _, labels in self.batches():
            yield labels[labels != IGNORED]

    def text(self) -> Iterator[bytes]:
        """The bytes of each batch's predicted tokens; document marks have none."""
        for labels in self.labels():
            yield b"".join([self._pieces[token] for token in labels.tolist()])

    def size(self, labels: Tokens) -> int:
        """The number of bytes of predicted tokens."""
        return int(self._sizes[labels].sum())

    @cached_property
    def _pieces(self) -> list[bytes]:
        return [self.tokenizer.token_bytes(token) for token in range(self.tokenizer.vocabulary_size)]

    @cached_property
    def _sizes(self) -> Tokens:
        return np.array([len(piece) for piece in self._pieces], dtype=np.int64)
