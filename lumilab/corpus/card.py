"""The corpus card: what was read, what was left out and why, how long the documents are, and a few to look at.

`card.json` is for programs, `CARD.md` for people; both are a function of the documents alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from lumilab.artifact import ArtifactBuilder
from lumilab.corpus.lengths import COLUMNS
from lumilab.corpus.tally import Tally, totals
from lumilab.work.progress import format_bytes

SHOWN_CHARACTERS = 400  # of each sample in CARD.md; card.json has more


def write_card(builder: ArtifactBuilder, tallies: Sequence[Tally]) -> None:
    """Writes card.json and CARD.md into a corpus under construction."""
    card = {
        "totals": totals(tallies),
        "parts": [
            tally.counts()
            | {
                "lengths": tally.lengths.summary(),
                "samples": tally.samples.summary(),
                "dropped_samples": {reason: kept.summary() for reason, kept in tally.dropped_samples.items()},
            }
            for tally in tallies
        ],
    }
    builder.write_json("card.json", card)
    builder.write_bytes("CARD.md", render(card).encode())


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    total, parts = card["totals"], card["parts"]
    blocks = [
        "# Corpus card",
        (
            f"{total['documents']:,} documents, {total['characters']:,} characters, "
            f"{format_bytes(total['bytes'])} of UTF-8 text, from {total['read']:,} raw records."
        ),
        "## What came from where",
        _table(
            ("source", "part", "read", "unreadable", "dropped", "documents", "characters", "share of text"),
            [
                (
                    part["source"],
                    part["part"],
                    f"{part['read']:,}",
                    _reasons(part["unreadable"]),
                    _reasons(part["dropped"]),
                    f"{part['documents']:,}",
                    f"{part['characters']:,}",
                    f"{part['characters'] / max(total['characters'], 1):.1%}",
                )
                for part in parts
            ],
        ),
        "Unreadable records are listed in `quarantine.jsonl`.",
        "## Length of the documents, in characters",
        "Quantiles above 128 are rounded down by less than 1/64.",
        _table(
            ("source", "part", *COLUMNS),
            [
                (part["source"], part["part"], *(_count(part["lengths"][column]) for column in COLUMNS))
                for part in parts
            ],
        ),
        "## Samples",
        *_samples((f"{part['source']}, {part['part']}", part["samples"]) for part in parts),
        "## Samples of what was dropped",
        *_samples(
            (f"{part['source']}, {part['part']}: {reason}", samples)
            for part in parts
            for reason, samples in sorted(part["dropped_samples"].items())
        ),
    ]
    return "\n\n".join(blocks) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items())) or "0"


def _samples(groups: Iterable[tuple[str, list[dict[str, str]]]]) -> list[str]:
    """A heading for each group, and each sample as an indented block, in which no character is markup."""
    blocks = []
    for title, samples in groups:
        if samples:
            blocks.append(f"### {title}")
        for sample in samples:
            text = textwrap.shorten(sample["id"], 120)
            blocks += [f"`{text}`", textwrap.indent(sample["excerpt"][:SHOWN_CHARACTERS], "    ", lambda line: True)]
    return blocks or ["None."]
