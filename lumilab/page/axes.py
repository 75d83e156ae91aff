"""Axes of a plot: where a value is, in per cent of the plot's width, and which round values are labelled."""

from __future__ import annotations

import math
from typing import Protocol

from lumilab.page.svg import line, number, text_at


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
        """Where a value is, held to the axis: 0 to 100. An interval's end may be below zero."""
        held = min(max(value, self.low), self.high)
        return 100 * (math.log10(held) - self._low) / self._span

    def ticks(self) -> list[tuple[float, str]]:
        """Powers of ten, and where these are few also twice and five times them."""
        factors = (1,) if self.high >= 100 * self.low else (1, 2, 5)
        decades = range(max(math.floor(self._low), 0), math.ceil(self._low + self._span) + 1)
        values = [factor * 10**decade for decade in decades for factor in factors]
        return [(value, _short(value)) for value in values if self.low <= value <= self.high]


class LinearAxis:
    """An even axis.

    Args:
        low, high: the values that have to be on it.
        tight: whether it ends there; else at the next round values, so that nothing is drawn on its edge.
        whole: whether only whole numbers are labelled, as for counts.
    """

    def __init__(self, low: float, high: float, *, tight: bool = True, whole: bool = False) -> None:
        if high <= low:
            spare = abs(low) / 10 or 1.0
            low, high = low - (0 if tight else spare), high + spare
        self._step = _round_step(max((high - low) / 4, 1.0 if whole else 0.0))
        if not tight:
            low, high = math.floor(low / self._step) * self._step, math.ceil(high / self._step) * self._step
        self.low, self.high = low, high

    def place(self, value: float) -> float:
        """Where a value is, held to the axis: 0 to 100."""
        return min(max(100 * (value - self.low) / (self.high - self.low), 0.0), 100.0)

    def ticks(self) -> list[tuple[float, str]]:
        """The multiples of a round step, 2 to 7 of them."""
        first, last = math.ceil(self.low / self._step - 1e-9), math.floor(self.high / self._step + 1e-9)
        values = [float(f"{count * self._step:.12g}") for count in range(first, last + 1)]
        return [(value, _rounded(value)) for value in values]


class ShareAxis:
    """An even axis from 0 to 1."""

    def place(self, value: float) -> float:
        """Where a value is, held to the axis: 0 to 100."""
        return min(max(100 * value, 0.0), 100.0)

    def ticks(self) -> list[tuple[float, str]]:
        """Every fifth."""
        return [(fifth / 5, f"{fifth / 5:g}") for fifth in range(6)]


def nice_steps(top: int) -> list[int]:
    """Up to four equal steps to `top`, each 1, 2 or 5 times a power of ten, for the lines of a scale of counts."""
    step = 1
    while top // step > 4:
        step = step * 5 // 2 if str(step).startswith("2") else step * 2
    return list(range(step, top + 1, step))


def _round_step(least: float) -> float:
    """The next number from `least` on that is 1, 2 or 5 times a power of ten."""
    power: float = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _rounded(value: float) -> str:
    """A round value in few characters: thousands as 1k, 2.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def ticks_at(axis: Axis, y: float, unit: str) -> list[str]:
    """The axis at height y, with its labels and what they count."""
    parts = [line("axis", 0, 100, y, y)]
    for value, label in axis.ticks():
        x = axis.place(value)
        side = "start" if x < 4 else "end" if x > 96 else "middle"
        parts += [line("axis", x, x, y, y + 4), text_at(f"{number(x)}%", y + 17, label, f"tick {side}")]
    return [*parts, text_at("50%", y + 35, unit, "tick middle")]


def _short(value: int) -> str:
    """1000 as 1k: numbers under an axis have little room."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value // size}{letter}"
    return str(value)
