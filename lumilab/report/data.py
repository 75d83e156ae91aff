"""The report's part on data: the figures of the corpus's card, the tokens, and the examples of post-training."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lumilab.artifact import Artifact
from lumilab.corpus import card_page
from lumilab.page.charts import Bar, bar_chart
from lumilab.page.pieces import figure, section, table, tiles
from lumilab.report.run_view import RunView
from lumilab.work.progress import format_count

EXAMPLES = ("conversations", "pairs", "prompts")  # the stages whose data are single examples


def data_card(run: RunView) -> str:
    """The data of the run; says what is missing."""
    corpus, dataset = run.artifact("corpus"), run.artifact("dataset")
    examples = [(name, found) for name in EXAMPLES if (found := run.artifact(name))]
    blocks = [_corpus(corpus) if corpus else "<p>There is no corpus yet.</p>"]
    blocks += [_tokens(dataset)] if dataset else ["<p>No text has been encoded yet.</p>"]
    blocks += [_examples(name, artifact) for name, artifact in examples]
    return section("Data", *blocks)


def _corpus(corpus: Artifact) -> str:
    card = json.loads(corpus.file("card.json").read_bytes())
    return tiles(card_page.totals(card)) + "".join(card_page.figures(card, level=3))


def _tokens(dataset: Artifact) -> str:
    statistics, config = dataset.manifest.statistics, dataset.manifest.config["dataset"]
    splits = [(name, statistics[name]) for name in ("train", "validation") if name in statistics]
    whole = sum(split["tokens"] for _, split in splits)
    bars = [
        Bar(f"{name}: {source['source']}", source["tokens"], format_count(source["tokens"]))
        for name, split in splits
        for source in split["sources"]
    ]
    chart = bar_chart("tokens", "Tokens by split and source", f"{whole:,} tokens in all.", bars)
    rows = [
        (
            name,
            source["source"],
            f"{source['documents']:,}",
            f"{source['bytes']:,}",
            f"{source['tokens']:,}",
            f"{source['windows']:,}",
            f"{source['bytes'] / source['tokens']:.3f}" if source["tokens"] else "-",
        )
        for name, split in splits
        for source in split["sources"]
    ]
    header = ("split", "source", "#documents", "#bytes", "#tokens", "#windows", "#bytes per token")
    words = f"Tokens in windows of {config['window']:,} ({config['packing']}), by split and source."
    return section("Tokens", figure(chart, words), table(header, rows), level=3)


def _examples(name: str, artifact: Artifact) -> str:
    statistics = artifact.manifest.statistics
    rows = list(_sources(statistics.get("sources", {})))
    splits = [
        (split, *(f"{value:,}" for value in statistics[split].values()))
        for split in ("train", "validation")
        if split in statistics
    ]
    columns = [f"#{column.replace('_', ' ')}" for column in statistics.get("train", {})]
    return section(
        name.capitalize(),
        table(("split", *columns), splits) if splits else "",
        table(("source", "#read", "#kept", "dropped"), rows) if rows else "",
        level=3,
    )


def _sources(sources: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for source, counts in sources.items():
        dropped = ", ".join(f"{reason}: {count:,}" for reason, count in counts.get("dropped", {}).items())
        yield source, f"{counts['read']:,}", f"{counts['kept']:,}", dropped or "nothing"
