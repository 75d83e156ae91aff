"""Token shards: one long sequence of token ids per split, cut into memory-mapped files.

A split is a folder with `tokens-NNNNN.npy` (uint16 where the vocabulary allows, else uint32), `ends-NNNNN.npy`
(uint64: where in the shard each document that ends there ends, exclusive) and `index.json`. All shards but the last
have the same number of tokens, and a document may go on in the next shard, so the sequence is the same wherever it is
cut. Memory-mapped flat token files are the field's format (Megatron-LM's indexed datasets, nanoGPT's `train.bin`).
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.dataset.arrays import ArrayWriter
from lumilab.errors import DamageError

INDEX = "index.json"
REBUILD = "build the dataset again with `lumi run RECIPE --force dataset`."

TokenArray = npt.NDArray[np.unsignedinteger[Any]]


def token_dtype(vocabulary_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id of the vocabulary: uint16 or uint32."""
    return np.dtype(np.uint16 if vocabulary_size <= 2**16 else np.uint32)


@dataclass(frozen=True)
class _OpenShard:
    tokens: ArrayWriter
    ends: ArrayWriter


class SplitWriter:
    """Writes one split, document by document; use it as a context manager inside the builder's.

    Memory is bounded by the longest document. `documents`, `tokens` and `bytes` count what was written.

    Args:
        builder: the artifact under construction.
        split: the name of the split's folder.
        dtype: of the token ids.
        shard_tokens: tokens in each shard but the last.
    """

    def __init__(self, builder: ArtifactBuilder, split: str, dtype: np.dtype[Any], shard_tokens: int) -> None:
        self.documents = self.tokens = self.bytes = 0
        self._builder = builder
        self._split = split
        self._dtype = dtype
        self._shard_tokens = shard_tokens
        self._shards: list[dict[str, int]] = []
        self._files = ExitStack()
        self._shard: _OpenShard | None = None

    def add(self, ids: npt.ArrayLike, size: int) -> None:
        """Appends one document: its ids (shape [n], n at least 1) and how many bytes of text they stand for."""
        waiting = np.asarray(ids, dtype=self._dtype)
        self.documents += 1
        self.tokens += waiting.size
        self.bytes += size
        while True:
            shard = self._shard_with_room()
            room = self._shard_tokens - shard.tokens.length
            shard.tokens.append(waiting[:room])
            waiting = waiting[room:]
            if not waiting.size:
                shard.ends.append([shard.tokens.length])
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._files.__exit__(kind, error, trace)
            return
        self._close_shard()
        self._builder.write_json(
            f"{self._split}/{INDEX}",
            {
                "dtype": self._dtype.name,
                "documents": self.documents,
                "tokens": self.tokens,
                "bytes": self.bytes,
                "shard_tokens": self._shard_tokens,
                "shards": self._shards,
            },
        )

    def _shard_with_room(self) -> _OpenShard:
        if self._shard is None or self._shard.tokens.length == self._shard_tokens:
            self._close_shard()
            number = len(self._shards)
            self._shard = _OpenShard(
                tokens=self._new_file(_tokens_name(self._split, number), self._dtype),
                ends=self._new_file(_ends_name(self._split, number), np.dtype(np.uint64)),
            )
        return self._shard

    def _new_file(self, name: str, dtype: np.dtype[Any]) -> ArrayWriter:
        return self._files.enter_context(ArrayWriter(self._builder.path(name), dtype))

    def _close_shard(self) -> None:
        self._files.close()
        if self._shard is not None:
            self._shards.append({"tokens": self._shard.tokens.length, "documents": self._shard.ends.length})
            self._shard = None


class TokenShards:
    """The tokens of one split as one sequence, read from memory-mapped files.

    Attributes:
        split: "train" or "validation".
        token_count, document_count: how many there are.
        text_bytes: UTF-8 bytes of the documents' text.
    """

    def __init__(
        self, split: str, index: dict[str, Any], tokens: list[TokenArray], ends: list[npt.NDArray[np.uint64]]
    ) -> None:
        self.split = split
        self.token_count: int = index["tokens"]
        self.document_count: int = index["documents"]
        self.text_bytes: int = index["bytes"]
        self._shard_tokens: int = index["shard_tokens"]
        self._tokens = tokens
        self._ends = ends

    @classmethod
    def open(cls, artifact: Artifact, split: str) -> Self:
        """Opens a split of a dataset.

        Raises:
            DamageError: the dataset has no such split, or its files are not as its index says.
        """
        index = _read_index(artifact, split)
        tokens, ends = [], []
        for number, shard in enumerate(index["shards"]):
            tokens.append(_mapped(artifact, _tokens_name(split, number), index["dtype"], shard["tokens"]))
            ends.append(_mapped(artifact, _ends_name(split, number), "uint64", shard["documents"]))
        return cls(split, index, tokens, ends)

    def read(self, start: int, count: int) -> TokenArray:
        """Tokens `start` to `start + count` of the split (shape [count], read-only where no copy is needed).

        Raises:
            IndexError: they are not all there.
        """
        if start < 0 or count < 0 or start + count > self.token_count:
            raise IndexError(f"tokens {start} to {start + count} of {self.token_count}")
        parts = []
        while count:
            shard, offset = divmod(start, self._shard_tokens)
            part = self._tokens[shard][offset : offset + count]
            parts.append(part)
            start, count = start + part.size, count - part.size
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [self._tokens[0][:0]])

    @cached_property
    def document_ends(self) -> npt.NDArray[np.int64]:
        """Where each document ends in the split, exclusive (int64, shape [document_count], ascending)."""
        parts = [ends.astype(np.int64) + number * self._shard_tokens for number, ends in enumerate(self._ends)]
        return np.concatenate(parts)


def _tokens_name(split: str, number: int) -> str:
    return f"{split}/tokens-{number:05d}.npy"


def _ends_name(split: str, number: int) -> str:
    return f"{split}/ends-{number:05d}.npy"


def _read_index(artifact: Artifact, split: str) -> dict[str, Any]:
    path = artifact.file(f"{split}/{INDEX}")
    try:
        index = json.loads(path.read_bytes())
        full = [shard["tokens"] == index["shard_tokens"] for shard in index["shards"][:-1]]
        whole = all(full) and all(
            sum(shard[key] for shard in index["shards"]) == index[key] for key in ("tokens", "documents")
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError("The split's index cannot be read", where=str(path), mend=REBUILD) from error
    if not whole or not index["tokens"]:
        raise DamageError("The split's index does not add up", where=str(path), mend=REBUILD)
    return dict(index)


def _mapped(artifact: Artifact, name: str, dtype: str, length: int) -> npt.NDArray[Any]:
    path = artifact.file(name)
    try:
        # A shard inside one long document has no ends, and an empty file cannot be mapped.
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r" if length else None)
    except (ValueError, EOFError) as error:
        raise DamageError("The shard is not a NumPy array", where=str(path), mend=REBUILD) from error
    if array.dtype != np.dtype(dtype) or array.shape != (length,):
        raise DamageError(
            f"The shard holds {array.shape} {array.dtype}, where its index says ({length},) {dtype}",
            where=str(path),
            mend=REBUILD,
        )
    # A plain view of the mapping: slicing np.memmap itself costs several times as much.
    return array.view(np.ndarray)
