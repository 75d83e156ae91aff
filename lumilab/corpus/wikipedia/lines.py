"""The line level of wikitext: headings, lists, quotes for bold and italic, magic words, HTML's named characters."""

from __future__ import annotations

import html
import re

from lumilab.corpus.wikipedia.article import Article, Mark

_HEADING = re.compile(r"(={1,6})([^\n]+?)\1[ \t]*")
_ITEM = re.compile(r"([*#:;]+)[ \t]*")
_APOSTROPHES = re.compile("'{2,}")
_BOLD = 3
_MAGIC_WORD = re.compile(r"__[A-ZÀ-ÞА-ЯЁ_]{3,}__")
_RULE = re.compile(r"-{4,}")
_VARIANTS = re.compile(r"-\{([^{}\n]*)\}-")
_HARD_SPACES = re.compile(r"&(?:nbsp|thinsp|ensp|emsp|#160|#x[aA]0|#8201);")


def add_lines(article: Article, text: str) -> None:
    """Adds the lines of a text that is free of brackets, braces and tags."""
    numbers: list[int] = []  # of the numbered lists that are open
    in_list = False
    for line in text.split("\n"):
        if not line or line.isspace():
            article.gap()
            numbers.clear()
            continue
        if line[0] == "=" and (heading := _HEADING.fullmatch(line.rstrip())):
            article.heading(len(heading[1]), inline(heading[2]).strip())
            numbers.clear()
            continue
        if line[0] in "*#:;":
            _add_item(article, line, numbers)
            in_list = line[0] in "*#"
            continue
        numbers.clear()
        if in_list:
            article.gap()
            in_list = False
        if not line.lstrip(" ").startswith(("|", "{|")):  # what is left of a table that was never closed
            article.line(inline(_RULE.sub("", line, count=1) if line.startswith("----") else line))


def _add_item(article: Article, line: str, numbers: list[int]) -> None:
    """A list item: its last sign says what it is, the signs before it how deep it stands."""
    signs = _ITEM.match(line)
    assert signs is not None
    marks = signs[1]
    depth = len(marks) - 1
    text = inline(line[signs.end() :])
    if not marks.endswith("#"):
        indentation = "  " * depth if marks[0] in "*#" else ""
        del numbers[depth:]
        article.line(text, "  " * depth + "- " if marks.endswith("*") else indentation)
        return
    del numbers[depth + 1 :]
    numbers += [0] * (depth + 1 - len(numbers))
    if article.line(text, f"{'  ' * depth}{numbers[depth] + 1}. "):
        numbers[depth] += 1


def inline(text: str) -> str:
    """A line without what stands between its words: apostrophes, magic words, named characters."""
    if "''" in text:
        text = without_quotes(text)
    if "__" in text:
        text = _MAGIC_WORD.sub("", text)
    if "-{" in text:
        text = _VARIANTS.sub(_variant, text)
    if "&" in text:
        text = html.unescape(_HARD_SPACES.sub(" ", text)).replace("\n", " ")
        text = Mark.ALL.sub("", text) if "&#" in text else text
    return text


def without_quotes(line: str) -> str:
    """A line without the apostrophes that stand for italic (two), bold (three) or both (five).

    Four are one apostrophe and bold, more than five apostrophes and both. Where neither comes out even, one bold sign
    is an apostrophe and an italic sign, as in L'''Aurore'': it is chosen as MediaWiki's `doQuotes` chooses.
    """
    pieces = _APOSTROPHES.split(line)
    runs = [len(run) for run in _APOSTROPHES.findall(line)]
    bold = sum(run in (3, 4) or run >= 5 for run in runs)
    italic = sum(run == 2 or run >= 5 for run in runs)
    kept = ["'" * (1 if run == 4 else max(run - 5, 0)) for run in runs]
    if bold % 2 and italic % 2:
        candidates = [index for index, run in enumerate(runs) if run in (_BOLD, 4)]
        chosen = _apostrophe(pieces, candidates)
        if chosen is not None:
            kept[chosen] += "'"
    return pieces[0] + "".join(sign + piece for sign, piece in zip(kept, pieces[1:], strict=True))


def _apostrophe(pieces: list[str], candidates: list[int]) -> int | None:
    """Which of these bold signs is an apostrophe: one after a word of one letter, else after a longer one, else after
    a space."""
    ranks: dict[int, int] = {}
    for index in candidates:
        before = pieces[index]
        if before.endswith(" "):
            rank = 2
        elif before[-2:-1] in ("", " "):
            rank = 0 if before else 2
        else:
            rank = 1
        ranks.setdefault(rank, index)
    return ranks[min(ranks)] if ranks else None


def _variant(found: re.Match[str]) -> str:
    """-{zh-hans:软件;zh-hant:軟體}- shows one of its variants: the first is taken."""
    content = found[1].rpartition("|")[2] if "|" in found[1] else found[1]
    first = content.partition(";")[0]
    return first.partition(":")[2] or first
