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

LABEL_CHARACTERS = 30  # what stays beside its value on a narrow screen
ROW = 42  # pixels from one bar to the next
BAR = 14  # pixels, a bar's thickness
PLOT_TOP, PLOT_BOTTOM = 22, 196  # pixels, of a histogram
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
    bins: Sequence[tuple[float, float, int]],
    mark: tuple[float, str],
    unit: str,
) -> str:
    """Counts over a logarithmic axis.

    Args:
        name: of the plot, unique in the page.
        title, description: for readers who do not see it.
        bins: (lower edge, upper edge, count), rising, edges above zero; at least one.
        mark: a value to mark by a line, and what stands beside it.
        unit: of the values, under the axis.
    """
    axis = LogAxis(bins[0][0], bins[-1][1])
    top = max(count for _, _, count in bins)
    height = PLOT_BOTTOM - PLOT_TOP
    parts = []
    for count in nice_steps(top):
        y = round(PLOT_BOTTOM - height * count / top, 2)
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    for low, high, count in bins:
        left, right = axis.place(low), axis.place(high)
        tall = round(height * count / top, 2)
        if count:
            words = (
                f"{low:,.0f} to {high - 1:,.0f} {unit}: {count:,}" if high - low > 1 else f"{low:,} {unit}: {count:,}"
            )
            bar = _rectangle(left, PLOT_BOTTOM - tall, right - left, tall, "bar column", safe(words))
            parts.append(bar)
    for count in nice_steps(top):
        parts.append(_text("0", round(PLOT_BOTTOM - height * count / top, 2) - 4, f"{count:,}", "tick"))
    x = axis.place(mark[0])
    parts.append(f'<line class="mark" x1="{_number(x)}%" x2="{_number(x)}%" y1="{PLOT_TOP - 8}" y2="{PLOT_BOTTOM}"/>')
    parts.append(_text(f"{_number(x)}%", PLOT_TOP - 10, mark[1], "value " + _anchor(x)))
    parts += _ticks(axis, PLOT_BOTTOM, unit)
    return _svg(name, title, description, PLOT_BOTTOM + 40, parts)


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
    parts = [f'<line class="grid" x1="0" x2="100%" y1="{bottom}" y2="{bottom}"/>']
    for number, spread in enumerate(spreads):
        y = number * ROW
        ends = [axis.place(value) for value in (spread.p05, spread.p25, spread.p50, spread.p75, spread.p95)]
        parts += [
            f"<g><title>{safe(spread.label)}: median {spread.p50:,.0f} {safe(unit)}</title>",
            _text("0", y + 14, shorten(spread.label), "label"),
            _text("100%", y + 14, f"median {spread.p50:,.0f}", "value end"),
            _rectangle(ends[0], y + 26, ends[4] - ends[0], 2, "bar"),
            _rectangle(ends[1], y + 20, ends[3] - ends[1], BAR, "bar"),
            f'<line class="mark" x1="{_number(ends[2])}%" x2="{_number(ends[2])}%" y1="{y + 17}" y2="{y + 37}"/>',
            "</g>",
        ]
    return _svg(name, title, description, bottom + 40, [*parts, *_ticks(axis, bottom, unit)])


class LogAxis:
    """Places on a logarithmic axis from `low` to `high`, in per cent of its width."""

    def __init__(self, low: float, high: float) -> None:
        self._low = math.log10(low)
        self._span = math.log10(high) - self._low
        self.low, self.high = low, high

    def place(self, value: float) -> float:
        """Where a value is, held to the axis: 0 to 100."""
        return min(max(100 * (math.log10(value) - self._low) / self._span, 0.0), 100.0)

    def ticks(self) -> list[int]:
        """The round numbers on it: powers of ten, and where these are few also twice and five times them."""
        factors = (1,) if self.high >= 1000 * self.low else (1, 2, 5)
        decades = range(math.floor(self._low), math.ceil(self._low + self._span) + 1)
        values = [factor * 10**decade for decade in decades if decade >= 0 for factor in factors]
        return [value for value in values if self.low <= value <= self.high]


def nice_steps(top: int) -> list[int]:
    """Two to five equal steps up to `top` of 1, 2 or 5 times a power of ten, for the lines of a scale; at least 1."""
    step = 1
    while top // step > 4:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return list(range(step, top + 1, step))


def _ticks(axis: LogAxis, y: float, unit: str) -> list[str]:
    parts = []
    for value in axis.ticks():
        x = axis.place(value)
        parts.append(f'<line class="axis" x1="{_number(x)}%" x2="{_number(x)}%" y1="{y}" y2="{y + 4}"/>')
        side = "start" if x < 4 else "end" if x > 96 else "middle"
        parts.append(_text(f"{_number(x)}%", y + 17, _short(value), f"tick {side}"))
    parts.append(f'<line class="axis" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    return [*parts, _text("50%", y + 35, unit, "tick middle")]


def _short(value: int) -> str:
    """1000 as 1k: numbers under an axis have little room."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value // size}{letter}"
    return str(value)


def _anchor(x: float) -> str:
    return "start" if x < 50 else "end"


def _svg(name: str, title: str, description: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="100%" height="{_number(height)}" '
        f'aria-labelledby="{safe(name)}-title {safe(name)}-about">'
        f'<title id="{safe(name)}-title">{safe(title)}</title><desc id="{safe(name)}-about">{safe(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _text(x: str, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x}" y="{_number(y)}">{safe(text)}</text>'


def _rectangle(x: float, y: float, width: float, height: float, kind: str, words: str = "") -> str:
    """A rectangle at x % of the width; `words` appear when it is pointed at."""
    place = f'x="{_number(x)}%" y="{_number(y)}" width="{_number(width)}%" height="{_number(height)}"'
    return f'<rect class="{kind}" {place}>' + (f"<title>{words}</title>" if words else "") + "</rect>"


def _number(value: float) -> str:
    """With at most two decimals: the same on every machine, and finer than a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
