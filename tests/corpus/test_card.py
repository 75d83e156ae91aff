"""The card: counts that add up, the same to programs and to people, and no text of a document that is markup."""

from __future__ import annotations

import json
import math
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from lumilab.artifact import ArtifactBuilder, canonical_json
from lumilab.corpus.card import bin_edges, decade_histogram, describe, licence_of, settings, write_card
from lumilab.corpus.card_markdown import render_markdown
from lumilab.corpus.card_page import render_page
from lumilab.corpus.deduplication import DuplicateReport
from lumilab.corpus.document import BadRecord
from lumilab.corpus.lengths import LengthHistogram
from lumilab.corpus.tally import Tally, totals
from lumilab.recipe.corpus import CorpusConfig, FilesSource, HubSource, PythonSource, WikipediaSource

NOTHING = DuplicateReport([None], {})
CLUSTERS = DuplicateReport(
    [],
    {
        "documents": 12,
        "duplicates": 1,
        "near_duplicates": 3,
        "clusters": 3,
        "sizes": {"2": 2, "3 to 4": 1},
        "largest": [{"size": 3, "id": "web:3"}],
        "samples": [
            {
                "size": 3,
                "similarity": 0.75,
                "members": [{"id": "web:3", "excerpt": "a red fox"}, {"id": "web:9", "excerpt": "a <grey> fox"}],
            },
            {
                "size": 2,
                "similarity": None,
                "members": [{"id": "x", "excerpt": "same"}, {"id": "y", "excerpt": "same"}],
            },
        ],
        "candidates": 5,
        "near_pairs": 3,
        "verified_share": 0.6,
        "similarities": [0] * 10 + [2] + [0] * 4 + [3] + [0] * 4,
    },
)


def keep(tally: Tally, name: str, text: str, language: str | None = None) -> None:
    tally.read += 1
    tally.keep(np.array([[len(text), len(text.encode()), 0, 0]], np.int64), [language])
    tally.samples.offer(name, text)


def drop(tally: Tally, name: str, text: str, reason: str) -> None:
    tally.read += 1
    tally.drop(name, text, reason)


def some_tallies() -> list[Tally]:
    web, books = Tally("web", "files"), Tally("books | more", "files")
    for number in range(4):
        keep(web, f"web:{number}", "é" * 10 * (number + 1), "en")
    drop(web, "web:4", "é", "short")
    drop(web, "web:5", "é" * 10, "duplicate")
    drop(web, "web:6", "###", "gopher_quality: hashes")
    drop(web, "web:7", "{", "c4: curly bracket")
    drop(web, "web:8", "Q: 1+1?", "contaminated: exam.jsonl")
    web.read += 2
    web.dropped["redirect"] += 1  # as sources skip what is no document
    web.quarantine(BadRecord("web", "web.jsonl", 7, "not valid JSON"))
    keep(books, "books:1", "# Not a heading\n```\nnor a fence <script>alert(1)</script>")
    return [web, books]


def some_config(**values: object) -> CorpusConfig:
    sources = [
        FilesSource(name="web", paths=["/somewhere/web.jsonl"], licence="CC0 1.0"),
        FilesSource(name="books | more", paths=["/somewhere/books"]),
    ]
    return CorpusConfig.model_validate({"sources": sources, "deduplicate": "minhash"} | values)


def test_counts_add_up() -> None:
    web, books = (tally.counts() for tally in some_tallies())
    assert {key: web[key] for key in ("read", "documents", "characters", "bytes")} == {
        "read": 11,
        "documents": 4,
        "characters": 100,
        "bytes": 200,
    }
    total = totals(some_tallies())
    for key in ("read", "documents", "characters", "bytes"):
        assert total[key] == web[key] + books[key]
    assert total["read"] == total["documents"] + sum(total["dropped"].values()) + sum(total["unreadable"].values())


def test_each_stage_leaves_what_the_next_one_gets() -> None:
    stages = describe(some_config(), some_tallies(), NOTHING)["stages"]
    assert [(stage["stage"], stage["dropped"], stage["left"]) for stage in stages] == [
        ("unreadable", 1, 11),
        ("no document by nature", 1, 10),
        ("empty or too short", 1, 9),
        ("held by evaluation sets", 1, 8),
        ("filter gopher_quality", 1, 7),
        ("filter c4", 1, 6),
        ("duplicates", 1, 5),
    ]


def test_reasons_have_samples_of_all_parts() -> None:
    tallies = some_tallies()
    for number in range(30):
        drop(tallies[number % 2], f"more:{number}", "x", "short")
    short = describe(some_config(), tallies, NOTHING)["dropped"]["short"]
    assert short["count"] == 31 and len(short["samples"]) == 10
    assert {sample["source"] for sample in short["samples"]} == {"web", "books | more"}


def test_the_card_says_the_same_to_programs_and_to_people(tmp_path: Path) -> None:
    with ArtifactBuilder(tmp_path / "card", kind="corpus", config={}) as builder:
        write_card(builder, some_config(), some_tallies(), CLUSTERS)
        artifact = builder.publish()
    card = json.loads(artifact.file("card.json").read_text(encoding="utf-8"))
    assert card["totals"]["documents"] == 5
    assert card["parts"][0]["lengths"] == {
        "shortest": 10,
        "p05": 10,
        "p25": 10,
        "p50": 20,
        "p75": 30,
        "p95": 30,
        "longest": 40,
    }
    assert [sample["id"] for sample in card["dropped"]["short"]["samples"]] == ["web:4"]
    # Whatever the order of the keys in the file:
    text = artifact.file("CARD.md").read_text(encoding="utf-8")
    assert text == render_markdown(card)
    assert artifact.file("card.html").read_text(encoding="utf-8") == render_page(card)
    assert "| web | files | CC0 1.0 | 4 |" in text
    assert "1 documents repeat another word for word, 3 nearly so, in 3 clusters." in text


def test_the_card_does_not_depend_on_how_the_work_was_cut() -> None:
    whole = describe(some_config(), some_tallies(), CLUSTERS)
    parts: dict[str, Tally] = {}
    for tally in some_tallies():
        for piece in (tally, Tally(tally.source, tally.part)):
            again = Tally.from_json(json.loads(canonical_json(piece.to_json())))
            parts.setdefault(tally.source, Tally(tally.source, tally.part)).merge(again)
    assert canonical_json(describe(some_config(), list(parts.values()), CLUSTERS)) == canonical_json(whole)


def test_text_of_a_document_is_never_markdown() -> None:
    text = render_markdown(describe(some_config(), some_tallies(), NOTHING))
    assert "\n    # Not a heading\n    ```\n    nor a fence" in text
    assert "| books \\| more | files |" in text


class Page(HTMLParser):
    """Tags, what they refer to, and the text of a page; knows whether every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.references: list[str] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]
        assert not any(name.startswith("on") for name, _ in attrs)
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_is_complete_in_itself_and_runs_nothing() -> None:
    page = render_page(describe(some_config(), some_tallies(), CLUSTERS))
    read = Page(page)
    assert "script" not in read.tags and "img" not in read.tags
    assert read.references == ["data:,"]
    assert "url(" not in page and "@import" not in page
    assert "<script>" in "".join(read.words)  # the document's, as text


def test_the_page_shows_what_the_card_says() -> None:
    words = " ".join(Page(render_page(describe(some_config(), some_tallies(), CLUSTERS))).words)
    for shown in (
        "CC0 1.0",
        "not stated",
        "gopher_quality: hashes",
        "−1 · 7 left",
        "web.jsonl:7",
        "not valid JSON",
        "min_characters",
        "dropped, similarity 0.750",
        "5 pairs of documents agreed on a band",
    ):
        assert shown in words, shown


def test_differing_words_of_a_near_duplicate_are_marked() -> None:
    page = render_page(describe(some_config(), some_tallies(), CLUSTERS))
    assert "a <mark>&lt;grey&gt;</mark> fox" in page
    assert "<mark>same</mark>" not in page


def test_a_card_of_an_empty_corpus_can_be_shown() -> None:
    card = describe(some_config(), [Tally("web", "files")], NOTHING)
    assert "0 documents" in render_markdown(card)
    Page(render_page(card))


@settings_of_hypothesis(max_examples=30)
@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    tally = Tally("web", "files")
    keep(tally, f"web:{text}", text or "x")
    drop(tally, f"drop:{text}", text, f"reason: {text}")
    known = Page(render_page(describe(some_config(), some_tallies(), CLUSTERS))).tags
    assert Page(render_page(describe(some_config(), [tally], NOTHING))).tags <= known


def test_licences_are_the_recipes_or_what_is_known() -> None:
    assert licence_of(PythonSource()) == "PSF-2.0"
    assert licence_of(WikipediaSource(paths=["x"])) == "CC BY-SA 4.0"
    assert licence_of(FilesSource(paths=["x"])) is None
    assert licence_of(HubSource(dataset="HuggingFaceFW/fineweb")) == "ODC-By 1.0"
    assert licence_of(HubSource(dataset="fineweb", licence="mine")) == "mine"
    assert licence_of(HubSource(dataset="someone/else")) is None


def test_settings_have_no_paths_of_this_machine() -> None:
    filters = {"language": {"model_file": "/home/me/lid.176.bin"}}
    exam = {"paths": ["/somewhere/exam.jsonl"]}
    config = some_config(deduplicate="exact", decontamination=exam, filters=filters, workers=3)
    shown = settings(config)
    assert "/" not in json.dumps(shown) and shown["filters.language.model_file"] == "lid.176.bin"
    assert shown["decontamination.words"] == 13 and "workers" not in shown and "minhash.bands" not in shown
    assert settings(some_config())["minhash.bands"] == 14


@given(st.lists(st.integers(0, 10**7), min_size=1))
def test_a_histogram_by_tenths_of_a_decade(lengths: list[int]) -> None:
    exact = LengthHistogram()
    for length in lengths:
        exact.add(length)
    expected: Counter[int] = Counter()
    edges = bin_edges(10**7)
    for length in lengths:
        rounded = length - length % 2 ** max(length.bit_length() - 7, 0)  # as the lengths are counted
        expected[max(edge for edge in edges if edge <= max(rounded, 1))] += 1
    bins = decade_histogram(exact)
    assert {low: count for low, _, count in bins if count} == expected
    assert all(high == low for (_, high, _), (low, _, _) in pairwise(bins))
    assert bins[0][2] > 0 and bins[-1][2] > 0


def test_bins_meet_at_powers_of_ten() -> None:
    edges = bin_edges(10**6)
    assert edges[:13] == [1, 2, 3, 4, 6, 7, 8, 10, 13, 16, 20, 26, 32]
    assert {10**power for power in range(7)} <= set(edges) and edges[-1] > 10**6 >= edges[-2]
    assert all(math.isclose(math.log10(b / a), 0.1, abs_tol=0.01) for a, b in pairwise(edges) if a > 99)


@pytest.mark.parametrize("name", ["card.json", "CARD.md", "card.html"])
def test_nothing_of_this_machine_is_in_the_card(tmp_path: Path, name: str) -> None:
    with ArtifactBuilder(tmp_path / "card", kind="corpus", config={}) as builder:
        write_card(builder, some_config(), some_tallies(), CLUSTERS)
        text = builder.publish().file(name).read_text(encoding="utf-8")
    assert str(tmp_path) not in text and "/somewhere" not in text
