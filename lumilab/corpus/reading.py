"""The first phase of a build: one task's records read, cleaned, filtered and hashed, in one process, in bounded memory.

The way of a record: read by its source; cleaned; dropped if empty, short or contaminated; the quality filters, which
may shorten it; personal data replaced; then written to the task's segment with the hashes that deduplication needs.
What cannot be read goes to the task's own quarantine list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from lumilab.artifact import canonical_json
from lumilab.corpus.cleaning import clean
from lumilab.corpus.decontamination import Contamination
from lumilab.corpus.deduplication.minhash import MinHasher
from lumilab.corpus.document import BadRecord, Document, Record, Skipped
from lumilab.corpus.filters import build_filters
from lumilab.corpus.personal_data import scrub
from lumilab.corpus.segment import SegmentWriter
from lumilab.corpus.shards import to_line
from lumilab.corpus.sources.source import Part
from lumilab.corpus.tally import Tally
from lumilab.recipe.corpus import CorpusConfig
from lumilab.work.stopping import StopRequest

QUARANTINE = "quarantine.jsonl"
TALLIES = "tallies.json"


@dataclass(frozen=True)
class ReadOrder:
    """What one worker reads.

    Attributes:
        config: the corpus section.
        source: name of the source.
        parts: of the source, each with the tasks to read, one after the other, into one segment. More than one task
            only where a limit holds for all of them.
        contamination: file of hashes to compare with, when evaluation sets are kept out.
    """

    config: CorpusConfig
    source: str
    parts: tuple[Part, ...]
    contamination: Path | None


def read_segment(order: ReadOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Reads what is ordered into a segment in `folder`.

    The answer tells how many records were read and how many documents of each part were accepted; `tallies.json` has
    a tally of each part, `quarantine.jsonl` what could not be read.
    """
    refine = Refinery(order.config, order.contamination)
    left = order.config.limit
    tallies: list[Tally] = []
    accepted: list[int] = []
    with (
        SegmentWriter(folder, order.config.minhash.bands if refine.hasher else None) as segment,
        (folder / QUARANTINE).open("wb") as quarantine,
    ):
        for part in order.parts:
            tally = Tally(order.source, part.name)
            before = len(segment)
            records = (record for task in part.tasks for record in task.read(stop))
            for record in islice(records, left):
                stop.check()
                _take(record, tally, refine, segment, quarantine)
            tallies.append(tally)
            accepted.append(len(segment) - before)
            if left is not None:
                left -= tally.read
    (folder / TALLIES).write_bytes(canonical_json([tally.to_json() for tally in tallies]))
    return {"read": sum(tally.read for tally in tallies), "accepted": accepted}


def _take(record: Record, tally: Tally, refine: Refinery, segment: SegmentWriter, quarantine: BinaryIO) -> None:
    """The one way every record goes: into the segment, dropped, or quarantined."""
    tally.read += 1
    if isinstance(record, BadRecord):
        tally.quarantine(record)
        quarantine.write(canonical_json({"source": tally.source, **asdict(record)}) + b"\n")
    elif isinstance(record, Skipped):
        tally.dropped[record.reason] += 1
    else:
        document, reason = refine(record)
        if reason is not None:
            tally.drop(document.id, document.text, reason)
            return
        data = document.text.encode()
        bands = refine.hasher.bands(data) if refine.hasher else None
        content = hashlib.blake2b(data, digest_size=16).digest()
        segment.write(document, to_line(document), len(data), content, bands)


class Refinery:
    """What is done to each document of a task: the same object for all, because the filters take time to set up."""

    def __init__(self, config: CorpusConfig, contamination: Path | None) -> None:
        self._config = config
        self._filters = build_filters(config.filters)
        self._contamination = Contamination.load(contamination) if contamination and config.decontamination else None
        self.hasher = MinHasher(config.minhash) if config.deduplicate == "minhash" else None

    def __call__(self, document: Document) -> tuple[Document, str | None]:
        """The document as it goes into the corpus, or as it was when it was dropped and the reason why."""
        config = self._config
        document = replace(document, text=clean(document.text, config.cleaning))
        reason = self._too_short(document.text) or self._contaminated(document.text)
        if reason is None and self._filters is not None:
            verdict = self._filters.apply(document.text)
            document = replace(document, text=verdict.text, meta=document.meta | verdict.meta)
            reason = verdict.reason or self._too_short(document.text)
        if reason is None and (config.cleaning.emails or config.cleaning.ip_addresses):
            text, _ = scrub(document.text, config.cleaning.emails, config.cleaning.ip_addresses)
            document = replace(document, text=text)
        return document, reason

    def _too_short(self, text: str) -> str | None:
        if not text:
            return "empty"
        return "short" if len(text) < self._config.min_characters else None

    def _contaminated(self, text: str) -> str | None:
        if self._contamination is None or self._config.decontamination is None:
            return None
        found = self._contamination.hits(text.encode())
        return f"contaminated: {found.name}" if found.share > self._config.decontamination.share else None


def quarantined(folder: Path) -> Iterator[bytes]:
    """The quarantine lines of a finished task."""
    with (folder / QUARANTINE).open("rb") as lines:
        yield from lines
