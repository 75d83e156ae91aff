"""Token shards: one long sequence of token ids per split and corpus source, cut into memory-mapped files.

    SPLIT/index.json                     what follows, for each source in the order of its first document
    SPLIT/source-NNN/tokens-NNNNN.npy    uint16 where the vocabulary allows, else uint32
    SPLIT/source-NNN/ends-NNNNN.npy      uint64: where in the shard each document that ends there ends, exclusive
    SPLIT/source-NNN/windows-NNNNN.npy   of best-fit packing alone, see lumilab.dataset.best_fit
    SPLIT/source-NNN/pieces-NNNNN.npy

Of a source, all shards but the last have the same number of tokens, and a document may go on in the next shard, so the
sequence is the same wherever it is cut. A source without documents in a split is not listed there. Memory-mapped flat
token files are the field's format (Megatron-LM's indexed datasets, nanoGPT's `train.bin`); sources lie apart so that
training can mix them anew without encoding anything again. `lumilab.dataset.split_writer` writes what is read here.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lumilab.artifact import Artifact
from lumilab.dataset.best_fit import BestFitWindows, WindowFiles
from lumilab.errors import DamageError

INDEX = "index.json"
REBUILD = "build the dataset again with `lumi pack RECIPE --force`."

TokenArray = npt.NDArray[np.unsignedinteger[Any]]
Ends = npt.NDArray[np.uint64]


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id of the vocabulary: uint16 or uint32."""
    return np.dtype(np.uint16 if vocabulary_size <= 2**16 else np.uint32)


class TokenShards:
    """Tokens as one sequence, read from memory-mapped files: one source's of a split, or all of the split's.

    Args:
        split: "train" or "validation".
        source: whose tokens they are; "" for all of the split's.
        tokens: the ids of each shard, one after the other.
        ends: of each shard, where in it documents end, exclusive.
        text_bytes: UTF-8 bytes of the documents' text.
        best_fit: the windows of best-fit packing; None in any other packing, and of a whole split.

    Attributes:
        token_count, document_count: how many there are.
    """

    def __init__(
        self,
        split: str,
        source: str,
        tokens: Sequence[TokenArray],
        ends: Sequence[Ends],
        text_bytes: int,
        best_fit: BestFitWindows | None = None,
    ) -> None:
        self.split = split
        self.source = source
        self.text_bytes = text_bytes
        self.best_fit = best_fit
        self.document_count = sum(len(part) for part in ends)
        self._tokens = tokens
        self._ends = ends
        *self._starts, self.token_count = accumulate((len(part) for part in tokens), initial=0)

    @classmethod
    def open(cls, artifact: Artifact, split: str) -> Self:
        """Opens a whole split of a dataset: the sequences of its sources, one after the other.

        Raises:
            DamageError: the dataset has no such split, or its files are not as its index says.
        """
        sources = cls.open_sources(artifact, split)
        tokens = [part for source in sources for part in source._tokens]
        ends = [part for source in sources for part in source._ends]
        return cls(split, "", tokens, ends, sum(source.text_bytes for source in sources))

    @classmethod
    def open_sources(cls, artifact: Artifact, split: str) -> list[Self]:
        """Opens a split of a dataset, each corpus source apart, in the order of their first documents.

        Raises:
            DamageError: the dataset has no such split, or its files are not as its index says.
        """
        index = _read_index(artifact, split)
        return [cls._open_source(artifact, split, number, index) for number in range(len(index["sources"]))]

    @classmethod
    def _open_source(cls, artifact: Artifact, split: str, number: int, index: dict[str, Any]) -> Self:
        entry = index["sources"][number]
        tokens, ends, windows = [], [], []
        for place, shard in enumerate(entry["shards"]):
            names = ShardNames(split, number, place)
            tokens.append(_mapped(artifact, names.tokens, index["dtype"], (shard["tokens"],)))
            ends.append(_mapped(artifact, names.ends, "uint64", (shard["documents"],)))
            if "windows" in shard:
                window_ends = _mapped(artifact, names.windows, "uint64", (shard["windows"],))
                pieces = _mapped(artifact, names.pieces, "uint64", (shard["pieces"], 2))
                windows.append(WindowFiles(window_ends, pieces))
        best_fit = BestFitWindows(windows) if windows else None
        return cls(split, entry["source"], tokens, ends, entry["bytes"], best_fit)

    def held_in(self, memory: Callable[[TokenArray], TokenArray]) -> Self:
        """The same tokens, each shard's where `memory` puts it; ends and windows stay in their files."""
        tokens = [memory(part) for part in self._tokens]
        return type(self)(self.split, self.source, tokens, self._ends, self.text_bytes, self.best_fit)

    def read(self, start: int, count: int) -> TokenArray:
        """Tokens `start` to `start + count` of the sequence (shape [count], read-only where no copy is needed).

        Raises:
            IndexError: they are not all there.
        """
        if start < 0 or count < 0 or start + count > self.token_count:
            raise IndexError(f"tokens {start} to {start + count} of {self.token_count}")
        shard = bisect_right(self._starts, start) - 1
        offset = start - self._starts[shard]
        part = self._tokens[shard][offset : offset + count]
        if len(part) == count:
            return part
        parts = [part]
        count -= len(part)
        while count:
            shard += 1
            parts.append(self._tokens[shard][:count])
            count -= len(parts[-1])
        return np.concatenate(parts)

    @cached_property
    def document_ends(self) -> npt.NDArray[np.int64]:
        """Where each document ends in the sequence, exclusive (int64, shape [document_count], ascending)."""
        return np.concatenate([ends.astype(np.int64) + at for at, ends in zip(self._starts, self._ends, strict=True)])

    def ends_within(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """Where documents end among tokens `start` to `start + count`: the ends less `start`, each in 1 to count
        (int64, ascending). Reads only the ends that lie there, so that no index of all documents is in memory."""
        found = []
        shard = bisect_right(self._starts, start) - 1
        while shard < len(self._starts) and self._starts[shard] < start + count:
            offset = start - self._starts[shard]  # negative in the shards behind the first
            ends = self._ends[shard]
            first, last = np.searchsorted(ends, np.array([max(offset, 0), offset + count], np.uint64), side="right")
            found.append(ends[first:last].astype(np.int64) - offset)
            shard += 1
        return np.concatenate(found) if found else np.empty(0, np.int64)


class ShardNames:
    """The names of one shard's files within the artifact."""

    def __init__(self, split: str, source: int, shard: int) -> None:
        self.tokens, self.ends, self.windows, self.pieces = (
            f"{split}/source-{source:03d}/{kind}-{shard:05d}.npy" for kind in ("tokens", "ends", "windows", "pieces")
        )


def _read_index(artifact: Artifact, split: str) -> dict[str, Any]:
    path = artifact.file(f"{split}/{INDEX}")
    try:
        index = json.loads(path.read_bytes())
        whole = bool(index["sources"]) and all(_adds_up(entry, index["shard_tokens"]) for entry in index["sources"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamageError("The split's index cannot be read", where=str(path), mend=REBUILD) from error
    if not whole:
        raise DamageError("The split's index does not add up", where=str(path), mend=REBUILD)
    return dict(index)


def _adds_up(entry: dict[str, Any], shard_tokens: int) -> bool:
    """Whether the counts of a source are those of its shards."""
    shards = entry["shards"]
    full = all(shard["tokens"] == shard_tokens for shard in shards[:-1])
    sums = all(sum(shard[key] for shard in shards) == entry[key] for key in ("tokens", "documents"))
    return full and sums and entry["tokens"] > 0 and isinstance(entry["bytes"], int)


def _mapped(artifact: Artifact, name: str, dtype: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    path = artifact.file(name)
    try:
        # A shard inside one long document has no ends, and an empty file cannot be mapped.
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if shape[0] else None)
    except FileNotFoundError:
        raise DamageError("A shard of the dataset is missing", where=str(path), mend=REBUILD) from None
    except (ValueError, EOFError) as error:
        raise DamageError("The shard is not a NumPy array", where=str(path), mend=REBUILD) from error
    if array.dtype != np.dtype(dtype) or array.shape != shape:
        raise DamageError(
            f"The shard holds {array.shape} {array.dtype}, where its index says {shape} {dtype}",
            where=str(path),
            mend=REBUILD,
        )
    # A plain view of the mapping: slicing np.memmap itself costs several times as much.
    return array.view(np.ndarray)
