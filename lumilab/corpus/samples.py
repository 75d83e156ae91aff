"""A few documents to look at, the same few whatever the order or number of workers that met them.

Bottom-k sampling: the documents whose ids have the smallest hashes are kept, which is a uniform sample without
replacement (Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007) and merges across workers.
"""

from __future__ import annotations

import hashlib
import heapq

from lumilab.corpus.document import Document

EXCERPT_CHARACTERS = 600


class Samples:
    """Keeps the beginnings of `size` documents."""

    def __init__(self, size: int = 3) -> None:
        self._size = size
        self._kept: list[tuple[int, str, str]] = []  # a heap with the largest hash first, as negative numbers

    def offer(self, document: Document) -> None:
        """Considers one document."""
        rank = -int.from_bytes(hashlib.blake2b(document.id.encode(), digest_size=8).digest())
        if len(self._kept) < self._size:
            heapq.heappush(self._kept, (rank, document.id, document.text[:EXCERPT_CHARACTERS]))
        elif rank > self._kept[0][0]:
            heapq.heapreplace(self._kept, (rank, document.id, document.text[:EXCERPT_CHARACTERS]))

    def summary(self) -> list[dict[str, str]]:
        """Ids and excerpts, in the order of the hashes."""
        return [{"id": name, "excerpt": excerpt} for _, name, excerpt in sorted(self._kept, reverse=True)]
