from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
from itertools import product
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from lumilab.corpus.document import BadRecord, Document, Record, Skipped
from lumilab.corpus.readers.documents import DocumentReader, description
from lumilab.corpus.readers.formats import READABLE, format_of
from lumilab.corpus.web import extraction

ROWS = [{"text": f'Text {number}, "quoted"\nand ä.', "url": f"http://x/{number}", "n": number} for number in range(9)]
COMPRESS = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def read(data: bytes, name: str, text_field: str = "text") -> list[Record]:
    reader: DocumentReader = pickle.loads(pickle.dumps(DocumentReader("web", text_field)))
    return list(reader.read(io.BytesIO(data), "web", name))


def bad(name: str, line: int | None, reason: str) -> BadRecord:
    return BadRecord("web", name, line, reason)


def written(ending: str) -> bytes:
    if ending == ".parquet":
        out = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(ROWS), out)
        return out.getvalue()
    if ending in (".csv", ".tsv"):
        mark = "," if ending == ".csv" else "\t"
        quoted = [[f'"{str(value).replace(chr(34), 2 * chr(34))}"' for value in row.values()] for row in ROWS]
        return "\n".join(mark.join(row) for row in [["text", "url", "n"], *quoted]).encode()
    if ending == ".json":
        return json.dumps(ROWS).encode()
    return "\n".join(json.dumps(row) for row in ROWS).encode()


@pytest.mark.parametrize(
    ("ending", "compression"),
    [(".parquet", ""), *product([".jsonl", ".ndjson", ".json", ".csv", ".tsv"], COMPRESS)],
)
def test_the_same_rows_in_every_format_are_the_same_documents(ending: str, compression: str) -> None:
    name = f"a{ending}{compression}"
    found = read(COMPRESS[compression](written(ending)), name)
    # Texts with a newline go over two lines in these, the first of all lines names the columns, and all is text.
    first, step, value = (2, 2, str) if ending in (".csv", ".tsv") else (1, 1, int)
    assert found == [
        Document(
            f"web:{name}:{first + step * number}",
            row["text"],
            "web",
            row["url"],
            {"n": value(row["n"])},
        )
        for number, row in enumerate(ROWS)
    ]


@pytest.mark.parametrize("ending", READABLE)
def test_an_empty_file_is_one_bad_record(ending: str) -> None:
    assert read(b"", f"a{ending}") == [bad(f"a{ending}", None, "empty file")]


@pytest.mark.parametrize("compression", [".gz", ".zst", ".bz2", ".xz"])
@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".json", ".csv", ".html"])
def test_a_file_that_is_not_compressed_as_named_is_one_bad_record(ending: str, compression: str) -> None:
    name = f"a{ending}{compression}"
    line = None if ending in (".txt", ".html") else 1
    assert read(b'{"text": "plain"}\n', name) == [bad(name, line, "damaged compression")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([1], "not a JSON object"),
        ("text", "not a JSON object"),
        (None, "not a JSON object"),
        ({}, "no field 'text'"),
        ({"Text": "x"}, "no field 'text'"),
        ({"text": None}, "field 'text' is null"),
        ({"text": 5}, "field 'text' is not a string"),
        ({"text": ["a"]}, "field 'text' is not a string"),
        ({"text": {"b": "c"}}, "field 'text' is not a string"),
    ],
)
def test_a_row_that_holds_no_text_is_a_bad_record(row: Any, reason: str) -> None:
    data = "\n".join(map(json.dumps, [{"text": "1"}, row, {"text": "3"}])).encode()
    assert read(data, "a.jsonl") == [
        Document("web:a.jsonl:1", "1", "web"),
        bad("a.jsonl", 2, reason),
        Document("web:a.jsonl:3", "3", "web"),
    ]


def test_the_text_may_be_inside_other_objects() -> None:
    rows = [{"a": {"b": {"c": "deep"}}, "n": 1}, {"a": {"b": "no"}}, {"a": None}, {"a.b.c": "plain", "a": {"b": 1}}]
    found = read("\n".join(map(json.dumps, rows)).encode(), "a.jsonl", "a.b.c")
    assert found == [
        Document("web:a.jsonl:1", "deep", "web", meta={"n": 1}),
        bad("a.jsonl", 2, "no field 'a.b.c'"),
        bad("a.jsonl", 3, "no field 'a.b.c'"),
        Document("web:a.jsonl:4", "plain", "web"),
    ]
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([{"a": {"b": "deep"}, "id": "k"}, {"a": None, "id": "l"}]), out)
    assert read(out.getvalue(), "a.parquet", "a.b") == [
        Document("web:a.parquet:1", "deep", "web", meta={"id": "k"}),
        bad("a.parquet", 2, "no field 'a.b'"),
    ]


def test_an_id_field_is_described_and_not_believed() -> None:
    data = b'{"id": "same", "text": "1"}\n{"id": "same", "text": "2"}'
    assert [(d.id, d.meta) for d in read(data, "a.jsonl") if isinstance(d, Document)] == [
        ("web:a.jsonl:1", {"id": "same"}),
        ("web:a.jsonl:2", {"id": "same"}),
    ]


def test_descriptions_are_short_and_can_be_written_as_json() -> None:
    fields = {"s": "x" * 200, "long": "x" * 201, "n": 1, "x": 0.5, "t": True, "none": None, "l": [1], "d": {}}
    kept = description(fields | {"nan": float("nan"), "inf": float("-inf")})
    assert kept == {"s": "x" * 200, "n": 1, "x": 0.5, "t": True}
    json.dumps(kept, allow_nan=False)


def test_a_text_with_nul_bytes_is_none() -> None:
    assert read(b"fine until \x00 here", "a.txt") == [bad("a.txt", None, "NUL bytes")]
    assert read("UTF-16 text".encode("utf-16"), "a.md") == [bad("a.md", None, "invalid UTF-8")]


def test_a_page_is_its_main_text() -> None:
    paragraph = "<p>A paragraph of running prose that is long enough to be taken for the main text of a page.</p>"
    page = f"<html><head><title>T</title></head><body><nav><a href='/'>Home</a></nav>{paragraph * 5}</body></html>"
    for name, data in (("a.html", page.encode()), ("b.HTM.gz", gzip.compress(page.encode()))):
        (document,) = read(data, name)
        assert isinstance(document, Document)
        assert document.id == f"web:{name}"
        assert "running prose that is long enough" in document.text
        assert "<p>" not in document.text
        assert "Home" not in document.text
    assert read(b"<html><body></body></html>", "c.html") == [Skipped("no main text")]


def test_formats_are_told_by_endings() -> None:
    names = {
        "a.JSONL.GZ": ".jsonl",
        "a.txt": ".txt",
        "a.b/c.tsv.xz": ".tsv",
        "x.json.zst": ".json",
        "p.parquet": ".parquet",
    }
    none = dict.fromkeys(["p.parquet.gz", "a.gz", "a.pdf", "jsonl", ".gz", "a.txt.zip", "a.jsonl.gz.gz"])
    assert {name: format_of(name) for name in names | none} == names | none


def test_a_page_that_the_parser_crashes_on_is_a_bad_record(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(page: bytes, url: str | None) -> str:
        raise RecursionError("maximum recursion depth exceeded")

    monkeypatch.setattr(extraction, "extract_text", crash)
    assert read(b"<html><body>deep</body></html>", "p.html") == [bad("p.html", None, "the parser failed on this page")]
