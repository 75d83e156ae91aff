"""Documents on disk: `documents/shard-00000.jsonl.zst`, one JSON object a line, Zstandard-compressed.

The bytes of a shard are a function of its documents: fixed key order, one compression level, one thread, no time
stamps. (Another release of the zstd library may compress the same text to other bytes; the constraints file pins it.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson
import zstandard

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.corpus.compression import DAMAGE, open_plain
from lumilab.corpus.document import Document
from lumilab.errors import DamageError

FOLDER = "documents"
COMPRESSION_LEVEL = 3


class ShardWriter:
    """Writes documents to shards of at most `shard_documents`; use it as a context manager."""

    def __init__(self, builder: ArtifactBuilder, shard_documents: int) -> None:
        self._builder = builder
        self._shard_documents = shard_documents
        self._open_shard = ExitStack()
        self._out: BinaryIO | None = None
        self.documents = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open_shard.close()

    def write(self, document: Document) -> None:
        """Appends one document; its text must encode to UTF-8."""
        if self._out is None or self.documents % self._shard_documents == 0:
            self._out = self._next_shard()
        self._out.write(_to_line(document))
        self.documents += 1

    def _next_shard(self) -> BinaryIO:
        self._open_shard.close()
        number = self.documents // self._shard_documents
        file = self._open_shard.enter_context(self._builder.open(f"{FOLDER}/shard-{number:05d}.jsonl.zst"))
        compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL, write_checksum=True)
        return self._open_shard.enter_context(compressor.stream_writer(file, closefd=False))


def read_documents(artifact: Artifact) -> Iterator[Document]:
    """The documents of a corpus, in the order they were written, in bounded memory.

    Raises:
        DamageError: a shard cannot be read.
    """
    for name in sorted(name for name in artifact.manifest.files if name.startswith(f"{FOLDER}/")):
        path = artifact.file(name)
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


def _to_line(document: Document) -> bytes:
    fields: dict[str, Any] = {"id": document.id, "text": document.text, "source": document.source}
    if document.url is not None:
        fields["url"] = document.url
    if document.meta:
        fields["meta"] = document.meta
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SORT_KEYS)
