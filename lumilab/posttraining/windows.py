"""Training windows of whole conversations, several in each and none seeing another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lumilab.posttraining.examples import Examples
from lumilab.posttraining.packing import pack
from lumilab.posttraining.template import Rendered
from lumilab.training.objective import UNTRAINED, Batch


class PackedWindows:
    """Windows of whole conversations.

    Args:
        examples: none longer than the window.
        window: places in each.
        pad_id: fills what is left of a window.
    """

    def __init__(self, examples: Examples, window: int, pad_id: int) -> None:
        self._examples = examples
        self._window = window
        self._pad_id = pad_id
        self._packed = pack(examples.lengths(), window)

    def __len__(self) -> int:
        return len(self._packed)

    def conversations(self, window: int) -> list[Rendered]:
        """The conversations that share the window of this number."""
        return [self._examples.rendered(index) for index in self._packed[window]]

    def batch(self, windows: Sequence[int]) -> Batch:
        """The windows of these numbers as a batch; a number of -1 gives a window of padding.

        Each conversation is a document of its own (from 1 on; padding is 0), so that none sees another and positions
        count from its beginning.
        """
        shape = (len(windows), self._window)
        ids = np.full(shape, self._pad_id, dtype=np.int64)
        labels = np.full(shape, UNTRAINED, dtype=np.int64)
        documents = np.zeros(shape, dtype=np.int64)
        for row, window in enumerate(windows):
            start = 0
            for number, index in enumerate(self._packed[window] if window >= 0 else [], start=1):
                inputs, targets = self._examples.example(index)
                places = slice(start, start + len(inputs))
                ids[row, places], labels[row, places], documents[row, places] = inputs, targets, number
                start += len(inputs)
        return Batch(torch.from_numpy(ids), torch.from_numpy(labels), torch.from_numpy(documents))
