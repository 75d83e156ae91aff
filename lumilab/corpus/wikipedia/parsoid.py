"""Wikipedia's rendered pages (the HTML of Parsoid, MediaWiki's parser) to unfinished text.

Parsoid marks what an element comes from: `typeof` says that it is a reference, an image or an extension, `rel` that a
link goes to a category (Wikimedia's "Specs/HTML" describes it). Templates are expanded there, so the text has the
converted units and the names of languages that wikitext alone does not show.
"""

from __future__ import annotations

import re

import orjson
from lxml import etree

from lumilab.corpus.wikipedia.article import Article, Mark, has_markup
from lumilab.corpus.wikipedia.namespaces import words
from lumilab.corpus.wikipedia.wikitext import mathematics

_LEFT_OUT_TAGS = words(
    """
    head style script table figure figure-inline audio video img svg map object button form link meta template
    """
)
_BLOCKS = words(
    """
    p div section blockquote center dl dt dd ul ol li body article figcaption poem address pre
    """
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
# Classes of what is no running text: notices, navigation, boxes beside the text, spoken forms, marks of citations.
_LEFT_OUT_CLASSES = words(
    """
    hatnote navbox navbar navigation-box vertical-navbox sidebar infobox thumb gallery reflist references
    mw-references-wrap metadata ambox mbox-small sistersitebox sister-project side-box portalbox portal-bar
    noprint shortdescription toc toclimit mw-editsection mw-empty-elt noexcerpt reference error
    mw-cite-backlink printfooter catlinks dablink navigation-not-searchable nomobile rellink refbegin
    authority-control succession-box noviewer geo-nondefault mw-kartographer-maplink mw-indicator stub quotebox
    tright tleft floatright autonumber
    """
)
_LEFT_OUT_ROLES = frozenset(["note", "navigation", "presentation", "contentinfo", "search"])
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n\f]+")
_DISAMBIGUATION = 'property="mw:PageProp/disambiguation"'
_REDIRECT = 'rel="mw:PageProp/redirect"'


# Extensions whose content is text; all others (references, galleries, timelines, maps ...) are left out.
_TEXT_EXTENSIONS = frozenset(["poem", "nowiki", "section", "templatestyles", "langconvert"])
_MATHEMATICS = frozenset(["math", "ce", "chem"])
_CODE = frozenset(["syntaxhighlight", "source", "pre"])
_DISPLAYSTYLE = "{\\displaystyle"  # what MediaWiki puts around every formula
_EXTENSION = re.compile(r"mw:Extension/(\w+)")


def is_disambiguation(html: str) -> bool:
    """Whether the page says that it only leads to other pages."""
    return _DISAMBIGUATION in html


def is_redirect(html: str) -> bool:
    """Whether the page only leads to one other page."""
    return _REDIRECT in html


def html_to_text(html: str, title: str = "") -> str:
    """A rendered page as readable text below its title; empty where nothing readable is in it."""
    article = Article(title)
    raw = add_html(article, html)
    return article.text(raw)


def add_html(article: Article, html: str) -> list[str]:
    """Adds a rendered page, or a piece of one, to an article.

    Returns:
        the pieces that its RAW marks stand for, for `Article.text`.
    """
    # Given as bytes: so no encoding that the page itself names counts. No address is ever opened.
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    root = etree.fromstring(html.encode(), parser) if html.strip() else None
    writer = _Writer(article)
    if root is not None:
        writer.walk(root)
    return writer.raw


class _Writer:
    """Walks over the elements and gives finished lines to the article."""

    def __init__(self, article: Article) -> None:
        self.raw: list[str] = []
        self._article = article
        self._pieces: list[str] = []  # of the line being written
        self._lists: list[int | None] = []  # that are open: None, or the number of the last item
        self._prefix = ""
        self._in_heading = False

    def walk(self, root: etree._Element) -> None:
        """In the order of the document, with a stack of our own: pages may be nested deeper than Python can call."""
        waiting = [(root, False)]
        while waiting:
            element, is_end = waiting.pop()
            if not is_end and not self._is_passed_over(element):
                self._start(element)
                waiting.append((element, True))
                waiting.extend((child, False) for child in reversed(element))
                continue
            if is_end:
                self._end(element.tag)
            self._write(element.tail)
        self._end_line()

    # --- elements --------------------------------------------------------------------------------------------------

    def _start(self, element: etree._Element) -> None:
        tag = element.tag
        if tag in _HEADINGS:
            self._end_line()
            self._in_heading = True
        elif tag in ("ul", "ol"):
            self._end_line()
            self._lists.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._begin_item()
        elif tag in _BLOCKS:
            self._end_line()
            if not self._lists and tag not in ("dl", "dt", "dd"):
                self._article.gap()
        elif tag == "br":
            if self._in_heading:
                self._pieces.append(" ")
            else:
                self._end_line()
        elif tag in ("sub", "sup"):
            self._pieces.append(Mark.SUBSCRIPT if tag == "sub" else Mark.SUPERSCRIPT)
        self._write(element.text)

    def _end(self, tag: str) -> None:
        if tag in _HEADINGS:
            self._article.heading(_HEADINGS[tag], _SPACE.sub(" ", "".join(self._pieces)))
            self._pieces.clear()
            self._in_heading = False
        elif tag in ("ul", "ol"):
            self._end_line()
            if self._lists:
                self._lists.pop()
            self._prefix = "  " * len(self._lists)
            if not self._lists:
                self._article.gap()
        elif tag in _BLOCKS:
            self._end_line()
            if tag in ("blockquote", "poem"):
                self._article.gap()
        elif tag in ("sub", "sup"):
            self._pieces.append(Mark.SCRIPT_END)

    def _is_passed_over(self, element: etree._Element) -> bool:
        """Whether nothing inside an element is walked over; what it shows, or the gap it leaves, is written here."""
        tag = element.tag
        attributes = element.attrib
        origin = attributes.get("typeof", "")
        extension = _EXTENSION.search(origin)
        if extension and extension[1] in _MATHEMATICS:
            self._keep(mathematics(_formula(element), extension[1]))
        elif (extension and extension[1] in _CODE) or tag == "pre":
            self._keep_code(element)
        elif origin in ("mw:Entity", "mw:DisplaySpace") and (element.text or "").isspace():
            self._pieces.append(" ")
        elif _is_left_out(tag, attributes) or (extension and extension[1] not in _TEXT_EXTENSIONS):
            if tag in _BLOCKS or tag in ("table", "figure"):
                self._end_line()
            elif tag not in ("sup", "link", "meta", "style"):
                self._pieces.append(Mark.GONE)
        else:
            return False
        return True

    def _begin_item(self) -> None:
        self._end_line()
        depth = "  " * (len(self._lists) - 1)
        number = self._lists[-1] if self._lists else None
        if number is None:
            self._prefix = depth + "- "
        else:
            self._lists[-1] = number + 1
            self._prefix = f"{depth}{number + 1}. "

    # --- pieces and lines ------------------------------------------------------------------------------------------

    def _write(self, text: str | None) -> None:
        if text:
            self._pieces.append(Mark.ALL.sub("", text))

    def _keep(self, piece: str) -> None:
        self._pieces.append(f"{Mark.RAW}{len(self.raw)}{Mark.RAW}")
        self.raw.append(piece)

    def _keep_code(self, element: etree._Element) -> None:
        code = "".join(element.itertext()).strip("\n")
        is_block = element.tag in _BLOCKS
        if is_block:
            self._end_line()
            self._article.gap()
        if code and not has_markup(code):
            self._keep(code)
        if is_block:
            self._end_line()
            self._article.gap()

    def _end_line(self) -> None:
        if self._pieces:
            text = _SPACE.sub(" ", "".join(self._pieces))
            self._pieces.clear()
            if self._article.line(text, self._prefix):
                self._prefix = "  " * len(self._lists)  # only the first line of an item has its sign


def _is_left_out(tag: str, attributes: etree._Attrib) -> bool:
    if tag in _LEFT_OUT_TAGS:
        return True
    classes = attributes.get("class", "")
    return bool(
        (classes and not _LEFT_OUT_CLASSES.isdisjoint(classes.split()))
        or attributes.get("role") in _LEFT_OUT_ROLES
        or attributes.get("id") == "coordinates"
        or attributes.get("typeof", "").startswith(("mw:File", "mw:Image", "mw:Video", "mw:Audio"))
        or _HIDDEN.search(attributes.get("style", ""))
    )


def _formula(element: etree._Element) -> str:
    """The LaTeX of a formula: its source if Parsoid kept it, else what stands beside its MathML or image."""
    try:
        body = orjson.loads(element.get("data-mw", "{}")).get("body", {})
        source = body.get("extsrc")
    except (orjson.JSONDecodeError, AttributeError):
        source = None
    if isinstance(source, str):
        return source
    beside = element.xpath("(.//@alttext | .//img/@alt)[1]")
    alternative = str(beside[0]) if beside else ""
    return (
        alternative.removeprefix("{\\displaystyle ").removesuffix("}")
        if "{\\displaystyle" in alternative
        else alternative
    )
