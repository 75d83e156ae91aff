"""Real wikitext for the tests of Wikipedia's readers, read by means that share nothing with them."""

from __future__ import annotations

import bz2
import gzip
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

FORBIDDEN = ("{{", "[[", "{|", "<ref", "Category:")
DUMP = "wiki-dump/enwiki-pages-articles-shortened.xml.bz2"
TABLES = "wiki-dump/enwiki-table-markup.xml.bz2"


def raw_pages(path: Path) -> list[str]:
    """The XML of each page of a dump, by a pattern over the whole file."""
    return re.findall(r"<page>.*?</page>", bz2.decompress(path.read_bytes()).decode(), re.DOTALL)


def real_pages(shared_data: Path) -> Iterator[tuple[str, str]]:
    """Title and wikitext of every page of the dumps and of the single pages."""
    for name in (DUMP, TABLES):
        for page in raw_pages(shared_data / name):
            title, text = (
                re.search(r"<title>(.*?)</title>", page),
                re.search(r"<text[^>]*>(.*?)</text>", page, re.DOTALL),
            )
            assert title
            yield html.unescape(title[1]), html.unescape(text[1]) if text else ""
    with gzip.open(shared_data / "wiki-dump/wikitext-pages.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            page = json.loads(line)
            yield page["title"], page["wikitext"]
