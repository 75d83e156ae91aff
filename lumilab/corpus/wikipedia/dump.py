"""Pages out of a MediaWiki XML dump, one at a time and each parsed on its own.

The stream is cut at `<page>` and `</page>`: inside a page every `<` of its text is escaped, so these can be nothing
else. Memory is bounded by one page; a damaged page costs itself and nothing behind it; and what an XML head could do
harm with, a document type with entities, is never parsed, because a page cannot hold one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import unescape

from lumilab.corpus.compression import DamagedStreamError
from lumilab.corpus.document import BadRecord
from lumilab.corpus.wikipedia.namespaces import Namespaces

MAX_PAGE_BYTES = 64 << 20  # a page with its whole history may have more
_BEGIN, _END = b"<page>", b"</page>"
_MAX_HEAD_BYTES = 1 << 20
_BASE = re.compile(r"<base>([^<]*/)[^/<]*</base>")
_LANGUAGE = re.compile(r'<mediawiki[^>]*\bxml:lang="([\w-]+)"')


@dataclass(frozen=True)
class Wiki:
    """What the head of a dump says of its wiki.

    Attributes:
        namespaces: their names.
        address: what stands before a page's name in its address; None if the head does not say.
        language: its code, or None.
    """

    namespaces: Namespaces
    address: str | None
    language: str | None

    @classmethod
    def of_head(cls, head: str) -> Wiki:
        base, language = _BASE.search(head), _LANGUAGE.search(head)
        return cls(Namespaces.of_siteinfo(head), unescape(base[1]) if base else None, language[1] if language else None)

    def url(self, title: str) -> str | None:
        return self.address and self.address + quote(title.replace(" ", "_"), safe=":/,()'!*;@$~")


@dataclass(frozen=True)
class Page:
    """One page with the text of its last revision."""

    wiki: Wiki
    title: str
    number: str
    namespace: int
    is_redirect: bool
    model: str
    text: str


def read_pages(blocks: Iterable[bytes], root: str, name: str) -> Iterator[Page | BadRecord]:
    """The pages of a dump, or why one cannot be read.

    Args:
        blocks: the plain XML.
        root, name: of the file, for bad records.
    """
    wiki: Wiki | None = None
    for piece, line in _cut(blocks):
        if isinstance(piece, str):
            yield BadRecord(root, name, line, piece)
        elif wiki is None:
            wiki = Wiki.of_head(piece.decode(errors="replace"))
        else:
            page = _parse(piece, wiki)
            yield BadRecord(root, name, line, page) if isinstance(page, str) else page


def _cut(blocks: Iterable[bytes]) -> Iterator[tuple[bytes | str, int]]:
    """First the head, then each page, with the number of the line it begins in; a string is the reason of a fault."""
    cutter = _Cutter()
    try:
        for block in blocks:
            yield from cutter.feed(block)
    except DamagedStreamError:
        yield "damaged compression", cutter.line
        return
    if cutter.inside:
        yield "page without its end", cutter.line
    elif not cutter.head_is_done:
        yield "no page in the file", 1


class _Cutter:
    """Cuts a stream that comes in blocks."""

    def __init__(self) -> None:
        self.line = 1
        self.inside = False  # a page, which `_pending` then begins with
        self.head_is_done = False
        self._pending = bytearray()
        self._searched = 0  # bytes of `_pending` that are known to hold no end of the page

    def feed(self, block: bytes) -> Iterator[tuple[bytes | str, int]]:
        """What has come to its end with this block."""
        self._pending += block
        while True:
            if not self.inside:
                begin = self._pending.find(_BEGIN)
                if begin < 0:
                    keep = len(_BEGIN) if self.head_is_done else _MAX_HEAD_BYTES
                    self._drop(max(len(self._pending) - keep, 0))
                    return
                if not self.head_is_done:
                    yield bytes(self._pending[:begin]), self.line
                    self.head_is_done = True
                self._drop(begin)
                self.inside = True
            piece, length = self._page()
            if piece is None:
                return
            yield piece, self.line
            self._drop(length)
            self.inside = False

    def _page(self) -> tuple[bytes | str | None, int]:
        """The page that `_pending` begins with, or what is wrong with it, and its length; None before its end."""
        end = self._pending.find(_END, self._searched)
        size = end + len(_END) if end >= 0 else len(self._pending)
        again = self._pending.find(_BEGIN, max(len(_BEGIN), self._searched), size)
        if again >= 0:
            return "page without its end", again
        if size > MAX_PAGE_BYTES:
            return f"page over {MAX_PAGE_BYTES >> 20} MiB", size
        if end < 0:
            self._searched = max(size - len(_END), 0)
            return None, 0
        return bytes(self._pending[:size]), size

    def _drop(self, count: int) -> None:
        self.line += self._pending.count(b"\n", 0, count)
        del self._pending[:count]
        self._searched = 0


def _parse(data: bytes, wiki: Wiki) -> Page | str:
    """One page, or what is wrong with it."""
    try:
        page = ElementTree.fromstring(data)
    except ElementTree.ParseError:
        return "not valid XML"
    title, number = page.findtext("title"), page.findtext("id")
    namespace = page.findtext("ns", "0")
    revisions = page.findall("revision")
    if not title or not number:
        return "page without title" if not title else "page without id"
    if not revisions or revisions[-1].find("text") is None:
        return "page without text"
    if not namespace.lstrip("-").isdecimal():
        return "namespace is not a number"
    return Page(
        wiki,
        title,
        number,
        int(namespace),
        page.find("redirect") is not None,
        revisions[-1].findtext("model", "wikitext"),
        revisions[-1].findtext("text") or "",
    )
