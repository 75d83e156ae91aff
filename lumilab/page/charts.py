"""Bars, histograms and quantiles as plots; see `lumilab.page.svg` for how they take any width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lumilab.page.axes import Axis, LogAxis, nice_steps, ticks_at
from lumilab.page.svg import line, number, rectangle, safe, shorten, svg, text_at

ROW = 42  # pixels from one bar to the next
BAR = 14  # pixels, a bar's thickness
PLOT_TOP, PLOT_BOTTOM = 22, 196  # pixels, of a histogram
UNDER = 40  # pixels, for an axis's labels


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
    for row, bar in enumerate(bars):
        y = row * ROW
        end = 100 * bar.value / whole
        parts += [
            f"<g><title>{safe(bar.label)}: {safe(bar.shown)}</title>",
            text_at("0", y + 14, shorten(bar.label), "label"),
            text_at("100%", y + 14, bar.shown, "value end"),
            rectangle(0, y + 20, 100, BAR, "track"),
            rectangle(0, y + 20, end, BAR, "bar") if bar.value else "",
            rectangle(end, y + 20, 100 * bar.lost / whole, BAR, "lost") if bar.lost else "",
            "</g>",
        ]
    return svg(name, title, description, len(bars) * ROW, parts)


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
    parts = [line("grid", 0, 100, y, y) for _, y in steps]
    for label, low, high, count in bins:
        left, right, tall = axis.place(low), axis.place(high), height * count / top
        if count:
            words = safe(f"{label}: {count:,}")
            parts.append(rectangle(left, PLOT_BOTTOM - tall, right - left, tall, "bar column", words))
    parts += [text_at("0", y - 4, f"{count:,}", "tick") for count, y in steps]
    x = axis.place(mark[0])
    parts.append(line("mark", x, x, PLOT_TOP - 8, PLOT_BOTTOM))
    parts.append(text_at(f"{number(x)}%", PLOT_TOP - 10, mark[1], f"value {'start' if x < 50 else 'end'}"))
    parts += ticks_at(axis, PLOT_BOTTOM, unit)
    return svg(name, title, description, PLOT_BOTTOM + UNDER, parts)


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
    for row, spread in enumerate(spreads):
        y = row * ROW
        ends = [axis.place(value) for value in (spread.p05, spread.p25, spread.p50, spread.p75, spread.p95)]
        parts += [
            f"<g><title>{safe(spread.label)}: median {spread.p50:,.0f} {safe(unit)}</title>",
            text_at("0", y + 14, shorten(spread.label), "label"),
            text_at("100%", y + 14, f"median {spread.p50:,.0f}", "value end"),
            rectangle(ends[0], y + 26, ends[4] - ends[0], 2, "bar"),
            rectangle(ends[1], y + 20, ends[3] - ends[1], BAR, "bar"),
            line("mark", ends[2], ends[2], y + 17, y + 37),
            "</g>",
        ]
    return svg(name, title, description, bottom + UNDER, [*parts, *ticks_at(axis, bottom, unit)])
