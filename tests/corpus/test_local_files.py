from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pickle
import re
import sys
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from lumilab.corpus.compression import SUFFIXES
from lumilab.corpus.document import BadRecord, Document, Record
from lumilab.corpus.readers import documents, formats, json_rows
from lumilab.corpus.readers.pieces import cut
from lumilab.corpus.sources import local_files
from lumilab.corpus.sources.finding import path_names
from lumilab.corpus.sources.local_files import LocalFiles
from lumilab.corpus.sources.source import ReadTask
from lumilab.errors import InputError, Interrupted
from lumilab.recipe.corpus import FilesSource
from lumilab.work.stopping import StopRequest


def read(*paths: Path | str, text_field: str = "text", name: str = "files") -> list[Record]:
    source = LocalFiles(FilesSource(name=name, paths=[str(path) for path in paths], text_field=text_field))
    return [record for task in tasks(source) for record in task.read(StopRequest())]


def tasks(source: LocalFiles) -> list[ReadTask]:
    """The source's tasks, each after the way to a worker and back."""
    (part,) = source.parts()
    return [pickle.loads(pickle.dumps(task)) for task in part.tasks]


def ids(records: list[Record]) -> list[str]:
    return [record.id for record in records if isinstance(record, Document)]


def bad(records: list[Record]) -> list[tuple[str, int | None, str]]:
    return [(r.file, r.line, r.reason) for r in records if isinstance(r, BadRecord)]


def lines(*records: object) -> bytes:
    return b"".join(r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in records)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.compress,
    ".bz2": bz2.compress,
    ".xz": partial(lzma.compress, preset=0),
}


@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("kind", ["txt", "md"])
def test_a_text_file_is_one_document(tmp_path: Path, kind: str, ending: str) -> None:
    path = tmp_path / f"book.{kind}{ending}"
    path.write_bytes(COMPRESS[ending]("\ufeffÜber\r\ntext".encode()))
    assert read(path) == [Document(f"files:{path.name}", "Über\r\ntext", "files")]


@pytest.mark.parametrize("ending", COMPRESS)
def test_each_json_line_is_one_document(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"web.jsonl{ending}"
    records = ({"text": "one", "url": "http://a", "score": 0.5, "tags": ["x"], "id": "k"}, b"\r\n", {"text": "two"})
    path.write_bytes(COMPRESS[ending](lines(*records)[:-1]))
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


@pytest.mark.parametrize("ending", [".gz", ".zst", ".bz2", ".xz"])
def test_a_truncated_file_gives_what_is_whole_and_one_bad_record(tmp_path: Path, ending: str) -> None:
    compress = COMPRESS[ending]
    whole = b"".join(lines({"text": f"{number} {os.urandom(50).hex()}"}) for number in range(15_000))
    (tmp_path / f"a.jsonl{ending}").write_bytes(compress(whole)[:-100_000])
    (tmp_path / f"b.txt{ending}").write_bytes(compress(whole)[:-100])
    records = read(tmp_path)
    found = [record.text for record in records if isinstance(record, Document)]
    assert 0 < len(found) < 15_000
    assert found == [json.loads(line)["text"] for line in whole.splitlines()[: len(found)]]
    assert bad(records) == [
        (f"a.jsonl{ending}", len(found) + 1, "damaged compression"),
        (f"b.txt{ending}", None, "damaged compression"),
    ]


def test_a_record_too_long_for_memory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(documents, "MAX_TEXT_BYTES", 1_000)
    (tmp_path / "a.jsonl").write_bytes(
        lines({"text": "1"}, {"text": "x" * 5_000_000}, {"text": "3"}, {"text": "y" * 988})
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
        ("full/a.pdf", "cannot be read as text"),
        ("full/b.parquet.gz", "cannot be read as text"),
    ],
)
def test_paths_that_give_nothing_are_refused_by_name(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.pdf").write_bytes(b"%PDF")
    (tmp_path / "full" / "b.parquet.gz").write_bytes(b"PAR1")
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
    (task,) = tasks(LocalFiles(FilesSource(paths=[str(tmp_path)])))
    records = task.read(stop)
    next(records)
    stop.request(2)
    with pytest.raises(Interrupted):
        list(records)


# --- cutting and bundling ----------------------------------------------------------------------------------------


def test_small_files_are_bundled_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "BUNDLE_FILES", 7)
    monkeypatch.setattr(local_files, "PIECE_BYTES", 1_000)
    for number in range(30):
        size = 900 if number == 20 else 10
        (tmp_path / f"{number:02}.txt").write_text("x" * size)
    source = LocalFiles(FilesSource(paths=[str(tmp_path)]))
    bundles = tasks(source)
    names = ["files:00.txt and 6 more", "files:07.txt and 6 more", "files:14.txt and 6 more", "files:21.txt and 6 more"]
    assert [task.name for task in bundles] == [*names, "files:28.txt and 1 more"]
    assert sum(task.size for task in bundles) == 29 * 10 + 900
    assert ids(read(tmp_path)) == [f"files:{number:02}.txt" for number in range(30)]
    monkeypatch.setattr(local_files, "PIECE_BYTES", 905)
    assert [task.size for task in tasks(source)] == [70, 70, 60, 900, 70, 20]


def test_large_files_are_cut_and_read_as_whole_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": f"{number} " + "ä" * (number % 50)} for number in range(500)]
    (tmp_path / "a.jsonl").write_bytes(b"\n" + lines(*rows, b"{\n", {"text": "end"})[:-1])
    (tmp_path / "b.txt").write_text("between")
    table = pyarrow.table({"text": [row["text"] for row in rows]})
    parquet.write_table(table, tmp_path / "c.parquet", row_group_size=50)
    (tmp_path / "d.jsonl.zst").write_bytes(zstandard.compress(lines(*rows)))
    whole = read(tmp_path)
    assert len(tasks(LocalFiles(FilesSource(paths=[str(tmp_path)])))) == 1
    monkeypatch.setattr(local_files, "_CUT_BYTES", 0)
    monkeypatch.setattr(local_files, "cut", lambda stream, name: cut(stream, name, 3_000))
    pieces = tasks(LocalFiles(FilesSource(paths=[str(tmp_path)])))
    assert len({task.name for task in pieces}) == len(pieces) > 10
    assert [record for task in pieces for record in task.read(StopRequest())] == whole
    assert [task.name for task in pieces if "jsonl.zst" in task.name] == ["files:d.jsonl.zst"]
    # Apart and in any order, as workers take them.
    apart = {task.name: list(task.read(StopRequest())) for task in reversed(pieces)}
    assert [record for task in pieces for record in apart[task.name]] == whole
    assert bad(whole) == [("a.jsonl", 502, "not valid JSON")]


def test_plain_json_is_taken_by_name_and_not_from_folders(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text('{\n "splits": 1\n}')
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "rows.json.gz").write_bytes(gzip.compress(lines({"text": "one"})))
    (tmp_path / "alpaca.json").write_text(json.dumps([{"text": "1"}, {"text": "2"}], indent=1))
    assert ids(read(tmp_path)) == ["files:a.txt", "files:rows.json.gz:1"]
    assert ids(read(tmp_path / "alpaca.json")) == ["files:alpaca.json:1", "files:alpaca.json:2"]
    assert ids(read(tmp_path / "a*.json")) == ["files:alpaca.json:1", "files:alpaca.json:2"]


# --- at full size ------------------------------------------------------------------------------------------------


def test_one_percent_of_damage_is_quarantined_exactly_and_the_rest_is_read(tmp_path: Path) -> None:
    def good(count: int) -> bytes:
        return lines(*({"text": f"good {number}"} for number in range(count)))

    table = pyarrow.table({"text": [f"row {number}" for number in range(300)]})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=100, compression="zstd", use_dictionary=False)
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    chunk = parquet.ParquetFile(tmp_path / "a.parquet").metadata.row_group(1).column(0)
    middle = chunk.data_page_offset + chunk.total_compressed_size // 2
    data[middle : middle + 30] = bytes(30)
    huge = b'{"text": "' + b"x" * 50_000_000 + b'"}\n'
    files = {
        "a.parquet": bytes(data),
        "b.jsonl.zst": zstandard.compress(good(200) + huge + good(100)),
        "c.jsonl.gz": gzip.compress(good(400))[:-3],
        "d.jsonl": good(300) + b'{"text": 7}\n{"text": null}\n{"text": "\xff"}\n{"text": "\\udfff"}\n' + good(200),
        "e.csv": b"text,n\n" + b"good,1\n" * 99 + b'"open,2\n' + b"good,3\n" * 100,
        "f.csv": b"body,n\ngood,1\n",
        "g.txt": b"",
        "h.txt.zst": zstandard.compress(b"text " * 1_000)[:-2],
        "i.html": b"",
        "j.parquet": b"PAR1 but no more",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (task,) = tasks(LocalFiles(FilesSource(paths=[str(tmp_path)])))
    tracemalloc.start()
    records = list(task.read(StopRequest()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 40 << 20
    assert bad(records) == [
        ("a.parquet", 101, "damaged row group"),
        ("b.jsonl.zst", 201, "line over 32 MiB"),
        ("c.jsonl.gz", 401, "damaged compression"),
        ("d.jsonl", 301, "field 'text' is not a string"),
        ("d.jsonl", 302, "field 'text' is null"),
        ("d.jsonl", 303, "invalid UTF-8"),
        ("d.jsonl", 304, "not valid JSON"),
        ("e.csv", 101, "unclosed quote"),
        ("f.csv", None, "no column 'text'"),
        ("g.txt", None, "empty file"),
        ("h.txt.zst", None, "damaged compression"),
        ("i.html", None, "empty file"),
        ("j.parquet", None, "not valid Parquet"),
    ]
    assert len(ids(records)) == 200 + 300 + 400 + 500 + 199
    assert len(set(ids(records))) == len(ids(records))


def test_real_files_of_every_kind_are_read_whole(shared_data: Path) -> None:
    web = read(shared_data / "c4-sample" / "c4.jsonl", name="web")
    raw = [json.loads(line) for line in (shared_data / "c4-sample" / "c4.jsonl").read_text().splitlines()]
    assert [(d.text, d.url) for d in web if isinstance(d, Document)] == [(row["text"], row.get("url")) for row in raw]
    wiki = shared_data / "wikipedia-en-2015" / "enwiki-000.jsonl.gz"
    with gzip.open(wiki) as file:
        texts = [json.loads(line)["text"] for line in file]
    assert [d.text for d in read(wiki) if isinstance(d, Document)] == texts
    books = sorted((shared_data / "novels").glob("*.txt.gz"))
    found = read(shared_data / "novels" / "*.txt.gz")
    assert [d.text for d in found if isinstance(d, Document)] == [
        gzip.decompress(path.read_bytes()).decode("utf-8-sig") for path in books
    ]
    (validation,) = read(shared_data / "wikitext-2" / "wiki.valid.tokens")
    assert isinstance(validation, Document)
    assert validation.text == (shared_data / "wikitext-2" / "wiki.valid.tokens").read_bytes().decode()


def test_the_recipes_help_names_every_ending_that_is_read() -> None:
    about = str(FilesSource.model_fields["kind"].description)
    assert set(re.findall(r"\.\w+", about)) == {*formats.READABLE, *SUFFIXES}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    os.mkfifo(tmp_path / "b.txt")
    assert [record.id for record in read(tmp_path) if isinstance(record, Document)] == ["files:a.txt"]
    with pytest.raises(InputError, match="matches no file"):
        read(tmp_path / "b*.txt")


def test_a_folder_that_cannot_be_listed_is_not_silently_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.txt").write_text("text")
    (tmp_path / "shut").mkdir()
    listing = os.scandir

    def guarded(path: str) -> object:  # tests may run as root, who can list everything
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(PermissionError, match="shut"):
        read(tmp_path)
