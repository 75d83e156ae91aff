"""The pieces of the corpus card's page, as HTML: sections, figures, folded parts, samples and tables.

Titles, names and cells are escaped here; what is called HTML in a signature's words is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lumilab.corpus.charts import safe
from lumilab.corpus.samples import EXCERPT_CHARACTERS


def section(title: str, *blocks: str) -> str:
    """A part of the page under its title; empty blocks are left out."""
    return f"<section>\n<h2>{safe(title)}</h2>\n" + "\n".join(block for block in blocks if block) + "\n</section>\n"


def figure(chart: str, caption: str) -> str:
    """A plot (SVG) under its caption (HTML)."""
    return f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"


def folded(title: str, content: str) -> str:
    """What is shown when its title is clicked."""
    return f"<details><summary>{safe(title)}</summary>{content}</details>"


def shown_sample(name: str, text: str, fate: str = "") -> str:
    """One document; its text is HTML already."""
    label = f"{safe(name)}{f' ({safe(fate)})' if fate else ''}"
    return f'<div class="sample"><div class="name">{label}</div><p class="text" dir="auto">{text}</p></div>'


def excerpt(text: str) -> str:
    """The beginning of a document as HTML; dots where it goes on."""
    return safe(text) + ("…" if len(text) >= EXCERPT_CHARACTERS else "")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that scrolls in itself where it is too wide; columns whose heading begins with # are numbers."""
    kinds = [' class="number"' if name.startswith("#") else "" for name in header]
    heads = "".join(
        f'<th scope="col"{kind}>{safe(name.removeprefix("#"))}</th>' for name, kind in zip(header, kinds, strict=True)
    )
    lines = "".join(
        "<tr>" + "".join(f"<td{kind}>{safe(cell)}</td>" for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    label = safe(", ".join(name.removeprefix("#") for name in header))
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table: {label}">'
        f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
