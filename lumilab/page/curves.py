"""Curves: values over steps, with dots where they are few and bars where their errors are known.

A long curve is thinned before it is drawn: of each column of the picture its first, last, lowest and highest point
stay, so the picture is that of all points and no spike is lost (M4: Jugel et al. 2014, "M4: A Visualization-Oriented
Time Series Data Aggregation", section 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from lumilab.page.axes import LinearAxis, ticks_at
from lumilab.page.svg import line, number, safe, svg, text_at

Point = tuple[float, float]

TOP, BOTTOM = 30, 200  # pixels: of the plot within the drawing
UNDER = 40  # pixels, for the labels of steps
COLUMNS = 240  # of the picture, for thinning: finer than the lines are wide
DOTTED = 40  # points up to which each gets a dot
COLOURS = 6  # classes s0 to s5 of the page's style
WIDTH = 1000  # of the stretched drawing that holds the lines


@dataclass(frozen=True)
class Series:
    """One curve.

    Attributes:
        label: its name.
        points: (x, y), x rising.
        errors: the standard error of each y, or none at all.
        colour: 0 to 5; by its place among the curves if None.
        faint: whether it stands behind another curve that tells more.
    """

    label: str
    points: Sequence[Point]
    errors: Sequence[float] = ()
    colour: int | None = None
    faint: bool = False


def curve_chart(
    name: str,
    title: str,
    description: str,
    series: Sequence[Series],
    *,
    across: str,
    upwards: str,
    shown: Callable[[float], str] = "{:g}".format,
    include: Sequence[float] = (),
    over: Sequence[float] = (),
) -> str:
    """Curves over one pair of axes.

    Args:
        name: of the plot, unique in the page.
        title, description: for readers who do not see it.
        series: the curves, the lowest first; those without points are left out. At least one has a point.
        across, upwards: what the axes count, with the unit.
        shown: the words for a value of the upward axis.
        include: values that the upward axis reaches to, such as 0.
        over: values that the other axis reaches to, such as the first and the last step.
    """
    series = [each for each in series if each.points]
    xs = [*over, *(x for each in series for x, _ in each.points)]
    ys = [*include, *(y for each in series for y in _reached(each))]
    x_axis, y_axis = LinearAxis(min(xs), max(xs), whole=True), LinearAxis(min(ys), max(ys), tight=False)
    parts = [text_at("-8", 12, upwards, "tick unit")]
    for value, _ in y_axis.ticks():
        y = _height(y_axis, value)
        parts += [line("grid", 0, 100, y, y), text_at("-8", y + 4, shown(value), "tick end")]
    for index, each in enumerate(series):
        kind = f"s{(index if each.colour is None else each.colour) % COLOURS}{' faint' if each.faint else ''}"
        parts.append(_lines(each, kind, x_axis, y_axis))
        parts += _dots(each, kind, x_axis, y_axis)
    return svg(name, title, description, BOTTOM + UNDER, [*parts, *ticks_at(x_axis, BOTTOM, across)], kind="curves")


def legend(series: Sequence[Series]) -> str:
    """The names of the curves with their colours, as HTML; nothing where there is one curve."""
    drawn = [each for each in series if each.points]
    if len(drawn) < 2:
        return ""
    keys = []
    for index, each in enumerate(drawn):
        kind = f"s{(index if each.colour is None else each.colour) % COLOURS}{' faint' if each.faint else ''}"
        keys.append(f'<span class="legend"><span class="stroke {kind}"></span>{safe(each.label)}</span>')
    return " ".join(keys)


def thinned(points: Sequence[Point], columns: int = COLUMNS) -> list[Point]:
    """The points that make the picture: of each of `columns` equal parts of x the first, last, lowest and highest.

    Args:
        points: (x, y), x rising.
        columns: of the picture.

    Returns:
        At most 4 for each column, in their order; all of them where that is no fewer.
    """
    if len(points) <= 4 * columns:
        return list(points)
    left, span = points[0][0], points[-1][0] - points[0][0] or 1
    kept = []
    numbered = enumerate(points)
    for _, group in groupby(numbered, key=lambda entry: min(int(columns * (entry[1][0] - left) / span), columns - 1)):
        column = list(group)
        lowest = min(column, key=lambda entry: entry[1][1])
        highest = max(column, key=lambda entry: entry[1][1])
        kept += sorted({column[0], lowest, highest, column[-1]})
    return [point for _, point in kept]


def _reached(series: Series) -> Iterator[float]:
    """Every y that is drawn, the ends of the error bars too."""
    for index, (_, y) in enumerate(series.points):
        error = series.errors[index] if series.errors else 0.0
        yield from (y - error, y + error)


def _height(axis: LinearAxis, value: float) -> float:
    """Pixels from the top of the drawing."""
    return BOTTOM - (BOTTOM - TOP) * axis.place(value) / 100


def _lines(series: Series, kind: str, x_axis: LinearAxis, y_axis: LinearAxis) -> str:
    """The curve as a drawing of its own that is stretched to the plot's width; its stroke is not."""
    places = " ".join(
        f"{number(WIDTH / 100 * x_axis.place(x))},{number(_height(y_axis, y) - TOP)}" for x, y in thinned(series.points)
    )
    height = BOTTOM - TOP
    return (
        f'<svg y="{TOP}" width="100%" height="{height}" viewBox="0 0 {WIDTH} {height}" preserveAspectRatio="none">'
        f'<polyline class="curve {kind}" points="{places}"/></svg>'
    )


def _dots(series: Series, kind: str, x_axis: LinearAxis, y_axis: LinearAxis) -> list[str]:
    if len(series.points) > DOTTED or series.faint:
        return []
    parts = []
    for index, (x, y) in enumerate(series.points):
        across, up = x_axis.place(x), _height(y_axis, y)
        if series.errors:
            ends = [_height(y_axis, y + side * series.errors[index]) for side in (1, -1)]
            parts.append(line(f"error {kind}", across, across, *ends))
        parts.append(f'<circle class="dot {kind}" cx="{number(across)}%" cy="{number(up)}" r="2.5"/>')
    return parts
