from __future__ import annotations

import gzip
import pickle
from collections import Counter
from pathlib import Path

import pytest

from lumilab.corpus.document import BadRecord, Document, Record, Skipped
from lumilab.corpus.sources import web
from lumilab.corpus.sources.web import WebPages
from lumilab.errors import InputError, Interrupted
from lumilab.recipe.corpus import WebSource
from lumilab.work.stopping import StopRequest

SENTENCE = "The committee met on Tuesday to discuss the plans for the new bridge across the river. "
PAGE = f"<html><body><article><h1>A bridge</h1><p>{SENTENCE * 4}</p></article></body></html>".encode()


def warc(kind: str, content: bytes, *headers: str, url: str = "http://example.org/") -> bytes:
    lines = ["WARC/1.0", f"WARC-Type: {kind}", f"WARC-Target-URI: {url}", "WARC-Date: 2024-05-18T01:58:10Z", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(content)}", "", ""]).encode() + content + b"\r\n\r\n"


def answer(body: bytes = PAGE, status: str = "200 OK", kind: str | None = "text/html", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *([f"Content-Type: {kind}"] if kind else []), *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def read(*paths: Path, name: str = "web") -> list[Record]:
    source = WebPages(WebSource(name=name, paths=[str(path) for path in paths]))
    return [record for part in source.parts() for task in part.tasks for record in task.read(StopRequest())]


def write(path: Path, *records: bytes) -> Path:
    path.write_bytes(b"".join(map(gzip.compress if path.suffix == ".gz" else bytes, records)))
    return path


@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz"])
def test_a_page_is_a_document_numbered_by_its_record(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, warc("warcinfo", b"x"), warc("request", b"GET /"), warc("response", answer()))
    (document,) = read(path)
    assert document == Document(
        f"web:{name}:3",
        f"A bridge\n{SENTENCE * 4}".strip(),
        "web",
        "http://example.org/",
        {"date": "2024-05-18T01:58:10Z"},
    )


def test_texts_of_wet_files_are_documents(tmp_path: Path) -> None:
    records = [
        warc("warcinfo", b"x"),
        warc("conversion", "Größe\n".encode(), "WARC-Identified-Content-Language: deu,eng"),
    ]
    path = write(tmp_path / "a.warc.wet.gz", *records, warc("conversion", b"\xff"))
    meta = {"date": "2024-05-18T01:58:10Z", "languages": "deu,eng"}
    assert read(path, name="cc") == [
        Document("cc:a.warc.wet.gz:2", "Größe\n", "cc", "http://example.org/", meta),
        BadRecord("cc", "a.warc.wet.gz", 3, "invalid UTF-8"),
    ]


def test_answers_that_are_no_page_are_skipped_with_their_reason(tmp_path: Path) -> None:
    records = [
        warc("response", answer(status="404 Not Found")),
        warc("response", answer(status="301 Moved")),
        warc("response", answer(kind="application/pdf")),
        warc("response", answer(kind="text/html"), "WARC-Identified-Payload-Type: image/png"),
        warc("response", answer(b"plain", kind=None)),
        warc("response", answer(b"<html><body></body></html>")),
        warc("response", b"example.org 3600 IN A 1.2.3.4", url="dns:example.org"),
        warc("revisit", answer(b"")),
    ]
    assert [record.reason for record in read(write(tmp_path / "a.warc", *records)) if isinstance(record, Skipped)] == [
        "HTTP status other than 200",
        "HTTP status other than 200",
        "not HTML",
        "not HTML",
        "not HTML",
        "no main text",
        "not a web page",
        "page unchanged since an earlier crawl",
    ]


def test_what_is_html_by_the_crawlers_or_its_own_word_is_a_page(tmp_path: Path) -> None:
    records = [
        warc("response", answer(kind="text/plain"), "WARC-Identified-Payload-Type: application/xhtml+xml"),
        warc("response", answer(kind=None)),
        warc("resource", PAGE, "Content-Type: text/html; charset=utf-8"),
        warc("resource", b"log", "Content-Type: text/plain", url="metadata://gnu.org/wget.log"),
        warc("response", answer(), url="<http://example.org/angle>"),
    ]
    documents = read(write(tmp_path / "a.warc.gz", *records))
    assert [d.id for d in documents if isinstance(d, Document)] == [f"web:a.warc.gz:{n}" for n in (1, 2, 3, 5)]
    assert isinstance(documents[3], Document)
    assert documents[3].url == "http://example.org/angle"


def test_damage_is_named_with_the_number_of_the_record(tmp_path: Path) -> None:
    good = warc("response", answer())
    path = write(tmp_path / "a.warc.gz", good, warc("response", b"no HTTP"), good, good)
    members = [gzip.compress(good), gzip.compress(warc("response", b"no HTTP"))]
    data = bytearray(path.read_bytes())
    data[len(members[0]) + len(members[1]) + 40] ^= 0xFF
    path.write_bytes(
        bytes(data)
        + gzip.compress(warc("response", answer(b"\x0b\x80", "200 OK", "text/html", "Content-Encoding: br")))
    )
    write(tmp_path / "b.warc.gz")
    assert [str(r) for r in read(tmp_path) if isinstance(r, BadRecord)] == [
        "a.warc.gz:2 (not an HTTP response)",
        "a.warc.gz:3 (damaged compression)",
        "a.warc.gz:5 (unreadable content encoding)",
        "b.warc.gz (empty file)",
    ]
    assert [r.id for r in read(tmp_path) if isinstance(r, Document)] == ["web:a.warc.gz:1", "web:a.warc.gz:4"]


def test_a_page_that_breaks_the_parser_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def extract(page: bytes, url: str | None, charset: str | None) -> str:
        if b"evil" in page:
            raise RecursionError
        return "text"

    monkeypatch.setattr(web, "extract_text", extract)
    path = write(tmp_path / "a.warc", warc("response", answer(b"evil")), warc("response", answer()))
    assert [type(record) for record in read(path)] == [BadRecord, Document]


def test_a_page_over_the_limit_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lumilab.corpus.web.archive.MAX_CONTENT_BYTES", 1000)
    path = write(tmp_path / "a.warc.gz", warc("response", answer(b"x" * 1000)), warc("conversion", b"short"))
    assert [type(record) for record in read(path)] == [Skipped, Document]


def test_wat_files_are_refused_with_a_reason_and_left_out_of_folders(tmp_path: Path) -> None:
    wat = write(tmp_path / "a.warc.wat.gz", warc("metadata", b"{}"))
    with pytest.raises(InputError, match=r"\.wat files describe pages and hold no text"):
        read(wat)
    write(tmp_path / "a.warc.wet.gz", warc("conversion", b"text"))
    assert [r.id for r in read(tmp_path) if isinstance(r, Document)] == ["web:a.warc.wet.gz:1"]


def test_tasks_can_be_sent_elsewhere_and_stopped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.warc", warc("conversion", b"one"), warc("conversion", b"two"))
    (task,) = WebPages(WebSource(paths=[str(path)])).parts()[0].tasks
    assert (task.name, task.size) == ("web:a.warc", path.stat().st_size)
    assert list(pickle.loads(pickle.dumps(task)).read(StopRequest())) == list(task.read(StopRequest()))
    stop = StopRequest()
    records = task.read(stop)
    next(records)
    stop.request(2)
    with pytest.raises(Interrupted):
        next(records)


def test_real_crawls(shared_data: Path) -> None:
    records = read(shared_data / "web-crawl-fixtures")
    documents = {r.id: r for r in records if isinstance(r, Document)}
    # 22 + 15 + 1 pages, of which one (a search form) has no text, and one text in a WET file.
    assert Counter(type(record) for record in records) == {Document: 38, Skipped: 1}
    escopete = documents["web:whirlwind.warc.gz:3"]
    assert escopete.url == "https://an.wikipedia.org/wiki/Escopete"
    assert "Escopete" in escopete.text
    assert "Menú" in documents["web:whirlwind.warc.wet.gz:2"].text
    assert "Menú" not in escopete.text
    chunked = documents["web:sample-0000.warc.gz:5"]
    assert chunked.text.startswith("Dan is an active entrepreneur")
    assert all(d.url and d.meta["date"].startswith("2024-") for d in documents.values())
