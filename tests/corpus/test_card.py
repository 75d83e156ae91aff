from __future__ import annotations

import json
from pathlib import Path

from lumilab.artifact import ArtifactBuilder
from lumilab.corpus.card import render, write_card
from lumilab.corpus.document import BadRecord, Document
from lumilab.corpus.tally import Tally, totals


def some_tallies() -> list[Tally]:
    web, books = Tally("web", "files"), Tally("books | more", "files")
    for number in range(4):
        web.add_kept(Document(f"web:{number}", "é" * 10 * (number + 1), "web"), 20 * (number + 1))
    web.add_dropped(Document("web:4", "é", "web"), "short")
    web.add_dropped(Document("web:5", "é" * 10, "web"), "duplicate")
    web.add_unreadable(BadRecord("web", "web.jsonl", 7, "not valid JSON"))
    books.add_kept(Document("books:1", "# Not a heading\n```\nnor a fence", "books"), 31)
    return [web, books]


def test_counts_add_up() -> None:
    web, books = (tally.counts() for tally in some_tallies())
    assert web == {
        "source": "web",
        "part": "files",
        "read": 7,
        "unreadable": {"not valid JSON": 1},
        "dropped": {"short": 1, "duplicate": 1},
        "documents": 4,
        "characters": 100,
        "bytes": 200,
    }
    total = totals(some_tallies())
    for key in ("read", "documents", "characters", "bytes"):
        assert total[key] == web[key] + books[key]
    assert total["read"] == total["documents"] + sum(total["dropped"].values()) + sum(total["unreadable"].values())


def test_the_card_says_the_same_to_programs_and_to_people(tmp_path: Path) -> None:
    with ArtifactBuilder(tmp_path / "card", kind="corpus", config={}) as builder:
        write_card(builder, some_tallies())
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
    assert {sample["id"] for sample in card["parts"][0]["dropped_samples"]["short"]} == {"web:4"}
    text = artifact.file("CARD.md").read_text(encoding="utf-8")
    assert text == render(card)  # whatever the order of the keys in the file
    assert "| web | files | 7 | 1 not valid JSON | 1 duplicate, 1 short | 4 | 100 | 76.3% |" in text


def test_text_of_a_document_is_never_markup() -> None:
    with_samples = {
        "totals": totals(some_tallies()),
        "parts": [
            tally.counts()
            | {"lengths": tally.lengths.summary(), "samples": tally.samples.summary(), "dropped_samples": {}}
            for tally in some_tallies()
        ],
    }
    text = render(with_samples)
    assert "\n    # Not a heading\n    ```\n    nor a fence\n" in text
    assert "| books \\| more | files |" in text
