"""The first phase of packing: each shard of the corpus becomes token ids, on its own and on any worker.

A task leaves, for each split and source that its documents belong to, one piece: `NNN.tokens.npy`, the ids, and
`NNN.ends.npy`, where in them each document ends. A document is <|bos|>, the ids of its text, <|endoftext|>, or
the tokens that play these roles in an imported tokenizer.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lumilab.artifact import Artifact
from lumilab.corpus.shards import read_shard
from lumilab.dataset.arrays import ArrayWriter
from lumilab.dataset.shards import TokenArray, token_dtype
from lumilab.dataset.split import splitter
from lumilab.errors import DamageError
from lumilab.tokenizer.encode import document_batches
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.stopping import StopRequest


@dataclass(frozen=True)
class EncodeOrder:
    """One shard of the corpus to encode.

    Attributes:
        shard: its file.
        tokenizer, digest: the folder of the tokenizer's artifact, and its digest.
        seed, validation_share: what decides which split a document goes to.
    """

    shard: Path
    tokenizer: Path
    digest: str
    seed: int
    validation_share: float


@dataclass(frozen=True)
class Piece:
    """What one task made of the documents of one source that go to one split. `tokens` are those of text and marks."""

    split: str
    source: str
    documents: int
    tokens: int
    text_tokens: int
    bytes: int
    number: int

    def arrays(self, folder: Path) -> tuple[TokenArray, npt.NDArray[np.uint64]]:
        """The ids and the ends of the documents, memory-mapped, from the folder of the task."""
        tokens, ends = (np.load(folder / name, mmap_mode="r").view(np.ndarray) for name in _names(self.number))
        return tokens, ends


def encode_shard(order: EncodeOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """Encodes one shard of the corpus into pieces; the answer holds their counts, in the order of first documents.

    Raises:
        DamageError: the shard cannot be read.
    """
    tokenizer = load_tokenizer(order.tokenizer, order.digest)
    split_of = splitter(order.seed, order.validation_share)
    with ExitStack() as files:
        writers: dict[tuple[str, str], _PieceWriter] = {}
        for documents in document_batches(read_shard(order.shard)):
            stop.check()
            batch = _Encoded.of(tokenizer, [document.text for document in documents])
            owners = [(split_of(document.group), document.source) for document in documents]
            for owner in dict.fromkeys(owners):
                if owner not in writers:
                    writers[owner] = _PieceWriter(folder, len(writers), token_dtype(tokenizer.vocabulary_size), files)
                chosen = np.array([other == owner for other in owners])
                writers[owner].add(batch, chosen)
    named = ({"split": split, "source": source} | writer.counts() for (split, source), writer in writers.items())
    return {"pieces": list(named)}


def checked_tokenizer(artifact: Artifact) -> Tokenizer:
    """The tokenizer of an artifact whose every byte is as it was published: its files are small, and ids from a damaged
    vocabulary would spoil everything that follows.

    Raises:
        DamageError: a file is another one.
        InputError: it has no token that begins a text, or none that ends one.
    """
    for problem in artifact.problems():
        raise DamageError(str(problem), mend="build the tokenizer again with `lumi run RECIPE --force tokenizer`.")
    tokenizer = load_tokenizer(artifact.path, artifact.digest)
    for role in ("bos", "eos"):  # said now and not when the first shard is encoded
        tokenizer.role_id(role)
    return tokenizer


@lru_cache(maxsize=1)
def load_tokenizer(path: Path, digest: str) -> Tokenizer:
    """The tokenizer in a folder, kept by each process: loading takes as long as encoding many megabytes.

    Args:
        path: the folder of the artifact.
        digest: the artifact's; another one is another tokenizer, also in the same folder.
    """
    return Tokenizer.load(path)


@dataclass(frozen=True)
class _Encoded:
    """A batch of documents with their marks: the ids one after the other, and of each document how many of them are of
    its text, and how many bytes its text has."""

    ids: TokenArray
    text_lengths: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, tokenizer: Tokenizer, texts: list[str]) -> _Encoded:
        flat, text_lengths = tokenizer.encode_flat(texts)
        ends = np.cumsum(text_lengths + 2)
        ids = np.empty(len(flat) + 2 * len(texts), np.uint32)
        of_text = np.ones(len(ids), bool)
        for mark, places in ((tokenizer.bos_id, ends - text_lengths - 2), (tokenizer.eos_id, ends - 1)):
            ids[places] = mark
            of_text[places] = False
        ids[of_text] = flat
        return cls(ids, text_lengths, np.array([len(text.encode()) for text in texts], np.int64))


@dataclass
class _PieceWriter:
    """Writes one piece."""

    folder: Path
    number: int
    dtype: np.dtype[Any]
    files: ExitStack
    documents: int = 0
    text_tokens: int = 0
    bytes: int = 0
    tokens: ArrayWriter = field(init=False)
    ends: ArrayWriter = field(init=False)

    def __post_init__(self) -> None:
        tokens, ends = _names(self.number)
        self.tokens = self.files.enter_context(ArrayWriter(self.folder / tokens, self.dtype))
        self.ends = self.files.enter_context(ArrayWriter(self.folder / ends, np.uint64))

    def add(self, batch: _Encoded, chosen: npt.NDArray[np.bool_]) -> None:
        """Appends those documents of the batch that are chosen (bool [documents])."""
        lengths = batch.text_lengths + 2
        self.ends.append(self.tokens.length + np.cumsum(lengths[chosen]))
        self.tokens.append(batch.ids if chosen.all() else batch.ids[np.repeat(chosen, lengths)])
        self.documents += int(chosen.sum())
        self.text_tokens += int(batch.text_lengths[chosen].sum())
        self.bytes += int(batch.sizes[chosen].sum())

    def counts(self) -> dict[str, int]:
        """What was written, as in `Piece`."""
        return {
            "documents": self.documents,
            "tokens": self.tokens.length,
            "text_tokens": self.text_tokens,
            "bytes": self.bytes,
            "number": self.number,
        }


def _names(number: int) -> tuple[str, str]:
    return f"{number:03d}.tokens.npy", f"{number:03d}.ends.npy"
