"""The report in a real browser: alone, legible in light and dark, as wide as a telephone, the same without scripts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_contrast import CONTRASTS
from told_run import write_run

from lumilab.report.page import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE, DESK = 390, 1280  # pixels


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_run(tmp_path_factory.mktemp("report") / "run"))


def opened(browser: Browser, report: Path, width: int = DESK, scheme: Any = "light", **options: Any) -> Page:
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options).new_page()
    page.goto(report.as_uri())
    return page


def test_nothing_is_asked_for_and_no_text_of_the_run_becomes_a_script(browser: Browser, report: Path) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert complaints == []
    assert page.title() == "run: report"
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    assert page.title() == "run: report"  # the policy stands against scripts that are added, too


@pytest.mark.parametrize("width", [320, PHONE, DESK])
def test_only_tables_scroll_sideways(browser: Browser, report: Path, width: int) -> None:
    page = opened(browser, report, width)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = page.evaluate(
        "[...document.querySelectorAll('svg text')].filter(each => {"
        "  const box = each.getBoundingClientRect();"
        "  return !each.closest('.scroll') && (box.left < -1 || box.right > innerWidth + 1);"
        "}).map(each => each.textContent)"
    )
    assert beyond == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_and_the_button_changes_the_colours(browser: Browser, report: Path, scheme: str) -> None:
    page = opened(browser, report, scheme=scheme)
    for other in (scheme, "light" if scheme == "dark" else "dark"):
        if other != scheme:
            page.get_by_role("button", name=other.capitalize()).click()
        contrasts = page.evaluate(CONTRASTS)
        assert len(contrasts) > 100
        assert [row for row in contrasts if row[0] < 4.5] == []
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 22, 20)"
        assert dark == (other == "dark")


def test_without_scripts_the_page_is_the_same_but_for_the_button(browser: Browser, report: Path) -> None:
    with_script = opened(browser, report)
    without = opened(browser, report, java_script_enabled=False)
    assert not without.get_by_role("button", name="Dark").is_visible()
    assert without.locator("main").inner_text() == with_script.locator("main").inner_text().replace("\nDark", "", 1)


def test_points_are_drawn_where_the_log_says(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    places = page.evaluate("""() => {
      const chart = [...document.querySelectorAll('svg')].find(each => each.querySelector('title')?.textContent
        === 'Validation of pretrain over its steps');
      const axis = chart.querySelector('line.axis').getBoundingClientRect();
      return [...chart.querySelectorAll('circle')].map(each => {
        const box = each.getBoundingClientRect();
        return ((box.left + box.right) / 2 - axis.left) / axis.width;
      });
    }""")
    assert places == pytest.approx([0.5, 1.0], abs=0.01)  # steps 10 and 20 of 20


def test_every_plot_has_a_title_labelled_axes_and_a_table(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    assert page.evaluate("""[...document.querySelectorAll('svg[role=img]')].every(each =>
        each.querySelector('title').textContent && each.querySelector('desc').textContent
        && each.closest('section').querySelector('table'))""")
    assert page.evaluate("""[...document.querySelectorAll('svg.curves')].every(each =>
        [...each.querySelectorAll('text')].some(text => text.textContent === 'steps')
        && each.querySelector('text.unit').textContent)""")


def test_it_prints_in_black_on_white_whatever_the_screen(browser: Browser, report: Path) -> None:
    page = opened(browser, report, scheme="dark")
    page.emulate_media(media="print", color_scheme="light")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.get_by_role("button").is_visible()
