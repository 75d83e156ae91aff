"""From raw sources to a corpus in one pass: read, clean, filter, deduplicate, write.

Nothing but hashes of the kept texts grows with the corpus. What comes out depends on the raw files, the configuration
and, for the docstrings of compiled modules, the interpreter; where the files lie and how long it took do not matter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from lumilab.artifact import Artifact, ArtifactBuilder, RawFile, canonical_json, record_raw_files
from lumilab.corpus.card import write_card
from lumilab.corpus.cleaning import clean
from lumilab.corpus.document import BadRecord, Record
from lumilab.corpus.exact_dedup import ExactDeduplicator
from lumilab.corpus.shards import ShardWriter
from lumilab.corpus.sources.local_files import LocalFiles, path_names
from lumilab.corpus.sources.python_installation import interpreter
from lumilab.corpus.sources.python_library import PythonLibrary
from lumilab.corpus.sources.source import RawPath, Source, Unchanged, inventory
from lumilab.corpus.tally import EXAMPLES, Tally, totals
from lumilab.errors import ConfigError, InputError
from lumilab.recipe.corpus import CorpusConfig, FilesSource, PythonSource
from lumilab.recipe.section import identity
from lumilab.work.context import WorkContext
from lumilab.work.progress import Task, format_bytes

QUARANTINE = "quarantine.jsonl"


def corpus_identity(config: CorpusConfig) -> dict[str, Any]:
    """What decides about the content besides the raw files: the configuration without absolute paths and, where the
    interpreter itself is a source, which one it is. Goes into the digest and into the stage's key."""
    values = identity(config)
    for section, source in zip(values["sources"], config.sources, strict=True):
        if isinstance(source, FilesSource):
            section["paths"] = path_names(source.paths)
    if any(isinstance(source, PythonSource) for source in config.sources):
        values["interpreter"] = interpreter()
    return values


def raw_inventory(config: CorpusConfig) -> tuple[list[RawFile], dict[str, Path]]:
    """Every raw file with its hash, and the folder of each root; reads all of them.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name.
    """
    return inventory(_raw_paths(open_sources(config)))


def open_sources(config: CorpusConfig) -> list[Source]:
    """The configured sources, with their raw files found.

    Raises:
        InputError: a configured path does not exist or holds nothing readable.
        ConfigError: two sources have one name, so that their documents could not be told apart.
    """
    sources: list[Source] = []
    for section in config.sources:
        sources.append(LocalFiles(section) if isinstance(section, FilesSource) else PythonLibrary(section))
    names = [name for source in sources for name in {source.name} | {file.root for file in source.raw_paths()}]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(
            f"Two corpus sources are called {twice[0]!r}",
            where="corpus.sources",
            mend="give each source a `name` of its own.",
        )
    return sources


def build_corpus(config: CorpusConfig, target: Path, context: WorkContext) -> Artifact:
    """Builds and publishes the corpus at `target`, in the place of an earlier one.

    The artifact holds `documents/shard-*.jsonl.zst`, `quarantine.jsonl`, `raw.jsonl`, `card.json` and `CARD.md`.

    Raises:
        InputError: raw data is missing, too much of it is unreadable, nothing is left of it, or it changed while it
            was being read.
        ConfigError: two sources have one name.
    """
    sources = open_sources(config)
    with ArtifactBuilder(target, kind="corpus", config={"corpus": corpus_identity(config)}) as builder:
        paths = _raw_paths(sources)
        unchanged = Unchanged(paths)
        files, roots = inventory(paths)
        with (
            ShardWriter(builder, config.shard_documents) as shards,
            builder.open(QUARANTINE) as quarantine,
            context.report.task("Reading the sources", unit="documents") as task,
        ):
            one_pass = _Pass(config, shards, quarantine, task)
            for source in sources:
                one_pass.read(source, context)
        tallies = one_pass.tallies
        _check_not_empty(config, tallies)
        unchanged.check()
        record_raw_files(builder, files, roots)
        write_card(builder, tallies)
        builder.statistics = totals(tallies) | {"parts": [tally.counts() for tally in tallies]}
        return builder.publish(replace=True)


class _Pass:
    """The one way every record goes, from source to shard, drop or quarantine."""

    def __init__(self, config: CorpusConfig, shards: ShardWriter, quarantine: BinaryIO, task: Task) -> None:
        self._config = config
        self._shards = shards
        self._quarantine = quarantine
        self._task = task
        self._deduplicator = ExactDeduplicator() if config.deduplicate == "exact" else None
        self._started = time.monotonic()
        self._bytes = 0
        self._left_out = 0
        self.tallies: list[Tally] = []

    def read(self, source: Source, context: WorkContext) -> None:
        """Takes in one source.

        Raises:
            InputError: more of it is unreadable than the configuration allows.
        """
        left = self._config.limit
        tallies = []
        for part in source.parts():
            tally = Tally(source.name, part.name)
            tallies.append(tally)
            for record in islice(part.read(context.stop), left):
                self._take(record, tally)
            if left is not None:
                left -= tally.read
            if not tally.lengths.count and left != 0:
                context.report.say(f"  {source.name}, {part.name}: no documents came of {tally.read} records")
        self.tallies += tallies
        _check_readable(self._config, source, tallies)

    def _take(self, record: Record, tally: Tally) -> None:
        if isinstance(record, BadRecord):
            tally.add_unreadable(record)
            self._quarantine.write(canonical_json({"source": tally.source, **asdict(record)}) + b"\n")
            self._left_out += 1
        else:
            document = replace(record, text=clean(record.text, self._config.cleaning))
            encoded = document.text.encode()
            reason = self._reason_to_drop(document.text, encoded)
            if reason is None:
                self._shards.write(document)
                tally.add_kept(document, len(encoded))
            else:
                tally.add_dropped(document, reason)
                self._left_out += 1
            self._bytes += len(encoded)
        rate = self._bytes / max(time.monotonic() - self._started, 1e-9)
        self._task.advance(
            text=format_bytes(self._bytes), speed=f"{format_bytes(rate)}/s", dropped=f"{self._left_out:,}"
        )

    def _reason_to_drop(self, text: str, encoded: bytes) -> str | None:
        if not encoded:
            return "empty"
        if len(text) < self._config.min_characters:
            return "short"
        if self._deduplicator is not None and self._deduplicator.is_duplicate(encoded):
            return "duplicate"
        return None


def _raw_paths(sources: Sequence[Source]) -> list[RawPath]:
    return [file for source in sources for file in source.raw_paths()]


def _check_readable(config: CorpusConfig, source: Source, tallies: Sequence[Tally]) -> None:
    read = sum(tally.read for tally in tallies)
    unreadable = sum(tally.unreadable.total() for tally in tallies)
    if unreadable <= config.max_bad_share * read:
        return
    examples = [record for tally in tallies for record in tally.examples]
    folders = {file.root: file.folder for file in source.raw_paths()}
    shown = "; ".join(str(record) for record in examples[:EXAMPLES])
    raise InputError(
        f"{unreadable:,} of {read:,} records of source {source.name!r} cannot be read, more than "
        f"max_bad_share ({config.max_bad_share:.2%}) allows: {shown}{'; ...' if unreadable > EXAMPLES else ''}",
        where=_place(examples[0], folders),
        mend="mend or remove these records, check `text_field`, or raise corpus.max_bad_share.",
    )


def _place(record: BadRecord, folders: dict[str, Path]) -> str:
    path = folders[record.root] / record.file
    return str(path) if record.line is None else f"{path}, line {record.line}"


def _check_not_empty(config: CorpusConfig, tallies: Sequence[Tally]) -> None:
    total = totals(tallies)
    if total["documents"]:
        return
    fates = [f"{count:,} dropped as {reason}" for reason, count in sorted(total["dropped"].items())]
    fates += [f"{count:,} unreadable ({reason})" for reason, count in sorted(total["unreadable"].items())]
    raise InputError(
        f"The corpus is empty: {total['read']:,} records were read, {', '.join(fates) or 'none at all'}",
        where=", ".join(sorted({f"source {tally.source!r}" for tally in tallies})),
        mend=f"check the sources' paths; documents under corpus.min_characters ({config.min_characters}) are dropped.",
    )
