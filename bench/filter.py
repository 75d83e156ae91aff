"""Quality filters, one core: Gopher repetition, Gopher quality, C4 and FineWeb, ours fused against datatrove's four.

Both judge the same documents (web pages, Wikipedia articles and a novel, in that order of size) with the same
thresholds in the same run. datatrove keeps the words of a text from one filter to the next, as it does in its own
pipeline. Rounds alternate, and time is this process's own, so that other work does not count. Needs ../shared/data and
datatrove.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lumilab.corpus.filters import Filters
from lumilab.recipe.filters import FiltersConfig

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ROUNDS = 5
OURS_REPEATED = 10  # one pass of ours is too short for the clock
TARGET = 10.0
FINEWEB = FiltersConfig.model_validate(
    {"gopher_repetition": {}, "gopher_quality": {}, "c4": {"terminal_punctuation": False}, "fineweb": {}}
)


def main(arguments: Sequence[str]) -> int:
    """Prints both speeds as the median of five and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="an eighth of the documents")
    megabytes = 0.25 if parser.parse_args(arguments).quick else 2.0
    if not DATA.is_dir():
        print("Left out: ../shared/data is not beside this checkout.")
        return 0
    texts = _texts(int(megabytes * 1e6))
    size = sum(len(text.encode()) for text in texts) / 1e6
    start = time.perf_counter()
    filters = Filters(FINEWEB)
    filters.apply("Compiled before the clock starts. " * 20)
    print(f"ready in {time.perf_counter() - start:.1f} s (compiling what no earlier run has left)")
    peer = _peer()
    peer("Loaded before the clock starts.")
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(OURS_REPEATED * size / _seconds(filters.apply, texts * OURS_REPEATED))
        theirs.append(size / _seconds(peer, texts))
    speed, peer_speed = statistics.median(ours), statistics.median(theirs)
    same = sum((filters.apply(text).reason is None) == peer(text) for text in texts)
    print(
        f"{len(texts)} documents, {size:.1f} MB, {same} of them judged alike, median of {ROUNDS} (lowest to highest):"
    )
    print(f"  lumilab   {speed:8.2f} MB/s ({min(ours):.1f} to {max(ours):.1f})")
    print(f"  datatrove {peer_speed:8.2f} MB/s ({min(theirs):.2f} to {max(theirs):.2f})")
    claim = {"claim": "filter", "ours": speed, "peer": peer_speed, "unit": "MB/s", "ratio": speed / peer_speed}
    print(json.dumps({**claim, "target": TARGET}))
    return 0


def _texts(size: int) -> list[str]:
    """Half of the size of web pages, then articles, then pieces of a novel of ten thousand characters."""
    texts: list[str] = []
    for share, source in ((0.5, _web_pages()), (0.4, _articles()), (0.1, _pieces())):
        left = size * share
        for text in source:
            texts.append(text)
            left -= len(text)
            if left <= 0:
                break
    return texts


def _web_pages() -> Iterator[str]:
    with (DATA / "c4-sample" / "c4.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def _articles() -> Iterator[str]:
    with gzip.open(DATA / "wikipedia-en-2015" / "enwiki-000.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


def _pieces() -> Iterator[str]:
    with gzip.open(DATA / "novels" / "Chesterton_Innocence_1911.txt.gz", "rt", encoding="utf-8") as file:
        while piece := file.read(10_000):
            yield piece


def _peer() -> Callable[[str], bool]:
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )

    filters = [
        GopherRepetitionFilter(),
        GopherQualityFilter(),
        C4QualityFilter(filter_no_terminal_punct=False),
        FineWebQualityFilter(),
    ]

    def keeps(text: str) -> bool:
        document = Document(text=text, id="")
        return all(step.filter(document) is True for step in filters)

    return keeps


def _seconds(function: Callable[[str], object], texts: Sequence[str]) -> float:
    start = time.process_time()
    for text in texts:
        function(text)
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
