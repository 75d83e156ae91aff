"""The tokenizer's card: how well the vocabulary fits the text.

Bytes per token is the compression; fertility (tokens per whitespace-separated word, Rust et al. 2021, section 3.2)
shows how far words are cut up; both per source. All figures are of an even sample of each source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lumilab.artifact import Artifact
from lumilab.corpus.document import Document
from lumilab.corpus.shards import read_documents
from lumilab.errors import InputError
from lumilab.tokenizer.encode import encode_documents
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.sample import EvenSample
from lumilab.work.context import WorkContext

SAMPLE_CHARACTERS = 2_000_000
"""How much of each source is encoded for the card."""
LONGEST = 20


@dataclass
class Tally:
    """What was counted over some documents; bytes are UTF-8."""

    documents: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0

    def add(self, text: str, tokens: int) -> None:
        self.documents += 1
        self.bytes += len(text.encode())
        self.words += len(text.split())
        self.tokens += tokens

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.documents + other.documents,
            self.bytes + other.bytes,
            self.words + other.words,
            self.tokens + other.tokens,
        )

    def figures(self) -> dict[str, Any]:
        """The counts with the two ratios; a ratio without a denominator is null."""
        return asdict(self) | {
            "bytes_per_token": round(self.bytes / self.tokens, 4) if self.tokens else None,
            "tokens_per_word": round(self.tokens / self.words, 4) if self.words else None,
        }


def characters_by_source(corpus: Artifact, context: WorkContext) -> dict[str, int]:
    """How much text each source of a corpus has, which an even sample needs to know beforehand.

    Raises:
        InputError: the corpus has no text.
        Interrupted: a stop was requested.
    """
    characters: dict[str, int] = {}
    with context.report.task("Measuring the corpus", unit="documents") as task:
        for document in read_documents(corpus):
            context.stop.check()
            characters[document.source] = characters.get(document.source, 0) + len(document.text)
            task.advance()
    if not any(characters.values()):
        raise InputError(
            "The corpus has no text to learn a vocabulary from",
            where=str(corpus.path),
            mend="add text to corpus.sources, or lower corpus.min_characters.",
        )
    return characters


def measure(
    tokenizer: Tokenizer, corpus: Artifact | None, characters: dict[str, int], context: WorkContext
) -> dict[str, Any]:
    """The figures of the card, as JSON values.

    Args:
        tokenizer: the tokenizer to describe.
        corpus: the corpus it is measured on; None for a card without such figures.
        characters: how many characters each source of the corpus has.
        context: progress and stopping.
    """
    tallies = {source: Tally() for source in sorted(characters)}
    used = np.zeros(tokenizer.vocabulary_size, dtype=bool)
    changed: list[str] = []
    if corpus is not None:
        with context.report.task("Measuring the tokenizer", unit="documents") as task:
            for document, ids in encode_documents(tokenizer, _sample(corpus, characters), context.stop):
                tallies[document.source].add(document.text, len(ids))
                used[ids] = True
                if tokenizer.decode(ids) != document.text:
                    changed.append(document.id)
                task.advance()
    special = len(tokenizer.special_names)
    learned = tokenizer.vocabulary_size - special
    total = sum(tallies.values(), Tally())
    return {
        "identity": tokenizer.identity,
        "vocabulary_size": tokenizer.vocabulary_size,
        "reserved_tokens": special,
        "roles": tokenizer.roles,
        "sources": {source: tally.figures() for source, tally in tallies.items()},
        "all": total.figures(),
        "vocabulary_used": {"tokens": int(used.sum()), "share": round(float(used.sum()) / learned, 4)},
        "round_trip": {"documents": total.documents, "changed": changed},
        "longest_tokens": _longest(tokenizer),
    }


def _sample(corpus: Artifact, characters: dict[str, int]) -> Iterator[Document]:
    samples = {source: EvenSample(total, SAMPLE_CHARACTERS) for source, total in characters.items()}
    for document in read_documents(corpus):
        part = samples[document.source].take(document.text)
        if part:
            yield replace(document, text=part)


def _longest(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    spelled = [(token, tokenizer.token_bytes(token)) for token in range(tokenizer.vocabulary_size)]
    spelled.sort(key=lambda entry: (-len(entry[1]), entry[0]))
    return [
        {"id": token, "bytes": len(data), "text": data.decode("utf-8", "backslashreplace")}
        for token, data in spelled[:LONGEST]
    ]
