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
from typing import TYPE_CHECKING, Any, BinaryIO

from lumilab.artifact import canonical_json
from lumilab.corpus.cleaning import clean
from lumilab.corpus.document import BadRecord, Document, Record, Skipped
from lumilab.corpus.personal_data import scrub
from lumilab.corpus.segment import SegmentWriter
from lumilab.corpus.shards import to_line
from lumilab.corpus.sources.source import Part
from lumilab.corpus.tally import Tally
from lumilab.recipe.corpus import CorpusConfig
from lumilab.recipe.filters import FiltersConfig
from lumilab.recipe.section import Section
from lumilab.work.stopping import StopRequest

if TYPE_CHECKING:
    from lumilab.corpus.decontamination import Contamination
    from lumilab.corpus.deduplication.minhash import MinHasher
    from lumilab.corpus.filters import Filters

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


def filters_anything(config: FiltersConfig) -> bool:
    """Whether any filter is on."""
    return any(isinstance(getattr(config, name), Section) for name in FiltersConfig.model_fields)


class Refinery:
    """What is done to each document of a task: the same object for all, because the filters take time to set up.

    What the configuration does not ask for is not imported: compiled filters and hashes need libraries of their own.
    """

    def __init__(self, config: CorpusConfig, contamination: Path | None) -> None:
        self._config = config
        self._filters: Filters | None = None
        self._contamination: Contamination | None = None
        self.hasher: MinHasher | None = None
        if filters_anything(config.filters):
            from lumilab.corpus.filters import build_filters

            self._filters = build_filters(config.filters)
        if contamination is not None:
            from lumilab.corpus.decontamination import Contamination

            self._contamination = Contamination.load(contamination)
        if config.deduplicate == "minhash":
            from lumilab.corpus.deduplication.minhash import MinHasher

            self.hasher = MinHasher(config.minhash)

    def __call__(self, document: Document) -> tuple[Document, str | None]:
        """The document as it goes into the corpus, or as it was when it was dropped and the reason why; without
        personal data in both cases."""
        config = self._config
        document = replace(document, text=clean(document.text, config.cleaning))
        reason = self._too_short(document.text) or self._contaminated(document.text)
        if reason is None and self._filters is not None:
            verdict = self._filters.apply(document.text)
            document = replace(document, text=verdict.text, meta=document.meta | verdict.meta)
            reason = verdict.reason or self._too_short(document.text)
        if config.cleaning.emails or config.cleaning.ip_addresses:  # also of what is dropped: the card shows samples
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
