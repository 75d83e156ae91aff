from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lumilab.corpus.web.extraction import extract_text

SENTENCE = "The committee met on Tuesday to discuss the plans for the new bridge across the river. "
LINKS = "".join(f"<li><a href='/{n}'>A headline about something else, number {n}</a></li>" for n in range(8))
PAGE = f"""<!DOCTYPE html><html><head><title>News</title><script>var x = "a script";</script></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/s">Sports</a></li><li><a href="/w">Weather</a></li></ul></nav>
<article><h1>A bridge for the town</h1><p>{SENTENCE * 3}</p><p>{{}}</p>
<p>{SENTENCE * 2} See <a href="/x">the plans</a>.</p>
<div class="more"><ul>{LINKS}</ul></div><p>Follow us on Twitter and Facebook.</p></article>
<footer>Copyright 2020</footer></body></html>"""


def test_the_article_stays_and_what_is_around_it_goes() -> None:
    text = extract_text(PAGE.format("Größe: 5 € — “so”.").encode())
    assert text is not None
    assert text.startswith("A bridge for the town\nThe committee met")
    assert "Größe: 5 € — “so”." in text.split("\n")
    assert text.endswith("See the plans.")
    for boilerplate in ("a script", "Sports", "headline", "Follow us", "Copyright"):
        assert boilerplate not in text


def test_a_closing_line_stays_where_text_follows_it() -> None:
    text = extract_text(PAGE.format("Read more about the bridge here.").encode())
    assert text is not None
    assert "Read more about the bridge here." in text


def test_the_charset_of_the_header_is_used() -> None:
    text = extract_text(PAGE.format("Größe").encode("latin-1"), "http://example.org", "iso-8859-1")
    assert text is not None
    assert "Größe" in text


BAD_PAGES = [b"", b"\0", b"<p>x", b"\xff\xfe\xfd", b"%PDF-1.4 \x80\x81" * 50, b'{"json": 1}', b"<a " * 5000]
BAD_PAGES += [b"<!--" * 5000, b"<?xml version='1.0' encoding='utf-8'?>", b"<div>" * 3000, b"<html>" + LINKS.encode()]


@pytest.mark.parametrize("page", BAD_PAGES)
def test_pages_without_text_have_none(page: bytes) -> None:
    assert extract_text(page) is None


PIECES = ["<p>", "</p>", "<div>", "<table><tr><td>", "<a href=x>", "</a>", "<ul><li>", "<![CDATA[", "<svg>", "<br/>"]
PIECES += ["&#xD800;", "&#0;", "\0", "\ud7ff", "]]>", "\x1b", SENTENCE]


@settings(max_examples=50)
@given(st.lists(st.sampled_from(PIECES)))
def test_no_page_is_too_broken(parts: list[str]) -> None:
    text = extract_text(("<html><body><p>" + SENTENCE * 4 + "".join(parts)).encode())
    assert text is None or text.encode()
    assert text is None or text.strip() == text != ""


def test_real_pages_give_the_text_that_people_marked(shared_data: Path) -> None:
    """A coarse check of what `bench/extraction.py` measures: most words of each article, on every sixth page."""
    folder = shared_data / "web-pages"
    gold = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    shares = []
    for key in sorted(gold)[::6]:
        words = set(gold[key]["articleBody"].split())
        text = extract_text(gzip.decompress((folder / f"html/{key}.html.gz").read_bytes()), gold[key]["url"])
        assert text is not None
        shares.append(len(words & set(text.split())) / len(words | set(text.split())))
    assert sum(shares) / len(shares) > 0.9
