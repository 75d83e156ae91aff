"""Plots as SVG, written by hand: nothing is loaded, nothing runs, and the same numbers give the same bytes.

Horizontal places are percentages and vertical ones pixels, so that a plot takes the width it is given, a telephone's or
a page's, and its letters keep their size. (A `viewBox` would scale both.) That leaves rectangles, lines and text, which
is what bars and histograms are made of; a curve is a drawing of its own within one. Colours come from the page's style
by class. Each plot has a title and a description for readers who hear it; the page has the numbers in a table beside
it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

LABEL_CHARACTERS = 24  # what stays beside its value on a narrow screen
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def safe(text: str) -> str:
    """The text as it can stand in HTML and XML, also between quotes: no character of it is markup."""
    return escape(_NOT_XML.sub("\ufffd", text))


def shorten(text: str, characters: int = LABEL_CHARACTERS) -> str:
    """The text on one line, cut in the middle if it is long: both ends of a name tell something."""
    text = " ".join(text.split())
    if len(text) <= characters:
        return text
    tail = characters // 3
    return f"{text[: characters - tail - 1]}…{text[len(text) - tail :]}"


def svg(name: str, title: str, description: str, height: float, parts: Sequence[str], kind: str = "") -> str:
    """A plot as wide as its place and so many pixels high, with its title and what it shows for who hears it.

    Args:
        name: of the plot, unique in the page.
        title, description: for readers who do not see it.
        height: pixels.
        parts: what is drawn, the lowest first.
        kind: a class of the page's style.
    """
    known = f'class="{kind}" ' if kind else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {known}role="img" width="100%" height="{number(height)}" '
        f'aria-labelledby="{safe(name)}-title {safe(name)}-about">'
        f'<title id="{safe(name)}-title">{safe(title)}</title><desc id="{safe(name)}-about">{safe(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def text_at(x: str, y: float, text: str, kind: str) -> str:
    """Text at a place; its `kind`, classes of the page's style, says colour and whether it starts or ends at x."""
    return f'<text class="{kind}" x="{x}" y="{number(y)}">{safe(text)}</text>'


def line(kind: str, left: float, right: float, top: float, bottom: float) -> str:
    """A line between two places in per cent of the width, and two heights in pixels."""
    across = f'x1="{number(left)}%" x2="{number(right)}%"'
    return f'<line class="{kind}" {across} y1="{number(top)}" y2="{number(bottom)}"/>'


def rectangle(x: float, y: float, width: float, height: float, kind: str, words: str = "") -> str:
    """A rectangle at x % of the width; `words` appear when it is pointed at."""
    place = f'x="{number(x)}%" y="{number(y)}" width="{number(width)}%" height="{number(height)}"'
    return f'<rect class="{kind}" {place}>' + (f"<title>{words}</title>" if words else "") + "</rect>"


def number(value: float) -> str:
    """With at most two decimals: the same on every machine, and finer than a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
