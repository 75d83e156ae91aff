"""The comparison of two corpora against sets and dictionaries that hold all of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact, ArtifactBuilder, RawFile, record_raw_files
from lumilab.corpus.comparison import compare, differing_settings
from lumilab.corpus.document import Document
from lumilab.corpus.shards import shard_name, to_line, write_shard
from lumilab.errors import Interrupted
from lumilab.work.context import WorkContext
from lumilab.work.stopping import StopRequest

Texts = dict[int, str]
some_texts = st.dictionaries(st.integers(0, 40), st.sampled_from(["a", "b", "c", "d d", "é", "", "\0"]))


def publish(target: Path, documents: Sequence[Document], raw: Sequence[RawFile] = (), **config: object) -> Artifact:
    with ArtifactBuilder(target, kind="corpus", config=dict(config)) as builder:
        write_shard(builder.path(shard_name(0)), map(to_line, documents))
        record_raw_files(builder, raw, {})
        builder.statistics = {"documents": len(documents)}
        return builder.publish()


def published(target: Path, texts: Texts, source: str = "s") -> Artifact:
    return publish(target, [Document(f"id:{number}", text, source) for number, text in texts.items()])


@settings(max_examples=60)
@given(some_texts, some_texts, st.sampled_from([1, 3, 100]))
def test_counts_are_those_of_sets(before: Texts, after: Texts, together: int) -> None:
    with TemporaryDirectory() as folder:
        a, b = published(Path(folder) / "a", before), published(Path(folder) / "b", after)
        found = compare(a, b, quiet_context()[0], partition_documents=together)
    both = before.keys() & after.keys()
    changed = {key for key in both if before[key] != after[key]}
    removed, added = before.keys() - after.keys(), after.keys() - before.keys()
    assert found["ids"] == {
        "same": len(both - changed),
        "changed": len(changed),
        "removed": len(removed),
        "added": len(added),
    }
    assert found["texts"] == {
        "gone": sum(text not in after.values() for text in before.values()),
        "new": sum(text not in before.values() for text in after.values()),
        "moved": sum(after[key] in before.values() for key in added),
    }
    assert found["a"]["documents"] == len(before) and found["b"]["documents"] == len(after)
    assert found["b"]["characters"] == sum(map(len, after.values()))
    assert found["b"]["bytes"] == sum(len(text.encode()) for text in after.values())
    for kind, keys in (("changed", changed), ("removed", removed), ("added", added)):
        examples = found["examples"][kind]
        assert len(examples) == min(3, len(keys))
        for example in examples:
            key = int(example["id"].removeprefix("id:"))
            assert key in keys
            for side, texts in (("a", before), ("b", after)):
                assert (side in example) == (key in texts)
                if key in texts:
                    assert (example[side]["excerpt"], example[side]["characters"]) == (texts[key], len(texts[key]))


def test_examples_do_not_depend_on_the_partitions(tmp_path: Path) -> None:
    a = published(tmp_path / "a", {number: f"text {number}" for number in range(300)})
    b = published(tmp_path / "b", {number: f"text {number - number % 2}" for number in range(100, 400)})
    whole, cut = (compare(a, b, quiet_context()[0], partition_documents=size) for size in (1000, 7))
    assert whole == cut
    assert whole["ids"] == {"same": 100, "changed": 100, "removed": 100, "added": 100}


def test_a_changed_document_is_shown_where_it_differs(tmp_path: Path) -> None:
    a = published(tmp_path / "a", {1: "x" * 5000 + "old end"})
    b = published(tmp_path / "b", {1: "x" * 5000 + "new end"})
    (example,) = compare(a, b, quiet_context()[0])["examples"]["changed"]
    assert "old end" in example["a"]["excerpt"] and "new end" in example["b"]["excerpt"]
    assert example["a"]["from"] == example["b"]["from"] == 4925


def test_sources_and_raw_files_are_compared(tmp_path: Path) -> None:
    def raw(name: str, content: str) -> RawFile:
        return RawFile("s", name, 1, content)

    one = [Document("s:1", "é", "s"), Document("t:1", "text", "t")]
    a = publish(tmp_path / "a", one, [raw("kept", "1"), raw("gone", "1"), raw("other", "1")])
    b = publish(tmp_path / "b", one[:1], [raw("kept", "1"), raw("new", "1"), raw("other", "2")])
    found = compare(a, b, quiet_context()[0])
    assert found["a"]["sources"] == {
        "s": {"documents": 1, "characters": 1, "bytes": 2},
        "t": {"documents": 1, "characters": 4, "bytes": 4},
    }
    assert list(found["b"]["sources"]) == ["s"]
    assert found["raw_files"] == {"added": 1, "removed": 1, "changed": 1}
    assert not found["identical"]
    assert compare(a, a, quiet_context()[0])["identical"]


def test_a_trial_looks_at_the_first_documents(tmp_path: Path) -> None:
    a = published(tmp_path / "a", dict.fromkeys(range(50), "x"))
    b = published(tmp_path / "b", dict.fromkeys(range(10, 50), "x"))
    found = compare(a, b, quiet_context()[0], limit=20)
    assert found["ids"] == {"same": 10, "changed": 0, "removed": 10, "added": 10}


def test_a_stop_is_heeded(tmp_path: Path) -> None:
    stop = StopRequest()
    stop.request(15)
    a = published(tmp_path / "a", {1: "x"})
    with pytest.raises(Interrupted):
        compare(a, a, WorkContext(quiet_context()[0].report, stop))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ({"x": 1}, {"x": 1}, []),
        ({"x": {"y": [1, 2]}}, {"x": {"y": [1, 3]}}, [{"setting": "x.y.1", "a": 2, "b": 3}]),
        ({"x": 1}, {"z": None}, [{"setting": "x", "a": 1}, {"setting": "z", "b": None}]),
        ({"x": {"y": 1, "z": 2}}, {"x": None}, [{"setting": "x", "a": {"y": 1, "z": 2}, "b": None}]),
        ({"x": [1]}, {"x": [1, 5]}, [{"setting": "x.1", "b": 5}]),
    ],
)
def test_settings_that_differ(a: object, b: object, expected: list[dict[str, object]]) -> None:
    assert differing_settings(a, b) == expected
