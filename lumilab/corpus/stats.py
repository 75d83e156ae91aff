"""Counting what documents hold, in one pass and bounded memory: how many, how long, from where, in which languages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lumilab.corpus.document import BadRecord, Document
from lumilab.corpus.lengths import LengthHistogram
from lumilab.corpus.segment import LANGUAGE


@dataclass
class Counts:
    """What one group of documents holds.

    Attributes:
        characters: Unicode code points.
        bytes: of the text in UTF-8.
        words: runs of characters between white space, which is about what people call a word where words are parted
            by spaces, and far from it where they are not (Chinese, Japanese, Thai).
    """

    bytes: int = 0
    words: int = 0
    lengths: LengthHistogram = field(default_factory=LengthHistogram)

    @property
    def documents(self) -> int:
        return self.lengths.count

    @property
    def characters(self) -> int:
        return self.lengths.total

    def add(self, text: str) -> None:
        """Counts one document."""
        self.bytes += len(text.encode())
        self.words += len(text.split())
        self.lengths.add(len(text))

    def merge(self, other: Counts) -> None:
        """Counts what another counted."""
        self.bytes += other.bytes
        self.words += other.words
        self.lengths.merge(other.lengths)

    def to_json(self) -> dict[str, Any]:
        """The numbers, as JSON values."""
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
            "words": self.words,
            "lengths": self.lengths.summary(),
        }


@dataclass
class CorpusStatistics:
    """What a collection of documents holds, by source; `languages` as identified when the corpus was built."""

    sources: dict[str, Counts] = field(default_factory=dict)
    languages: Counter[str] = field(default_factory=Counter)
    unreadable: Counter[str] = field(default_factory=Counter)

    def add(self, record: Document | BadRecord) -> None:
        """Counts one record."""
        if isinstance(record, BadRecord):
            self.unreadable[record.reason] += 1
            return
        self.sources.setdefault(record.source, Counts()).add(record.text)
        language = record.meta.get(LANGUAGE)
        if isinstance(language, str):
            self.languages[language] += 1

    def total(self) -> Counts:
        """All sources together."""
        total = Counts()
        for counts in self.sources.values():
            total.merge(counts)
        return total

    def to_json(self, stored: int | None) -> dict[str, Any]:
        """Everything, as JSON values.

        Args:
            stored: bytes on disk that hold these documents; None where it is not all of them that were counted.
        """
        total = self.total()
        return total.to_json() | {
            "stored_bytes": stored,
            "compression": round(total.bytes / stored, 3) if stored else None,
            "sources": {name: counts.to_json() for name, counts in sorted(self.sources.items())},
            "languages": dict(self.languages.most_common()),
            "unreadable": dict(self.unreadable),
        }


def count_documents(records: Iterable[Document | BadRecord]) -> CorpusStatistics:
    """Counts all of them."""
    statistics = CorpusStatistics()
    for record in records:
        statistics.add(record)
    return statistics
