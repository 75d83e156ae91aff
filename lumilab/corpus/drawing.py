"""Drawing documents to look at: a uniform sample without replacement, in one pass, the same for the same seed.

Bottom-k, as in `corpus.samples`: each document's rank is a keyed hash of its id, and those of the smallest ranks are
the sample. So it depends neither on the order of the documents nor on those that were passed over by a condition.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lumilab.artifact import Artifact
from lumilab.corpus.document import BadRecord, Document
from lumilab.errors import InputError


@dataclass(frozen=True)
class Wanted:
    """Which documents may be drawn: those of one source, those that hold a text as it stands; None for any."""

    source: str | None = None
    contains: str | None = None

    def __call__(self, document: Document) -> bool:
        return (self.source is None or document.source == self.source) and (
            self.contains is None or self.contains in document.text
        )


def rank(name: str, seed: int) -> bytes:
    """A document's place in the draw of this seed, by its id: 16 bytes."""
    return hashlib.blake2b(name.encode(), digest_size=16, key=str(seed).encode()).digest()


def draw(records: Iterable[Document | BadRecord], count: int, seed: int, wanted: Wanted) -> list[Document]:
    """`count` documents, or all that are wanted where these are fewer, in the order of the draw."""
    documents = (record for record in records if isinstance(record, Document) and wanted(record))
    return heapq.nsmallest(count, documents, key=lambda document: (rank(document.id, seed), document.text))


def dropped_documents(corpus: Artifact, reason: str) -> list[Document]:
    """What the corpus's card keeps of the documents that were dropped for a reason: the beginnings of up to ten.

    Raises:
        InputError: nothing was dropped for this reason.
    """
    card: dict[str, Any] = json.loads(corpus.file("card.json").read_bytes())
    dropped: dict[str, Any] = card.get("dropped", {})
    with_samples = {name: facts for name, facts in dropped.items() if facts["samples"]}
    if reason not in with_samples:
        known = ", ".join(f"{name!r}" for name in sorted(with_samples))
        raise InputError(
            f"The corpus's card has no documents that were dropped as {reason!r}",
            where=str(corpus.path / "card.json"),
            mend=f"it has those dropped as {known}." if known else "it has none at all: nothing was dropped.",
        )
    return [Document(each["id"], each["excerpt"], each["source"]) for each in with_samples[reason]["samples"]]
