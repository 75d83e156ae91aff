"""Writing one split of a dataset: the token shards of each corpus source, and their index.

`lumilab.dataset.shards` says what the files are, and reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lumilab.artifact import ArtifactBuilder
from lumilab.dataset.arrays import ArrayWriter
from lumilab.dataset.best_fit import cut_documents, pack_windows
from lumilab.dataset.shards import INDEX, ShardNames


class SplitWriter:
    """Writes one split, source by source; use it as a context manager inside the builder's.

    Args:
        builder: the artifact under construction.
        split: the name of the split's folder.
        dtype: of the token ids.
        shard_tokens: tokens in each shard of a source but its last.
        best_fit: tokens in a window, to write the windows of best-fit packing too; None for none.

    Attributes:
        sources: the counts of each source that is finished, as they go into the index.
    """

    def __init__(
        self,
        builder: ArtifactBuilder,
        split: str,
        dtype: np.dtype[Any],
        shard_tokens: int,
        best_fit: int | None = None,
    ) -> None:
        self.sources: list[dict[str, Any]] = []
        self._builder = builder
        self._split = split
        self._dtype = dtype
        self._shard_tokens = shard_tokens
        self._best_fit = best_fit

    @contextmanager
    def stream(self, source: str) -> Iterator[SourceWriter]:
        """Writes the next source, whole once the block ends without an error. One without documents leaves no trace."""
        writer = SourceWriter(self._new_shard, self._shard_tokens)
        with writer:
            yield writer
        if writer.documents:
            self.sources.append(
                {
                    "source": source,
                    "documents": writer.documents,
                    "tokens": writer.tokens,
                    "bytes": writer.bytes,
                    "shards": writer.shards,
                }
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            index = {"dtype": self._dtype.name, "shard_tokens": self._shard_tokens, "sources": self.sources}
            self._builder.write_json(f"{self._split}/{INDEX}", index)

    def _new_shard(self, number: int) -> ShardWriter:
        names = ShardNames(self._split, len(self.sources), number)
        return ShardWriter(self._builder, names, self._dtype, self._best_fit)


class SourceWriter:
    """Appends documents to the sequence of one source; `SplitWriter.stream` makes it.

    Memory is bounded by what is appended at once and the ends of a shard's documents.

    Attributes:
        documents, tokens, bytes: how many were written.
        shards: the counts of each shard that is finished.
    """

    def __init__(self, new_shard: Callable[[int], ShardWriter], shard_tokens: int) -> None:
        self.documents = self.tokens = self.bytes = 0
        self.shards: list[dict[str, int]] = []
        self._new_shard = new_shard
        self._shard_tokens = shard_tokens
        self._shard: ShardWriter | None = None
        self._shard_start = 0
        self._last_end = 0  # of the documents in the shards before, in the source's sequence

    def append(self, tokens: npt.ArrayLike, ends: npt.ArrayLike, size: int) -> None:
        """Appends documents.

        Args:
            tokens: their ids, one document after the other (shape [n]).
            ends: where in `tokens` they end, exclusive, ascending; the last one may go on in the next call.
            size: bytes of the text they stand for.
        """
        ids = np.asarray(tokens)
        ends = np.asarray(ends, np.int64) + self.tokens
        self.documents += len(ends)
        self.bytes += size
        while len(ids):
            shard = self._shard_with_room()
            part = ids[: self._shard_start + self._shard_tokens - self.tokens]
            self.tokens += len(part)
            here = int(np.searchsorted(ends, self.tokens, side="right"))
            shard.append(part, ends[:here] - self._shard_start)
            ids, ends = ids[len(part) :], ends[here:]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shard is not None:
            self._close_shard(self._shard) if error is None else self._shard.files.__exit__(kind, error, trace)

    def _shard_with_room(self) -> ShardWriter:
        if self._shard is not None and self.tokens - self._shard_start == self._shard_tokens:
            self._close_shard(self._shard)
            self._shard = None
            self._shard_start = self.tokens
        if self._shard is None:
            self._shard = self._new_shard(len(self.shards))
        return self._shard

    def _close_shard(self, shard: ShardWriter) -> None:
        counts, self._last_end = shard.close(self._shard_start, self._last_end)
        self.shards.append(counts)


class ShardWriter:
    """Writes one shard's files."""

    def __init__(self, builder: ArtifactBuilder, names: ShardNames, dtype: np.dtype[Any], best_fit: int | None) -> None:
        self.files = ExitStack()
        self._builder = builder
        self._names = names
        self._best_fit = best_fit
        self._tokens = self.files.enter_context(ArrayWriter(builder.path(names.tokens), dtype))
        self._ends = self.files.enter_context(ArrayWriter(builder.path(names.ends), np.uint64))
        self._ended: list[npt.NDArray[np.int64]] = []

    def append(self, tokens: npt.NDArray[Any], ends: npt.NDArray[np.int64]) -> None:
        """Appends tokens and where in the shard documents end among them."""
        self._tokens.append(tokens)
        self._ends.append(ends)
        if self._best_fit is not None:
            self._ended.append(ends)

    def close(self, start: int, last_end: int) -> tuple[dict[str, int], int]:
        """Finishes the files.

        Args:
            start: of the shard in the source's sequence.
            last_end: where the document before the first one that ends here ended in it.

        Returns:
            The shard's counts for the index, and where its last document ends in the source's sequence.
        """
        self.files.close()
        counts = {"tokens": self._tokens.length, "documents": self._ends.length}
        if self._best_fit is None:
            return counts, last_end
        ends = np.concatenate([np.array([last_end], np.int64), *(ended + start for ended in self._ended)])
        windows = pack_windows(cut_documents(ends[:-1], ends[1:], self._best_fit), self._best_fit)
        np.save(self._builder.path(self._names.windows), windows.ends)
        np.save(self._builder.path(self._names.pieces), windows.pieces)
        packed = {"windows": len(windows.ends), "pieces": len(windows.pieces), "window_tokens": windows.tokens}
        return counts | packed, int(ends[-1])
