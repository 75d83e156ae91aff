"""A few examples as the model will see them, the same few whatever the order in which they were met."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from lumilab.dataset.order import order_key
from lumilab.posttraining.messages import Example
from lumilab.posttraining.template import Rendered
from lumilab.tokenizer.load import Tokenizer

PER_SOURCE = 3


class Samples:
    """Keeps the examples of each source whose ids have the smallest hashes (bottom-k sampling)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._kept: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}

    def offer(self, example: Example, split: str, *rendered: Rendered) -> None:
        """Considers one example with its rendered sides."""
        rank = -order_key("sample", example.id)  # a heap has its smallest entry, so the largest hash, first
        kept = self._kept.setdefault(example.source, [])
        if len(kept) < PER_SOURCE:
            heapq.heappush(kept, (rank, example.id, self._describe(example, split, rendered)))
        elif rank > kept[0][0]:
            heapq.heapreplace(kept, (rank, example.id, self._describe(example, split, rendered)))

    def summary(self) -> list[dict[str, Any]]:
        """All that were kept, by source and id."""
        entries = [(source, name, entry) for source, kept in self._kept.items() for _, name, entry in kept]
        return [entry for _, _, entry in sorted(entries, key=lambda item: item[:2])]

    def _describe(self, example: Example, split: str, rendered: Sequence[Rendered]) -> dict[str, Any]:
        described = {"id": example.id, "source": example.source, "split": split}
        if len(rendered) == 1:
            return described | self._side(rendered[0])
        return described | {"sides": [self._side(side) for side in rendered]}

    def _side(self, rendered: Rendered) -> dict[str, Any]:
        return {
            "tokens": len(rendered.ids),
            "trained_tokens": sum(rendered.trained),
            "pieces": [
                {"trained": trained, "text": self._tokenizer.decode([token for token, _ in run], keep_special=True)}
                for trained, run in groupby(zip(rendered.ids, rendered.trained, strict=True), key=lambda pair: pair[1])
            ],
        }
