"""The corpus card as Markdown: what people read beside the files."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from lumilab.corpus.lengths import COLUMNS
from lumilab.work.progress import format_bytes

SHOWN_CHARACTERS = 400  # of each sample; card.json has more
SHOWN_DROPPED = 3  # samples of each reason


def render_markdown(card: dict[str, Any]) -> str:
    """The card (see `card.describe`) as Markdown."""
    total = card["totals"]
    blocks = [
        "# Corpus card",
        (
            f"{total['documents']:,} documents, {total['characters']:,} characters, "
            f"{format_bytes(total['bytes'])} of UTF-8 text, from {total['read']:,} raw records."
        ),
        "`card.html` shows the same with plots, `card.json` is for programs.",
        *_sources(card),
        *_losses(card),
        *_lengths(card),
        *_languages(total["languages"]),
        *_duplicates(card["duplicates"]),
        "## Samples",
        *_samples((f"{part['source']}, {part['part']}", part["samples"]) for part in card["parts"]),
        "## Samples of what was dropped",
        *_samples((reason, facts["samples"][:SHOWN_DROPPED]) for reason, facts in in_order(card["dropped"])),
        "## Settings",
        _table(("setting", "value"), [(key, shown_value(value)) for key, value in sorted(card["settings"].items())]),
    ]
    return "\n\n".join(blocks) + "\n"


def in_order(dropped: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The reasons with what is known of each, the most frequent first."""
    return sorted(dropped.items(), key=lambda item: (-item[1]["count"], item[0]))


def shown_value(value: Any) -> str:
    """A setting's value as the recipe would have it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def percent(part: float, whole: float) -> str:
    """A share with one decimal; "0.0%" of nothing."""
    return f"{part / whole if whole else 0:.1%}"


def shown_count(number: int | None) -> str:
    """With thousands apart; nothing for None."""
    return "" if number is None else f"{number:,}"


def shown_reasons(counts: dict[str, int]) -> str:
    """Counts by reason in one line; "0" for none."""
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items())) or "0"


def _sources(card: dict[str, Any]) -> list[str]:
    total = card["totals"]
    return [
        "## Sources and licences",
        _table(
            ("source", "kind", "licence", "documents", "share of text"),
            [
                (
                    source["name"],
                    source["kind"],
                    source["licence"] or "not stated",
                    f"{source['documents']:,}",
                    percent(source["characters"], total["characters"]),
                )
                for source in card["sources"]
            ],
        ),
        "## What came from where",
        _table(
            ("source", "part", "read", "unreadable", "dropped", "documents", "characters", "share of text"),
            [
                (
                    part["source"],
                    part["part"],
                    f"{part['read']:,}",
                    shown_reasons(part["unreadable"]),
                    shown_reasons(part["dropped"]),
                    f"{part['documents']:,}",
                    f"{part['characters']:,}",
                    percent(part["characters"], total["characters"]),
                )
                for part in card["parts"]
            ],
        ),
        "Unreadable records are listed in `quarantine.jsonl`.",
    ]


def _losses(card: dict[str, Any]) -> list[str]:
    read = card["totals"]["read"]
    return [
        "## From raw records to documents",
        _table(
            ("stage", "left out", "of all records", "left"),
            [
                (stage["stage"], f"{stage['dropped']:,}", percent(stage["dropped"], read), f"{stage['left']:,}")
                for stage in card["stages"]
            ],
        ),
        _table(
            ("reason", "stage", "documents"),
            [(reason, facts["stage"], f"{facts['count']:,}") for reason, facts in in_order(card["dropped"])],
        )
        if card["dropped"]
        else "Nothing was dropped.",
    ]


def _lengths(card: dict[str, Any]) -> list[str]:
    rows = [(part["source"], part["part"], part["lengths"]) for part in card["parts"]]
    rows += [("all", "", card["lengths"])] if len(rows) > 1 else []
    return [
        "## Length of the documents, in characters",
        "Quantiles above 128 are rounded down by less than 1/64.",
        _table(
            ("source", "part", *COLUMNS),
            [(source, part, *(shown_count(lengths[column]) for column in COLUMNS)) for source, part, lengths in rows],
        ),
    ]


def _languages(languages: dict[str, int]) -> list[str]:
    if not languages:
        return []
    ordered = sorted(languages.items(), key=lambda item: (-item[1], item[0]))
    return ["## Languages", _table(("language", "documents"), [(name, f"{count:,}") for name, count in ordered])]


def _duplicates(duplicates: dict[str, Any] | None) -> list[str]:
    if duplicates is None:
        return []
    found = (
        f"{duplicates['duplicates']:,} documents repeat another word for word, {duplicates['near_duplicates']:,} "
        f"nearly so, in {duplicates['clusters']:,} clusters."
    )
    sizes = sizes_in_order(duplicates["sizes"])
    table = _table(("documents in the cluster", "clusters"), [(size, f"{count:,}") for size, count in sizes])
    return ["## Duplicates", found, *([table] if sizes else [])]


def sizes_in_order(sizes: dict[str, int]) -> list[tuple[str, int]]:
    """Sizes of clusters, such as "5 to 8", with how many there are, the smallest first."""
    return sorted(sizes.items(), key=lambda item: int(item[0].split()[0]))


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


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
