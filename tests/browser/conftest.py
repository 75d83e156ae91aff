"""The system's browser, and a server whose page it looks at."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tiny_chat import data, tokenizer, tokenizer_artifact
from tiny_talkers import babbler, live, talker

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["babbler", "data", "live", "talker", "tokenizer", "tokenizer_artifact"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium as the system has it.

    Of one module, as Playwright's event loop counts as running in this thread until it is closed: whatever comes after
    it in the same process could not call `asyncio.run`.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no chromium here")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield started
        started.close()
