"""A few conversations as the model will see them, the same few whatever the order in which they were met."""

from __future__ import annotations

import heapq
from itertools import groupby
from typing import Any

from lumilab.dataset.order import order_key
from lumilab.posttraining.messages import Conversation
from lumilab.posttraining.template import Rendered
from lumilab.tokenizer.load import Tokenizer

PER_SOURCE = 3


class Samples:
    """Keeps the conversations of each source whose ids have the smallest hashes (bottom-k sampling)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._kept: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}

    def offer(self, conversation: Conversation, rendered: Rendered, split: str) -> None:
        """Considers one conversation."""
        rank = -order_key("sample", conversation.id)  # a heap has its smallest entry, so the largest hash, first
        kept = self._kept.setdefault(conversation.source, [])
        if len(kept) < PER_SOURCE:
            heapq.heappush(kept, (rank, conversation.id, self._describe(conversation, rendered, split)))
        elif rank > kept[0][0]:
            heapq.heapreplace(kept, (rank, conversation.id, self._describe(conversation, rendered, split)))

    def summary(self) -> list[dict[str, Any]]:
        """All that were kept, by source and id."""
        entries = [(source, name, entry) for source, kept in self._kept.items() for _, name, entry in kept]
        return [entry for _, _, entry in sorted(entries, key=lambda item: item[:2])]

    def _describe(self, conversation: Conversation, rendered: Rendered, split: str) -> dict[str, Any]:
        return {
            "id": conversation.id,
            "source": conversation.source,
            "split": split,
            "tokens": len(rendered.ids),
            "trained_tokens": sum(rendered.trained),
            "pieces": [
                {"trained": trained, "text": self._tokenizer.decode([token for token, _ in run], keep_special=True)}
                for trained, run in groupby(zip(rendered.ids, rendered.trained, strict=True), key=lambda pair: pair[1])
            ],
        }
