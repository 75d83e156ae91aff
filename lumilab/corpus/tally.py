"""What became of the records of one part of one source; tallies of several tasks add up to the tally of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lumilab.corpus.document import BadRecord
from lumilab.corpus.lengths import LengthHistogram
from lumilab.corpus.samples import Samples

EXAMPLES = 3  # unreadable records kept to show
DROPPED_SAMPLES = 10  # of each reason


@dataclass
class Tally:
    """Counts, lengths and samples of one part; `bytes` are of the kept text in UTF-8.

    Attributes:
        read: raw records, readable or not.
        unreadable: how many could not be read, by reason.
        dropped: how many were left out, by reason.
        languages: of the kept documents, where a filter identified them.
    """

    source: str
    part: str
    read: int = 0
    bytes: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    examples: list[BadRecord] = field(default_factory=list)
    lengths: LengthHistogram = field(default_factory=LengthHistogram)
    samples: Samples = field(default_factory=Samples)
    dropped_samples: dict[str, Samples] = field(default_factory=dict)

    def quarantine(self, record: BadRecord) -> None:
        """Counts a record that could not be read."""
        self.unreadable[record.reason] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(record)

    def drop(self, name: str, text: str, reason: str) -> None:
        """Counts a document that was left out, by its id and text."""
        self.dropped[reason] += 1
        self.dropped_samples.setdefault(reason, Samples(DROPPED_SAMPLES)).offer(name, text)

    def keep(self, facts: npt.NDArray[np.int64], languages: Sequence[str | None]) -> None:
        """Counts documents that go into the corpus, by their facts (see segment.FACTS), int64 [documents, 4]."""
        self.bytes += int(facts[:, 1].sum())
        for length, count in zip(*np.unique(facts[:, 0], return_counts=True), strict=True):
            self.lengths.add(int(length), int(count))
        for number, count in zip(*np.unique(facts[:, 3], return_counts=True), strict=True):
            name = languages[int(number)]
            if name is not None:
                self.languages[name] += int(count)

    def merge(self, other: Tally) -> None:
        """Adds the tally of a later task of the same part."""
        self.read += other.read
        self.bytes += other.bytes
        self.unreadable += other.unreadable
        self.dropped += other.dropped
        self.languages += other.languages
        self.examples = [*self.examples, *other.examples][:EXAMPLES]
        self.lengths.merge(other.lengths)
        self.samples.merge(other.samples)
        for reason, samples in other.dropped_samples.items():
            self.dropped_samples.setdefault(reason, Samples(DROPPED_SAMPLES)).merge(samples)

    def counts(self) -> dict[str, Any]:
        """The numbers, as JSON values."""
        return {
            "source": self.source,
            "part": self.part,
            "read": self.read,
            "unreadable": dict(self.unreadable),
            "dropped": dict(self.dropped),
            "languages": dict(self.languages),
            "documents": self.lengths.count,
            "characters": self.lengths.total,
            "bytes": self.bytes,
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON values."""
        return self.counts() | {
            "examples": [asdict(record) for record in self.examples],
            "lengths": self.lengths.to_json(),
            "samples": self.samples.to_json(),
            "dropped_samples": {reason: samples.to_json() for reason, samples in self.dropped_samples.items()},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """What `to_json` was made from."""
        return cls(
            source=value["source"],
            part=value["part"],
            read=value["read"],
            bytes=value["bytes"],
            unreadable=Counter(value["unreadable"]),
            dropped=Counter(value["dropped"]),
            languages=Counter(value["languages"]),
            examples=[BadRecord(**record) for record in value["examples"]],
            lengths=LengthHistogram.from_json(value["lengths"]),
            samples=Samples.from_json(value["samples"]),
            dropped_samples={
                reason: Samples.from_json(samples) for reason, samples in value["dropped_samples"].items()
            },
        )


def totals(tallies: Iterable[Tally]) -> dict[str, Any]:
    """The numbers of all parts together, as JSON values."""
    tallies = list(tallies)
    return {
        "read": sum(tally.read for tally in tallies),
        "unreadable": dict(sum((tally.unreadable for tally in tallies), Counter())),
        "dropped": dict(sum((tally.dropped for tally in tallies), Counter())),
        "languages": dict(sum((tally.languages for tally in tallies), Counter())),
        "documents": sum(tally.lengths.count for tally in tallies),
        "characters": sum(tally.lengths.total for tally in tallies),
        "bytes": sum(tally.bytes for tally in tallies),
    }
