from __future__ import annotations

import bz2
import gzip
import io
import json
import pickle
import re
import tarfile
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wikipedia_pages import DUMP, FORBIDDEN, raw_pages

from lumilab.corpus.document import BadRecord, Document, Record, Skipped
from lumilab.corpus.sources import wikipedia
from lumilab.corpus.sources.wikipedia import Wikipedia
from lumilab.corpus.wikipedia import dump
from lumilab.errors import InputError, Interrupted
from lumilab.recipe.corpus import WikipediaSource
from lumilab.work.stopping import StopRequest

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="de">
  <siteinfo><base>https://de.wikipedia.org/wiki/Hauptseite</base><namespaces>
    <namespace key="6" case="first-letter">Kartei</namespace></namespaces></siteinfo>
"""


def read(*paths: Path) -> list[Record]:
    tasks = [task for part in source(*paths).parts() for task in part.tasks]
    assert pickle.loads(pickle.dumps(tasks)) == tasks
    return [record for task in tasks for record in task.read(StopRequest())]


def source(*paths: Path) -> Wikipedia:
    return Wikipedia(WikipediaSource(paths=[str(path) for path in paths]))


def documents(records: list[Record]) -> list[Document]:
    return [record for record in records if isinstance(record, Document)]


def bad(records: list[Record]) -> list[tuple[str, int | None, str]]:
    return [(r.file, r.line, r.reason) for r in records if isinstance(r, BadRecord)]


def skipped(records: list[Record]) -> Counter[str]:
    return Counter(record.reason for record in records if isinstance(record, Skipped))


def page(number: int, text: str, title: str = "", ns: int = 0, extra: str = "") -> str:
    title = title or f"Page {number}"
    return (
        f"  <page>\n    <title>{title}</title>\n    <ns>{ns}</ns>\n    <id>{number}</id>\n{extra}    <revision>\n"
        f'      <id>1</id><model>wikitext</model>\n      <text xml:space="preserve">{text}</text>\n'
        "    </revision>\n  </page>\n"
    )


# --- XML dumps -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", ".bz2", ".gz"])
def test_a_dump(tmp_path: Path, ending: str) -> None:
    xml = (
        HEAD
        + page(7, "'''Käse''' &amp;amp; [[Kartei:x.jpg|y]] &lt;ref&gt;z&lt;/ref&gt;mehr", title="Käse &amp; Brot/A b")
        + page(8, "#WEITERLEITUNG [[Käse]]")
        + page(9, "x", extra='    <redirect title="Käse" />\n')
        + page(10, "'''A''' steht für:\n* [[B]]\n{{Begriffsklärung}}")
        + page(11, "Diskussion", ns=1)
        + page(12, "{{nur Vorlage}}")
        + page(13, "Ende")
        + "</mediawiki>\n"
    )
    pack = {"": bytes, ".bz2": bz2.compress, ".gz": gzip.compress}[ending]
    (tmp_path / f"dump.xml{ending}").write_bytes(pack(xml.encode()))
    records = read(tmp_path)
    assert documents(records) == [
        Document(
            f"wikipedia:dump.xml{ending}:7",
            "Käse & Brot/A b\n\nKäse & mehr",
            "wikipedia",
            "https://de.wikipedia.org/wiki/K%C3%A4se_%26_Brot/A_b",
            {"title": "Käse & Brot/A b", "page": "7", "language": "de"},
        ),
        Document(
            f"wikipedia:dump.xml{ending}:13",
            "Page 13\n\nEnde",
            "wikipedia",
            "https://de.wikipedia.org/wiki/Page_13",
            {"title": "Page 13", "page": "13", "language": "de"},
        ),
    ]
    assert skipped(records) == {"redirect": 2, "disambiguation page": 1, "not an article": 1, "no readable text": 1}
    assert not bad(records)


def test_damaged_pages_cost_themselves_alone(tmp_path: Path) -> None:
    good = page(1, "one"), page(2, "two"), page(3, "three"), page(4, "four")
    lines = HEAD.count("\n") + 1
    xml = (
        (HEAD + good[0]).encode()
        + page(5, "a").encode().replace(b"</title>", b"</titel>")  # not well formed
        + good[1].encode()
        + page(6, "\xff").encode("latin-1")  # not UTF-8
        + page(7, "b").replace("  </page>\n", "").encode()  # its end is missing
        + good[2].encode()
        + page(8, "&unknown;").encode()
        + page(9, "c").replace("<title>Page 9</title>", "").encode()
        + b"<page><title>T</title><ns>0</ns><id>3</id></page>\n"
        + good[3].encode()
        + page(10, "d")[:60].encode()
    )
    (tmp_path / "dump.xml").write_bytes(xml)
    records = read(tmp_path)
    assert [document.text[-5:].strip() for document in documents(records)] == ["one", "two", "three", "four"]
    height = good[0].count("\n")
    expected = [
        (lines + height, "not valid XML"),
        (lines + 3 * height, "not valid XML"),
        (lines + 4 * height, "page without its end"),
        (lines + 6 * height - 1, "not valid XML"),
        (lines + 7 * height - 1, "page without title"),
        (lines + 8 * height - 1, "page without text"),
        (lines + 9 * height, "page without its end"),
    ]
    assert bad(records) == [("dump.xml", line, reason) for line, reason in expected]


def test_a_dump_cut_short_keeps_what_came_before(tmp_path: Path) -> None:
    pages = [page(number, f"text {number} " + "word " * 4_000) for number in range(1, 30)]
    data = bz2.compress((HEAD + "".join(pages)).encode(), 1)
    (tmp_path / "dump.xml.bz2").write_bytes(data[: len(data) // 2])
    records = read(tmp_path)
    whole = documents(records)
    assert 5 < len(whole) < 25
    assert [document.meta["page"] for document in whole] == [str(number) for number in range(1, len(whole) + 1)]
    assert [reason for _, _, reason in bad(records)] == ["damaged compression"]
    (tmp_path / "dump.xml.bz2").write_bytes(b"no bzip2")
    assert bad(read(tmp_path)) == [("dump.xml.bz2", 1, "damaged compression")]
    (tmp_path / "dump.xml.bz2").write_bytes(bz2.compress(b"<html></html>"))
    assert bad(read(tmp_path)) == [("dump.xml.bz2", 1, "no page in the file")]


def test_entities_of_a_document_type_are_never_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    kinds = f'<!ENTITY file SYSTEM "{tmp_path / "secret"}"><!ENTITY lol "lol">'
    xml = f"<!DOCTYPE mediawiki [{kinds}]>{HEAD}" + page(1, "&file;") + page(2, "&lol;") + page(3, "good")
    (tmp_path / "dump.xml").write_text(xml)
    records = read(tmp_path / "dump.xml")
    assert [document.text for document in documents(records)] == ["Page 3\n\ngood"]
    assert [reason for _, _, reason in bad(records)] == ["not valid XML"] * 2


def test_a_page_too_large_for_memory_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dump, "MAX_PAGE_BYTES", 1 << 20)
    xml = HEAD + page(1, "one") + page(2, "x" * (3 << 20)) + page(3, "three")
    (tmp_path / "dump.xml").write_text(xml)
    records = read(tmp_path)
    assert [document.meta["page"] for document in documents(records)] == ["1", "3"]
    assert [reason for _, _, reason in bad(records)] == ["page over 1 MiB"]


def test_memory_does_not_grow_with_the_dump(tmp_path: Path) -> None:
    peaks = []
    for pages in (200, 2000):
        path = tmp_path / f"{pages}.xml.bz2"
        text = "''word'' [[link]] {{x}} " * 100
        path.write_bytes(bz2.compress((HEAD + (page(1, text) + page(2, text, ns=1) * 39) * (pages // 40)).encode()))
        (task,) = source(path).parts()[0].tasks
        tracemalloc.start()
        assert sum(isinstance(record, Document) for record in task.read(StopRequest())) == pages // 40
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_the_real_dump_counts_as_grep_does(shared_data: Path) -> None:
    """Redirects and disambiguation pages against patterns over the raw XML."""
    raw = raw_pages(shared_data / DUMP)
    articles = [text for text in raw if "<ns>0</ns>" in text]
    redirects = [text for text in articles if "<redirect title=" in text]
    templates = re.compile(r"\{\{(?:disambig(?:uation)?|hndis|geodis|[Dd]isambig)[|}]", re.IGNORECASE)
    leading = [text for text in articles if text not in redirects and templates.search(text)]
    records = read(shared_data / DUMP)
    assert len(records) == len(raw)
    assert skipped(records) == {
        "redirect": len(redirects),
        "disambiguation page": len(leading),
        "not an article": len(raw) - len(articles),
    }
    assert (len(redirects), len(leading)) == (99, 8)
    assert len({document.id for document in documents(records)}) == len(articles) - len(redirects) - len(leading)


# --- rows ----------------------------------------------------------------------------------------------------------


def enterprise(name: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "identifier": number,
        "namespace": {"identifier": 0},
        "in_language": {"identifier": "en"},
    } | fields


SECTIONS = [
    {"type": "section", "name": "Abstract", "has_parts": [{"type": "paragraph", "value": "Ah.[1]", "citations": [{}]}]},
    {
        "type": "section",
        "name": "History",
        "has_parts": [
            {"type": "paragraph", "value": "Early [1] days."},
            {
                "type": "section",
                "name": "Later",
                "has_parts": [
                    {"type": "list", "has_parts": [
                        {"type": "list_item", "value": "a", "has_parts": [
                            {"type": "ordered_list", "has_parts": [{"type": "list_item", "value": "b"}]}]},
                        {"type": "list_item", "value": "c"}]},
                    {"type": "table", "value": "no"},
                    {"type": "paragraph", "value": "After."},
                ],
            },
            {"type": "section", "name": "Empty"},
        ],
    },
    {"type": "section", "name": "References", "has_parts": [{"type": "paragraph", "value": "no"}]},
]  # fmt: skip
SECTIONS_TEXT = "S\n\nAh.\n\nHistory\n\nEarly [1] days.\n\nLater\n\n- a\n  1. b\n- c\n\nAfter."


def test_every_shape_of_rows_in_one_file(tmp_path: Path) -> None:
    rows: list[Any] = [
        enterprise("W", article_body={"wikitext": "'''W''' is."}, url="https://en.wikipedia.org/wiki/W"),
        enterprise("H", article_body={"html": "<p><b>H</b> is.</p>", "wikitext": "not this"}),
        enterprise("S", sections=SECTIONS),
        enterprise("S", sections=json.dumps(SECTIONS)),
        enterprise("S", article_sections=SECTIONS),
        {"id": "12", "url": "u", "title": "P", "text": "P is plain.\n\nHistory \n\n[[kept]] from before"},
        {"title": "B", "wikitext": "B is [[bare]]."},
        enterprise("R", article_body={"wikitext": "#REDIRECT [[W]]"}),
        enterprise("R", sections=[{"type": "section", "has_parts": [{"type": "paragraph", "value": "#REDIRECT W"}]}]),
        enterprise("D", sections=SECTIONS, description="Topics referred to by the same term"),
        enterprise("D", article_body={"html": '<p>D</p><meta property="mw:PageProp/disambiguation"/>'}),
        enterprise("D (disambiguation)", article_body={"wikitext": "D may refer to"}),
        enterprise("Talk:W", article_body={"wikitext": "x"}, namespace={"identifier": 1}),
        enterprise("N", article_body={}),
        {"text": "no title"},
        enterprise("N", sections="{"),
        ["no", "object"],
    ]
    lines = [json.dumps(row).encode() for row in rows] + [b"{broken", b'{"name": "\xff"}']
    (tmp_path / "mixed.ndjson").write_bytes(b"\n".join(lines))
    records = read(tmp_path)
    assert [(document.id, document.text) for document in documents(records)] == [
        ("wikipedia:mixed.ndjson:1", "W\n\nW is."),
        ("wikipedia:mixed.ndjson:2", "H\n\nH is."),
        ("wikipedia:mixed.ndjson:3", SECTIONS_TEXT),
        ("wikipedia:mixed.ndjson:4", SECTIONS_TEXT),
        ("wikipedia:mixed.ndjson:5", SECTIONS_TEXT),
        ("wikipedia:mixed.ndjson:6", "P\n\nP is plain.\n\nHistory \n\n[kept] from before"),
        ("wikipedia:mixed.ndjson:7", "B\n\nB is bare."),
    ]
    first = documents(records)[0]
    assert (first.url, first.meta) == ("https://en.wikipedia.org/wiki/W", {"title": "W", "page": "1", "language": "en"})
    assert skipped(records) == {"redirect": 2, "disambiguation page": 3, "not an article": 1}
    assert bad(records) == [
        ("mixed.ndjson", 14, "no article text"),
        ("mixed.ndjson", 15, "no title"),
        ("mixed.ndjson", 16, "no article text"),
        ("mixed.ndjson", 17, "not a JSON object"),
        ("mixed.ndjson", 18, "not valid JSON"),
        ("mixed.ndjson", 19, "invalid UTF-8"),
    ]


def test_parquet_and_a_folder_of_all_kinds(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "url": "u1", "title": "One", "text": "One is.\n\nTwo."},
        {"id": "2", "url": "u2", "title": "Two", "text": "t"},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]))
    (tmp_path / "c.xml").write_text(HEAD + page(3, "Three"))
    (tmp_path / "README.md").write_text("not an article")
    records = read(tmp_path)
    assert [document.id for document in documents(records)] == [
        "wikipedia:a.jsonl:1", "wikipedia:b.parquet:1", "wikipedia:b.parquet:2", "wikipedia:c.xml:3",
    ]  # fmt: skip
    assert {document.text for document in documents(records)[:2]} == {"One\n\nOne is.\n\nTwo."}
    assert [path.name for path in source(tmp_path).raw_paths()] == ["a.jsonl", "b.parquet", "c.xml"]


def test_members_of_an_archive(tmp_path: Path) -> None:
    members = {
        f"enwiki_namespace_0_{n}.ndjson": [
            enterprise(f"T{n}{i}", article_body={"wikitext": f"Text {i}"}) for i in (0, 1)
        ]
        for n in (0, 1)
    }
    path = tmp_path / "enwiki-NS0-ENTERPRISE-HTML.json.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, rows in {**members, "note.txt": [{}]}.items():
            data = "\n".join(map(json.dumps, rows)).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    found = documents(read(tmp_path))
    assert [document.id for document in found] == [
        f"wikipedia:{path.name}/enwiki_namespace_0_{n}.ndjson:{line}" for n in range(2) for line in (1, 2)
    ]
    assert found[3].text == "T11\n\nText 1"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert {reason for _, _, reason in bad(read(tmp_path))} <= {"damaged archive", "damaged compression"}
    assert bad(read(tmp_path))


def test_large_files_are_cut_and_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "a.jsonl").open("w") as file:
        for number in range(2000):
            file.write(json.dumps({"title": f"T{number}", "text": "word " * 40}) + "\n")
    whole = read(tmp_path)
    monkeypatch.setattr(wikipedia, "PIECE_BYTES", 1 << 16)
    monkeypatch.setattr(wikipedia, "cut", lambda stream, name, cut=wikipedia.cut: cut(stream, name, 1 << 16))
    tasks = source(tmp_path).parts()[0].tasks
    assert len(tasks) > 5
    assert len({task.name for task in tasks}) == len(tasks)
    assert [record for task in tasks for record in task.read(StopRequest())] == whole


def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        source(tmp_path / "absent.xml")
    (tmp_path / "a.csv").write_text("a")
    with pytest.raises(InputError, match="readable are"):
        source(tmp_path / "a.csv")


def test_reading_stops_when_asked(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(HEAD + page(1, "a") + page(2, "b"))
    stop = StopRequest()
    reading = source(tmp_path).parts()[0].tasks[0].read(stop)
    next(reading)
    stop.request(15)
    with pytest.raises(Interrupted):
        next(reading)


def test_real_rows_hold_no_markup(shared_data: Path) -> None:
    records = read(shared_data / "wikimedia-enterprise")
    texts = [document.text for document in documents(records)]
    assert not bad(records)
    assert len(texts) == 3 + 2 + 98
    for text in texts:
        assert not [sequence for sequence in FORBIDDEN if sequence in text]
        assert not re.search(r"</?(?:p|li|span|ref|br|i|b)\b[^>]*>", text)
        assert "\n\n\n" not in text
