"""Documents on disk: `documents/shard-00000.jsonl.zst`, one JSON object a line, Zstandard-compressed.

The bytes of a shard are a function of its documents: fixed key order, one compression level, one thread, no time
stamps. (Another release of the zstd library may compress the same text to other bytes; the constraints file pins it.)

Writing them is the last phase of a build. Which documents stay is known then, so each shard can be written on its own,
from the pieces of the segments that its documents lie in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import zstandard

from lumilab.artifact import Artifact, canonical_json
from lumilab.corpus.compression import DAMAGE, open_plain
from lumilab.corpus.document import Document
from lumilab.corpus.segment import FACTS, Segment
from lumilab.corpus.tally import Tally
from lumilab.errors import DamageError
from lumilab.work.stopping import StopRequest

FOLDER = "documents"
COMPRESSION_LEVEL = 3
BLOCK_BYTES = 1 << 20
SHARD = "shard.jsonl.zst"
SHARD_TALLIES = "tallies.json"
DROPPED_AS = {1: "duplicate", 2: "near duplicate"}  # what deduplication says of a document; 0 stays


def shard_name(number: int) -> str:
    """Name of a shard within the artifact."""
    return f"{FOLDER}/shard-{number:05d}.jsonl.zst"


def write_shard(path: Path, lines: Iterable[bytes]) -> None:
    """Writes one shard from its documents as JSON lines."""
    compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
    with path.open("wb") as file, compressor.stream_writer(file, closefd=False) as out:
        block: list[bytes] = []
        size = 0
        for line in lines:
            block.append(line)
            size += len(line)
            if size >= BLOCK_BYTES:
                out.write(b"".join(block))
                block, size = [], 0
        out.write(b"".join(block))


def to_line(document: Document) -> bytes:
    """The document as one JSON line."""
    fields: dict[str, Any] = {"id": document.id, "text": document.text, "source": document.source}
    if document.url is not None:
        fields["url"] = document.url
    if document.meta:
        fields["meta"] = document.meta
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS)


def read_documents(artifact: Artifact) -> Iterator[Document]:
    """The documents of a corpus, in the order they were written, in bounded memory.

    Raises:
        DamageError: a shard cannot be read.
    """
    for path in shard_paths(artifact):
        yield from read_shard(path)


def shard_paths(artifact: Artifact) -> list[Path]:
    """The shards of a corpus, in the order they were written."""
    return [artifact.file(name) for name in sorted(artifact.manifest.files) if name.startswith(f"{FOLDER}/")]


def read_shard(path: Path) -> Iterator[Document]:
    """The documents of one shard, in the order they were written, in bounded memory.

    Raises:
        DamageError: it cannot be read.
    """
    number = 0
    with open_plain(path) as lines:
        try:
            for line in lines:
                number += 1
                yield Document(**orjson.loads(line))
        except (*DAMAGE, orjson.JSONDecodeError, TypeError) as error:
            raise DamageError(
                "A shard of the corpus cannot be read",
                where=f"{path}, line {number}",
                mend="build the corpus again, or restore the file from a copy.",
            ) from error


# --- the last phase of a build -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Documents first to last - 1 of a segment.

    Attributes:
        source, part: where they came from.
        verdicts: file with a number for each document of the segment: 0 stays, others are DROPPED_AS; None if all stay.
    """

    source: str
    part: str
    segment: Segment
    verdicts: Path | None
    first: int
    last: int


@dataclass(frozen=True)
class ShardOrder:
    """One shard: what of its pieces stays, in their order."""

    pieces: tuple[Piece, ...]


def plan_shards(pieces: Sequence[Piece], shard_documents: int) -> list[ShardOrder]:
    """Cuts the pieces, in the corpus's order, into shards of `shard_documents` that stay; the last may have less."""
    orders: list[ShardOrder] = []
    gathered: list[Piece] = []
    free = shard_documents
    for whole in pieces:
        staying = np.flatnonzero(_verdicts(whole) == 0)
        first, passed = whole.first, 0
        while len(staying) - passed > free:  # this shard is full before the segment ends
            passed += free
            last = whole.first + int(staying[passed])
            gathered.append(_cut(whole, first, last))
            orders.append(ShardOrder(tuple(gathered)))
            gathered, free, first = [], shard_documents, last
        gathered.append(_cut(whole, first, whole.last))
        free -= len(staying) - passed
    if free < shard_documents:
        orders.append(ShardOrder(tuple(gathered)))
    return orders


def _cut(piece: Piece, first: int, last: int) -> Piece:
    return Piece(piece.source, piece.part, piece.segment, piece.verdicts, first, last)


def _verdicts(piece: Piece) -> Any:
    """uint8 [documents of the piece]: 0 stays."""
    if piece.verdicts is None:
        return np.zeros(piece.last - piece.first, np.uint8)
    return np.load(piece.verdicts, mmap_mode="r")[piece.first : piece.last]


def write_ordered_shard(order: ShardOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Writes the shard and, in `tallies.json`, one tally for each piece; the answer counts documents."""
    tallies: list[Tally] = []

    def lines() -> Iterator[bytes]:
        for piece in order.pieces:
            tally = Tally(piece.source, piece.part)
            tallies.append(tally)
            yield from _lines(piece, tally, stop)

    write_shard(folder / SHARD, lines())
    (folder / SHARD_TALLIES).write_bytes(canonical_json([tally.to_json() for tally in tallies]))
    return {"documents": sum(tally.lengths.count for tally in tallies)}


def _lines(piece: Piece, tally: Tally, stop: StopRequest) -> Iterator[bytes]:
    """The lines that stay; the others are counted, and samples of both are taken.

    A document is parsed only where it may become a sample: all that is counted is in the segment's facts.
    """
    facts = piece.segment.facts()[piece.first : piece.last]
    verdicts = np.asarray(_verdicts(piece))
    names = piece.segment.languages()
    tally.keep(facts[verdicts == 0], names)
    ranks = facts[:, FACTS.index("rank")].tolist()
    for line, verdict, rank in zip(piece.segment.lines(piece.first, piece.last), verdicts.tolist(), ranks, strict=True):
        stop.check()
        if verdict == 0:
            if tally.samples.wants(rank):
                document = orjson.loads(line)
                tally.samples.offer(document["id"], document["text"])
            yield line
        else:
            document = orjson.loads(line)
            tally.drop(document["id"], document["text"], DROPPED_AS[verdict])
