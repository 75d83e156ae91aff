"""From raw sources to a corpus: read, clean, filter, deduplicate, write, on any number of workers.

Three phases of independent tasks (see lumilab.work.phases): reading, which leaves a segment of accepted documents and
their hashes for each task; deduplication, which says which documents stay; writing, which makes the shards. What comes
out depends on the raw files, the configuration and, for the docstrings of compiled modules, the interpreter; where the
files lie, who did the work, how often it was killed and how long it took do not matter.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, ArtifactBuilder, digest_of, record_raw_files, work_folder
from lumilab.corpus import VERSION
from lumilab.corpus.acceptance import check_not_empty, check_readable, tell, write_list
from lumilab.corpus.card import write_card
from lumilab.corpus.deduplication import find_duplicates
from lumilab.corpus.plan import corpus_identity, inventory_of, open_sources, plan_reading, raw_paths
from lumilab.corpus.reading import QUARANTINE, TALLIES, ReadOrder, quarantined, read_segment
from lumilab.corpus.segment import Segment
from lumilab.corpus.shards import SHARD, SHARD_TALLIES, Piece, plan_shards, shard_name, write_ordered_shard
from lumilab.corpus.sources.source import Unchanged
from lumilab.corpus.tally import Tally, totals
from lumilab.errors import InputError
from lumilab.recipe.corpus import CorpusConfig
from lumilab.work.context import WorkContext
from lumilab.work.executors import workers_for
from lumilab.work.phases import Done, Phase, Workers
from lumilab.work.progress import format_count
from lumilab.work.ranks import Rank

SMALL = 64 << 20  # bytes of raw files: starting processes would take longer than they save


def build_corpus(
    config: CorpusConfig, target: Path, context: WorkContext, rank: Rank | None = None, raw: str | None = None
) -> Artifact | None:
    """Builds and publishes the corpus at `target`, in the place of an earlier one.

    The artifact holds `documents/shard-*.jsonl.zst`, `quarantine.jsonl`, `raw.jsonl`, `card.json`, `CARD.md` and
    `card.html`. What a killed build has finished lies in a hidden folder beside the target, and the next one goes on
    from there.

    Args:
        config: the corpus section.
        target: the artifact's folder.
        context: where to report, and whether to stop.
        rank: which of several processes this is that build the same corpus on a shared file system.
        raw: digest of the raw files that the target is named after; None to build from whatever is there.

    Returns:
        The artifact; None in a rank that leaves the publishing to another.

    Raises:
        InputError: raw data is missing, too much of it is unreadable, nothing is left of it, or it changed since
            `raw` was computed or while it was being read.
        ConfigError: two sources have one name, or a library is missing.
    """
    sources = open_sources(config)
    paths = raw_paths(config, sources)
    unchanged = Unchanged(paths)
    files, roots = inventory_of(config, sources)
    listed = [asdict(file) for file in files]
    if raw is not None and digest_of(listed) != raw:
        raise InputError(
            "The raw files are not those that this build was planned for: they changed in the meantime",
            where=", ".join(str(place) for place in roots.values()),
            mend="run the same command again; of a dataset of the hub that moves on, set `revision` to a commit.",
        )
    work = work_folder(target)
    basis = [VERSION, corpus_identity(config), listed]
    count = config.workers or (1 if sum(file.size for file in files) < SMALL else None)
    workers = workers_for("ranks" if rank else config.executor, work, context, count, rank=rank, basis=basis)
    orders = plan_reading(config, sources, _contamination(config, workers))
    segments = _Segments(orders, workers.run(_reading(orders)))
    folders = {file.root: file.folder for file in paths}
    check_readable(config, segments.tallies(), folders, lambda: write_list(segments.quarantine(), work / QUARANTINE))
    check_not_empty(config, segments.tallies())
    priorities = {source.name: source.priority for source in config.sources}
    report = find_duplicates(segments.segments, [priorities[order.source] for order in orders], config, workers)
    shards = workers.run(_writing(config, segments.pieces(report.verdicts)))
    unchanged.check()
    if not workers.leave():
        return None
    with ArtifactBuilder(target, kind="corpus", config={"corpus": corpus_identity(config)}) as builder:
        for number, done in enumerate(shards):
            _adopt(done.folder / SHARD, builder.path(shard_name(number)))
        with builder.open(QUARANTINE) as quarantine:
            quarantine.writelines(segments.quarantine())
        record_raw_files(builder, files, roots)
        tallies = segments.tallies(*(done.folder / SHARD_TALLIES for done in shards))
        write_card(builder, config, tallies, report)
        builder.statistics = totals(tallies) | {"parts": [tally.counts() for tally in tallies]}
        artifact = builder.publish(replace=True)
    shutil.rmtree(work, ignore_errors=True)
    tell(artifact.manifest.statistics, context.report, artifact.file(QUARANTINE))
    return artifact


def _contamination(config: CorpusConfig, workers: Workers) -> Path | None:
    """The file of what evaluation sets hold, made first: every reading task looks into it."""
    if config.decontamination is None:
        return None
    from lumilab.corpus.evaluation_sets import ContaminationOrder, gather_contamination

    orders = [ContaminationOrder(config.decontamination)]
    phase = Phase("evaluation-sets", "Reading the evaluation sets", gather_contamination, orders, [1], unit="sets")
    return workers.run(phase)[0].folder


def _reading(orders: Sequence[ReadOrder]) -> Phase:
    def facts(answers: Sequence[dict[str, Any]]) -> dict[str, str]:
        read = sum(answer["read"] for answer in answers)
        accepted = sum(sum(answer["accepted"]) for answer in answers)
        return {"documents": format_count(accepted), "left out": format_count(read - accepted)}

    sizes = [sum(task.size for part in order.parts for task in part.tasks) for order in orders]
    return Phase("read", "Reading the sources", read_segment, orders, sizes, worth_a_line=0, facts=facts)


def _writing(config: CorpusConfig, pieces: Sequence[Piece]) -> Phase:
    orders = plan_shards(pieces, config.shard_documents)
    sizes = [sum(piece.last - piece.first for piece in order.pieces) for order in orders]
    return Phase("write", "Writing the shards", write_ordered_shard, orders, sizes, unit="documents", facts=_kept)


def _kept(answers: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {"kept": f"{sum(answer['documents'] for answer in answers):,}"}


class _Segments:
    """What reading left: a segment and tallies for each order."""

    def __init__(self, orders: Sequence[ReadOrder], done: Sequence[Done]) -> None:
        self._orders = orders
        self._accepted = [result.answer["accepted"] for result in done]
        self.folders = [result.folder for result in done]
        self.segments = [Segment(folder) for folder in self.folders]

    def tallies(self, *more: Path) -> list[Tally]:
        """One for each part, in reading order; `more` are further files of tallies to count in."""
        parts: dict[tuple[str, str], Tally] = {}
        for path in (*(folder / TALLIES for folder in self.folders), *more):
            for value in json.loads(path.read_bytes()):
                tally = Tally.from_json(value)
                parts.setdefault((tally.source, tally.part), Tally(tally.source, tally.part)).merge(tally)
        return list(parts.values())

    def quarantine(self) -> Iterator[bytes]:
        """A line for each record that could not be read, in reading order."""
        for folder in self.folders:
            yield from quarantined(folder)

    def pieces(self, verdicts: Sequence[Path | None]) -> list[Piece]:
        """The documents of each part of each order, with what deduplication says of them."""
        pieces = []
        for order, counts, segment, path in zip(self._orders, self._accepted, self.segments, verdicts, strict=True):
            first = 0
            for part, count in zip(order.parts, counts, strict=True):
                pieces.append(Piece(order.source, part.name, segment, path, first, first + count))
                first += count
        return pieces


def _adopt(source: Path, target: Path) -> None:
    """Puts a finished file into the artifact and leaves it in the ledger: a link where the file system has them."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
