"""The tokenizer's card on paper: `card.json` for programs, `TOKENIZER_CARD.md` for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lumilab.artifact import ArtifactBuilder
from lumilab.tokenizer.card import SAMPLE_CHARACTERS

SHOWN_CHANGED = 5


def write_card(builder: ArtifactBuilder, card: dict[str, Any]) -> None:
    """Writes `card.json` and the same as a page, `TOKENIZER_CARD.md`."""
    builder.write_json("card.json", card)
    builder.write_bytes("TOKENIZER_CARD.md", render(card).encode())


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    return "\n".join(["# Tokenizer card", "", *_facts(card), *_mix(card), *_fit(card), *_longest(card)]) + "\n"


def _facts(card: dict[str, Any]) -> Iterator[str]:
    asked = card.get("vocabulary_asked", card["vocabulary_size"])
    short = "" if card["vocabulary_size"] == asked else f" ({asked:,} were asked; the text holds no more)"
    yield f"- Algorithm: {card['algorithm']}"
    yield f"- Vocabulary: {card['vocabulary_size']:,} tokens{short}, of which {card['reserved_tokens']} are reserved"
    if card.get("own_vocabulary", card["vocabulary_size"]) != card["vocabulary_size"]:
        added = card["vocabulary_size"] - card["own_vocabulary"]
        yield f"- Its own vocabulary: {card['own_vocabulary']:,} tokens with their own ids; {added} were added behind"
    yield f"- Special tokens: {', '.join(f'{role} `{name}`' for role, name in card['roles'].items())}"
    yield f"- Identity: `{card['identity']}`"
    if card.get("differs_from_sentencepiece") is not None:
        count = card["differs_from_sentencepiece"]
        words = "the same ids as sentencepiece" if not count else f"{count} texts otherwise than sentencepiece"
        yield f"- Compared: the built-in sample of odd texts gets {words}"
    trip, used = card["round_trip"], card["vocabulary_used"]
    if trip["documents"]:
        exact = trip["documents"] - len(trip["changed"])
        yield f"- Round trip: {exact:,} of {trip['documents']:,} documents come back unchanged"
        yield f"- Vocabulary in use: {used['tokens']:,} tokens ({100 * used['share']:.1f} %) occur in the sample"
    for name in trip["changed"][:SHOWN_CHANGED]:
        yield f"  - changed: {_cell(name)}"


def _mix(card: dict[str, Any]) -> Iterator[str]:
    if "trained_on" in card:
        total = card["trained_on_characters"]
        yield from ("", "## Learned from", "", "| source | characters | share |", "|---|---:|---:|")
        for source, characters in card["trained_on"].items():
            yield f"| {_name(source)} | {characters:,} | {100 * characters / total:.1f} % |"
        yield f"| **all** | {total:,} | 100.0 % |"


def _fit(card: dict[str, Any]) -> Iterator[str]:
    if not card["sources"]:
        return
    yield from ("", "## How it fits", "")
    yield f"Measured on an even sample of up to {SAMPLE_CHARACTERS:,} characters of each source, which may overlap with"
    yield "the text it was learned from."
    yield ""
    yield "| source | documents | bytes | tokens | bytes per token | tokens per word |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, figures in [*card["sources"].items(), ("**all**", card["all"])]:
        counts = [f"{figures[key]:,}" for key in ("documents", "bytes", "tokens")]
        ratios = [
            "-" if figures[key] is None else f"{figures[key]:.2f}" for key in ("bytes_per_token", "tokens_per_word")
        ]
        yield "| " + " | ".join([_name(name), *counts, *ratios]) + " |"


def _longest(card: dict[str, Any]) -> Iterator[str]:
    yield from ("", "## Longest tokens", "", "| id | bytes | text |", "|---:|---:|---|")
    for entry in card["longest_tokens"]:
        yield f"| {entry['id']} | {entry['bytes']} | {_cell(entry['text'])} |"


def _name(text: str) -> str:
    return text.replace("|", "\\|")


def _cell(text: str) -> str:
    """A token in a Markdown table, as a Python literal, so that spaces and line breaks show."""
    return "`" + repr(text).replace("`", "\\x60").replace("|", "\\|") + "`"
