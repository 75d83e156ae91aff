"""Encoding a stream of documents: in batches that keep all cores busy and memory bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lumilab.corpus.document import Document
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.stopping import StopRequest

BATCH_CHARACTERS = 2**19
"""About a tenth of a second's work, which is how often a stop is looked for."""


def encode_documents(
    tokenizer: Tokenizer, documents: Iterable[Document], stop: StopRequest
) -> Iterator[tuple[Document, list[int]]]:
    """Each document with the ids of its text, in the order given.

    Memory holds one batch: about BATCH_CHARACTERS, or one document where that is longer.

    Raises:
        Interrupted: a stop was requested.
    """
    for batch in _batches(documents):
        stop.check()
        yield from zip(batch, tokenizer.encode_batch([document.text for document in batch]), strict=True)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    batch: list[Document] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += len(document.text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
