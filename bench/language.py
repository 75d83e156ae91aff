"""Telling languages apart: our compiled walk of py3langid's model against py3langid itself, on the same text.

    python bench/language.py [--quick]

Prints how often the two agree (they must, always), and the speed of each over the part of a text that is looked at.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from py3langid.langid import MODEL_FILE
from py3langid.langid import LanguageIdentifier as Peer

from lumilab.corpus.language import CHARACTERS, LanguageIdentifier

TEXTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "c4-sample" / "c4.jsonl"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="once over instead of five times")
    rounds = 1 if parser.parse_args().quick else 5
    if not TEXTS.is_file():
        print(f"skipped: there is no {TEXTS}")
        return 0
    with TEXTS.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"][:CHARACTERS] for line in lines]
    size = sum(len(text.encode()) for text in texts) / 1e6
    ours, peer = LanguageIdentifier(), Peer.from_model_file(MODEL_FILE, norm_probs=True)
    ours.identify(texts[0])  # compiles
    agreed = sum(ours.identify(text)[0] == peer.classify(text)[0] for text in texts)
    print(f"{len(texts)} texts, {size:.1f} MB: the two agree on {agreed}")
    speeds = [
        size / statistics.median(seconds(identify, texts) for _ in range(rounds))
        for identify in (ours.identify, peer.classify)
    ]
    values = {"ours": speeds[0], "peer": speeds[1], "unit": "MB/s", "ratio": speeds[0] / speeds[1], "target": None}
    print(json.dumps({"claim": "language identification"} | values))
    return 0


def seconds(identify: Callable[[str], Any], texts: Sequence[str]) -> float:
    start = time.process_time()
    for text in texts:
        identify(text)
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
