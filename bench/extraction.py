"""The main text of web pages: ours and plain trafilatura against text marked by hand.

    python bench/extraction.py [--quick]

The measure is that of the article-extraction benchmark the pages are from (github.com/scrapinghub): precision and
recall over the page's runs of four words, each averaged over the pages, and their harmonic mean. The rules of our
extraction were written from the errors on every second page, the first half, without looking into the texts of the
other; their thresholds were set with the figures of both halves in sight. `--quick` takes every fourth page.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trafilatura

from lumilab.corpus.web.extraction import extract_text

PAGES = Path(__file__).resolve().parents[2] / "shared" / "data" / "web-pages"
Shingles = Counter[tuple[str, ...]]


@dataclass(frozen=True)
class Page:
    html: bytes
    url: str
    gold: str


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every fourth page")
    quick = parser.parse_args().quick
    if not PAGES.is_dir():
        print(f"skipped: there is no {PAGES}")
        return 0
    pages = load_pages()[:: 4 if quick else 1]
    print(f"{len(pages)} pages, {sum(len(page.html) for page in pages) / 1e6:.1f} MB of HTML")
    f1, rate = {}, {}
    extractors: dict[str, Callable[[Page], str | None]] = {
        "lumilab": lambda page: extract_text(page.html, page.url),
        "trafilatura": lambda page: trafilatura.extract(page.html, url=page.url, include_comments=False),
        "trafilatura, for precision": lambda page: trafilatura.extract(
            page.html, url=page.url, include_comments=False, favor_precision=True
        ),
    }
    for name, extract in extractors.items():
        start = time.process_time()
        texts = [extract(page) or "" for page in pages]
        rate[name] = len(pages) / (time.process_time() - start)
        scored = list(zip(pages, texts, strict=True))
        precision, recall, f1[name] = scores(scored)
        halves = " ".join(f"{scores(scored[half::2])[2]:.4f}" for half in (0, 1))
        print(
            f"{name:27} precision {precision:.4f}  recall {recall:.4f}  F1 {f1[name]:.4f}  (halves {halves})  "
            f"{rate[name]:.0f} pages/s",
            flush=True,
        )
    claim("main text of web pages", f1["lumilab"], f1["trafilatura"], "F1", 1.0)
    claim("main text of web pages, speed", rate["lumilab"], rate["trafilatura"], "pages/s", None)
    return 0


def load_pages() -> list[Page]:
    gold = json.loads((PAGES / "ground-truth.json").read_text(encoding="utf-8"))
    return [
        Page(
            gzip.decompress((PAGES / "html" / f"{key}.html.gz").read_bytes()),
            gold[key]["url"],
            gold[key]["articleBody"],
        )
        for key in sorted(gold)
    ]


def scores(pages: Sequence[tuple[Page, str]]) -> tuple[float, float, float]:
    """Mean precision, mean recall and their harmonic mean."""
    precisions, recalls = [], []
    for page, text in pages:
        gold, found = shingles(page.gold), shingles(text)
        common = (gold & found).total()
        if found:
            precisions.append(common / found.total())
        if gold:
            recalls.append(common / gold.total())
    precision, recall = statistics.mean(precisions), statistics.mean(recalls)
    return precision, recall, 2 * precision * recall / (precision + recall)


def shingles(text: str) -> Shingles:
    """How often each run of four words occurs; a text of fewer words is one run."""
    words = re.findall(r"\w+", text)
    runs = (tuple(words[start : start + 4]) for start in range(max(1, len(words) - 3)))
    return Counter(run for run in runs if run)


def claim(name: str, ours: float, peer: float, unit: str, target: float | None) -> None:
    """The line that `bench/__main__.py` collects."""
    values = {"claim": name, "ours": ours, "peer": peer, "unit": unit, "ratio": ours / peer, "target": target}
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    sys.exit(main())
