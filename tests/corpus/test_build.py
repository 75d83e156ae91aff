from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import quiet_context

from lumilab.artifact import Artifact, Manifest, digest_of, raw_files, walk
from lumilab.corpus import VERSION, build, reading
from lumilab.corpus.build import build_corpus
from lumilab.corpus.plan import corpus_identity, raw_inventory
from lumilab.corpus.shards import read_documents
from lumilab.corpus.sources.python_installation import interpreter
from lumilab.errors import ConfigError, InputError, Interrupted
from lumilab.recipe.corpus import CleaningConfig, CorpusConfig, FilesSource, PythonSource, WebSource
from lumilab.recipe.section import identity
from lumilab.work.context import WorkContext
from lumilab.work.stopping import StopRequest

REAL_DATA = Path(__file__).parents[3] / "shared" / "data"


def files(*paths: Path, **settings: object) -> CorpusConfig:
    sources = [FilesSource(name=path.name, paths=[str(path)]) for path in paths]
    return CorpusConfig.model_validate({"sources": sources, "min_characters": 1} | settings)


def built(config: CorpusConfig, target: Path) -> Artifact:
    corpus = build_corpus(config, target, quiet_context()[0])
    assert corpus is not None
    return corpus


def write_lines(path: Path, *texts: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    records = ({"text": text} if isinstance(text, str) else text for text in texts)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def listing(folder: Path) -> list[str]:
    """What a reader sees; the hidden folder of unfinished work is not for them."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_the_whole_way_of_a_record(tmp_path: Path) -> None:
    web = write_lines(tmp_path / "web.jsonl", "A first text.  \r\n", "no", "A first text.", "e\u0301 second", {"no": 1})
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text("A first text.")
    (tmp_path / "books" / "two.txt").write_text("\n \n")
    (tmp_path / "books" / "three.md").write_text("# Third\n\n\n\n\nend")
    config = files(web, tmp_path / "books", min_characters=5, max_bad_share=0.2)
    corpus = built(config, tmp_path / "corpus")

    assert [(document.id, document.text) for document in read_documents(corpus)] == [
        ("web.jsonl:web.jsonl:1", "A first text."),
        ("web.jsonl:web.jsonl:4", "\u00e9 second"),
        ("books:three.md", "# Third\n\n\nend"),
    ]
    assert {document.source for document in read_documents(corpus)} == {"web.jsonl", "books"}
    quarantined = [json.loads(line) for line in corpus.file("quarantine.jsonl").read_text().splitlines()]
    assert quarantined == [
        {"source": "web.jsonl", "root": "web.jsonl", "file": "web.jsonl", "line": 5, "reason": "no field 'text'"}
    ]
    statistics = corpus.manifest.statistics
    assert {key: statistics[key] for key in ("read", "documents", "characters", "bytes", "dropped", "unreadable")} == {
        "read": 8,
        "documents": 3,
        "characters": len("A first text.é second# Third\n\n\nend"),
        "bytes": len("A first text.é second# Third\n\n\nend".encode()),
        "dropped": {"duplicate": 2, "short": 1, "empty": 1},
        "unreadable": {"no field 'text'": 1},
    }
    assert [(part["source"], part["read"]) for part in statistics["parts"]] == [("web.jsonl", 5), ("books", 3)]
    assert corpus.manifest.config == {"corpus": corpus_identity(config)}
    assert listing(corpus.path) == [
        "CARD.md",
        "card.html",
        "card.json",
        "documents",
        "manifest.json",
        "quarantine.jsonl",
        "raw.jsonl",
    ]


@given(texts=st.lists(st.text(st.sampled_from("ab \n\u0301"), max_size=6), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_agrees_with_the_plainest_way_to_do_it(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("plain")
    write_lines(folder / "a.jsonl", "always kept", *texts)
    cleaning = CleaningConfig(unicode_nfc=False, trailing_space=False)
    config = files(folder / "a.jsonl", min_characters=2, cleaning=cleaning, shard_documents=3)
    kept = dict.fromkeys(text for text in ["always kept", *texts] if len(text) >= 2)
    assert [document.text for document in read_documents(built(config, folder / "corpus"))] == list(kept)


def test_deduplication_can_be_left_out(tmp_path: Path) -> None:
    config = files(write_lines(tmp_path / "a.jsonl", "same", "same"), deduplicate="none")
    assert [document.text for document in read_documents(built(config, tmp_path / "corpus"))] == ["same", "same"]


def test_the_limit_counts_raw_records_of_each_source(tmp_path: Path) -> None:
    one = write_lines(tmp_path / "one.jsonl", "a1", "a1", "a3")
    two = write_lines(tmp_path / "two.jsonl", "b1")
    corpus = built(files(one, two, limit=2), tmp_path / "corpus")
    assert [document.text for document in read_documents(corpus)] == ["a1", "b1"]


def test_the_digest_does_not_depend_on_place_or_time(tmp_path: Path) -> None:
    digests = set()
    for folder in ("here", "some/where/else"):
        data = tmp_path / folder / "data"
        write_lines(data / "a.jsonl", "one", "two")
        write_lines(data / "sub" / "b.jsonl", "three", [1])
        os.utime(data / "a.jsonl", (1, 1))
        digests.add(built(files(data, max_bad_share=0.5), tmp_path / folder / "out" / "corpus").digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    "change",
    [{"min_characters": 3}, {"deduplicate": "none"}, {"shard_documents": 1}, {"cleaning": {"unicode_nfc": False}}],
)
def test_every_setting_is_part_of_the_digest(tmp_path: Path, change: dict[str, object]) -> None:
    data = write_lines(tmp_path / "a.jsonl", "one", "two")
    assert built(files(data), tmp_path / "x").digest != built(files(data, **change), tmp_path / "y").digest


def test_one_changed_raw_byte_changes_the_digest_even_where_it_is_cleaned_away(tmp_path: Path) -> None:
    data = tmp_path / "a.txt"
    data.write_text("text")
    before = built(files(data), tmp_path / "x").digest
    data.write_text("text ")
    assert built(files(data), tmp_path / "y").digest != before


def test_raw_files_are_recorded_and_lineage_finds_them(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "data" / "a.jsonl", "one")
    config = files(tmp_path / "data")
    corpus = built(config, tmp_path / "corpus")
    inventory, roots = raw_inventory(config)
    assert list(raw_files(corpus)) == inventory
    assert inventory[0].sha256 == hashlib.sha256(data.read_bytes()).hexdigest()
    assert roots == {"data": tmp_path / "data"}
    assert [(step.raw_count, step.problems) for step in walk(corpus.path)] == [(1, [])]
    data.write_text("changed")
    (step,) = walk(corpus.path)
    assert [problem.path for problem in step.problems] == [data]


def test_an_earlier_corpus_is_replaced_whole(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", "one", "two", "three")
    built(files(data, shard_documents=1), tmp_path / "corpus")
    corpus = built(files(data), tmp_path / "corpus")
    assert listing(corpus.path / "documents") == ["shard-00000.jsonl.zst"]
    assert not list(corpus.problems())


# --- what must not be published ------------------------------------------------------------------------------------


def refused(config: CorpusConfig, folder: Path) -> InputError:
    """The error a build ends with, having left nothing behind."""
    (folder / "out").mkdir()
    with pytest.raises(InputError) as caught:
        built(config, folder / "out" / "corpus")
    assert listing(folder / "out") == []
    assert caught.value.exit_code == 3
    assert caught.value.where
    assert caught.value.mend
    return caught.value


def test_too_many_bad_records_are_refused_with_examples(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", *(["fine"] * 95), [1], {"x": 1}, [2], [3], "last")
    error = refused(files(data, max_bad_share=0.03), tmp_path)
    assert "4 of 100 records" in error.what
    assert "a.jsonl:96 (not a JSON object)" in error.what
    assert "a.jsonl:97 (no field 'text')" in error.what
    assert "(4.00%)" in error.what
    assert error.where == f"{data}, line 96"
    listed = Path(str(error.mend).partition(" lists all")[0])
    assert [json.loads(line)["line"] for line in listed.read_text().splitlines()] == [96, 97, 98, 99]
    built(files(data, max_bad_share=0.04), tmp_path / "corpus")


def test_what_could_not_be_read_is_told_at_the_end(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", "fine", "fine", "other", [1], {"x": 1}, [2])
    context, said = quiet_context()
    corpus = build_corpus(files(data, max_bad_share=0.5), tmp_path / "corpus", context)
    assert corpus is not None
    listed = corpus.path / "quarantine.jsonl"
    assert said.getvalue().splitlines()[-3:] == [
        "  2 documents, 9 B of text, of 6 records read",
        "  left out: 1 duplicate",
        f"  3 records could not be read: 2 not a JSON object, 1 no field 'text'; file and line of each are in {listed}",
    ]


def test_a_record_of_an_archive_is_not_called_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_text("WARC/1.0\r\nno length\r\n\r\n")
    config = CorpusConfig(sources=[WebSource(paths=[str(tmp_path / "a.warc")])])
    error = refused(config, tmp_path)
    assert error.where == f"{tmp_path / 'a.warc'}, record 1"
    assert "text_field" not in str(error.mend)


def test_the_bad_share_is_of_each_source_so_that_a_large_one_hides_no_lost_one(tmp_path: Path) -> None:
    large = write_lines(tmp_path / "large.jsonl", *(f"text {number}" for number in range(500)))
    (tmp_path / "lost.txt").write_bytes(b"\xff\xfe")
    error = refused(files(large, tmp_path / "lost.txt", max_bad_share=0.05), tmp_path)
    assert "'lost.txt'" in error.what
    assert "invalid UTF-8" in error.what


def test_personal_data_is_in_no_file_of_the_corpus(tmp_path: Path) -> None:
    texts = [f"The letter number {number} came from jane.roe@{word}.org." for number, word in enumerate(("one", "two"))]
    web = write_lines(tmp_path / "web.jsonl", *texts, "to jane.roe@three.org", texts[0])
    corpus = built(files(web, min_characters=30, cleaning={"emails": True}), tmp_path / "corpus")
    assert corpus.manifest.statistics["dropped"] == {"duplicate": 1, "short": 1}
    assert len(list(read_documents(corpus))) == 2
    for path in filter(Path.is_file, corpus.path.rglob("*")):
        opened = zstandard.open(path, "rb") if path.suffix == ".zst" else path.open("rb")
        with opened as file:
            assert b"jane" not in file.read(), path.name


def test_an_empty_corpus_says_what_became_of_what_was_read(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", "short", "tiny", " ")
    error = refused(files(data, min_characters=40), tmp_path)
    assert "3 records were read" in error.what
    assert "1 dropped as empty, 2 dropped as short" in error.what


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert str(tmp_path / "gone.txt") in str(refused(files(tmp_path / "gone.txt"), tmp_path))


def test_two_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", "one")
    with pytest.raises(ConfigError, match=r"'a\.jsonl'"):
        built(files(data, data), tmp_path / "corpus")


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_lines(tmp_path / "a.jsonl", "one")

    def clean_and_change(text: str, config: CleaningConfig) -> str:
        write_lines(data, "one", "more")
        return text

    monkeypatch.setattr(reading, "clean", clean_and_change)
    assert "changed" in refused(files(data), tmp_path).what


def test_files_that_changed_since_the_build_was_planned_are_refused(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", "one")
    planned = digest_of([asdict(file) for file in raw_inventory(files(data))[0]])
    assert build_corpus(files(data), tmp_path / "corpus", quiet_context()[0], raw=planned)
    write_lines(data, "one", "more")
    with pytest.raises(InputError, match="not those that this build was planned for"):
        build_corpus(files(data), tmp_path / "out" / "corpus", quiet_context()[0], raw=planned)
    assert not (tmp_path / "out").exists()


def test_what_an_older_version_of_the_code_left_is_not_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that is stopped before it publishes leaves its reading; only the same code takes it up again."""
    config = files(write_lines(tmp_path / "a.jsonl", "one"))
    counted: list[str] = []

    def clean_and_count(text: str, cleaning: CleaningConfig) -> str:
        counted.append(text)
        return text

    def power_cut(*words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(reading, "clean", clean_and_count)
    with monkeypatch.context() as broken:
        broken.setattr(build, "write_card", power_cut)
        with pytest.raises(KeyboardInterrupt):
            built(config, tmp_path / "corpus")
        with pytest.raises(KeyboardInterrupt):
            built(config, tmp_path / "corpus")
        assert counted == ["one"]
        broken.setattr(build, "VERSION", VERSION + 1)
        with pytest.raises(KeyboardInterrupt):
            built(config, tmp_path / "corpus")
        assert counted == ["one", "one"]
    assert [document.text for document in read_documents(built(config, tmp_path / "corpus"))] == ["one"]


def test_a_stop_request_leaves_nothing_and_the_earlier_corpus_alone(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "a.jsonl", "one")
    before = built(files(data), tmp_path / "out" / "corpus")
    stop = StopRequest()
    stop.request(15)
    with pytest.raises(Interrupted) as caught:
        build_corpus(files(data), before.path, WorkContext(report=quiet_context()[0].report, stop=stop))
    assert caught.value.exit_code == 143
    assert listing(tmp_path / "out") == ["corpus"]
    assert Artifact.open(before.path).digest == before.digest


# --- identity --------------------------------------------------------------------------------------------------------


def test_identity_is_the_configuration_without_places_and_with_the_interpreter(tmp_path: Path) -> None:
    config = CorpusConfig(sources=[PythonSource(), FilesSource(paths=[str(tmp_path / "x" / "*.txt")])])
    expected = identity(config)
    expected["sources"][1]["paths"] = ["*.txt"]
    expected["interpreter"] = interpreter()
    assert corpus_identity(config) == expected
    assert str(tmp_path) not in json.dumps(corpus_identity(config))
    assert "interpreter" not in corpus_identity(files(tmp_path))


# --- real sources ----------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_python_library_builds_the_same_twice(tmp_path: Path) -> None:
    config = CorpusConfig(sources=[PythonSource()])
    context, said = quiet_context()
    first = build_corpus(config, tmp_path / "one", context)
    second = built(config, tmp_path / "other" / "two")
    assert first.digest == second.digest
    assert "B/s" in said.getvalue()
    statistics = first.manifest.statistics
    assert statistics["bytes"] > 8_000_000
    assert [part["part"] for part in statistics["parts"]] == ["documentation", "docstrings", "code"]
    assert not statistics["unreadable"]
    documents = list(read_documents(first))
    assert len({document.id for document in documents}) == len(documents) == statistics["documents"]
    assert sum(len(document.text.encode()) for document in documents) == statistics["bytes"]
    inventory, _ = raw_inventory(config)
    assert {file.name for file in inventory} >= {"os.py", "pydoc_data/topics.py", "json/decoder.py"}


@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="the shared data is not at hand")
def test_real_files_of_every_kind(tmp_path: Path) -> None:
    sources = [
        FilesSource(name="novels", paths=[str(REAL_DATA / "novels" / "B*.txt.gz")]),
        FilesSource(name="c4", paths=[str(REAL_DATA / "c4-sample" / "c4.jsonl")]),
    ]
    corpus = built(CorpusConfig(sources=sources), tmp_path / "corpus")
    assert [(part["read"], part["documents"]) for part in corpus.manifest.statistics["parts"]] == [(7, 7), (200, 199)]
    c4 = [json.loads(line)["text"] for line in (REAL_DATA / "c4-sample" / "c4.jsonl").read_text("utf-8").splitlines()]
    texts = {document.id: document.text for document in read_documents(corpus)}
    assert texts["c4:c4.jsonl:1"].split() == c4[0].split()
    assert texts["novels:Bennet_Babylon_1902.txt.gz"][:1] != "\ufeff"
    assert not any("\r" in text for text in texts.values())
    assert Manifest.read(corpus.path).digest == corpus.digest
