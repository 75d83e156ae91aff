"""The tokenizer's card: how well the vocabulary fits the text, measured and written for people and for programs.

Bytes per token is the compression; fertility (tokens per whitespace-separated word, Rust et al. 2021, section 3.2)
shows how far words are cut up; both per source. All figures are of an even sample of each source.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.corpus.document import Document
from lumilab.corpus.shards import read_documents
from lumilab.tokenizer.encode import encode_documents
from lumilab.tokenizer.load import Tokenizer
from lumilab.tokenizer.sample import EvenSample
from lumilab.tokenizer.special_tokens import RESERVED
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


def measure(tokenizer: Tokenizer, corpus: Artifact, characters: dict[str, int], context: WorkContext) -> dict[str, Any]:
    """The figures of the card, as JSON values.

    Args:
        tokenizer: the tokenizer to describe.
        corpus: the corpus it is measured on.
        characters: how many characters each source of the corpus has.
        context: progress and stopping.
    """
    tallies = {source: Tally() for source in sorted(characters)}
    used = np.zeros(tokenizer.vocabulary_size, dtype=bool)
    changed: list[str] = []
    sampled = _sample(corpus, characters)
    with context.report.task("Measuring the tokenizer", unit="documents") as task:
        for document, ids in encode_documents(tokenizer, sampled, context.stop):
            tallies[document.source].add(document.text, len(ids))
            used[ids] = True
            if tokenizer.decode(ids) != document.text:
                changed.append(document.id)
            task.advance()
    learned = tokenizer.vocabulary_size - len(RESERVED)
    total = sum(tallies.values(), Tally())
    return {
        "identity": tokenizer.identity,
        "vocabulary_size": tokenizer.vocabulary_size,
        "reserved_tokens": len(RESERVED),
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


def write_card(builder: ArtifactBuilder, card: dict[str, Any]) -> None:
    """Writes `card.json` and the same as a page, `TOKENIZER_CARD.md`."""
    builder.write_json("card.json", card)
    builder.write_bytes("TOKENIZER_CARD.md", render(card).encode())


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    trip, used = card["round_trip"], card["vocabulary_used"]
    rows = [*card["sources"].items(), ("**all**", card["all"])]
    asked = card["vocabulary_asked"]
    short = "" if card["vocabulary_size"] == asked else f" ({asked:,} were asked; the text holds no more pairs)"
    exact = trip["documents"] - len(trip["changed"])
    lines = [
        "# Tokenizer card",
        "",
        f"- Algorithm: byte-level {card['algorithm'].upper()}, pre-tokenizer `qwen2`, no normaliser",
        f"- Vocabulary: {card['vocabulary_size']:,} tokens{short}, of which {card['reserved_tokens']} are reserved",
        f"- Learned from: {card['trained_on_characters']:,} characters",
        f"- Identity: `{card['identity']}`",
        f"- Round trip: {exact:,} of {trip['documents']:,} documents come back unchanged",
        f"- Vocabulary in use: {used['tokens']:,} learned tokens ({100 * used['share']:.1f} %) occur in the sample",
        "",
        f"Measured on an even sample of up to {SAMPLE_CHARACTERS:,} characters of each source, which may overlap with",
        "the text it was learned from.",
        "",
        "| source | documents | bytes | tokens | bytes per token | tokens per word |",
        "|---|---:|---:|---:|---:|---:|",
        *(_row(name, figures) for name, figures in rows),
        "",
        "## Longest tokens",
        "",
        "| id | bytes | text |",
        "|---:|---:|---|",
        *(f"| {entry['id']} | {entry['bytes']} | {_cell(entry['text'])} |" for entry in card["longest_tokens"]),
    ]
    return "\n".join(lines) + "\n"


def _row(name: str, figures: dict[str, Any]) -> str:
    counts = [f"{figures[key]:,}" for key in ("documents", "bytes", "tokens")]
    ratios = ["-" if figures[key] is None else f"{figures[key]:.2f}" for key in ("bytes_per_token", "tokens_per_word")]
    return "| " + " | ".join([name.replace("|", "\\|"), *counts, *ratios]) + " |"


def _cell(text: str) -> str:
    """A token in a Markdown table, as a Python literal, so that spaces and line breaks show."""
    return "`" + repr(text).replace("`", "\\x60").replace("|", "\\|") + "`"
