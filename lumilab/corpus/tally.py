"""What became of the records of one part of one source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lumilab.corpus.document import BadRecord, Document
from lumilab.corpus.lengths import LengthHistogram
from lumilab.corpus.samples import Samples

EXAMPLES = 3  # unreadable records kept to show


@dataclass
class Tally:
    """Counts, lengths and samples of one part; `bytes` are of the kept text in UTF-8.

    Attributes:
        read: raw records, readable or not.
        unreadable: how many could not be read, by reason.
        dropped: how many documents were left out, by reason.
    """

    source: str
    part: str
    read: int = 0
    bytes: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    examples: list[BadRecord] = field(default_factory=list)
    lengths: LengthHistogram = field(default_factory=LengthHistogram)
    samples: Samples = field(default_factory=Samples)
    dropped_samples: dict[str, Samples] = field(default_factory=dict)

    def add_unreadable(self, record: BadRecord) -> None:
        """Counts a record that could not be read."""
        self.read += 1
        self.unreadable[record.reason] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(record)

    def add_dropped(self, document: Document, reason: str) -> None:
        """Counts a document that was left out."""
        self.read += 1
        self.dropped[reason] += 1
        self.dropped_samples.setdefault(reason, Samples()).offer(document)

    def add_kept(self, document: Document, size: int) -> None:
        """Counts a document of `size` bytes that went into the corpus."""
        self.read += 1
        self.bytes += size
        self.lengths.add(len(document.text))
        self.samples.offer(document)

    def counts(self) -> dict[str, Any]:
        """The numbers, as JSON values."""
        return {
            "source": self.source,
            "part": self.part,
            "read": self.read,
            "unreadable": dict(self.unreadable),
            "dropped": dict(self.dropped),
            "documents": self.lengths.count,
            "characters": self.lengths.total,
            "bytes": self.bytes,
        }


def totals(tallies: Iterable[Tally]) -> dict[str, Any]:
    """The numbers of all parts together, as JSON values."""
    tallies = list(tallies)
    return {
        "read": sum(tally.read for tally in tallies),
        "unreadable": dict(sum((tally.unreadable for tally in tallies), Counter())),
        "dropped": dict(sum((tally.dropped for tally in tallies), Counter())),
        "documents": sum(tally.lengths.count for tally in tallies),
        "characters": sum(tally.lengths.total for tally in tallies),
        "bytes": sum(tally.bytes for tally in tallies),
    }
