"""The pieces of a page, as HTML: headings, sections, figures, folded parts, samples, tiles and tables.

Titles, names and cells are escaped here; what is called HTML in a signature's words is taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lumilab.page.svg import safe


def section(title: str, *blocks: str, level: int = 2) -> str:
    """A part of the page under its title, a heading of that level; empty blocks are left out."""
    return f"<section>\n{heading(title, level)}\n" + "\n".join(block for block in blocks if block) + "\n</section>\n"


def heading(title: str, level: int) -> str:
    """A heading, 1 for the page's own."""
    return f"<h{level}>{safe(title)}</h{level}>"


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    """The few figures that matter most, each under its name, large."""
    shown = "".join(f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>" for name, value in facts)
    return f'<dl class="tiles">{shown}</dl>'


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
