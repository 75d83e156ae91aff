"""Putting an article's text together, the same for every form it is published in.

The title is the first line: a language model sees nothing but the text, and many articles, above all lists and short
ones, never name their subject otherwise. A heading is a line of its own between empty lines, without `==` or `##`, as
in the published wikimedia/wikipedia data set, whose plain texts could not be given levels afterwards. A heading with
nothing under it is left out, and so are the sections that hold literature and links, which are no running text.

While a text is made, some control characters stand for things that only matter until it is finished (see `Mark`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable


class Mark:
    """Control characters that stand in unfinished text for what is not text; input is freed of them first."""

    GONE = "\x01"  # something was left out here: brackets and spaces around it may go too
    RAW = "\x02"  # RAW number RAW: a piece of code or mathematics kept out of the way
    SUBSCRIPT = "\x03"
    SUPERSCRIPT = "\x04"
    SCRIPT_END = "\x05"
    PIPE = "\x06"  # a | that separates nothing
    ALL = re.compile("[\x00-\x06]")


def _titles(text: str) -> frozenset[str]:
    """The titles of a list that is written as text, each ended by a bar."""
    return frozenset(title.strip() for title in text.split("|"))


# Sections without running text, in the larger Wikipedias; compared in lower case.
APPENDICES = _titles(
    """
    references|reference|references and notes|notes and references|notes|footnotes|citations|
    sources|works cited|see also|external links|external link|further reading|general references|
    bibliography and references|gallery|image gallery|einzelnachweise|weblinks|literatur|siehe auch|
    anmerkungen|quellen|fußnoten|belege|anmerkungen und einzelnachweise|références|
    notes et références|liens externes|voir aussi|articles connexes|bibliographie|lien externe|
    annexes|referencias|enlaces externos|véase también|bibliografía|notas|notas y referencias|
    fuentes|note|collegamenti esterni|altri progetti|voci correlate|bibliografia|riferimenti|
    referências|ligações externas|ver também|notas e referências|примечания|ссылки|литература|
    см. также|источники|комментарии|przypisy|linki zewnętrzne|zobacz też|uwagi|referenties|
    externe links|externe link|zie ook|bronnen|bronnen, noten en/of referenties|literatuur|
    referenser|externa länkar|källor|se även|noter|脚注|外部リンク|
    関連項目|参考文献|出典|注釈|参考资料|参考資料|外部链接|外部連結|
    参见|參見|注释|参考|參考文獻|각주|외부 링크|같이 보기|المراجع|وصلات خارجية|انظر أيضا|مصادر|مراجع|
    """
)

_CLOSERS = re.compile(r"\}\}+|\]\]+|\|+\}+")  # what no opening belongs to
_SPACES = re.compile("  +")
# In a line where something was left out, each place of that is at most one mark with one space on either side.
_GONE_RUN = re.compile(" ?\x01[ \x01]*")
_GONE_START = re.compile("^ ?\x01[\x01 ,;:.]*")
_EMPTY_BRACKETS = re.compile(r"[ \xa0]?(?:\([\s\x01,;:/]*\)|\[[\s\x01,;:/]*\])")
_BRACKET_START = re.compile(r"([(\[])[\s\x01,;:]+")
_BRACKET_END = re.compile(r"(?<![\s\x01,;:])[\s\x01,;:]+([)\]])")
_EMPTY_MEMBERS = re.compile("([,;])(?: ?\x01 ?[,;])+")
_BEFORE_PUNCTUATION = re.compile(" ?\x01 ?(?=[,.;:!?)])")
_GONE = re.compile(" ?\x01 ?")
_SCRIPT = re.compile("([\x03\x04])([^\x03-\x05\n]*)\x05")
_SCRIPT_LEFT = re.compile("[\x03-\x05]")
_RAW = re.compile("\x02([0-9]+)\x02")
_SUPERSCRIPTS = str.maketrans("0123456789+-−=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿ")
_SUBSCRIPTS = str.maketrans("0123456789+-−=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎")
_DIGITS_AND_SIGNS = re.compile("[0-9+\\-−=()]+n?|n")


class Article:
    """Collects headings and lines of one article in order and makes its text."""

    def __init__(self, title: str) -> None:
        self._title = title.strip()
        self._lines: list[str] = []
        self._pending: list[tuple[int, str]] = []  # headings that wait for something to stand under them
        self._appendix: int | None = None  # the level of the heading whose section is left out
        self._gap = False

    def heading(self, level: int, title: str) -> None:
        """Begins a section; it ends what was begun with the same or a deeper level."""
        title = tidy(title).strip()
        if self._appendix is not None and level > self._appendix:
            return
        self._appendix = level if title.lower().rstrip(":") in APPENDICES else None
        while self._pending and self._pending[-1][0] >= level:
            self._pending.pop()
        if self._appendix is None and title:
            self._pending.append((level, title))
        self._gap = True

    def gap(self) -> None:
        """Ends a paragraph or list: an empty line, whatever comes next."""
        self._gap = True

    def line(self, text: str, prefix: str = "") -> bool:
        """Adds a line, unless nothing but what was left out is in it; says whether it did.

        Args:
            text: unfinished text, which may hold marks but no line ends.
            prefix: of a list item, such as "- ".
        """
        if self._appendix is not None:
            return False
        text = tidy(text)
        if not text or not _holds_text(text):
            return False
        if self._lines and (self._gap or self._pending):
            self._lines.append("")
        for _, title in self._pending:
            self._lines += [title, ""]
        self._pending.clear()
        self._gap = False
        self._lines.append(prefix + text)
        return True

    def text(self, raw: list[str] | None = None) -> str:
        """The finished article with its title; empty if it has no text.

        Args:
            raw: the pieces that the RAW marks stand for.
        """
        if not self._lines:
            return ""
        body = _CLOSERS.sub(lambda found: found[0][-1], "\n".join(self._lines)).replace(Mark.PIPE, "|")
        if raw:
            body = _RAW.sub(lambda found: raw[int(found[1])] if int(found[1]) < len(raw) else "", body)
        return with_title(self._title, sweep(Mark.ALL.sub("", body)))


def with_title(title: str, body: str) -> str:
    """The text below its title, which is not repeated where the text already begins with it."""
    title, body = sweep(title.strip()), body.strip()
    if not body or not title or body == title or body.startswith(title + "\n"):
        return body
    return f"{title}\n\n{body}"


def tidy(line: str) -> str:
    """One line with single spaces, finished sub- and superscripts, and no traces around what was left out."""
    if Mark.SCRIPT_END in line:
        line = _SCRIPT_LEFT.sub("", _SCRIPT.sub(_script, line))
    if "\t" in line:
        line = line.replace("\t", " ")
    if "  " in line:
        line = _SPACES.sub(" ", line)
    if Mark.GONE in line:
        line = _SPACES.sub(" ", _without_gaps(line))
    return line.strip(" ")


def has_markup(text: str) -> bool:
    """Whether a text holds any of the sequences that `sweep` breaks up."""
    return any(sequence in text for sequence in ("{{", "[[", "{|", "<ref", "Category:"))


def sweep(text: str) -> str:
    """Breaks up the few sequences that no text of ours may hold, wherever they came from.

    They are left over where markup was never closed, or written as characters on purpose (`&#91;&#91;`).
    """
    if "{{" in text or "{|" in text:
        text = re.sub(r"\{[{|]+", "{", text)
    if "[[" in text:
        text = re.sub(r"\[\[+", "[", text)
    if "<" in text:
        text = re.sub(r"<(?=/?(?:ref|references)\b|ref|!--)[/!-]*", "", text, flags=re.IGNORECASE)
    if "Category:" in text:
        text = re.sub("Category:+", "Category", text)
    return text


def _without_gaps(line: str) -> str:
    """Closes the gaps: `rest (GONE; Latin: quies), GONE, GONE and sleep` becomes `rest (Latin: quies), and sleep`."""

    def where_gone(replacement: str) -> Callable[[re.Match[str]], str]:
        return lambda found: found.expand(replacement) if Mark.GONE in found[0] else found[0]

    line = _GONE_RUN.sub(lambda run: f" {Mark.GONE} " if " " in run[0] else Mark.GONE, line)
    line = _GONE_START.sub("", line)
    line = _EMPTY_BRACKETS.sub(where_gone(""), line)
    line = _BRACKET_START.sub(where_gone(r"\1"), line)
    line = _BRACKET_END.sub(where_gone(r"\1"), line)
    line = _EMPTY_MEMBERS.sub(r"\1", line)
    line = _BEFORE_PUNCTUATION.sub("", line)
    return _GONE.sub(lambda found: " " if " " in found[0] else "", line)


def _holds_text(line: str) -> bool:
    """Whether anything in the line is a letter, a digit, a sign or a kept piece, and not only punctuation."""
    if line[0].isalnum():
        return True
    return any(
        character.isalnum() or character == Mark.RAW or unicodedata.category(character)[0] == "S" for character in line
    )


def _script(found: re.Match[str]) -> str:
    """Digits and signs raised or lowered; anything else, such as the "th" of an ordinal number, on the line."""
    content = found[2].strip()
    if not _DIGITS_AND_SIGNS.fullmatch(content):
        return content
    return content.translate(_SUPERSCRIPTS if found[1] == Mark.SUPERSCRIPT else _SUBSCRIPTS)
