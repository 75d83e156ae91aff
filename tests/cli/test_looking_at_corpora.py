"""`lumi corpus stats`, `sample` and `diff` as a user types them, on corpora, a run, and plain files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import lumi
from tiny_corpus import publish_corpus, some_documents

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.corpus.document import Document
from lumilab.corpus.shards import shard_name, to_line, write_shard
from lumilab.pipeline.records import StageRecord, write_record


def publish(target: Path, documents: list[Document], **config: object) -> Artifact:
    """A corpus with statistics and a card, in the form the build gives them."""
    sample = {"id": "a:77", "excerpt": "too short", "source": "a"}
    with ArtifactBuilder(target, kind="corpus", config={"corpus": config}) as builder:
        write_shard(builder.path(shard_name(0)), map(to_line, documents))
        builder.write_json("card.json", {"dropped": {"short": {"count": 1, "stage": "", "samples": [sample]}}})
        builder.statistics = {"documents": len(documents)}
        return builder.publish()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with corpora `old` and `new`, a run that points at `old`, and a file."""
    folder = tmp_path_factory.mktemp("corpora")
    documents = [*some_documents(40, source="a"), Document("b:1", "A needle\x1b[31m in hay", "b", "http://example.com")]
    old = publish(folder / "run" / "corpus" / "KEY", documents, min_characters=40)
    publish(folder / "new", [*documents[1:40], Document("b:1", "A pin in hay", "b")], min_characters=50)
    write_record(folder / "run", "corpus", StageRecord("KEY", "corpus/KEY", old.digest, {}, {}, None))
    (folder / "texts.jsonl").write_text('{"text": "one two three"}\n{"text": 5}\n')
    return folder


def test_stats_of_a_run_a_corpus_and_a_file(place: Path) -> None:
    words = lumi("corpus", "stats", "run", cwd=place, check=0).stdout
    assert "documents   41" in words and "on disk" in words
    assert any(line.split()[:2] == ["b", "1"] for line in words.splitlines())
    of_run, of_corpus, of_trial = (
        json.loads(lumi("corpus", "stats", *arguments, "--json", cwd=place, check=0).stdout)
        for arguments in (["run"], ["run/corpus/KEY"], ["run", "--test"])
    )
    assert of_run == of_corpus and of_run["documents"] == 41 and set(of_run["sources"]) == {"a", "b"}
    assert of_trial["documents"] == 41 and of_trial["stored_bytes"] is None
    plain = lumi("corpus", "stats", "texts.jsonl", cwd=place, check=0).stdout
    assert "1 field 'text' is not a string" in plain


def test_samples_are_repeatable_and_as_asked_for(place: Path) -> None:
    first = lumi("corpus", "sample", "run", "-n", "3", cwd=place, check=0).stdout
    assert lumi("corpus", "sample", "run", "-n", "3", cwd=place, check=0).stdout == first
    assert lumi("corpus", "sample", "run", "-n", "3", "--seed", "1", cwd=place, check=0).stdout != first
    found = lumi("corpus", "sample", "run", "--contains", "needle", "--source", "b", cwd=place, check=0).stdout
    assert found.startswith("b:1  b · 20 characters · http://example.com\n")
    assert "A needle" in found and "\x1b" not in found  # what is in a text does not drive the terminal
    lines = lumi("corpus", "sample", "run", "-n", "100", "--json", cwd=place, check=0).stdout.splitlines()
    assert len({json.loads(line)["id"] for line in lines}) == 41
    dropped = lumi("corpus", "sample", "run", "--dropped", "short", cwd=place, check=0).stdout
    assert "a:77" in dropped and "too short" in dropped


def test_diff_tells_what_differs(place: Path) -> None:
    words = lumi("corpus", "diff", "run", "new", cwd=place, check=0).stdout
    assert "corpus.min_characters  40 -> 50" in words
    assert "1  the same id, another text" in words and "1  id only in A" in words
    assert "A pin in hay" in words and "\x1b" not in words
    values = json.loads(lumi("corpus", "diff", "run", "new", "--json", "--test", cwd=place, check=0).stdout)
    assert values["ids"] == {"same": 39, "changed": 1, "removed": 1, "added": 0}
    assert "The same corpus" in lumi("corpus", "diff", "new", "new", cwd=place, check=0).stdout


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["stats", "absent"], 3, "no such file or folder"),
        (["stats", "broken"], 4, "instead of"),
        (["diff", "new", "absent"], 3, "does not exist"),
        (["diff", "new", "texts.jsonl"], 3, "is not an artifact"),
        (["diff", "new", "other"], 4, "Expected a corpus"),
        (["sample", "new", "--dropped", "redirect"], 3, "dropped as 'short'"),
        (["sample", "texts.jsonl", "--dropped", "short"], 2, "Only a corpus knows"),
        (["sample", "new", "--contains", "not in there"], 3, "No document is like that"),
        (["sample", "unbuilt"], 3, "no corpus yet"),
        (["sample", "new", "-n", "0"], 2, "-n"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_paragraph(
    place: Path, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    for name in ("new", "texts.jsonl"):
        (tmp_path / name).symlink_to(place / name)
    with ArtifactBuilder(tmp_path / "other", kind="tokenizer", config={}) as builder:
        builder.publish()
    (publish_corpus(tmp_path / "broken", some_documents(3)).path / shard_name(0)).write_bytes(b"")
    (tmp_path / "unbuilt").mkdir()
    (tmp_path / "unbuilt" / "run.json").write_text('{"stages": {}}')
    done = lumi("corpus", *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr
    assert done.stdout == ""
