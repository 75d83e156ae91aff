"""The corpus card as one page: plots, tables and samples, complete in itself.

Nothing runs in it and nothing is fetched, which its content security policy also forbids to whatever a document's
text may hold; every piece of text is escaped. The plots are those of `lumilab.page`, each with its numbers in a table.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

from lumilab.corpus.card_markdown import in_order, percent, shown_count, shown_reasons, shown_value, sizes_in_order
from lumilab.corpus.lengths import COLUMNS
from lumilab.corpus.samples import EXCERPT_CHARACTERS
from lumilab.page.axes import LogAxis, ShareAxis
from lumilab.page.charts import Bar, Spread, bar_chart, histogram, spread_chart
from lumilab.page.document import document
from lumilab.page.pieces import figure, folded, heading, section, table, tiles
from lumilab.page.svg import safe
from lumilab.work.progress import format_bytes, format_count

LANGUAGES_SHOWN = 12
SPREADS_SHOWN = 24


def render_page(card: dict[str, Any]) -> str:
    """The card (see `card.describe`) as one HTML page."""
    sections = [
        _summary(card),
        *figures(card),
        _kept(card["parts"]),
        _dropped(card["dropped"]),
        _quarantine(card),
        _settings(card["settings"]),
    ]
    return document("Corpus card", "".join(sections))


def figures(card: dict[str, Any], level: int = 2) -> list[str]:
    """What a page shows of the whole corpus: a section each under headings of that level; "" for nothing to show."""
    return [
        _losses(card, level),
        _sources(card, level),
        _lengths(card, level),
        _languages(card["totals"], level),
        _duplicates(card["duplicates"], card["settings"], level),
    ]


# --- sections ------------------------------------------------------------------------------------------------------


def _summary(card: dict[str, Any]) -> str:
    names = ", ".join(source["name"] for source in card["sources"])
    return f'<h1>Corpus card</h1>\n<p class="note">Made from: {safe(names)}</p>\n{tiles(totals(card))}\n'


def totals(card: dict[str, Any]) -> list[tuple[str, str]]:
    """The few figures that matter most."""
    total = card["totals"]
    return [
        ("documents", shown_large(total["documents"])),
        ("characters", shown_large(total["characters"])),
        ("UTF-8 text", format_bytes(total["bytes"])),
        ("raw records read", shown_large(total["read"])),
        ("of them kept", percent(total["documents"], total["read"])),
        ("median length", f"{card['lengths']['p50'] or 0:,}"),
    ]


def shown_large(number: int) -> str:
    """Exact up to seven digits, then rounded to three: a tile has little room, and the tables are exact."""
    return f"{number:,}" if number < 10**7 else format_count(number)


def _losses(card: dict[str, Any], level: int) -> str:
    read, stages = card["totals"]["read"], card["stages"]
    bars = [Bar("raw records", read, f"{read:,}")]
    for stage in stages:
        if stage["dropped"]:
            shown = f"−{shown_large(stage['dropped'])} · {shown_large(stage['left'])} left"
            bars.append(Bar(stage["stage"], stage["left"], shown, stage["dropped"]))
    bars.append(Bar("documents", card["totals"]["documents"], f"{card['totals']['documents']:,}"))
    words = f"Of {read:,} raw records {card['totals']['documents']:,} became documents of the corpus."
    chart = bar_chart("losses", "From raw records to documents", words, bars, whole=read)
    key = '<span class="key bar"></span> left after the stage, <span class="key lost"></span> left out by it.'
    reasons = (
        table(
            ("reason", "#records", "#share of raw records"),
            [
                (reason, f"{facts['count']:,}", percent(facts["count"], read))
                for reason, facts in in_order(card["dropped"])
            ],
        )
        if card["dropped"]
        else "<p>Nothing was dropped.</p>"
    )
    numbers = table(
        ("stage", "#left out", "#share of raw records", "#left"),
        [
            (stage["stage"], f"{stage['dropped']:,}", percent(stage["dropped"], read), f"{stage['left']:,}")
            for stage in stages
        ],
    )
    return section(
        "From raw records to documents",
        figure(chart, f"In the order in which a record meets them: {key}"),
        folded("The numbers of each stage", numbers),
        heading("Reasons", level + 1),
        reasons,
        level=level,
    )


def _sources(card: dict[str, Any], level: int) -> str:
    total = card["totals"]["characters"]
    sources = card["sources"]
    bars = [
        Bar(source["name"], source["characters"], percent(source["characters"], total))
        for source in sorted(sources, key=lambda source: (-source["characters"], source["name"]))
    ]
    chart = bar_chart("sources", "Share of the text by source", "In characters of the kept documents.", bars, total)
    licences = table(
        ("source", "kind", "licence", "#documents", "#characters", "#share of text"),
        [
            (
                source["name"],
                source["kind"],
                source["licence"] or "not stated",
                f"{source['documents']:,}",
                f"{source['characters']:,}",
                percent(source["characters"], total),
            )
            for source in sources
        ],
    )
    parts = table(
        ("source", "part", "#read", "unreadable", "dropped", "#documents", "#characters"),
        [
            (
                part["source"],
                part["part"],
                f"{part['read']:,}",
                shown_reasons(part["unreadable"]),
                shown_reasons(part["dropped"]),
                f"{part['documents']:,}",
                f"{part['characters']:,}",
            )
            for part in card["parts"]
        ],
    )
    return section(
        "Sources and licences",
        figure(chart, "Share of the kept characters."),
        licences,
        folded("What became of each part", parts),
        level=level,
    )


def _lengths(card: dict[str, Any], level: int) -> str:
    lengths, parts = card["lengths"], card["parts"]
    bins = lengths["histogram"]
    if not bins:
        return ""
    words = f"From {lengths['shortest']:,} to {lengths['longest']:,} characters, half of them up to {lengths['p50']:,}."
    chart = histogram(
        "lengths",
        "Lengths of the documents",
        words,
        [(f"{low:,} to {high - 1:,} characters", low, high, count) for low, high, count in bins],
        LogAxis(bins[0][0], bins[-1][1]),
        (lengths["p50"], f"median {lengths['p50']:,}"),
        "characters (logarithmic)",
    )
    rows = [(part["source"], part["part"], part["lengths"]) for part in parts]
    rows += [("all", "", lengths)] if len(rows) > 1 else []
    quantiles = table(
        ("source", "part", *(f"#{column}" for column in COLUMNS)),
        [(source, part, *(shown_count(own[column]) for column in COLUMNS)) for source, part, own in rows],
    )
    numbers = table(
        ("#from", "#to", "#documents"), [(f"{low:,}", f"{high - 1:,}", f"{count:,}") for low, high, count in bins]
    )
    return section(
        "Length of the documents",
        figure(chart, "Documents by length, ten bins to each power of ten."),
        _spreads(parts),
        '<p class="note">Quantiles above 128 characters are rounded down by less than 1/64.</p>',
        quantiles,
        folded("The bins", numbers),
        level=level,
    )


def _spreads(parts: Sequence[dict[str, Any]]) -> str:
    """The quantiles of each part side by side, where there is more than one with documents."""
    spreads = [
        Spread(
            part["source"] if part["part"] == "files" else f"{part['source']}, {part['part']}",
            *(max(part["lengths"][name], 1) for name in ("p05", "p25", "p50", "p75", "p95")),
        )
        for part in parts
        if part["documents"]
    ]
    if len(spreads) < 2:
        return ""
    about = f"The middle half and the middle nine tenths of the documents of {min(len(spreads), SPREADS_SHOWN)} parts."
    chart = spread_chart("spreads", "Lengths by source", about, spreads[:SPREADS_SHOWN], "characters (logarithmic)")
    more = f" The first {SPREADS_SHOWN} of {len(spreads)} parts." if len(spreads) > SPREADS_SHOWN else ""
    return figure(
        chart,
        f"By source: the line holds nine tenths of the documents, the box half of them, the tick is the median.{more}",
    )


def _languages(total: dict[str, Any], level: int) -> str:
    if not total["languages"]:
        return ""
    ordered = sorted(total["languages"].items(), key=lambda item: (-item[1], item[0]))
    unknown = total["documents"] - sum(total["languages"].values())
    bars = [Bar(name, count, f"{count:,}") for name, count in ordered[:LANGUAGES_SHOWN]]
    rest = sum(count for _, count in ordered[LANGUAGES_SHOWN:])
    if rest:
        bars.append(Bar(f"{len(ordered) - LANGUAGES_SHOWN} others", rest, f"{rest:,}"))
    if unknown:
        bars.append(Bar("not identified", unknown, f"{unknown:,}"))
    chart = bar_chart("languages", "Languages", f"Documents in {len(ordered)} languages.", bars)
    rows = [(name, f"{count:,}", percent(count, total["documents"])) for name, count in ordered]
    return section(
        "Languages",
        figure(chart, "Documents by identified language."),
        folded("The numbers", table(("language", "#documents", "#share"), rows)),
        level=level,
    )


def _duplicates(duplicates: dict[str, Any] | None, settings: dict[str, Any], level: int) -> str:
    if duplicates is None:
        return ""
    if not duplicates["clusters"]:
        return section("Duplicates", "<p>No two documents were found to repeat one another.</p>", level=level)
    largest = max(cluster["size"] for cluster in duplicates["largest"])
    words = (
        f"{duplicates['duplicates']:,} documents repeat another word for word and {duplicates['near_duplicates']:,} "
        f"nearly so. They and those they repeat make {duplicates['clusters']:,} clusters, of each of which one "
        f"document stays. The largest has {largest:,}."
    )
    sizes = sizes_in_order(duplicates["sizes"])
    bars = [Bar(f"{size} documents", count, f"{count:,}") for size, count in sizes]
    chart = bar_chart("clusters", "Clusters of duplicates by size", words, bars)
    numbers = table(
        ("#documents", "id of the one that stays"),
        [(f"{cluster['size']:,}", cluster["id"]) for cluster in duplicates["largest"]],
    )
    samples = [
        heading("Some clusters, two documents of each", level + 1),
        '<p class="note">Marked is what the first document does not have in the same place.</p>',
        *(_cluster(cluster) for cluster in duplicates["samples"]),
    ]
    return section(
        "Duplicates",
        f"<p>{safe(words)}</p>",
        figure(chart, "Clusters by the number of their documents."),
        folded("The largest clusters", numbers),
        _similarities(duplicates, settings),
        *(samples if duplicates["samples"] else []),
        level=level,
    )


def _similarities(duplicates: dict[str, Any], settings: dict[str, Any]) -> str:
    """How alike the pairs were that had been candidates, where they were compared."""
    counts = duplicates.get("similarities")
    if not counts or not any(counts):
        return ""
    step = 1 / len(counts)
    bins = [
        (f"{place * step:.2f} to {(place + 1) * step:.2f}", place * step, (place + 1) * step, count)
        for place, count in enumerate(counts)
    ]
    threshold = settings["minhash.similarity"]
    words = (
        f"{duplicates['candidates']:,} pairs of documents agreed on a band of their signatures; "
        f"{duplicates['near_pairs']:,} of them have a Jaccard similarity of {threshold:g} or more."
    )
    chart = histogram(
        "similarities",
        "Similarity of the candidates",
        words,
        bins,
        ShareAxis(),
        (threshold, f"near-duplicates from {threshold:g}"),
        "Jaccard similarity",
    )
    numbers = table(("similarity", "#pairs"), [(label, f"{count:,}") for label, _, _, count in bins])
    return figure(chart, safe(words)) + folded("The numbers", numbers)


def _cluster(cluster: dict[str, Any]) -> str:
    first, second = cluster["members"]
    likeness = cluster["similarity"]
    fate = "dropped" if likeness is None else f"dropped, similarity {likeness:.3f}"
    shown = _shown_sample(first["id"], safe(first["excerpt"]))
    shown += _shown_sample(second["id"], _differences(first["excerpt"], second["excerpt"]), fate)
    return f'<p class="note">From a cluster of {cluster["size"]:,}:</p><div class="samples">{shown}</div>'


def _differences(kept: str, other: str) -> str:
    """The other text as HTML, with the words marked that the kept one does not have in their place."""
    before, after = (re.findall(r"\s+|\w+|[^\w\s]", text) for text in (kept, other))
    pieces = []
    for kind, _, _, start, end in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        words = safe("".join(after[start:end]))
        pieces.append(words if kind == "equal" or not words.strip() else f"<mark>{words}</mark>")
    return "".join(pieces)


def _kept(parts: Sequence[dict[str, Any]]) -> str:
    blocks = []
    for part in parts:
        if part["samples"]:
            samples = "".join(_shown_sample(sample["id"], _excerpt(sample["excerpt"])) for sample in part["samples"])
            title = f"{part['source']}, {part['part']}"
            blocks.append(f'<h3>{safe(title)}</h3><div class="samples">{samples}</div>')
    return section("Samples of the corpus", *blocks) if blocks else ""


def _dropped(dropped: dict[str, dict[str, Any]]) -> str:
    blocks = []
    for reason, facts in in_order(dropped):
        if facts["samples"]:
            samples = "".join(_shown_sample(sample["id"], _excerpt(sample["excerpt"])) for sample in facts["samples"])
            title = f'{safe(reason)} <span class="of">{facts["count"]:,} documents, {safe(facts["stage"])}</span>'
            blocks.append(f'<details><summary>{title}</summary><div class="samples">{samples}</div></details>')
    if not blocks:
        return ""
    words = "Up to ten documents for each reason, drawn evenly from all that it held; their beginnings."
    return section("Samples of what was dropped", f'<p class="note">{words}</p>', *blocks)


def _quarantine(card: dict[str, Any]) -> str:
    counts = card["totals"]["unreadable"]
    if not counts:
        return section("Quarantine", "<p>Every raw record could be read.</p>")
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    examples = [
        (
            part["source"],
            f"{record['file']}{'' if record['line'] is None else ':' + str(record['line'])}",
            record["reason"],
        )
        for part in card["parts"]
        for record in part["unreadable_examples"]
    ]
    return section(
        "Quarantine",
        "<p>Raw records that could not be read; <code>quarantine.jsonl</code> lists all of them.</p>",
        table(
            ("reason", "#records", "#share of raw records"),
            [(reason, f"{count:,}", percent(count, card["totals"]["read"])) for reason, count in ordered],
        ),
        folded("The first of each source", table(("source", "place", "reason"), examples)),
    )


def _settings(settings: dict[str, Any]) -> str:
    rows = [(key, shown_value(value)) for key, value in sorted(settings.items())]
    return section("Settings", folded(f"{len(rows)} values of the recipe", table(("setting", "value"), rows)))


def _shown_sample(name: str, text: str, fate: str = "") -> str:
    """One document; its text is HTML already."""
    label = f"{safe(name)}{f' ({safe(fate)})' if fate else ''}"
    return f'<div class="sample"><div class="name">{label}</div><p class="text" dir="auto">{text}</p></div>'


def _excerpt(text: str) -> str:
    """The beginning of a document as HTML; dots where it goes on."""
    return safe(text) + ("…" if len(text) >= EXCERPT_CHARACTERS else "")
