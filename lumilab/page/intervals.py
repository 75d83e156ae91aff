"""Measured values with their intervals, and what they are to be compared with.

An interval is 1.96 standard errors to either side: 95 of 100 such intervals hold the true value, where the error is
about normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lumilab.page.axes import Axis, ticks_at
from lumilab.page.curves import COLOURS
from lumilab.page.svg import line, number, safe, shorten, svg, text_at

HEAD = 24  # pixels, for the name of a group
ROW = 18  # pixels from one value to the next
GAP = 12  # pixels between groups
UNDER = 40  # pixels, for an axis's labels
HALF_WIDTH = 1.96  # standard errors


@dataclass(frozen=True)
class Measured:
    """One value: whose it is, its standard error where it is known, how it is said, and its colour (0 to 5)."""

    label: str
    value: float
    error: float | None
    shown: str
    colour: int = 0


@dataclass(frozen=True)
class Group:
    """Values of one measure, and the baseline that they should be above."""

    label: str
    values: Sequence[Measured]
    baseline: float | None = None


def interval_chart(name: str, title: str, description: str, groups: Sequence[Group], axis: Axis, unit: str) -> str:
    """A line for each value: a dot, its interval, and a tick at the baseline of its group.

    Args:
        name: of the plot, unique in the page.
        title, description: for readers who do not see it.
        groups: from top to bottom.
        axis: holds all values.
        unit: of the values, under the axis.
    """
    parts: list[str] = []
    y = 0.0
    for group in groups:
        top, y = y + HEAD - 4, y + HEAD
        parts.append(text_at("0", y - 8, shorten(group.label, 34), "label"))
        for each in group.values:
            parts += _value(each, y + ROW / 2, axis)
            y += ROW
        if group.baseline is not None:
            x = axis.place(group.baseline)
            parts.append(line("baseline", x, x, top, y))
        y += GAP
    return svg(name, title, description, y + UNDER, [*parts, *ticks_at(axis, y, unit)], kind="intervals")


def _value(each: Measured, y: float, axis: Axis) -> list[str]:
    kind = f"s{each.colour % COLOURS}"
    x = axis.place(each.value)
    parts = [line("grid", 0, 100, y, y)]
    if each.error is not None:
        low, high = (axis.place(each.value + side * HALF_WIDTH * each.error) for side in (-1, 1))
        parts.append(line(f"error {kind}", low, high, y, y))
    words = safe(f"{each.label}: {each.shown}")
    dot = f'<circle class="dot {kind}" cx="{number(x)}%" cy="{number(y)}" r="4"><title>{words}</title></circle>'
    return [*parts, dot, text_at("100%", y - 4, each.shown, "value end small")]
