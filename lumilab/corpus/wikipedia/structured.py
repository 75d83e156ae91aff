"""Structured Contents of Wikimedia Enterprise: an article already taken apart into sections, paragraphs and lists.

`sections` (`article_sections` in the first edition) is a list of parts, each with a `type`, and a `name`, a `value` or
parts of its own in `has_parts`. The parquet edition holds the list as a JSON string. The values are plain text, with
the marks of citations where `citations` names them. Infoboxes and tables are kept elsewhere in the record.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from lumilab.corpus.wikipedia.article import Article, Mark

_CITATION = re.compile(r"\[(?:\d+|[a-z]{1,2}|(?:note|nb|n) \d+)\]")
_LEAD = "abstract"
_LISTS = {"list": False, "unordered_list": False, "ordered_list": True}  # numbered or not
_LEFT_OUT = frozenset(["table", "image", "infobox", "field", "reference", "references", "gallery", "thumbnail"])
_MAX_DEPTH = 64
_REDIRECT = "#redirect"


def sections_of(record: dict[str, Any]) -> list[Any] | None:
    """The parts of a record; None if it has none that can be read."""
    sections = record.get("sections", record.get("article_sections"))
    if isinstance(sections, str):
        try:
            sections = orjson.loads(sections)
        except orjson.JSONDecodeError:
            return None
    return sections if isinstance(sections, list) else None


def is_redirect(sections: list[Any]) -> bool:
    """Whether the first paragraph only leads to another page."""
    part: Any = sections
    for _ in range(_MAX_DEPTH):
        if isinstance(part, list):
            part = part[0] if part else None
        elif isinstance(part, dict):
            if isinstance(value := part.get("value"), str):
                return value.lstrip().lower().startswith(_REDIRECT)
            part = part.get("has_parts")
    return False


def sections_to_text(sections: list[Any], title: str) -> str:
    """The article of such a list below its title; empty where nothing readable is in it."""
    article = Article(title)
    _add_parts(article, sections, 0, [])
    return article.text()


def _add_parts(article: Article, parts: Any, level: int, numbers: list[int | None]) -> None:
    """Adds parts below a heading of this level; `numbers` has the last number of each list they stand in, or None."""
    if not isinstance(parts, list) or level + len(numbers) > _MAX_DEPTH:
        return
    for part in parts:
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        children = part.get("has_parts")
        if kind in _LEFT_OUT:
            continue
        if kind == "section":
            name = part.get("name")
            is_lead = level == 0 and isinstance(name, str) and name.lower() == _LEAD
            article.gap()
            if isinstance(name, str) and not is_lead:
                article.heading(level + 2, Mark.ALL.sub("", name))
            _add_parts(article, children, level + 1, [])
        elif kind in _LISTS:
            _add_parts(article, children, level, [*numbers, 0 if _LISTS[kind] else None])
            if not numbers:
                article.gap()
        else:
            _add_value(article, part, numbers)
            _add_parts(article, children, level, numbers)


def _add_value(article: Article, part: dict[str, Any], numbers: list[int | None]) -> None:
    value = part.get("value")
    if not isinstance(value, str):
        return
    value = Mark.ALL.sub("", value)
    if part.get("citations"):
        value = _CITATION.sub("", value)
    prefix = ""
    if numbers and part.get("type") == "list_item":
        number = numbers[-1]
        if number is not None:
            numbers[-1] = number + 1
        prefix = "  " * (len(numbers) - 1) + ("- " if number is None else f"{number + 1}. ")
    if not numbers:
        article.gap()
    for line in value.split("\n"):
        if article.line(line, prefix):
            prefix = ""
