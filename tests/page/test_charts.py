"""The plots: well-formed, and every place where the numbers say, worked out by hand."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lumilab.page.axes import LogAxis, ShareAxis, nice_steps
from lumilab.page.charts import BAR, PLOT_BOTTOM, PLOT_TOP, ROW, Bar, Spread, bar_chart, histogram, spread_chart
from lumilab.page.svg import safe, shorten

SVG = "{http://www.w3.org/2000/svg}"


def parsed(chart: str) -> ElementTree.Element:
    return ElementTree.fromstring(chart)


def rectangles(chart: str, kind: str) -> list[tuple[float, float, float, float]]:
    """x and width in per cent, y and height in pixels, of the rectangles of one class."""
    found = []
    for each in parsed(chart).iter(f"{SVG}rect"):
        if kind in each.attrib["class"].split():
            x, y, width, height = (each.attrib[name] for name in ("x", "y", "width", "height"))
            assert x.endswith("%") and width.endswith("%")
            found.append((float(x[:-1]), float(y), float(width[:-1]), float(height)))
    return found


def test_bars_are_as_long_as_their_values() -> None:
    chart = bar_chart("b", "Title", "About", [Bar("a", 50, "50", lost=25), Bar("b", 0, "0"), Bar("c", 100, "100")], 200)
    assert rectangles(chart, "bar") == [(0, 20, 25, BAR), (0, 2 * ROW + 20, 50, BAR)]
    assert rectangles(chart, "lost") == [(25, 20, 12.5, BAR)]
    assert rectangles(chart, "track") == [(0, row * ROW + 20, 100, BAR) for row in range(3)]
    assert parsed(chart).attrib["height"] == str(3 * ROW)


def test_without_a_whole_the_longest_bar_takes_the_width() -> None:
    chart = bar_chart("b", "Title", "About", [Bar("a", 30, "30", lost=10), Bar("b", 10, "10")])
    assert rectangles(chart, "bar") == [(0, 20, 75, BAR), (0, ROW + 20, 25, BAR)]


def test_a_plot_of_nothing_is_still_a_plot() -> None:
    assert rectangles(bar_chart("b", "Title", "About", [Bar("a", 0, "0")]), "bar") == []
    assert parsed(bar_chart("b", "Title", "About", [])).attrib["height"] == "0"


def test_a_histogram_over_a_logarithmic_axis() -> None:
    bins = [("ten", 10, 100, 5), ("hundred", 100, 1000, 10), ("thousand", 1000, 10000, 0)]
    chart = histogram("h", "Title", "About", bins, LogAxis(10, 10000), (math.sqrt(10) * 100, "middle"), "characters")
    height = PLOT_BOTTOM - PLOT_TOP
    assert rectangles(chart, "column") == [
        (0, PLOT_BOTTOM - height / 2, 33.33, height / 2),
        (33.33, PLOT_TOP, 33.33, height),
    ]
    marks = [line for line in parsed(chart).iter(f"{SVG}line") if line.attrib["class"] == "mark"]
    assert [line.attrib["x1"] for line in marks] == ["50%"]
    ticks = {text.text: text.attrib["x"] for text in parsed(chart).iter(f"{SVG}text") if "tick" in text.attrib["class"]}
    assert {ticks[label] for label in ("10", "100", "1k", "10k")} == {"0%", "33.33%", "66.67%", "100%"}


def test_a_histogram_over_shares() -> None:
    chart = histogram("h", "T", "A", [("low", 0, 0.5, 1), ("high", 0.5, 1, 4)], ShareAxis(), (0.7, "from 0.7"), "share")
    assert [(x, width) for x, _, width, _ in rectangles(chart, "column")] == [(0, 50), (50, 50)]


def test_quantiles_lie_on_their_axis() -> None:
    spreads = [Spread("a", 10, 100, 1000, 10000, 99999), Spread("b", 100, 100, 100, 100, 100)]
    chart = spread_chart("s", "Title", "About", spreads, "characters")
    whole, box, *_ = rectangles(chart, "bar")
    assert (whole[0], whole[2]) == (0, 100)
    assert (box[0], box[2]) == (25, 50)


@pytest.mark.parametrize(
    ("top", "steps"),
    [(1, [1]), (3, [1, 2, 3]), (5, [2, 4]), (9, [2, 4, 6, 8]), (12, [5, 10]), (100, [50, 100]), (190, [50, 100, 150])],
)
def test_lines_of_a_scale_are_round_numbers(top: int, steps: list[int]) -> None:
    assert nice_steps(top) == steps


@given(st.integers(1, 10**12))
def test_a_scale_has_one_to_four_lines(top: int) -> None:
    steps = nice_steps(top)
    assert 1 <= len(steps) <= 4 and steps[-1] <= top
    assert re.fullmatch("[125]0*", str(steps[0]))


@given(st.text(), st.text(), st.integers(0, 10**15))
def test_any_text_gives_well_formed_xml_that_says_it(label: str, title: str, value: int) -> None:
    chart = parsed(bar_chart("b", title, label, [Bar(label, value, label)]))
    wanted = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", title)
    wanted = wanted.replace("\r\n", "\n").replace("\r", "\n")  # as XML reads line ends
    found = chart.find(f"{SVG}title")
    assert found is not None and (found.text or "") == wanted


def test_a_plot_tells_its_title_and_what_it_shows() -> None:
    chart = parsed(bar_chart("name", "Ti<tle", "A & b", [Bar("a", 1, "1")]))
    assert chart.attrib["role"] == "img"
    ids = {each.attrib.get("id"): each.text for each in chart}
    assert [ids[name] for name in chart.attrib["aria-labelledby"].split()] == ["Ti<tle", "A & b"]


def test_text_is_never_markup() -> None:
    assert safe("<b a='\"&\x00\x1b") == "&lt;b a=&#x27;&quot;&amp;\ufffd\ufffd"


@given(st.text(), st.integers(5, 40))
def test_a_short_label_is_short(text: str, characters: int) -> None:
    short = shorten(text, characters)
    assert len(short) <= characters and "\n" not in short


def test_a_short_label_keeps_both_ends() -> None:
    assert shorten("a  name", 30) == "a name"
    assert shorten("abcdefghijklmnopqrstuvwxyz", 9) == "abcde…xyz"
