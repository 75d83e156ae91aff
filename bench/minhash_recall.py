"""Which near-duplicates deduplication finds, beside the theory, and how fast clusters are joined.

Real English articles, each with copies in which words were replaced at rates that spread the copies' similarity from
0.3 to 1. The true Jaccard similarity of every pair of documents that share anything comes from Python sets of word
tuples, which know nothing of our hashes. Then the whole deduplication runs on the documents; a pair counts as found
when it was a candidate, for which theory gives similarity s a probability of 1 - (1 - s^8)^14. Needs ../shared/data.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lumilab.corpus.deduplication import find_duplicates
from lumilab.corpus.deduplication.candidates import PAIRS
from lumilab.corpus.deduplication.clusters import EDGES
from lumilab.corpus.deduplication.minhash import MinHasher
from lumilab.corpus.deduplication.union_find import flatten, unite
from lumilab.corpus.document import Document
from lumilab.corpus.segment import Segment, SegmentWriter
from lumilab.corpus.shards import to_line
from lumilab.recipe.corpus import CorpusConfig, FilesSource
from lumilab.work.phases import Done, Phase
from lumilab.work.stopping import StopRequest

ARTICLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "wikipedia-en-2015"
COPIES = 4  # of each article
WORDS = (60, 400)  # of an article's beginning
BINS = (0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
Pairs = set[tuple[int, int]]


def main(arguments: Sequence[str]) -> int:
    """Prints recall and precision by similarity, then the speed of joining."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer documents and edges")
    quick = parser.parse_args(arguments).quick
    if ARTICLES.is_dir():
        _recall(_texts(150 if quick else 800))
    else:
        print(f"Left out: {ARTICLES.name} is not beside this checkout.")
    _joining(1_000_000 if quick else 10_000_000)
    return 0


def _recall(texts: Sequence[str]) -> None:
    config = CorpusConfig(sources=[FilesSource(paths=["."])], deduplicate="minhash")
    similarities = _similarities(texts)
    with tempfile.TemporaryDirectory() as folder:
        candidates, edges, facts = _deduplicated(texts, config, Path(folder))
    print(
        f"{len(texts)} documents, {len(similarities):,} pairs that share a shingle; recall of candidates by similarity:"
    )
    print("  similarity    pairs  found  recall  theory")
    for low, high in pairwise(BINS):
        inside = {pair: s for pair, s in similarities.items() if low <= s < high or s == high == 1}
        found = len(inside.keys() & candidates)
        theory = sum(1 - (1 - s**8) ** 14 for s in inside.values()) / max(1, len(inside))
        recall = found / max(1, len(inside))
        print(f"  {low:.2f} to {high:.2f}  {len(inside):6}  {found:5}  {recall:6.3f}  {theory:6.3f}")
    similar = {pair for pair, s in similarities.items() if s >= config.minhash.similarity}
    wrong = sum(similarities.get(pair, 0.0) < config.minhash.similarity for pair in edges)
    unverified = len(candidates & similar) / max(1, len(candidates))
    expected = sum(1 - (1 - similarities[pair] ** 8) ** 14 for pair in similar) / max(1, len(similar))
    recall = len(edges & similar) / max(1, len(similar))
    print(
        f"  of {len(similar)} pairs of {config.minhash.similarity} and more: recall {recall:.4f}, theory {expected:.4f}"
    )
    print(f"  precision without verifying {unverified:.4f}, with {1 - wrong / max(1, len(edges)):.4f} ({wrong} wrong)")
    clusters, met = facts["clusters"], facts["candidates"]
    print(f"  {facts['near_duplicates']} near duplicates in {clusters} clusters, {met} candidates")
    claim = {"claim": "minhash recall (theory)", "ours": recall, "peer": expected, "unit": "of pairs from 0.7"}
    print(json.dumps({**claim, "ratio": recall / expected, "target": None}))


def _texts(articles: int) -> list[str]:
    """ASCII beginnings of articles, each followed by its edited copies; equal texts once, because exact duplicates are
    out before near ones are looked for."""
    draw = random.Random(1)
    sources = [words for words in _articles() if len(words) >= WORDS[0]][:articles]
    vocabulary = sorted({word for words in sources for word in words})
    texts = []
    for words in sources:
        begun = words[: draw.randint(*WORDS)]
        texts.append(" ".join(begun))
        for _ in range(COPIES):
            wanted = draw.uniform(0.3, 0.99)
            # A shingle of five words survives with probability q = (1 - rate)^5, and s = q / (2 - q).
            rate = 1 - (2 * wanted / (1 + wanted)) ** 0.2
            texts.append(" ".join(draw.choice(vocabulary) if draw.random() < rate else word for word in begun))
    return list(dict.fromkeys(texts))


def _articles() -> Iterator[list[str]]:
    for path in sorted(ARTICLES.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield [word for word in json.loads(line)["text"].split() if word.isascii()]


def _similarities(texts: Sequence[str]) -> dict[tuple[int, int], float]:
    """Jaccard similarity of all pairs that share a shingle, later document first."""
    sets, holders = [], defaultdict(list)
    for number, text in enumerate(texts):
        words = re.findall(r"[a-z0-9]+", re.sub(r"[0-9]+", "0", text.lower()))
        sets.append(set(zip(*(words[ahead:] for ahead in range(5)), strict=False)))
        for shingle in sets[-1]:
            holders[shingle].append(number)
    shared = Counter((b, a) for numbers in holders.values() for a, b in combinations(numbers, 2))
    return {(b, a): n / (len(sets[a]) + len(sets[b]) - n) for (b, a), n in shared.items()}


@dataclass(frozen=True)
class _Here:
    """Does every task in this process."""

    folder: Path

    def run(self, phase: Phase) -> list[Done]:
        done = []
        for number, order in enumerate(phase.orders):
            folder = self.folder / phase.name / str(number)
            folder.mkdir(parents=True)
            done.append(Done(folder, phase.function(order, folder, StopRequest())))
        return done

    def leave(self) -> bool:
        return True


def _deduplicated(texts: Sequence[str], config: CorpusConfig, folder: Path) -> tuple[Pairs, Pairs, dict[str, int]]:
    """Candidates, verified pairs, and the report."""
    hasher = MinHasher(config.minhash)
    place = folder / "segment"
    place.mkdir()
    with SegmentWriter(place, config.minhash.bands) as writer:
        for number, text in enumerate(texts):
            document = Document(str(number), text, "articles")
            data = text.encode()
            content = hashlib.blake2b(data, digest_size=16).digest()
            writer.write(document, to_line(document), len(data), content, hasher.bands(data))
    report = find_duplicates([Segment(place)], [0], config, _Here(folder / "work"))
    return _read(folder, PAIRS), _read(folder, EDGES), report.facts


def _read(folder: Path, name: str) -> Pairs:
    return {(later, earlier) for path in folder.rglob(name) for later, earlier in np.load(path).tolist()}


def _joining(edges: int) -> None:
    """Union-find on random edges among as many documents, the worst there is: nothing lies near anything."""
    draw = np.random.default_rng(1)
    places: npt.NDArray[np.int64] = draw.integers(0, edges, (edges, 2))
    unite(np.arange(2), np.array([[1, 0]]))
    flatten(np.arange(2), 0, 2)
    parents = np.arange(edges)
    start = time.process_time()
    unite(parents, places)
    middle = time.process_time()
    flatten(parents, 0, edges)
    end = time.process_time()
    print(f"clusters: {edges:,} random edges among {edges:,} documents, one core:")
    print(f"  {edges / (middle - start) / 1e6:.1f} M edges/s, then {edges / (end - middle) / 1e6:.1f} M documents/s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
