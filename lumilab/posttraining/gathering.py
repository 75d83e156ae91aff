"""What building conversations and building pairs have in common: reading, leaving out, rendering.

An example has one side (a conversation) or more (the answers of a pair); all of them stay or go together.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from lumilab.artifact import ArtifactBuilder, RawFile, canonical_json, record_raw_files
from lumilab.corpus.document import BadRecord, Skipped
from lumilab.corpus.sources.source import RawPath, Unchanged, inventory
from lumilab.dataset.order import order_key
from lumilab.posttraining.messages import Example, fingerprint_of
from lumilab.posttraining.samples import Samples
from lumilab.posttraining.tally import Tally
from lumilab.posttraining.template import Rendered, render_many
from lumilab.posttraining.templates import ChatForm
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.context import WorkContext
from lumilab.work.stopping import StopRequest

QUARANTINE = "quarantine.jsonl"
RENDERED_TOGETHER = 256  # examples


E = TypeVar("E", bound=Example)
Found_co = TypeVar("Found_co", bound=Example, covariant=True)


class Source(Protocol[Found_co]):
    """A configured source, with its raw files found."""

    name: str

    def raw_paths(self) -> Sequence[RawPath]:
        """Every file on this machine that the source reads, in reading order."""
        ...

    def remote_files(self) -> tuple[Sequence[RawFile], Mapping[str, str]]:
        """Those that are elsewhere, and the address of their root."""
        ...

    def read(self, stop: StopRequest) -> Iterator[Found_co | BadRecord | Skipped]:
        """The examples in a fixed order, the rows that are none, and those that are not wanted; honours the stop
        request between them."""
        ...


def raw_paths_of(sources: Sequence[Source[E]]) -> list[RawPath]:
    """The files on this machine that the sources read."""
    return [path for source in sources for path in source.raw_paths()]


def inventory_of(sources: Sequence[Source[E]]) -> tuple[list[RawFile], dict[str, Path | str]]:
    """Every raw file with its hash, and where each root is; reads all that are on this machine."""
    files, folders = inventory(raw_paths_of(sources))
    roots: dict[str, Path | str] = dict(folders)
    for source in sources:
        remote, addresses = source.remote_files()
        files += remote
        roots |= addresses
    return files, roots


def read_sources(sources: Sequence[Source[E]], tally: Tally, quarantine: BinaryIO, stop: StopRequest) -> Iterator[E]:
    """What the sources hold; rows that are no examples go to the quarantine."""
    for source in sources:
        for item in source.read(stop):
            tally.read(source.name)
            if isinstance(item, Skipped):
                tally.drop(source.name, item.reason)
            elif isinstance(item, BadRecord):
                tally.refuse(source.name, item)
                quarantine.write(canonical_json({"source": source.name, **asdict(item)}) + b"\n")
            else:
                yield item


def distinct(examples: Iterable[E], tally: Tally) -> Iterator[E]:
    """Each example once: a repeated one would count twice, and might be in both splits."""
    seen: set[bytes] = set()
    for example in examples:
        fingerprint = sha256(b"".join(fingerprint_of(side) for side in example.sides)).digest()
        if fingerprint in seen:
            tally.drop(example.source, "duplicate")
        else:
            seen.add(fingerprint)
            yield example


def limited(examples: Iterable[E], limit: int | None, seed: int, tally: Tally) -> Iterator[E]:
    """At most `limit` of them, chosen by a hash of their ids, in the order they came; memory holds that many."""
    if limit is None:
        yield from examples
        return
    chosen: list[tuple[int, int, E]] = []  # a heap with the largest hash first, as negative numbers
    for place, example in enumerate(examples):
        entry = (-order_key(seed, "limit", example.id), -place, example)
        if len(chosen) < limit:
            heapq.heappush(chosen, entry)
        else:
            _, _, left = heapq.heappushpop(chosen, entry)
            tally.drop(left.source, "over the limit")
    for _, _, example in sorted(chosen, key=lambda entry: -entry[1]):
        yield example


def render_examples(
    examples: Iterable[E],
    tokenizer: Tokenizer,
    form: ChatForm,
    lengths: range,
    tally: Tally,
    context: WorkContext,
    what: str,
) -> Iterator[tuple[E, list[Rendered]]]:
    """Ids and mask of each side of the examples whose sides are all of a wanted length.

    Args:
        lengths: in tokens, those that are wanted.
        what: the examples' name in the plural.
    """
    waiting = iter(examples)
    with context.report.task(f"Rendering {what}", unit=what) as task:
        while batch := list(islice(waiting, RENDERED_TOGETHER)):
            context.stop.check()
            rendered = iter(render_many([side for example in batch for side in example.sides], tokenizer, form))
            for example in batch:
                sides = list(islice(rendered, len(example.sides)))
                if any(len(side.ids) < lengths.start for side in sides):
                    tally.drop(example.source, f"shorter than {lengths.start} tokens")
                elif any(len(side.ids) >= lengths.stop for side in sides):
                    tally.drop(example.source, f"longer than {lengths.stop - 1} tokens")
                else:
                    yield example, sides
            task.advance(len(batch))


def conclude(
    builder: ArtifactBuilder,
    sources: Sequence[Source[E]],
    raw: tuple[list[RawFile], dict[str, Path | str]],
    unchanged: Unchanged,
    tally: Tally,
    samples: Samples,
    max_bad_share: float,
    context: WorkContext,
) -> None:
    """Checks what was read, and writes and tells what became of it.

    Args:
        builder: of the artifact; it has its examples.
        raw: as `inventory_of` gave it before the reading.
        unchanged: made then, too.

    Raises:
        InputError: too many rows of a source were refused, or a raw file changed while it was read.
    """
    tally.check(max_bad_share, {path.root: path.folder for path in raw_paths_of(sources)})
    unchanged.check()
    record_raw_files(builder, *raw)
    builder.write_json("samples.json", samples.summary())
    builder.statistics |= tally.summary()
    for line in tally.describe():
        context.report.say(f"  {line}")
    if builder.path(QUARANTINE).stat().st_size:
        told = f"  Rows that are no {tally.what} are listed in {builder.target / QUARANTINE}"
        context.report.say(told, style="yellow")
