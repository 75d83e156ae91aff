"""A few documents to look at, the same few whatever the order or number of workers that met them.

Bottom-k sampling: the documents whose ids have the smallest hashes are kept, which is a uniform sample without
replacement (Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007) and merges across workers.
"""

from __future__ import annotations

import hashlib
import heapq
from typing import Any, Self

EXCERPT_CHARACTERS = 600


def rank_of(name: str) -> int:
    """A document's place in the draw, by its id: a hash of 63 bits."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest()) >> 1


class Samples:
    """Keeps the beginnings of `size` documents."""

    def __init__(self, size: int = 3) -> None:
        self._size = size
        self._kept: list[tuple[int, str, str]] = []  # a heap with the largest rank first, as negative numbers

    def wants(self, rank: int) -> bool:
        """Whether a document of this rank would be kept as things stand."""
        return len(self._kept) < self._size or -rank > self._kept[0][0]

    def offer(self, name: str, text: str) -> None:
        """Considers the document of this id."""
        self._take((-rank_of(name), name, text[:EXCERPT_CHARACTERS]))

    def merge(self, other: Samples) -> None:
        """Considers what another kept."""
        for item in other._kept:
            self._take(item)

    def _take(self, item: tuple[int, str, str]) -> None:
        if len(self._kept) < self._size:
            heapq.heappush(self._kept, item)
        elif item > self._kept[0]:
            heapq.heapreplace(self._kept, item)

    def summary(self) -> list[dict[str, str]]:
        """Ids and excerpts, in the order of the hashes."""
        return [{"id": name, "excerpt": excerpt} for _, name, excerpt in sorted(self._kept, reverse=True)]

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return {"size": self._size, "kept": sorted(self._kept)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` was made from."""
        samples = cls(value["size"])
        samples._kept = [(rank, name, excerpt) for rank, name, excerpt in value["kept"]]  # sorted, so a heap
        return samples
