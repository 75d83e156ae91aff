"""Measured values and their intervals, placed as worked out by hand."""

from __future__ import annotations

from xml.etree import ElementTree

from lumilab.page.axes import LogAxis, ShareAxis
from lumilab.page.document import document
from lumilab.page.intervals import Group, Measured, interval_chart

SVG = "{http://www.w3.org/2000/svg}"


def test_intervals_are_of_1_96_standard_errors_and_stay_on_the_axis() -> None:
    values = [
        Measured("model <a>", 0.5, 0.1, "50 %"),
        Measured("b", 0.9, 0.1, "90 %", 1),
        Measured("c", 0.25, None, "-"),
    ]
    chart = ElementTree.fromstring(interval_chart("i", "T", "A", [Group("task", values, 0.625)], ShareAxis(), "share"))
    assert [each.attrib["cx"] for each in chart.iter(f"{SVG}circle")] == ["50%", "90%", "25%"]
    bars = [each.attrib for each in chart.iter(f"{SVG}line") if "error" in each.attrib["class"]]
    assert [(bar["x1"], bar["x2"]) for bar in bars] == [("30.4%", "69.6%"), ("70.4%", "100%")]
    assert [each.attrib["x1"] for each in chart.iter(f"{SVG}line") if each.attrib["class"] == "baseline"] == ["62.5%"]


def test_a_page_without_a_script_allows_none() -> None:
    page = document("a < b", "<p>words</p>")
    assert "script" not in page
    assert "default-src 'none'" in page and "<title>a &lt; b</title>" in page


def test_an_interval_that_reaches_below_zero_ends_at_a_logarithmic_axis() -> None:
    axis = LogAxis(10, 1_000)
    assert [axis.place(value) for value in (-5.0, 0.0, 10.0, 100.0, 1_000.0, 1e9)] == [0, 0, 0, 50, 100, 100]
    group = Group("words", [Measured("model", 100.0, 80.0, "100 ± 80")])
    assert "circle" in interval_chart("p", "Title", "About", [group], axis, "perplexity")
