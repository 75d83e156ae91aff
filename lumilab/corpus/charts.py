"""Plots as SVG, written by hand: nothing is loaded, nothing runs, and the same numbers give the same bytes.

Horizontal places are percentages and vertical ones pixels, so that a plot takes the width it is given, a telephone's or
a page's, and its letters keep their size. (A `viewBox` would scale both.) That leaves rectangles, lines and text, which
is what bars and histograms are made of. Colours come from the page's style by class. Each plot has a title and a
description for readers who hear it; the page puts the numbers in a table beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

LABEL_CHARACTERS = 24  # what stays beside its value on a narrow screen
ROW = 42  # pixels from one bar to the next
BAR = 14  # pixels, a bar's thickness
PLOT_TOP, PLOT_BOTTOM = 22, 196  # pixels, of a histogram
UNDER = 40  # pixels, for an axis's labels
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its length, what stands at its end, and how much of another colour follows it."""

    label: str
    value: float
    shown: str
    lost: float = 0.0


@dataclass(frozen=True)
class Spread:
    """The quantiles of one group, in rising order."""

    label: str
    p05: float
    p25: float
    p50: float
    p75: float
    p95: float


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


def bar_chart(name: str, title: str, description: str, bars: Sequence[Bar], whole: float | None = None) -> str:
    """Horizontal bars, one under the other, each with its label above it.

    Args:
        name: of the plot, unique in the page.
        title, description: for readers who do not see it.
        bars: from top to bottom.
        whole: the value that a bar of full width stands for; that of the longest bar otherwise.
    """
    whole = whole or max((bar.value + bar.lost for bar in bars), default=0) or 1
    parts = []
    for number, bar in enumerate(bars):
        y = number * ROW
        end = 100 * bar.value / whole
        parts += [
            f"<g><title>{safe(bar.label)}: {safe(bar.shown)}</title>",
            _text("0", y + 14, shorten(bar.label), "label"),
            _text("100%", y + 14, bar.shown, "value end"),
            _rectangle(0, y + 20, 100, BAR, "track"),
            _rectangle(0, y + 20, end, BAR, "bar") if bar.value else "",
            _rectangle(end, y + 20, 100 * bar.lost / whole, BAR, "lost") if bar.lost else "",
            "</g>",
        ]
    return _svg(name, title, description, len(bars) * ROW, parts)


def histogram(
    name: str,
    title: str,
    description: str,
    bins: Sequence[tuple[str, float, float, int]],
    axis: Axis,
    mark: tuple[float, str],
    unit: str,
) -> str:
    """Counts over an axis.

    Args:
        name: of the plot, unique in the page.
        title, description: for readers who do not see it.
        bins: (label, lower edge, upper edge, count), rising; at least one count is not 0.
        axis: from the first edge to the last.
        mark: a value to mark by a line, and what stands beside it.
        unit: of the values, under the axis.
    """
    top = max(count for *_, count in bins)
    height = PLOT_BOTTOM - PLOT_TOP
    steps = [(count, PLOT_BOTTOM - height * count / top) for count in nice_steps(top)]
    parts = [_line("grid", 0, 100, y, y) for _, y in steps]
    for label, low, high, count in bins:
        left, right, tall = axis.place(low), axis.place(high), height * count / top
        if count:
            words = safe(f"{label}: {count:,}")
            parts.append(_rectangle(left, PLOT_BOTTOM - tall, right - left, tall, "bar column", words))
    parts += [_text("0", y - 4, f"{count:,}", "tick") for count, y in steps]
    x = axis.place(mark[0])
    parts.append(_line("mark", x, x, PLOT_TOP - 8, PLOT_BOTTOM))
    parts.append(_text(f"{_number(x)}%", PLOT_TOP - 10, mark[1], f"value {'start' if x < 50 else 'end'}"))
    parts += _ticks(axis, PLOT_BOTTOM, unit)
    return _svg(name, title, description, PLOT_BOTTOM + UNDER, parts)


def spread_chart(name: str, title: str, description: str, spreads: Sequence[Spread], unit: str) -> str:
    """For each group a line from the 5th to the 95th percentile, a box from quartile to quartile, a tick at the median.

    Args:
        name: of the plot, unique in the page.
        title, description: for readers who do not see it.
        spreads: from top to bottom, with values of at least 1; at least one.
        unit: of the values, under the axis.
    """
    axis = LogAxis(min(spread.p05 for spread in spreads), max(spread.p95 for spread in spreads) + 1)
    bottom = len(spreads) * ROW
    parts = []
    for number, spread in enumerate(spreads):
        y = number * ROW
        ends = [axis.place(value) for value in (spread.p05, spread.p25, spread.p50, spread.p75, spread.p95)]
        parts += [
            f"<g><title>{safe(spread.label)}: median {spread.p50:,.0f} {safe(unit)}</title>",
            _text("0", y + 14, shorten(spread.label), "label"),
            _text("100%", y + 14, f"median {spread.p50:,.0f}", "value end"),
            _rectangle(ends[0], y + 26, ends[4] - ends[0], 2, "bar"),
            _rectangle(ends[1], y + 20, ends[3] - ends[1], BAR, "bar"),
            _line("mark", ends[2], ends[2], y + 17, y + 37),
            "</g>",
        ]
    return _svg(name, title, description, bottom + UNDER, [*parts, *_ticks(axis, bottom, unit)])


class Axis(Protocol):
    """Where values are, in per cent of a plot's width, and which of them are labelled."""

    def place(self, value: float) -> float:
        """0 to 100."""
        ...

    def ticks(self) -> list[tuple[float, str]]:
        """Round values on it, with their labels."""
        ...


class LogAxis:
    """A logarithmic axis from `low` to `high`, both above zero."""

    def __init__(self, low: float, high: float) -> None:
        self._low = math.log10(low)
        self._span = math.log10(high) - self._low
        self.low, self.high = low, high

    def place(self, value: float) -> float:
        """Where a value is, held to the axis: 0 to 100."""
        return min(max(100 * (math.log10(value) - self._low) / self._span, 0.0), 100.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Powers of ten, and where these are few also twice and five times them."""
        factors = (1,) if self.high >= 100 * self.low else (1, 2, 5)
        decades = range(max(math.floor(self._low), 0), math.ceil(self._low + self._span) + 1)
        values = [factor * 10**decade for decade in decades for factor in factors]
        return [(value, _short(value)) for value in values if self.low <= value <= self.high]


class ShareAxis:
    """An even axis from 0 to 1."""

    def place(self, value: float) -> float:
        """0 to 100."""
        return 100 * value

    def ticks(self) -> list[tuple[float, str]]:
        """Every fifth."""
        return [(fifth / 5, f"{fifth / 5:g}") for fifth in range(6)]


def nice_steps(top: int) -> list[int]:
    """Up to four equal steps to `top`, each 1, 2 or 5 times a power of ten, for the lines of a scale of counts."""
    step = 1
    while top // step > 4:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return list(range(step, top + 1, step))


def _ticks(axis: Axis, y: float, unit: str) -> list[str]:
    """The axis at height y, with its labels and what they count."""
    parts = [_line("axis", 0, 100, y, y)]
    for value, label in axis.ticks():
        x = axis.place(value)
        side = "start" if x < 4 else "end" if x > 96 else "middle"
        parts += [_line("axis", x, x, y, y + 4), _text(f"{_number(x)}%", y + 17, label, f"tick {side}")]
    return [*parts, _text("50%", y + 35, unit, "tick middle")]


def _short(value: int) -> str:
    """1000 as 1k: numbers under an axis have little room."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value // size}{letter}"
    return str(value)


def _svg(name: str, title: str, description: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="100%" height="{_number(height)}" '
        f'aria-labelledby="{safe(name)}-title {safe(name)}-about">'
        f'<title id="{safe(name)}-title">{safe(title)}</title><desc id="{safe(name)}-about">{safe(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _text(x: str, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{_number(y)}">{safe(text)}</text>'


def _line(kind: str, left: float, right: float, top: float, bottom: float) -> str:
    """A line between two places in per cent of the width, and two heights in pixels."""
    across = f'x1="{_number(left)}%" x2="{_number(right)}%"'
    return f'<line class="{kind}" {across} y1="{_number(top)}" y2="{_number(bottom)}"/>'


def _rectangle(x: float, y: float, width: float, height: float, kind: str, words: str = "") -> str:
    """A rectangle at x % of the width; `words` appear when it is pointed at."""
    place = f'x="{_number(x)}%" y="{_number(y)}" width="{_number(width)}%" height="{_number(height)}"'
    return f'<rect class="{kind}" {place}>' + (f"<title>{words}</title>" if words else "") + "</rect>"


def _number(value: float) -> str:
    """With at most two decimals: the same on every machine, and finer than a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
