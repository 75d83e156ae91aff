"""Curves: every point where the numbers say, none lost that could be seen, and words that are never markup."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from lumilab.page.axes import LinearAxis
from lumilab.page.curves import BOTTOM, TOP, Point, Series, curve_chart, legend, thinned

SVG = "{http://www.w3.org/2000/svg}"
POINTS = st.lists(
    st.tuples(st.integers(0, 10**6), st.floats(-1e6, 1e6)), min_size=1, max_size=300, unique_by=lambda point: point[0]
).map(sorted)


def drawn(*series: Series, **options: object) -> ElementTree.Element:
    words = {"across": "steps", "upwards": "loss"} | options
    return ElementTree.fromstring(curve_chart("c", "Title", "About", series, **words))  # type: ignore[arg-type]


def test_points_lie_where_their_values_are() -> None:
    chart = drawn(Series("loss", [(0, 0.0), (50, 5.0), (100, 10.0)]))
    dots = [(each.attrib["cx"], float(each.attrib["cy"])) for each in chart.iter(f"{SVG}circle")]
    assert dots == [("0%", BOTTOM), ("50%", (TOP + BOTTOM) / 2), ("100%", TOP)]
    (curve,) = chart.iter(f"{SVG}polyline")
    assert curve.attrib["points"] == f"0,{BOTTOM - TOP} 500,{(BOTTOM - TOP) / 2:g} 1000,0"


def test_axes_reach_to_what_is_asked_for_and_to_the_ends_of_the_errors() -> None:
    chart = drawn(Series("acc", [(10, 0.5)], errors=[0.5]), over=(0, 20), include=(0,))
    (bar,) = [each for each in chart.iter(f"{SVG}line") if "error" in each.attrib["class"]]
    assert (bar.attrib["x1"], float(bar.attrib["y1"]), float(bar.attrib["y2"])) == ("50%", TOP, BOTTOM)


def test_steps_are_labelled_by_whole_numbers() -> None:
    assert LinearAxis(1, 2, whole=True).ticks() == [(1, "1"), (2, "2")]
    assert [label for _, label in LinearAxis(0, 1).ticks()] == ["0", "0.5", "1"]
    assert [label for _, label in LinearAxis(0, 3000).ticks()] == ["0", "1k", "2k", "3k"]
    assert [label for _, label in LinearAxis(4.1, 5.7, tight=False).ticks()] == ["4", "4.5", "5", "5.5", "6"]


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.booleans())
def test_an_axis_holds_its_ends_and_has_a_few_labels(one: float, other: float, tight: bool) -> None:
    low, high = min(one, other), max(one, other)
    axis = LinearAxis(low, high, tight=tight)
    assert 0 <= axis.place(low) <= axis.place(high) <= 100
    assert 1 <= len(axis.ticks()) <= 7


@given(POINTS, st.integers(1, 20))
def test_thinning_keeps_both_ends_and_both_extremes_and_invents_nothing(points: list[Point], columns: int) -> None:
    kept = thinned(points, columns)
    assert len(kept) <= max(4 * columns, 1)
    assert kept == [point for point in points if point in set(kept)]
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    values = [y for _, y in points]
    assert {min(values), max(values)} <= {y for _, y in kept}


def test_a_curve_of_many_points_has_no_dots_but_its_spike() -> None:
    points = [(float(x), 1.0) for x in range(100_000)]
    points[54_321] = (54_321.0, 9.0)
    chart = drawn(Series("loss", points))
    assert not list(chart.iter(f"{SVG}circle"))
    (curve,) = chart.iter(f"{SVG}polyline")
    places = curve.attrib["points"].split()
    assert len(places) <= 4 * 240
    assert "543.22,17" in places  # 54,321 of 99,999 of the width; 9 on an axis from 0 to 10


@given(st.text())
def test_any_name_gives_well_formed_xml(name: str) -> None:
    series = [Series(name, [(0, 1.0), (1, 2.0)]), Series("other", [(0, 1.0)])]
    drawn(*series, upwards=name)
    ElementTree.fromstring(f"<p>{legend(series)}</p>")
