from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wikipedia_pages import FORBIDDEN

from lumilab.corpus.wikipedia.parsoid import html_to_text
from lumilab.corpus.wikipedia.structured import sections_to_text
from lumilab.corpus.wikipedia.wikitext import wikitext_to_text


def test_html() -> None:
    html = """<!DOCTYPE html><html><head><title>x</title><style>y</style></head><body><section>
    <div class="shortdescription">no</div><div role="note" class="hatnote">no</div>
    <table class="infobox"><tr><td>no</td></tr></table>
    <p><b>Rest</b> (<span class="noexcerpt">/rɛst/</span>) is<sup class="reference" typeof="mw:Extension/ref">1</sup>
    H<sub>2</sub>O at&nbsp;5<span typeof="mw:Entity">&nbsp;</span>km.<span style="display:none">no</span></p>
    <figure typeof="mw:File/Thumb"><img src="a"/><figcaption>no</figcaption></figure></section>
    <section><h2 id="a">Kinds <i>of</i> rest</h2><ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>
    <ol><li>d<dl><dd>e</dd></dl></li><li>f</li></ol><p>Then<br/>next.</p>
    <p><i typeof="mw:Extension/math" data-mw='{"body":{"extsrc":"\\\\frac{{a}}{b}"}}'><img alt="z"/></i> it.</p>
    <pre>if a:
      b</pre></section><section><h2>Empty</h2></section>
    <section><h2>External links</h2><ul><li>no</li></ul></section>
    <link rel="mw:PageProp/Category" href="./Category:No"/></body></html>"""
    assert html_to_text(html, "Rest") == (
        "Rest\n\nRest is H₂O at\xa05 km.\n\nKinds of rest\n\n- a\n  - b\n- c\n\n1. d\n  e\n2. f\n\nThen\nnext.\n\n"
        "$\\frac{ {a}}{b}$ it.\n\nif a:\n      b"
    )


HTML_PIECES = st.sampled_from(
    re.findall(
        r"\S+",
        """<p> </p> <ul> </ul> <ol> <li> </li> <h2> </h2> <table> </table> <sub> </sub> <div> </div> <b> </b> <br> <pre>
        </pre> <sup> </sup> &nbsp; &#91; &lt;ref&gt; {{ }} [[ ]] {| Category: word é {""",
    )
)


@given(st.lists(HTML_PIECES, max_size=40).map("".join))
def test_no_markup_is_left_of_any_html(html: str) -> None:
    text = html_to_text(html, "T")
    assert not [sequence for sequence in FORBIDDEN if sequence in text]
    text.encode()


@pytest.mark.parametrize("html", ["", " ", "<!-- -->", "<html></html>", "\0", "<table><tr><td>x"])
def test_html_without_text_is_no_article(html: str) -> None:
    assert html_to_text(html, "T").removeprefix("T").strip() in ("", "�")


def test_html_nested_beyond_measure_ends() -> None:
    assert html_to_text("<div>" * 50_000 + "x", "T") in ("T\n\nx", "")
    assert html_to_text("a" + "<ul><li>" * 50_000 + "x", "T").startswith("T\n\na")


def test_sections_nested_beyond_measure_end() -> None:
    part: Any = {"type": "paragraph", "value": "deep"}
    for _ in range(900):
        part = {"type": "section", "name": "x", "has_parts": [part]}
    assert sections_to_text([{"type": "paragraph", "value": "a"}, part], "T") == "T\n\na"
    assert sections_to_text([None, 1, "x", {}, {"type": "list", "has_parts": 5}], "T") == ""


def real_rows(shared_data: Path) -> list[dict[str, Any]]:
    folder = shared_data / "wikimedia-enterprise"
    return [
        json.loads(line) for path in sorted(folder.glob("articles-*.ndjson")) for line in path.open(encoding="utf-8")
    ]


def test_wikitext_and_html_of_a_real_article_agree(shared_data: Path) -> None:
    """Words in common, twice, over the words of both; the rest is what only expanded templates show. (Not for the
    Wiktionary article, which is templates alone.)"""
    shares = {}
    for row in real_rows(shared_data):
        if "article_body" in row and "wiktionary" not in row["url"]:
            texts = (
                html_to_text(row["article_body"]["html"], row["name"]),
                wikitext_to_text(row["article_body"]["wikitext"], row["name"]),
            )
            html, wikitext = (Counter(re.findall(r"\w+", text)) for text in texts)
            shares[row["url"]] = 2 * (html & wikitext).total() / (html.total() + wikitext.total())
            headings = [line for line in texts[0].split("\n") if line and line in texts[1].split("\n")]
            assert len(headings) > 3
    assert len(shares) == 3
    assert min(shares.values()) > 0.97


def test_sections_of_a_real_article_are_whole(shared_data: Path) -> None:
    """Every paragraph of the structured article, found by another way, is in the text, but for those of appendices."""
    (row,) = [row for row in real_rows(shared_data) if row["url"] == "https://en.wikipedia.org/wiki/Montreal"]
    values = re.findall(r'"type": "paragraph", "value": ("(?:[^"\\]|\\.)*")', json.dumps(row["article_sections"]))
    text = sections_to_text(row["article_sections"], "Montreal").replace(" ", "")
    missing = [value for value in map(json.loads, values) if value.replace(" ", "") not in text]
    assert len(values) == 119
    assert not missing
