"""What a model remembers of several texts, and reading further tokens into it.

Each slot holds the keys and values of one text (`ids` says which). A slot keeps them when its text has ended, so that
the next one need not read again what both have in common. On a CPU with a C compiler the kernels of this room read
(kernels.py); anywhere else the model itself does, with its own cache.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lumilab.inference import kernels
from lumilab.model import KVCache, Transformer


class Reading(NamedTuple):
    """Tokens to read next into a slot, at least one. `every`: the logits after each are wanted, not only the last."""

    slot: int
    ids: Sequence[int]
    every: bool = False


class Memory(ABC):
    """Some slots, each with room for `capacity` tokens.

    Args:
        slots: number of texts.
        capacity: most tokens of each.

    Attributes:
        ids: the tokens that each slot holds.
    """

    def __init__(self, slots: int, capacity: int) -> None:
        self.ids: list[list[int]] = [[] for _ in range(slots)]
        self.capacity = capacity

    def common(self, slot: int, ids: Sequence[int]) -> int:
        """How many of the first of `ids` a slot holds; at most all but the last, as the logits after it are wanted."""
        held = self.ids[slot]
        most = min(len(held), len(ids) - 1)
        return next((number for number in range(most) if held[number] != ids[number]), most)

    def rewind(self, slot: int, ids: Sequence[int]) -> list[int]:
        """Keeps what a slot holds of the beginning of `ids`, forgets the rest, and returns what is left to read."""
        common = self.common(slot, ids) if ids else 0
        self.truncate(slot, common)
        return list(ids[common:])

    def truncate(self, slot: int, length: int) -> None:
        """Forgets a slot's tokens from number `length` on."""
        del self.ids[slot][length:]

    @abstractmethod
    def copy(self, source: int, target: int, length: int) -> None:
        """Makes a slot hold the first `length` tokens of another."""

    @abstractmethod
    def read(self, readings: Sequence[Reading]) -> list[Tensor]:
        """Reads further tokens, of at most one text a slot, together.

        Returns:
            For each reading its logits, [1 or number of its tokens, vocabulary].

        Raises:
            ValueError: a slot has no room for its tokens.
        """

    def _check_room(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            if len(self.ids[reading.slot]) + len(reading.ids) > self.capacity:
                raise ValueError(f"slot {reading.slot} has no room for {len(reading.ids)} more tokens")


def remember(model: Transformer, slots: int, capacity: int) -> Memory:
    """An empty memory of the kind that is fastest for the model where it is."""
    return KernelMemory(model, slots, capacity) if kernels.usable(model) else ModelMemory(model, slots, capacity)


class KernelMemory(Memory):
    """Read by the kernels, all tokens of all texts in one pass. A text's logits do not depend on the others."""

    def __init__(self, model: Transformer, slots: int, capacity: int) -> None:
        super().__init__(slots, capacity)
        config = model.config
        shape = (slots, config.kv_heads, capacity, config.head_dim)
        self._keys = [torch.empty(shape) for _ in range(config.layers)]
        self._values = [torch.empty(shape) for _ in range(config.layers)]
        self._model = kernels.KernelModel(model, self._keys, self._values)

    def copy(self, source: int, target: int, length: int) -> None:
        for tensor in (*self._keys, *self._values):
            tensor[target, :, :length] = tensor[source, :, :length]
        self.ids[target] = self.ids[source][:length]

    def read(self, readings: Sequence[Reading]) -> list[Tensor]:
        self._check_room(readings)
        ids = [token for reading in readings for token in reading.ids]
        slots = [reading.slot for reading in readings for _ in reading.ids]
        starts = [len(self.ids[reading.slot]) for reading in readings]
        positions = [
            start + place for start, reading in zip(starts, readings, strict=True) for place in range(len(reading.ids))
        ]
        features = self._model.features(torch.tensor(ids), torch.tensor(slots), torch.tensor(positions))
        wanted: list[int] = []
        counts: list[int] = []
        end = 0
        for reading in readings:
            self.ids[reading.slot] += reading.ids
            end += len(reading.ids)
            counts.append(len(reading.ids) if reading.every else 1)
            wanted += range(end - counts[-1], end)
        return list(torch.split(self._model.logits(features[wanted]), counts))


class ModelMemory(Memory):
    """Read by the model itself: longer pieces one by one, single tokens together.

    Single tokens go through a pass over all slots, whichever are in use, so that its shapes are always the same; what
    the other rows write is behind the end of their texts.
    """

    def __init__(self, model: Transformer, slots: int, capacity: int) -> None:
        super().__init__(slots, capacity)
        self._model = model
        norm = next(model.model.norm.parameters())
        self._device = norm.device
        self._cache = KVCache(model.config, slots, capacity, model.activation_dtype or norm.dtype, norm.device)

    def copy(self, source: int, target: int, length: int) -> None:
        for tensor in (*self._cache.keys, *self._cache.values):
            tensor[target, :, :length] = tensor[source, :, :length]
        self.ids[target] = self.ids[source][:length]

    @torch.no_grad()
    def read(self, readings: Sequence[Reading]) -> list[Tensor]:
        self._check_room(readings)
        together = {reading.slot: reading.ids[0] for reading in readings if len(reading.ids) == 1}
        single = self._step(together) if len(together) > 1 else {}
        return [
            single[reading.slot] if reading.slot in single else self._model.logits(self._piece(reading))
            for reading in readings
        ]

    def _piece(self, reading: Reading) -> Tensor:
        """Features [1 or number of tokens, width]."""
        held = self.ids[reading.slot]
        row = self._cache.row(reading.slot, len(held))
        features = self._model.features(torch.tensor([list(reading.ids)], device=self._device), cache=row)[0]
        held += reading.ids
        return features if reading.every else features[-1:]

    def _step(self, tokens: dict[int, int]) -> dict[int, Tensor]:
        for slot, held in enumerate(self.ids):
            if slot not in tokens:  # its row needs a place to write to
                del held[self.capacity - 1 :]
        self._cache.lengths = [len(held) for held in self.ids]
        column = torch.tensor([[tokens.get(slot, 0)] for slot in range(len(self.ids))], device=self._device)
        logits = self._model.logits(self._model.features(column, cache=self._cache)[:, 0])
        for slot, token in tokens.items():
            self.ids[slot].append(token)
        return {slot: logits[slot : slot + 1] for slot in tokens}
