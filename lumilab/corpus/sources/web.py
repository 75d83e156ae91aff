"""Web pages out of the archives of crawlers: the main text of each page, or the text that WET files have of it.

A document is a page that was answered with 200 and is HTML. What else an archive holds between the pages (requests,
the crawler's notes) is no record of the corpus and not counted; answers that are no such page are skipped and counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lumilab.corpus.document import BadRecord, Document, Record, Skipped
from lumilab.corpus.sources.finding import find_files
from lumilab.corpus.sources.source import Part, RawPath
from lumilab.corpus.web.archive import (
    MAX_CONTENT_BYTES,
    ArchiveRecord,
    DamagedRecord,
    archive_records,
    is_archive,
)
from lumilab.corpus.web.extraction import extract_text
from lumilab.corpus.web.http import UnreadableBodyError, content_type, parse_response
from lumilab.recipe.corpus import WebSource
from lumilab.work.stopping import StopRequest

HTML = ("text/html", "application/xhtml+xml")
_MEND = "readable are .warc and .wet, also with .gz or .zst behind; .wat files describe pages and hold no text."


class WebPages:
    """The archives of one WebSource; finding them is part of construction.

    Raises:
        InputError: a path does not exist, matches nothing, or is of a kind that cannot be read.
    """

    def __init__(self, config: WebSource) -> None:
        self.name = config.name
        self._files = find_files(config.name, config.paths, is_archive, _MEND)

    def raw_paths(self) -> list[RawPath]:
        return self._files

    def parts(self) -> list[Part]:
        return [Part("pages", [ArchiveTask(self.name, file, file.path.stat().st_size) for file in self._files])]


@dataclass(frozen=True)
class ArchiveTask:
    """One archive, which is read from its beginning, because only there its records can be counted."""

    source: str
    file: RawPath
    size: int

    @property
    def name(self) -> str:
        return f"{self.file.root}:{self.file.name}"

    def read(self, stop: StopRequest) -> Iterator[Record]:
        number = 0
        with self.file.path.open("rb") as stream:
            for number, record in enumerate(archive_records(stream, self.file.name), 1):  # noqa: B007 - used below
                stop.check()
                if isinstance(record, DamagedRecord):
                    yield BadRecord(self.file.root, self.file.name, record.number, record.reason)
                elif (read := self._record(record)) is not None:
                    yield read
        if number == 0:
            yield BadRecord(self.file.root, self.file.name, None, "empty file")

    def _record(self, record: ArchiveRecord) -> Record | None:
        """What the corpus has of a record; None for those that are about pages and are none."""
        match record.kind:
            case "response" | "resource" | "conversion" if record.content is None:
                return Skipped(f"page over {MAX_CONTENT_BYTES >> 20} MiB")
            case "response":
                return self._response(record, record.content or b"")
            case "resource" if _url(record).startswith("http"):
                media_type, charset = content_type(record.headers.get("content-type", ""))
                return self._page(record, media_type, charset, record.content or b"")
            case "conversion":
                return self._converted(record, record.content or b"")
            case "revisit":
                return Skipped("page unchanged since an earlier crawl")
        return None

    def _response(self, record: ArchiveRecord, message: bytes) -> Record:
        if not _url(record).startswith("http"):
            return Skipped("not a web page")
        response = parse_response(message)
        if response is None:
            return self._bad(record, "not an HTTP response")
        if response.status != 200:
            return Skipped("HTTP status other than 200")
        # What the crawler found by looking at the bytes goes before what the server says.
        media_type = record.headers.get("warc-identified-payload-type", "").lower() or response.media_type
        if media_type and media_type not in HTML:
            return Skipped("not HTML")
        try:
            return self._page(record, media_type, response.charset, response.body())
        except UnreadableBodyError:
            return self._bad(record, "unreadable content encoding")

    def _page(self, record: ArchiveRecord, media_type: str, charset: str | None, page: bytes) -> Record:
        if media_type not in HTML and not _looks_like_html(page):
            return Skipped("not HTML")
        try:
            text = extract_text(page, _url(record), charset)
        except Exception:
            # One page out of billions that the parser cannot take must not end a build; it is named and counted.
            return self._bad(record, "the parser failed on this page")
        return self._document(record, text) if text else Skipped("no main text")

    def _converted(self, record: ArchiveRecord, content: bytes) -> Record:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return self._bad(record, "invalid UTF-8")
        return self._document(record, text)

    def _document(self, record: ArchiveRecord, text: str) -> Document:
        described = (("date", "warc-date"), ("languages", "warc-identified-content-language"))
        meta = {name: record.headers[header] for name, header in described if header in record.headers}
        return Document(f"{self.name}:{record.number}", text, self.source, _url(record) or None, meta)

    def _bad(self, record: ArchiveRecord, reason: str) -> BadRecord:
        return BadRecord(self.file.root, self.file.name, record.number, reason)


def _url(record: ArchiveRecord) -> str:
    # Version 1.0 of the standard shows the address in angle brackets, and some crawlers write them.
    return record.headers.get("warc-target-uri", "").strip("<>")


def _looks_like_html(page: bytes) -> bool:
    beginning = page[:1024].lower()
    return b"<html" in beginning or b"<!doctype html" in beginning
