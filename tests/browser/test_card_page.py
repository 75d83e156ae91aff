"""The corpus card's page in a real browser: quiet, alone, as wide as a telephone, legible in the dark."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from page_contrast import CONTRASTS
from tiny_corpus import quiet_context

from lumilab.corpus.build import build_corpus
from lumilab.page.charts import Bar, bar_chart
from lumilab.page.style import STYLE
from lumilab.recipe.corpus import CorpusConfig

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE, DESK = 390, 1280  # pixels


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a real corpus, with everything in it that a page could stumble over."""
    folder = tmp_path_factory.mktemp("card")
    draw = random.Random(0)
    words = ["".join(draw.choices("aeioubcdfglmnprst", k=draw.randint(2, 9))) for _ in range(400)]
    texts = [" ".join(draw.choices(words, k=draw.randint(40, 400))) for _ in range(60)]
    texts += [text + " and one word more" for text in texts[:5]] + texts[:3]
    texts += ["x" * 3000, "<script>document.title = 'run'</script><img src=http://example.com/x.png>" * 3, "short"]
    texts += [
        "هذا نص طويل بعض الشيء يُكتب من اليمين إلى اليسار " * 4,
        "一段没有空格的中文文字。" * 30,
        "\x1b[31mred\x07" * 20,
    ]
    name = f"{'a-very-long-name-of-a-file-' * 6}.jsonl"
    (folder / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in texts) + "{broken\n")
    (folder / "note.txt").write_text("A note, long enough to stay in the corpus as it is.")
    sources = [
        {"kind": "files", "name": "generated & <odd>", "paths": [str(folder / name)], "licence": "CC0 1.0"},
        {"kind": "files", "name": "notes", "paths": [str(folder / "note.txt")]},
    ]
    cleaning = {"control_characters": False}
    values = {"sources": sources, "deduplicate": "minhash", "max_bad_share": 0.5, "workers": 1, "cleaning": cleaning}
    corpus = build_corpus(CorpusConfig.model_validate(values), folder / "corpus", quiet_context()[0])
    assert corpus is not None
    return corpus.file("card.html")


def opened(browser: Browser, card: Path, width: int, scheme: Any) -> tuple[Page, list[str], list[str]]:
    """The page at a width in a colour scheme, what it asked for, and what the browser complained of."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(card.as_uri())
    return page, asked, complaints


def test_nothing_is_asked_for_and_nothing_runs(browser: Browser, card: Path) -> None:
    page, asked, complaints = opened(browser, card, DESK, "light")
    page.wait_for_load_state("networkidle")
    assert [url for url in asked if not url.startswith("data:")] == [card.as_uri()]
    assert complaints == []
    assert page.title() == "Corpus card"


@pytest.mark.parametrize("width", [320, PHONE, DESK])
def test_only_tables_scroll_sideways(browser: Browser, card: Path, width: int) -> None:
    page, _, _ = opened(browser, card, width, "light")
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = page.evaluate(
        "[...document.querySelectorAll('svg text')].filter(each => {"
        "  const box = each.getBoundingClientRect(); return box.left < -1 || box.right > innerWidth + 1;"
        "}).map(each => each.textContent)"
    )
    assert beyond == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, card: Path, scheme: str) -> None:
    page, _, _ = opened(browser, card, DESK, scheme)
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [row for row in contrasts if row[0] < 4.5] == []
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(251, 251, 249)"
    assert dark == (scheme == "dark")


def test_labels_do_not_run_into_values_on_a_telephone(browser: Browser, card: Path) -> None:
    page, _, _ = opened(browser, card, PHONE, "light")
    find = """[...document.querySelectorAll('svg g')].filter(group => {
        const [label, value] = [...group.querySelectorAll('text')].map(each => each.getBoundingClientRect());
        return label && value && label.right > value.left;
    }).map(group => group.textContent)"""
    assert page.evaluate(find) == []
    # The longest there can be: a filter's name, a long name of a source, and counts before they are rounded.
    bars = [Bar(name, 1, "−9,999,999 · 9,999,999 left") for name in ("filter gopher_repetition", "Source Number " * 5)]
    page.set_content(f"<style>{STYLE}</style>{bar_chart('b', 'Bars', 'About', bars)}")
    assert page.evaluate("document.querySelectorAll('svg g').length") == 2
    assert page.evaluate(find) == []


def test_every_plot_has_a_name_and_its_numbers_in_a_table(browser: Browser, card: Path) -> None:
    page, _, _ = opened(browser, card, DESK, "light")
    plots = page.evaluate("[...document.querySelectorAll('svg')].map(each => each.querySelector('title').textContent)")
    assert {"From raw records to documents", "Lengths of the documents", "Clusters of duplicates by size"} <= set(plots)
    assert page.evaluate(
        "[...document.querySelectorAll('svg')].every(each => each.closest('section').querySelector('table'))"
    )
