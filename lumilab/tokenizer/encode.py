"""Encoding a stream of documents: in batches, so that a stop is soon heard and memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from lumilab.corpus.document import Document
from lumilab.tokenizer.load import Tokenizer
from lumilab.work.stopping import StopRequest

BATCH_CHARACTERS = 2**19
"""About a tenth of a second's work, which is how often a stop is looked for."""


def encode_documents(
    tokenizer: Tokenizer, documents: Iterable[Document], stop: StopRequest
) -> Iterator[tuple[Document, npt.NDArray[np.uint32]]]:
    """Each document with the ids of its text (shape [n], uint32), in the order given.

    Memory holds one batch: about BATCH_CHARACTERS, or one document where that is longer.

    Raises:
        Interrupted: a stop was requested.
    """
    for batch in document_batches(documents):
        stop.check()
        yield from zip(batch, tokenizer.encode_arrays([document.text for document in batch]), strict=True)


def document_batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    """Documents of about BATCH_CHARACTERS together, or one that is longer."""
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
