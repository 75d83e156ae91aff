from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from lumilab.corpus.document import BadRecord, Document, Record
from lumilab.corpus.sources import local_files
from lumilab.corpus.sources.local_files import LocalFiles, path_names
from lumilab.errors import InputError, Interrupted
from lumilab.recipe.corpus import FilesSource
from lumilab.work.stopping import StopRequest


def read(*paths: Path | str, text_field: str = "text", name: str = "files") -> list[Record]:
    source = LocalFiles(FilesSource(name=name, paths=[str(path) for path in paths], text_field=text_field))
    return [record for part in source.parts() for record in part.read(StopRequest())]


def ids(records: list[Record]) -> list[str]:
    return [record.id for record in records if isinstance(record, Document)]


def bad(records: list[Record]) -> list[tuple[str, int | None, str]]:
    return [(r.file, r.line, r.reason) for r in records if isinstance(r, BadRecord)]


def lines(*records: object) -> bytes:
    return b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in records)


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["txt", "md"])
def test_a_text_file_is_one_document(tmp_path: Path, kind: str, ending: str) -> None:
    compress: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
    path = tmp_path / f"book.{kind}{ending}"
    path.write_bytes(compress[ending]("\ufeffÜber\r\ntext".encode()))
    assert read(path) == [Document(f"files:{path.name}", "Über\r\ntext", "files")]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_each_json_line_is_one_document(tmp_path: Path, ending: str) -> None:
    compress: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}
    path = tmp_path / f"web.jsonl{ending}"
    records = ({"text": "one", "url": "http://a", "score": 0.5, "tags": ["x"], "id": "k"}, b"\r\n", {"text": "two"})
    path.write_bytes(compress[ending](lines(*records)[:-1]))
    assert read(path, name="web") == [
        Document(f"web:{path.name}:1", "one", "web", "http://a", {"score": 0.5, "id": "k"}),
        Document(f"web:{path.name}:3", "two", "web"),
    ]


def test_the_text_may_be_in_another_field(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines({"content": "here", "text": "x" * 300}))
    assert read(tmp_path / "a.jsonl", text_field="content") == [Document("files:a.jsonl:1", "here", "files")]


def test_bad_records_are_named_with_line_and_reason_and_the_rest_is_read(tmp_path: Path) -> None:
    good = {"text": "good"}
    (tmp_path / "a.jsonl").write_bytes(
        b"\xef\xbb\xbf"
        + lines(
            good, b"{broken\n", [1], {"other": 1}, {"text": 5}, b'{"text": "\xff"}\n', b'{"text": "\\ud800"}\n', good
        )
    )
    (tmp_path / "b.txt").write_bytes(b"fine until \xff here")
    (tmp_path / "c.txt").write_bytes(b"")
    (tmp_path / "d.jsonl").write_bytes(b"")
    (tmp_path / "e.jsonl").write_bytes(b"\n\n")
    records = read(tmp_path)
    assert ids(records) == ["files:a.jsonl:1", "files:a.jsonl:8"]
    assert bad(records) == [
        ("a.jsonl", 2, "not valid JSON"),
        ("a.jsonl", 3, "not a JSON object"),
        ("a.jsonl", 4, "no field 'text'"),
        ("a.jsonl", 5, "field 'text' is not a string"),
        ("a.jsonl", 6, "invalid UTF-8"),
        ("a.jsonl", 7, "not valid JSON"),
        ("b.txt", None, "invalid UTF-8"),
        ("c.txt", None, "empty file"),
        ("d.jsonl", None, "empty file"),
    ]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_truncated_file_gives_what_is_whole_and_one_bad_record(tmp_path: Path, ending: str) -> None:
    compress = {".gz": gzip.compress, ".zst": zstandard.compress}[ending]
    whole = b"".join(lines({"text": f"{number} {os.urandom(50).hex()}"}) for number in range(5_000))
    (tmp_path / f"a.jsonl{ending}").write_bytes(compress(whole)[:-100_000])
    (tmp_path / f"b.txt{ending}").write_bytes(compress(whole)[:-100])
    records = read(tmp_path)
    found = [record.text for record in records if isinstance(record, Document)]
    assert 0 < len(found) < 5_000
    assert found == [json.loads(line)["text"] for line in whole.splitlines()[: len(found)]]
    assert bad(records) == [
        (f"a.jsonl{ending}", len(found) + 1, "damaged compression"),
        (f"b.txt{ending}", None, "damaged compression"),
    ]


def test_a_record_too_long_for_memory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(local_files, "MAX_TEXT_BYTES", 1_000)
    (tmp_path / "a.jsonl").write_bytes(
        lines({"text": "1"}, {"text": "x" * 5_000_000}, {"text": "3"}, {"text": "y" * 987})
    )
    (tmp_path / "b.txt").write_bytes(b"x" * 1_001)
    records = read(tmp_path)
    assert ids(records) == ["files:a.jsonl:1", "files:a.jsonl:3", "files:a.jsonl:4"]
    assert [(file, line) for file, line, _ in bad(records)] == [("a.jsonl", 2), ("b.txt", None)]


def test_a_folder_is_read_in_the_order_of_names_without_hidden_and_unknown_files(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/y/x.txt", "a-.txt", ".hidden.txt", ".git/x.txt", "image.png", "A.TXT"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    names = ["A.TXT", "a-.txt", "a/y/x.txt", "a/z.md", "b.txt"]
    assert ids(read(tmp_path)) == [f"files:{name}" for name in names]


def test_a_glob_takes_what_matches_below_its_fixed_folder(tmp_path: Path) -> None:
    for name in ("x/1.txt", "x/deep/2.txt", "x/3.md", "y/4.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    assert ids(read(tmp_path / "x" / "**" / "*.txt")) == ["files:1.txt", "files:deep/2.txt"]
    assert ids(read(tmp_path / "[xy]" / "*.txt")) == ["files:x/1.txt", "files:y/4.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows file names have no wildcards")
def test_a_file_with_brackets_in_its_name_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("text")
    assert ids(read(tmp_path / "a[1].txt")) == ["files:a[1].txt"]


def test_a_file_named_twice_is_read_once_and_equal_names_stay_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text(folder)
        (tmp_path / folder / "b.txt").write_text(folder)
    records = read(tmp_path / "one" / "b.txt", tmp_path / "two", tmp_path / "one")
    assert ids(records) == ["files:b.txt", "files.2:a.txt", "files.2:b.txt", "files:a.txt"]


def test_ids_do_not_tell_where_the_files_lie(tmp_path: Path) -> None:
    for folder in ("here", "over/there"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.txt").write_text("text")
    assert read(tmp_path / "here" / "a.txt") == read(tmp_path / "over/there" / "a.txt")


def test_raw_paths_lead_back_to_the_files(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("text")
    (file,) = LocalFiles(FilesSource(paths=[str(tmp_path)])).raw_paths()
    assert (file.root, file.folder, file.name) == ("files", tmp_path, "sub/a.txt")
    assert file.path.read_text() == "text"


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("missing.txt", "no such file or folder"),
        ("missing/*.txt", "matches no file"),
        ("full/*.txt", "matches no file"),
        ("full/*", "no readable file"),
        ("full", "no readable file"),
        ("full/a.parquet", "cannot be read as text"),
    ],
)
def test_paths_that_give_nothing_are_refused_by_name(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=what) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in (caught.value.where or "")
    assert caught.value.mend


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not Unicode")
def test_a_file_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt")).write_text("text")
    with pytest.raises(InputError, match="not valid Unicode"):
        read(tmp_path)


def test_identity_names_the_paths_without_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / "data", tmp_path / "data" / "a.txt", tmp_path / "data" / "**" / "*.jsonl"]
    assert path_names([str(path) for path in paths]) == ["data", "a.txt", "**/*.jsonl"]


def test_a_stop_request_is_honoured_between_records(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(*({"text": str(number)} for number in range(100))))
    stop = StopRequest()
    (part,) = LocalFiles(FilesSource(paths=[str(tmp_path)])).parts()
    records = part.read(stop)
    next(records)
    stop.request(2)
    with pytest.raises(Interrupted):
        list(records)
