"""Statistics and drawing against the plainest way to do the same, on corpora and on files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from statistics import median_low

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tiny_corpus import publish_corpus, some_documents

from lumilab.artifact import ArtifactBuilder
from lumilab.corpus.collection import open_collection
from lumilab.corpus.document import BadRecord, Document
from lumilab.corpus.drawing import Wanted, draw, dropped_documents
from lumilab.corpus.stats import count_documents
from lumilab.errors import InputError, MismatchError


def test_a_corpus_is_counted(tmp_path: Path) -> None:
    documents = [
        *some_documents(60, source="a"),
        *some_documents(17, seed=3, source="b"),
        Document("c:1", "hello", "c", meta={"language": "en"}),
        Document("c:2", "", "c"),
    ]
    collection = open_collection(publish_corpus(tmp_path / "corpus", documents).path)
    values = count_documents(collection.documents()).to_json(collection.stored)
    for name, group in (("a", documents[:60]), ("b", documents[60:77]), (None, documents)):
        counts = values if name is None else values["sources"][name]
        lengths = sorted(len(document.text) for document in group)
        assert counts["documents"] == len(group)
        assert counts["characters"] == sum(lengths)
        assert counts["bytes"] == sum(len(document.text.encode()) for document in group)
        assert counts["words"] == sum(len(document.text.split()) for document in group)
        assert (counts["lengths"]["shortest"], counts["lengths"]["longest"]) == (lengths[0], lengths[-1])
        middle = median_low(lengths)
        assert middle * 63 / 64 < counts["lengths"]["p50"] <= middle or counts["lengths"]["p50"] in lengths
    assert values["languages"] == {"en": 1}
    stored = sum(path.stat().st_size for path in (tmp_path / "corpus" / "documents").iterdir())
    assert values["stored_bytes"] == stored
    assert values["compression"] == pytest.approx(values["bytes"] / stored, abs=0.001)


def test_files_are_counted_with_what_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    lines = [json.dumps({"text": "one two"}), "{broken", json.dumps({"text": "drei", "source": "de", "id": "x"})]
    data = ("\n".join(lines) + "\n").encode()
    (folder / "a.jsonl").write_bytes(data)
    (folder / "b.jsonl.zst").write_bytes(zstandard.compress(data))
    (folder / "c.jsonl.gz").write_bytes(gzip.compress(data))
    (folder / "d.txt").write_text("a plain text")
    (folder / "e.bin").write_bytes(b"\0")
    values = count_documents(open_collection(folder).documents()).to_json(None)
    assert values["documents"] == 7
    assert {name: own["documents"] for name, own in values["sources"].items()} == {"de": 3, "texts": 4}
    assert values["unreadable"] == {"not valid JSON": 3}
    assert values["words"] == 3 * 3 + 3
    assert values["compression"] is None
    one = open_collection(folder / "b.jsonl.zst")
    assert count_documents(one.documents()).total().documents == 2
    assert one.stored == (folder / "b.jsonl.zst").stat().st_size


def test_shards_read_as_files_give_the_same_counts(tmp_path: Path) -> None:
    corpus = publish_corpus(tmp_path / "corpus", some_documents(120, source="a"))
    as_corpus, as_files = (
        count_documents(open_collection(path).documents()).to_json(None)
        for path in (corpus.path, corpus.path / "documents")
    )
    assert as_corpus == as_files


def test_what_is_no_collection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        open_collection(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no readable file"):
        open_collection(tmp_path / "empty")
    (tmp_path / "picture.png").write_bytes(b"x")
    with pytest.raises(InputError, match="cannot be read as text"):
        open_collection(tmp_path / "picture.png")
    with ArtifactBuilder(tmp_path / "other", kind="tokenizer", config={}) as builder:
        builder.publish()
    with pytest.raises(MismatchError, match="Expected a corpus"):
        open_collection(tmp_path / "other")


# --- drawing -------------------------------------------------------------------------------------------------------


@given(st.permutations(range(12)), st.integers(1, 15), st.integers(-3, 3))
def test_a_draw_does_not_depend_on_the_order(order: list[int], count: int, seed: int) -> None:
    documents = some_documents(12)
    drawn = draw(documents, count, seed, Wanted())
    assert draw([documents[number] for number in order], count, seed, Wanted()) == drawn
    assert len({document.id for document in drawn}) == min(count, 12)


def test_another_seed_draws_others_and_a_larger_draw_begins_with_the_smaller() -> None:
    documents = some_documents(200)
    five = draw(documents, 5, 0, Wanted())
    assert draw(documents, 9, 0, Wanted())[:5] == five
    assert draw(documents, 5, 1, Wanted()) != five


def test_every_document_is_drawn_as_often() -> None:
    """Chi-squared of 20 documents over 2 000 draws of one: below 43.8 in 999 of 1 000 fair draws (19 degrees)."""
    documents = some_documents(20)
    counts = Counter(draw(documents, 1, seed, Wanted())[0].id for seed in range(2000))
    assert sum((counts[document.id] - 100) ** 2 / 100 for document in documents) < 43.8


def test_only_what_is_wanted_is_drawn() -> None:
    records = [*some_documents(50, source="a"), *some_documents(50, source="b"), BadRecord("a", "f", 1, "bad")]
    drawn = draw(records, 1000, 0, Wanted("b", "river"))
    assert {document.id for document in drawn} == {
        record.id
        for record in records
        if isinstance(record, Document) and record.source == "b" and "river" in record.text
    }
    # A condition passes documents over and does not shuffle the others.
    everything = draw(records, 1000, 0, Wanted())
    assert drawn == [document for document in everything if document in drawn]


def test_dropped_documents_come_from_the_card(tmp_path: Path) -> None:
    sample = {"id": "a:1", "excerpt": "short one", "source": "a"}
    card = {"dropped": {"short": {"count": 7, "samples": [sample]}, "redirect": {"count": 2, "samples": []}}}
    with ArtifactBuilder(tmp_path / "corpus", kind="corpus", config={}) as builder:
        builder.write_json("card.json", card)
        corpus = builder.publish()
    assert dropped_documents(corpus, "short") == [Document("a:1", "short one", "a")]
    with pytest.raises(InputError, match=r"dropped as 'redirect'.*dropped as 'short'"):
        dropped_documents(corpus, "redirect")
