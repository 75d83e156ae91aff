"""The corpus card: what was read, what was left out and why, how long the documents are, and a few to look at.

`card.json` is for programs, `CARD.md` and `card.html` are for people. All three are a function of the documents and the
configuration alone: no time, path, host or number of workers is in them. The questions a card answers follow Gebru et
al., "Datasheets for Datasets" (2021), as far as a program can answer them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from lumilab.artifact import ArtifactBuilder
from lumilab.corpus.card_markdown import render_markdown
from lumilab.corpus.card_page import render_page
from lumilab.corpus.deduplication import REASONS, DuplicateReport
from lumilab.corpus.hub.presets import PRESETS
from lumilab.corpus.lengths import LengthHistogram
from lumilab.corpus.samples import rank_of
from lumilab.corpus.tally import DROPPED_SAMPLES, Tally, totals
from lumilab.recipe.corpus import CorpusConfig, HubSource, Source
from lumilab.recipe.filters import FiltersConfig
from lumilab.recipe.section import identity

LANGUAGE_MODEL = "filters.language.model_file"
BINS_PER_DECADE = 10  # of the histogram of lengths

UNREADABLE = "unreadable"
NOT_DOCUMENTS = "no document by nature"
TOO_SHORT = "empty or too short"
CONTAMINATED = "held by evaluation sets"
DUPLICATES = "duplicates"


def write_card(
    builder: ArtifactBuilder, config: CorpusConfig, tallies: Sequence[Tally], report: DuplicateReport
) -> None:
    """Writes card.json, CARD.md and card.html into a corpus under construction.

    Args:
        builder: of the corpus.
        config: what it is built by.
        tallies: one for each part of each source, complete.
        report: what deduplication found.
    """
    card = describe(config, tallies, report)
    builder.write_json("card.json", card)
    builder.write_bytes("CARD.md", render_markdown(card).encode(errors="backslashreplace"))
    builder.write_bytes("card.html", render_page(card).encode(errors="backslashreplace"))


def describe(config: CorpusConfig, tallies: Sequence[Tally], report: DuplicateReport) -> dict[str, Any]:
    """Everything the card says, as JSON values.

    The keys:
        totals: counts over all parts.
        sources: name, kind, licence and priority of each configured source, and its counts.
        stages: what each step of the build left out, and how many records were left after it.
        parts: counts, lengths and samples of each part of each source.
        dropped: for each reason its stage, its count and a uniform sample of up to ten.
        lengths: of all documents: quantiles, and a histogram as [lower edge, upper edge, documents].
        duplicates: what deduplication found (see DuplicateReport.facts); null where nothing was looked for.
        settings: every value of the configuration that decides about a document, by its path.
    """
    total = totals(tallies)
    dropped = _dropped(tallies)
    lengths = LengthHistogram()
    for tally in tallies:
        lengths.merge(tally.lengths)
    return {
        "totals": total,
        "sources": [_source(section, tallies) for section in config.sources],
        "stages": _stages(total["read"], sum(total["unreadable"].values()), dropped),
        "dropped": dropped,
        "parts": [_part(tally) for tally in tallies],
        "lengths": lengths.summary() | {"histogram": decade_histogram(lengths)},
        "duplicates": report.facts or None,
        "settings": settings(config),
    }


def _source(section: Source, tallies: Sequence[Tally]) -> dict[str, Any]:
    own = [tally for tally in tallies if tally.source == section.name]
    counts = totals(own)
    return {
        "name": section.name,
        "kind": section.kind,
        "licence": licence_of(section),
        "priority": section.priority,
        "read": counts["read"],
        "documents": counts["documents"],
        "characters": counts["characters"],
        "bytes": counts["bytes"],
    }


def licence_of(section: Source) -> str | None:
    """The licence that the recipe states, or else what is known of a dataset of the hub."""
    if section.licence is None and isinstance(section, HubSource):
        wanted = section.dataset.lower()
        for name, preset in PRESETS.items():
            if wanted in (name, preset.repository.lower()):
                return preset.licence
    return section.licence


def _part(tally: Tally) -> dict[str, Any]:
    return tally.counts() | {
        "lengths": tally.lengths.summary(),
        "unreadable_examples": [asdict(record) for record in tally.examples],
        "samples": tally.samples.summary(),
    }


def _dropped(tallies: Sequence[Tally]) -> dict[str, dict[str, Any]]:
    counts: Counter[str] = sum((tally.dropped for tally in tallies), Counter())
    facts = {}
    for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        samples = [
            sample | {"source": tally.source}
            for tally in tallies
            if reason in tally.dropped_samples
            for sample in tally.dropped_samples[reason].summary()
        ]
        samples.sort(key=lambda sample: (rank_of(sample["id"]), sample["id"]))
        # What a source skips never was a document, so there is no sample of it.
        stage = _stage(reason) if samples else NOT_DOCUMENTS
        facts[reason] = {"stage": stage, "count": count, "samples": samples[:DROPPED_SAMPLES]}
    return facts


def _stage(reason: str) -> str:
    if reason in ("empty", "short"):
        return TOO_SHORT
    if reason.startswith("contaminated"):
        return CONTAMINATED
    return DUPLICATES if reason in REASONS else filter_stage(reason.partition(":")[0])


def filter_stage(name: str) -> str:
    """What a quality filter is called among the stages; its reasons begin with its name."""
    return f"filter {name}"


def _stages(read: int, unreadable: int, dropped: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The way from raw records to documents, in the order in which a record goes it."""
    losses = Counter({UNREADABLE: unreadable})
    for facts in dropped.values():
        losses[facts["stage"]] += facts["count"]
    filters = [filter_stage(name) for name in FiltersConfig.model_fields if filter_stage(name) in losses]
    stages = []
    for stage in (UNREADABLE, NOT_DOCUMENTS, TOO_SHORT, CONTAMINATED, *filters, DUPLICATES):
        read -= losses[stage]
        stages.append({"stage": stage, "dropped": losses[stage], "left": read})
    return stages


def decade_histogram(lengths: LengthHistogram) -> list[tuple[int, int, int]]:
    """Lengths in ten bins to each power of ten: (lower edge, upper edge, documents), from the first bin with any to
    the last; the upper edge belongs to the next bin.

    The edges are the whole numbers at or above 10^(i/10), each once. Lengths are rounded down by less than 1/64
    before, so a few count in the bin below.
    """
    buckets = lengths.buckets()
    if not buckets:
        return []
    edges = bin_edges(max(buckets[-1][0], 1))
    counts = [0] * (len(edges) - 1)
    for length, count in buckets:
        counts[max(bisect_right(edges, length) - 1, 0)] += count
    first = next(index for index, count in enumerate(counts) if count)
    return list(zip(edges, edges[1:], counts, strict=False))[first:]


def bin_edges(longest: int) -> list[int]:
    """The edges of the bins from 1 to the one that holds `longest`, its upper edge included."""
    edges = [1]
    step = 1
    while edges[-1] <= longest:
        decade, rest = divmod(step, BINS_PER_DECADE)
        edge = math.ceil(10**decade * 10 ** (rest / BINS_PER_DECADE))  # exact at the powers of ten
        if edge > edges[-1]:
            edges.append(edge)
        step += 1
    return edges


def settings(config: CorpusConfig) -> dict[str, Any]:
    """The configuration without its sources and without paths, by the path of each value: {"minhash.bands": 14}."""
    values = identity(config)
    del values["sources"]
    if config.deduplicate != "minhash":
        del values["minhash"]
    if config.decontamination is not None:
        del values["decontamination"]["paths"]
    flat = dict(_flat(values, ""))
    if flat.get(LANGUAGE_MODEL):
        flat[LANGUAGE_MODEL] = PurePath(flat[LANGUAGE_MODEL]).name
    return flat


def _flat(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [row for key, inner in value.items() for row in _flat(inner, f"{path}.{key}" if path else str(key))]
    return [(path, value)]
