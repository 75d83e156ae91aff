"""Segments of given texts, and the simplest workers, for tests of deduplication."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lumilab.corpus.deduplication import DuplicateReport, find_duplicates
from lumilab.corpus.deduplication.minhash import MinHasher
from lumilab.corpus.document import Document
from lumilab.corpus.segment import Segment, SegmentWriter
from lumilab.corpus.shards import to_line
from lumilab.recipe.corpus import CorpusConfig, FilesSource, MinHashConfig
from lumilab.work.phases import Done, Phase
from lumilab.work.plans import describe
from lumilab.work.stopping import StopRequest


@dataclass
class HereWorkers:
    """Does every task in this process, the last one first where asked to; remembers how many there were."""

    folder: Path
    backwards: bool = False
    tasks: dict[str, int] = field(default_factory=dict)

    def run(self, phase: Phase) -> list[Done]:
        self.tasks[phase.name] = len(phase.orders)
        assert len(phase.sizes) == len(phase.orders)
        done: dict[int, Done] = {}
        numbers = range(len(phase.orders))
        for number in reversed(numbers) if self.backwards else numbers:
            folder = self.folder / phase.name / str(number)
            folder.mkdir(parents=True)
            describe(phase.orders[number])  # what the ledger needs
            order = pickle.loads(pickle.dumps(phase.orders[number]))
            answer = phase.function(order, folder, StopRequest())
            done[number] = Done(folder, json.loads(json.dumps(answer, allow_nan=False)))
        return [done[number] for number in numbers]

    def leave(self) -> bool:
        return True


def config_of(deduplicate: str = "minhash", **minhash: object) -> CorpusConfig:
    """A corpus section that differs from the usual one in these values."""
    settings = MinHashConfig.model_validate(minhash)
    return CorpusConfig.model_validate(
        {"sources": [FilesSource(paths=["x"])], "deduplicate": deduplicate, "minhash": settings}
    )


def write_segments(folder: Path, texts: Sequence[Sequence[str]], config: MinHashConfig) -> list[Segment]:
    """One segment for each list of texts."""
    hasher = MinHasher(config)
    segments = []
    for number, group in enumerate(texts):
        place = folder / f"segment-{number}"
        place.mkdir(parents=True)
        with SegmentWriter(place, config.bands) as writer:
            for line, text in enumerate(group):
                document = Document(f"s:{number}:{line}", text, "s")
                data = text.encode()
                content = hashlib.blake2b(data, digest_size=16).digest()
                writer.write(document, to_line(document), len(data), content, hasher.bands(data))
        segments.append(Segment(place))
    return segments


def deduplicate(
    folder: Path,
    texts: Sequence[Sequence[str]],
    config: CorpusConfig,
    ranks: Sequence[int] | None = None,
    backwards: bool = False,
) -> tuple[list[list[int]], DuplicateReport, HereWorkers]:
    """The verdicts on every text, the report, and the workers that did it."""
    segments = write_segments(folder / "segments", texts, config.minhash)
    workers = HereWorkers(folder / "work", backwards)
    report = find_duplicates(segments, ranks or [0] * len(segments), config, workers)
    verdicts = [
        [0] * len(group) if path is None else np.load(path).tolist()
        for group, path in zip(texts, report.verdicts, strict=True)
    ]
    return verdicts, report, workers
