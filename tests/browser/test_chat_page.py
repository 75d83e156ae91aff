"""The chat page in a real browser, with a live server behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from page_contrast import CONTRASTS
from tiny_talkers import ANSWERS, GREETING, SCRIPT, LiveServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
TIMEOUT = 60_000  # milliseconds; only how long to wait before it is called a failure
RUNNING = "vllm:num_requests_running"


class Looked:
    """A page that was opened, and what the browser said of it."""

    def __init__(self, browser: Browser, url: str, size: Any = None, scheme: Any = "light") -> None:
        self.context = browser.new_context(viewport=size or DESK, color_scheme=scheme)
        self.context.set_default_timeout(TIMEOUT)
        self.url = url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page = self.opened()

    def opened(self) -> Page:
        page = self.context.new_page()
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.url)
        page.wait_for_selector("#model-0 option", state="attached")
        return page

    def ask(self, question: str, model: str = "talker") -> None:
        self.page.select_option("#model-0", model)
        self.page.fill("#question", question)
        self.page.press("#question", "Enter")

    def answered(self) -> str:
        """Waits for the end of the answer and returns the last one's text."""
        self.page.wait_for_selector(".answer")
        self.page.wait_for_selector(".running", state="detached")
        return self.page.locator(".answer .text").last.inner_text()


@pytest.fixture
def looked(browser: Browser, live: LiveServer) -> Iterator[Looked]:
    made = Looked(browser, live.url)
    yield made
    assert made.complaints == []
    assert all(url.startswith((live.url, "data:")) for url in made.asked)
    made.context.close()


def greedy(page: Page, longest: int = 512) -> None:
    """The most likely answer, as long as wished."""
    page.click("#open-settings")
    page.fill("#temperature", "0")
    page.fill("#repetition_penalty", "1")
    page.fill("#max_tokens", str(longest))
    page.click("#close-settings")


def test_an_answer_grows_with_its_emoji_whole(looked: Looked) -> None:
    greedy(looked.page)
    looked.page.evaluate("""() => {
      window.seen = [];
      new MutationObserver(() => window.seen.push(document.querySelector('.answer .text')?.textContent ?? ''))
        .observe(document.querySelector('#turns'), {subtree: true, childList: true, characterData: true});
    }""")
    looked.ask(GREETING)
    assert looked.answered() == ANSWERS[GREETING]
    seen = looked.page.evaluate("window.seen")
    assert all(ANSWERS[GREETING].startswith(text.rstrip()) for text in seen)
    assert not any("\ufffd" in text for text in seen)
    assert "tokens/s" in looked.page.inner_text(".figures")


def test_an_answer_is_shown_before_it_is_complete(looked: Looked, live: LiveServer) -> None:
    """The page itself presses Stop when it has shown a third piece: on a quick machine the answer ends in a second."""
    greedy(looked.page, longest=8000)
    looked.page.evaluate("""() => {
      let shown = 0, grown = 0;
      new MutationObserver(() => {
        const now = document.querySelector('.answer .text')?.textContent.length ?? 0;
        if (now > shown) { shown = now; grown += 1; if (grown === 3) document.querySelector('#stop').click(); }
      }).observe(document.querySelector('#turns'), {subtree: true, childList: true, characterData: true});
    }""")
    looked.ask("go on", model="babbler")
    looked.page.wait_for_selector(".answer:not(.running)")
    live.wait_for(RUNNING, 0)
    assert "Stopped." in looked.page.inner_text(".answer")


def test_escape_and_leaving_free_the_slot(looked: Looked, live: LiveServer) -> None:
    greedy(looked.page, longest=4000)
    looked.ask("go on", model="babbler")
    looked.page.wait_for_selector(".answer .text p")
    looked.page.keyboard.press("Escape")
    live.wait_for(RUNNING, 0)
    looked.ask("and on", model="babbler")
    looked.page.wait_for_selector(".turn:nth-child(2) .answer .text p")
    looked.page.close()
    live.wait_for(RUNNING, 0)


def test_what_a_model_writes_is_text_and_nothing_else(looked: Looked) -> None:
    greedy(looked.page)
    looked.ask(SCRIPT)
    looked.page.wait_for_selector(".answer:not(.running) strong")
    assert looked.page.inner_text(".answer .text") == ANSWERS[SCRIPT].replace("**", "")
    assert looked.page.locator(".answer script, .answer img").count() == 0
    assert looked.page.title() != "run"
    looked.page.reload()
    assert looked.page.locator(".answer script, .answer img").count() == 0


def test_history_survives_a_reload_and_can_be_deleted(looked: Looked) -> None:
    page = looked.page
    greedy(page)
    looked.ask(GREETING)
    looked.answered()
    page.click("#new")
    looked.ask("Another")
    looked.answered()
    page.reload()
    assert page.locator("#conversations .open").all_inner_texts() == ["Another", GREETING]
    page.click(f"#conversations .open >> text={GREETING}")
    assert page.locator(".answer .text").inner_text() == ANSWERS[GREETING]
    assert page.locator(".question p").inner_text() == GREETING
    remove = page.locator("#conversations .remove").last
    remove.click()
    assert page.locator("#conversations .open").count() == 2  # it asks first
    remove.click()
    assert page.locator("#conversations .open").all_inner_texts() == ["Another"]


def test_editing_and_regenerating_replace_what_follows(looked: Looked) -> None:
    page = looked.page
    greedy(page)
    for question in (SCRIPT, "And then"):
        looked.ask(question)
        looked.answered()
    page.locator(".turn").first.hover()
    page.locator(".turn").first.get_by_text("Edit").click()
    page.fill(".editor textarea", GREETING)
    page.press(".editor textarea", "Enter")
    assert looked.answered() == ANSWERS[GREETING]
    assert page.locator(".turn").count() == 1
    page.locator(".turn").hover()
    page.get_by_text("Regenerate").click()
    assert looked.answered() == ANSWERS[GREETING]
    assert page.locator(".turn").count() == 1


def test_two_models_answer_side_by_side(looked: Looked) -> None:
    page = looked.page
    greedy(page, longest=20)
    page.check("#compare")
    page.select_option("#model-1", "babbler")
    looked.ask(GREETING)
    looked.answered()
    assert page.locator(".model").all_inner_texts() == ["talker", "babbler"]
    left, right = (page.locator(".answer").nth(number).bounding_box() for number in (0, 1))
    assert left and right
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]


def test_the_system_prompt_and_samplers_are_sent(looked: Looked) -> None:
    page = looked.page
    page.click("#open-settings")
    page.fill("#system", "Be brief.")
    page.fill("#seed", "7")
    page.fill("#stop-strings", "END\nSTOP")
    page.fill("#temperature", "0.5")
    page.keyboard.press("Escape")
    with page.expect_request("**/v1/chat/completions") as sent:
        looked.ask("Hi")
    body = sent.value.post_data_json
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert (body["seed"], body["stop"], body["temperature"]) == (7, ["END", "STOP"], 0.5)
    assert (body["top_k"], body["repetition_penalty"], body["model"]) == (50, 1.1, "talker")
    looked.answered()


def test_a_conversation_that_outgrows_the_model_leaves_out_its_beginning(looked: Looked) -> None:
    greedy(looked.page, longest=4)
    for number in range(3):
        looked.ask(f"{number} " + "z y x w v " * 24)
        looked.answered()
    assert "left out" in looked.page.locator(".answer").last.inner_text()
    assert all("400" in complaint for complaint in looked.complaints)  # the browser's own note of the refusal
    looked.complaints.clear()


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_wider_than_the_screen(browser: Browser, live: LiveServer, size: Any) -> None:
    looked = Looked(browser, live.url, size)
    page = looked.page
    page.evaluate("localStorage.setItem('lumilab.settings', JSON.stringify({compare: true}))")
    page.reload()
    page.wait_for_selector("#model-1 option", state="attached")
    greedy(page, longest=60)
    looked.ask("w" * 300)
    looked.answered()
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    beyond = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(each => {"
        "  const box = each.getBoundingClientRect(); return box.width && box.right > innerWidth + 1;"
        "}).map(each => each.outerHTML.slice(0, 80))"
    )
    assert beyond == []
    assert looked.complaints == []
    looked.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, live: LiveServer, scheme: str) -> None:
    looked = Looked(browser, live.url, scheme=scheme)
    looked.ask("Hi")
    looked.answered()
    looked.page.click("#open-settings")
    too_faint = [words for ratio, words in looked.page.evaluate(CONTRASTS) if ratio < 4.5]
    assert too_faint == []
    looked.context.close()


def test_the_policy_forbids_scripts_from_elsewhere(looked: Looked, live: LiveServer) -> None:
    response = looked.page.goto(live.url)
    assert response is not None
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
