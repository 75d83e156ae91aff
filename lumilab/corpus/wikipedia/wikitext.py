"""Wikitext to unfinished text: brackets, braces and tags are taken away, and what a reader would see stays.

One pass from left to right over the tokens that open or close something, with a stack of what is open, as MediaWiki's
own preprocessor works (its `Preprocessor_Hash`). Every character is looked at a bounded number of times: what is open
is at most `MAX_DEPTH` deep, and the search for the end of a reference or of code remembers what it found. So the time
grows with the length of the text, whatever is nested in it.

Unlike MediaWiki, which shows markup that was never closed as it stands, this ends it early: a link at the end of its
paragraph, everything else at the next heading. An author's mistake then costs a paragraph or a section.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from xml.sax.saxutils import unescape

from lumilab.corpus.wikipedia.article import Article, Mark, has_markup
from lumilab.corpus.wikipedia.lines import add_lines
from lumilab.corpus.wikipedia.namespaces import LANGUAGES, Namespaces, words
from lumilab.corpus.wikipedia.templates import is_rendered, render

MAX_DEPTH = 48  # MediaWiki itself gives up at 40 templates within each other

# Tags whose content is not wikitext: kept out of the way as it is, or left out.
_MATHEMATICS = frozenset(["math", "ce", "chem"])
_CODE = frozenset(["pre", "source", "syntaxhighlight"])
_LEFT_OUT = words(
    """
    ref references gallery timeline score imagemap graph mapframe maplink templatedata templatestyles
    hiero inputbox includeonly indicator categorytree section dynamicpagelist rss phonos
    """
)
_RAW_TAGS = _MATHEMATICS | _CODE | _LEFT_OUT | {"nowiki"}
# Tags that begin or end a line of their own, and those that only dress the text.
_BLOCK_TAGS = words(
    "p div center blockquote ul ol dl dt dd h1 h2 h3 h4 h5 h6 poem hr table tr td th caption thead tbody"
)
_OTHER_TAGS = words(
    """
    a abbr b bdi bdo big br cite code data del dfn em font i img ins kbd li mark noinclude nobr onlyinclude q rb rp rt
    rtc ruby s samp small span strike strong sub sup time tt tvar u translate var wbr langconvert
    """
)
_TAG_NAMES = "|".join(sorted(_RAW_TAGS | _BLOCK_TAGS | _OTHER_TAGS, key=len, reverse=True))

_TOKEN = re.compile(
    rf"""
      \[\[(?P<target>[^\[\]{{}}|<>\n:\#/]+)(?:\|(?P<label>[^\[\]{{}}|<>\n]+))?\]\]  # most links, as a whole
    | \{{\{{+ | \}}\}}+ | \[\[+ | \[(?=(?:https?|ftps?|mailto|irc|news|tel|bitcoin|magnet)?:?//|mailto:) | \]+
    | <(?i:/?(?:{_TAG_NAMES}))(?=[\s/>])[^<>]*>
    | \n[ \t:*#]*\{{\|(?!\}}\}}) | \n[ \t]*\|\}}(?!\}})
    | \n(?==[^\n]*=[ \t]*(?:\n|\Z) | [ \t]*\n)
    """,
    re.VERBOSE,
)
_TAG_NAME = re.compile(r"</?([A-Za-z0-9]+)")
_HEADING = re.compile(r"\n=[^\n]*=[ \t]*(?=\n|\Z)")
_SCHEME = re.compile(r"[a-z]+:", re.IGNORECASE)
_TABLE_ENDS = frozenset(["end", "table end", "s-end", "col-end", "end table", "tableend"])  # templates that hold `|}`


class _Open:
    """Something open: what was read since, and how it is closed."""

    __slots__ = ("kind", "pieces")

    TEXT, TEMPLATE, PARAMETER, LINK, EXTERNAL, TABLE, HTML_TABLE = range(7)

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.pieces: list[str] = []


def add_wikitext(article: Article, text: str, namespaces: Namespaces, title: str = "") -> list[str]:
    """Adds an article's wikitext.

    Args:
        article: to add to.
        text: the wikitext.
        namespaces: of the wiki it is from.
        title: of the page, for {{PAGENAME}}.

    Returns:
        the pieces that its RAW marks stand for, for `Article.text`.
    """
    text = Mark.ALL.sub("", text).replace("\r\n", "\n")
    if "&lt;ref" in text and "<ref" not in text:  # taken from a dump's XML as it stands there
        text = unescape(text, {"&quot;": '"'})
    scanner = _Scanner("\n" + _without_comments(text), namespaces, title)
    add_lines(article, scanner.scan())
    return scanner.raw


def wikitext_to_text(text: str, title: str = "", namespaces: Namespaces | None = None) -> str:
    """An article's wikitext as readable text below its title; empty where nothing readable is in it."""
    article = Article(title)
    raw = add_wikitext(article, text, namespaces or Namespaces(), title)
    return article.text(raw)


def _without_comments(text: str) -> str:
    """Comments go first, as in MediaWiki; a line that holds nothing else goes with them."""
    if "<!--" not in text:
        return text
    kept: list[str] = []
    first, *parts = text.split("<!--")
    kept.append(first)
    inside = ""
    for part in parts:
        inside = part
        _, closed, behind = part.partition("-->")
        if closed:
            alone = behind.startswith("\n") and (not kept[-1] or kept[-1].endswith("\n"))
            kept.append(behind[1:] if alone else behind)
            inside = ""
    if inside:  # never closed: what follows its paragraph is kept
        kept.append("".join(inside.partition("\n\n")[1:]))
    return "".join(kept)


class _Scanner:
    """One pass over one text."""

    def __init__(self, text: str, namespaces: Namespaces, title: str) -> None:
        self._text = text
        self._namespaces = namespaces
        self._title = title
        self._stack = [_Open(_Open.TEXT)]
        self._position = 0
        self._ends: dict[str, tuple[int, re.Match[str] | None]] = {}
        self.raw: list[str] = []

    def scan(self) -> str:
        """The unfinished text."""
        text, search, stack = self._text, _TOKEN.search, self._stack
        handlers: dict[str, Callable[[str], None]] = {
            "{": self._open_braces,
            "}": self._close_braces,
            "[": self._open_brackets,
            "]": self._close_brackets,
            "<": self._tag,
            "\n": self._line_start,
        }
        while (token := search(text, self._position)) is not None:
            start = token.start()
            if start > self._position:
                stack[-1].pieces.append(text[self._position : start])
            self._position = token.end()
            if token["target"]:
                stack[-1].pieces.append(token["label"] or token["target"].replace("_", " "))
                continue
            word = token[0]
            handlers[word[0]](word)
        stack[-1].pieces.append(text[self._position :])
        self._close_down_to(1)
        return "".join(stack[0].pieces)

    # --- opening and closing ---------------------------------------------------------------------------------------

    def _push(self, kind: int) -> None:
        if len(self._stack) < MAX_DEPTH:
            self._stack.append(_Open(kind))

    def _is_open(self, kinds: tuple[int, ...], above: tuple[int, ...] = ()) -> int:
        """The place in the stack of the innermost of these kinds, 0 if there is none above any of the others."""
        for place in range(len(self._stack) - 1, 0, -1):
            kind = self._stack[place].kind
            if kind in kinds:
                return place
            if kind in above:
                break
        return 0

    def _close_down_to(self, height: int) -> None:
        """Ends what was never closed until the stack has this height."""
        while len(self._stack) > height:
            unclosed = self._stack.pop()
            content = "".join(unclosed.pieces)
            if unclosed.kind in (_Open.TEMPLATE, _Open.PARAMETER):
                # Its arguments stand in lines that begin with a bar; the line it begins in is its name and what not.
                lines = content.split("\n")[1:]
                content = "\n" + "\n".join(line for line in lines if not line.lstrip().startswith("|"))
            elif unclosed.kind == _Open.LINK:
                content = content.rpartition("|")[2]
            elif unclosed.kind == _Open.EXTERNAL:
                content = content.partition(" ")[2]
            else:
                content = "\n"
            self._stack[-1].pieces.append(content)

    def _finish(self, place: int, rendered: str) -> None:
        """Ends what is open at this place in the stack, with what it shows."""
        del self._stack[place:]
        self._stack[-1].pieces.append(rendered.replace("|", Mark.PIPE) if "|" in rendered and place > 1 else rendered)

    # --- tokens ----------------------------------------------------------------------------------------------------

    def _open_braces(self, run: str) -> None:
        count = len(run)
        if count % 2:
            count -= 3
            self._push(_Open.PARAMETER)
        for _ in range(min(count // 2, MAX_DEPTH)):
            self._push(_Open.TEMPLATE)

    def _close_braces(self, run: str) -> None:
        count = len(run)
        while count >= 2:
            place = self._is_open((_Open.TEMPLATE, _Open.PARAMETER), (_Open.TABLE, _Open.HTML_TABLE))
            if not place:
                return
            self._close_down_to(place + 1)
            top = self._stack[place]
            content = "".join(top.pieces)
            if top.kind == _Open.PARAMETER and count >= 3:
                count -= 3
                self._finish(place, content.partition("|")[2] or Mark.GONE)
                continue
            if count == 3 and content.count("{") > content.count("}"):
                content += "}"  # {{math|{x}}}
                count -= 1
            count -= 2
            self._finish(place, self._template(content))

    def _open_brackets(self, run: str) -> None:
        if run == "[":
            self._push(_Open.EXTERNAL)
            return
        if len(run) % 2:
            self._stack[-1].pieces.append("[")
        for _ in range(min(len(run) // 2, MAX_DEPTH)):
            self._push(_Open.LINK)

    def _close_brackets(self, run: str) -> None:
        count = len(run)
        while count:
            place = self._is_open(
                (_Open.LINK, _Open.EXTERNAL), (_Open.TEMPLATE, _Open.PARAMETER, _Open.TABLE, _Open.HTML_TABLE)
            )
            if place and self._stack[place].kind == _Open.LINK and count == 1:
                place = self._is_open((_Open.EXTERNAL,), (_Open.LINK, _Open.TEMPLATE, _Open.TABLE))
            if not place:
                if count == 1:
                    self._stack[-1].pieces.append("]")
                return
            top = self._stack[place]
            content = "".join(top.pieces)
            if top.kind == _Open.EXTERNAL:
                count -= 1
                self._finish(place, _external(content))
                continue
            if count == 3 and content.count("[") > content.count("]"):
                content += "]"
                count -= 1
            count -= 2
            self._finish(place, self._link(content))

    def _line_start(self, token: str) -> None:
        if token == "\n" and self._text.startswith("=", self._position):  # a heading follows
            self._close_down_to(1)
            self._stack[0].pieces.append("\n")
        elif token == "\n":  # an empty line follows
            while len(self._stack) > 1 and self._stack[-1].kind in (_Open.LINK, _Open.EXTERNAL):
                if self._stack[-1].kind == _Open.LINK and self._is_left_out(self._stack[-1].pieces):
                    break  # an image's caption may have paragraphs
                self._close_down_to(len(self._stack) - 1)
            self._stack[-1].pieces.append("\n")
        elif token.endswith("{|"):
            self._push(_Open.TABLE)
        elif token.endswith("|}"):
            place = self._is_open((_Open.TABLE,), (_Open.TEMPLATE, _Open.PARAMETER))
            if place:
                self._finish(place, "\n")

    def _tag(self, tag: str) -> None:
        found = _TAG_NAME.match(tag)
        name = found[1].lower() if found else ""
        pieces = self._stack[-1].pieces
        closing = tag[1] == "/"
        if name in _RAW_TAGS:
            if not closing and not tag.endswith("/>"):
                self._raw_tag(name)
        elif name == "br":
            pieces.append("\n" if len(self._stack) == 1 else " ")
        elif name == "table":
            self._html_table(closing)
        elif name in ("sub", "sup"):
            pieces.append(Mark.SCRIPT_END if closing else Mark.SUBSCRIPT if name == "sub" else Mark.SUPERSCRIPT)
        elif name == "li":
            pieces.append("" if closing else "\n* ")
        elif name in _BLOCK_TAGS:
            pieces.append("\n\n" if name in ("p", "blockquote", "hr") else "\n")

    def _html_table(self, closing: bool) -> None:
        if not closing:
            self._push(_Open.HTML_TABLE)
        elif place := self._is_open((_Open.HTML_TABLE,), (_Open.TEMPLATE, _Open.PARAMETER)):
            self._finish(place, "\n")

    def _raw_tag(self, name: str) -> None:
        """Passes over a tag and its content; a tag that is not closed before the next heading is only passed over."""
        end = self._next(f"</{name}")
        heading = self._next("heading")
        if end is None or (heading is not None and heading.start() < end.start() and name not in _CODE):
            return
        content = self._text[self._position : end.start()]
        self._position = end.end()
        pieces = self._stack[-1].pieces
        if name == "nowiki":
            pieces.append(self._keep(html.unescape(content)) if content else "")
        elif name in _MATHEMATICS:
            pieces.append(self._keep(mathematics(content, name)))
        elif name in _CODE:
            code = html.unescape(content).strip("\n")
            if code and not has_markup(code):
                pieces.append(f"\n\n{self._keep(code)}\n\n")  # code is kept as it is or not at all
        elif name == "ref":
            pass  # a reference stands right behind a word and leaves no gap
        else:
            pieces.append(Mark.GONE)

    def _keep(self, piece: str) -> str:
        self.raw.append(piece)
        return f"{Mark.RAW}{len(self.raw) - 1}{Mark.RAW}"

    def _next(self, what: str) -> re.Match[str] | None:
        """The next end of a raw tag, or heading; one that lies ahead is not searched for again."""
        known = self._ends.get(what)
        if known is not None and (known[1] is None or known[1].start() >= self._position):
            return known[1]
        pattern = _HEADING if what == "heading" else _end_of(what[2:])
        found = pattern.search(self._text, self._position)
        self._ends[what] = (self._position, found)
        return found

    # --- templates and links ---------------------------------------------------------------------------------------

    def _template(self, content: str) -> str:
        name, *parts = content.split("|")
        key = " ".join(name.replace("_", " ").lower().split()).removeprefix("template:")
        if not is_rendered(key):
            if key in ("pagename", "fullpagename", "subpagename", "basepagename"):
                return self._title
            if key in _TABLE_ENDS and (place := self._is_open((_Open.TABLE,))):
                del self._stack[place + 1 :]  # what it stands in is ended by `_finish` in its stead
                self._stack[place].kind = _Open.TEMPLATE
            return Mark.GONE
        shown = render(key, parts)
        return Mark.GONE if shown is None else shown

    def _is_left_out(self, pieces: list[str]) -> bool:
        """Whether a link is to a file or category."""
        prefix, colon, _ = (pieces[0] if pieces else "").partition(":")
        name = prefix.strip().lower().replace("_", " ")
        return bool(colon) and (name in self._namespaces.files or name in self._namespaces.categories)

    def _link(self, content: str) -> str:
        if self._is_left_out([content]):
            return ""
        target, bar, label = content.partition("|")
        target = target.strip()
        prefix, colon, rest = target.partition(":")
        if colon and prefix.lower().strip() in LANGUAGES and not rest.startswith(" "):
            return ""
        if label.strip():
            return label
        if bar:  # the pipe trick: [[Mercury (planet)|]]
            return target.rpartition(":")[2].partition(" (")[0]
        return target.lstrip(":#").replace("_", " ")


def _external(content: str) -> str:
    """The label of an external link; one without a label is a number on the page, which says nothing."""
    address, _, label = content.partition(" ")
    return label.strip() if _SCHEME.match(address) or address.startswith("//") else content


def mathematics(content: str, name: str = "math") -> str:
    """A formula as LaTeX between dollar signs, on one line, with a space inside what would look like wikitext."""
    formula = " ".join(html.unescape(content).split())
    if not formula:
        return ""
    if name != "math":
        formula = rf"\ce{{{formula}}}"
    for sequence in ("{{", "[[", "{|"):
        while sequence in formula:
            formula = formula.replace(sequence, f"{sequence[0]} {sequence[1]}")
    return f"${formula}$"


def _end_of(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{name}\s*>", re.IGNORECASE)
