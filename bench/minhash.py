"""MinHash signatures, one core: ours from UTF-8 bytes to band hashes against datatrove's `MinhashDedupSignature`.

Both do 5-word shingles and 14 bands of 8 hashes for the same English documents in the same run, and neither writes a
file: of datatrove only `get_shingles` and `get_signature` are timed. Rounds alternate, so that a machine that slows
down slows both, and time is this process's own, so that other work does not count. Needs ../shared/data and datatrove.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lumilab.corpus.deduplication.minhash import MinHasher
from lumilab.recipe.corpus import MinHashConfig

ARTICLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "wikipedia-en-2015" / "enwiki-000.jsonl.gz"
ROUNDS = 5
TARGET = 30.0


def main(arguments: Sequence[str]) -> int:
    """Prints both speeds as the median of five and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the documents")
    megabytes = 0.2 if parser.parse_args(arguments).quick else 2.0
    if not ARTICLES.exists():
        print(f"Left out: {ARTICLES.name} is not beside this checkout.")
        return 0
    texts = _texts(int(megabytes * 1e6))
    encoded = [text.encode() for text in texts]
    size = sum(map(len, encoded)) / 1e6
    hasher = MinHasher(MinHashConfig())
    peer = _peer()
    hasher.bands(encoded[0])  # compiled before the clock starts
    peer(texts[0])
    ours, theirs = [], []
    for _ in range(ROUNDS):
        # One pass of ours takes hundredths of a second; twenty give the clock something to measure.
        ours.append(20 * size / _seconds(hasher.bands, encoded * 20))
        theirs.append(size / _seconds(peer, texts))
    speed, peer_speed = statistics.median(ours), statistics.median(theirs)
    print(f"{len(texts)} articles, {size:.1f} MB, median of {ROUNDS} (lowest to highest):")
    print(f"  lumilab   {speed:8.2f} MB/s ({min(ours):.1f} to {max(ours):.1f})")
    print(f"  datatrove {peer_speed:8.2f} MB/s ({min(theirs):.2f} to {max(theirs):.2f})")
    claim = {"claim": "minhash", "ours": speed, "peer": peer_speed, "unit": "MB/s", "ratio": speed / peer_speed}
    print(json.dumps({**claim, "target": TARGET}))
    return 0


def _texts(size: int) -> list[str]:
    texts: list[str] = []
    with gzip.open(ARTICLES, "rt", encoding="utf-8") as file:
        for line in file:
            texts.append(json.loads(line)["text"])
            size -= len(texts[-1])
            if size <= 0:
                break
    return texts


def _peer() -> Callable[[str], Any]:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig

    # SHA-1 as for FineWeb; the other choice, xxhash, does not work with the releases of xxhash that want bytes.
    config = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(hash_fc="sha1"))
    step = MinhashDedupSignature(tempfile.gettempdir(), config)
    return lambda text: step.get_signature(step.get_shingles(text))


def _seconds(function: Callable[[Any], Any], items: Sequence[Any]) -> float:
    start = time.process_time()
    for item in items:
        function(item)
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
