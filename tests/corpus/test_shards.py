from __future__ import annotations

import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import publish_corpus, some_documents

from lumilab.artifact import Artifact
from lumilab.corpus.document import Document
from lumilab.corpus.shards import read_documents
from lumilab.errors import DamageError

META = st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text())
DOCUMENTS = st.lists(st.builds(Document, st.text(), st.text(), st.text(), st.none() | st.text(), META), max_size=12)


@given(documents=DOCUMENTS, size=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_documents_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, documents: list[Document], size: int
) -> None:
    corpus = publish_corpus(tmp_path_factory.mktemp("corpus") / "corpus", documents, size)
    assert list(read_documents(corpus)) == documents


def test_shards_are_json_lines_that_anything_can_read(tmp_path: Path) -> None:
    documents = [*some_documents(7), Document("last", "text\nmore", "web", "https://example.org", {"score": 1})]
    corpus = publish_corpus(tmp_path / "corpus", documents, 3)
    names = [f"documents/shard-{number:05d}.jsonl.zst" for number in range(3)]
    assert list(corpus.manifest.files) == names
    parts = [zstandard.ZstdDecompressor().decompressobj().decompress((corpus.path / n).read_bytes()) for n in names]
    assert [part.count(b"\n") for part in parts] == [3, 3, 2]
    records = [json.loads(line) for part in parts for line in part.splitlines()]
    assert records[-1] == {
        "id": "last",
        "text": "text\nmore",
        "source": "web",
        "url": "https://example.org",
        "meta": {"score": 1},
    }
    assert [record["id"] for record in records] == [document.id for document in documents]


def test_the_same_documents_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (publish_corpus(tmp_path / name, some_documents(200), 70) for name in ("one", "two"))
    assert first.digest == second.digest


@pytest.mark.parametrize("damage", ["cut", "garbage", "not a document"])
def test_a_damaged_shard_is_named(tmp_path: Path, damage: str) -> None:
    corpus = publish_corpus(tmp_path / "corpus", some_documents(20), 100)
    shard = corpus.path / "documents/shard-00000.jsonl.zst"
    whole = shard.read_bytes()
    broken = {
        "cut": whole[:-6],
        "garbage": whole[:40] + bytes(20) + whole[60:],
        "not a document": zstandard.compress(b'{"text": 1, "unknown": 2}\n'),
    }
    shard.write_bytes(broken[damage])
    with pytest.raises(DamageError, match=r"shard-00000\.jsonl\.zst"):
        list(read_documents(Artifact(corpus.path, corpus.manifest)))
