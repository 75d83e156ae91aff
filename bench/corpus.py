"""The whole corpus build on one core, from a .jsonl.zst to written shards, and its memory at 1 x and 10 x the input.

Ours cleans, filters (Gopher, C4, FineWeb), hashes, deduplicates exactly and nearly, verifies, and writes shards and
card. The peer is datatrove with the same filters and its MinHash signatures, reading and writing the same format, which
leaves out its three further deduplication steps; it gets a smaller slice, because it is that much slower. Rounds
alternate in one process tree; each of ours builds in a process of its own, whose peak memory is taken from the system.
Time is the building process's own (its waiting for the disk is left out), so that other work does not count.
Needs ../shared/data and datatrove.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zstandard

ARTICLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "wikipedia-en-2015"
ROUNDS = 5
TARGET_RATE = 10.0  # MB/s
TARGET_MEMORY = 1.2  # 10 x over 1 x


def main(arguments: Sequence[str]) -> int:
    """Prints both speeds as medians, peak memory of both sizes, and a JSON line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, smaller inputs")
    parser.add_argument(
        "--build", nargs=2, type=Path, metavar=("INPUT", "FOLDER"), help="a single build, for this script"
    )
    options = parser.parse_args(arguments)
    if options.build:
        return build(*options.build)
    if not ARTICLES.is_dir():
        print(f"Left out: {ARTICLES.name} is not beside this checkout.")
        return 0
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place), 0.2 if options.quick else 1.0, 1 if options.quick else ROUNDS)
    return 0


def measure(folder: Path, scale: float, rounds: int) -> None:
    """Runs ours at the smaller size, then ours at ten times that and the peer in turn."""
    texts = articles()
    one, ten, peers = folder / "one.jsonl.zst", folder / "ten.jsonl.zst", folder / "peer" / "in.jsonl.zst"
    size = write(one, texts, 40 * scale)
    large = write(ten, texts, 400 * scale)
    peer_size = write(peers, texts, 1.5 * scale)
    small = [run_build(one, folder / f"small-{number}") for number in range(rounds + 1)][1:]  # the first one compiles
    ours, theirs = [], []
    for number in range(rounds):
        ours.append(run_build(ten, folder / f"ours-{number}"))
        theirs.append(run_peer(peers.parent, folder / f"peer-{number}"))
    rate = statistics.median(large / answer["seconds"] for answer in ours)
    small_rate = statistics.median(size / answer["seconds"] for answer in small)
    peer_rate = statistics.median(peer_size / seconds for seconds in theirs)
    print(f"The whole build, one core, median of {rounds}:")
    print(f"  lumilab   {rate:8.2f} MB/s ({large:.0f} MB, {ours[0]['documents']:,} documents of {ours[0]['read']:,})")
    print(f"  lumilab   {small_rate:8.2f} MB/s ({size:.0f} MB, where loading what is compiled tells)")
    print(f"  datatrove {peer_rate:8.2f} MB/s ({peer_size:.1f} MB)")
    memory, peak = (statistics.median(answer["peak"] for answer in answers) for answers in (small, ours))
    print(f"Peak memory: {memory:.0f} MB for {size:.0f} MB of text, {peak:.0f} MB for {large:.0f} MB")
    claim("build", rate, peer_rate, "MB/s", rate / peer_rate, None)
    claim("build-rate", rate, TARGET_RATE, "MB/s", rate / TARGET_RATE, 1.0)
    claim("build-memory", peak, memory, "MB", peak / memory, TARGET_MEMORY)


def claim(name: str, ours: float, peer: float, unit: str, ratio: float, target: float | None) -> None:
    """One line for the table of all benchmarks."""
    print(json.dumps({"claim": name, "ours": ours, "peer": peer, "unit": unit, "ratio": ratio, "target": target}))


def articles() -> list[str]:
    """Real articles, in order."""
    texts = []
    for path in sorted(ARTICLES.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    return texts


def write(path: Path, texts: Sequence[str], megabytes: float) -> float:
    """Writes this much text: the articles, then others of the same lengths made of their sentences, drawn at random.

    So the filters meet real sentences, and no more documents are near-duplicates than among the articles.

    Returns:
        The size of the text in MB.
    """
    path.parent.mkdir(exist_ok=True)
    draw = random.Random(0)
    sentences = [sentence for text in texts for sentence in text.split(". ")]
    total, passed = 0, 0
    with path.open("wb") as file, zstandard.ZstdCompressor().stream_writer(file) as out:
        while total < megabytes * 1e6:
            for text in texts:
                chosen = ". ".join(draw.choices(sentences, k=text.count(". ") + 1)) if passed else text
                out.write(json.dumps({"text": chosen}, ensure_ascii=False).encode() + b"\n")
                total += len(chosen.encode())
                if total >= megabytes * 1e6:
                    break
            passed += 1
    return total / 1e6


def run_build(source: Path, folder: Path) -> dict[str, Any]:
    """Builds in a new process; what it printed last."""
    command = [sys.executable, __file__, "--build", str(source), str(folder)]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    shutil.rmtree(folder)
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def build(source: Path, folder: Path) -> int:
    """One build; prints seconds, peak memory in MB, and counts."""
    from rich.console import Console

    from lumilab.corpus.build import build_corpus
    from lumilab.recipe.corpus import CorpusConfig
    from lumilab.work.context import WorkContext
    from lumilab.work.progress import Reporter

    config = CorpusConfig.model_validate(
        {
            "sources": [{"kind": "files", "paths": [str(source)]}],
            "filters": {
                "gopher_repetition": {},
                "gopher_quality": {},
                "c4": {"terminal_punctuation": False},
                "fineweb": {},
            },
            "deduplicate": "minhash",
            "workers": 1,
        }
    )
    folder.mkdir()
    context = WorkContext(Reporter(Console(file=sys.stderr)))
    started = time.process_time()  # one worker is this process; other work on the machine does not count
    corpus = build_corpus(config, folder / "corpus", context)
    seconds = time.process_time() - started
    assert corpus is not None
    statistics_ = corpus.manifest.statistics
    peak = peak_memory()
    answer = {"seconds": seconds, "peak": peak, "read": statistics_["read"], "documents": statistics_["documents"]}
    print(json.dumps(answer))
    return 0


def peak_memory() -> float:
    """Of this process, in MB. What `getrusage` tells on Linux includes the process it was forked from."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process's peak memory in /proc")


def run_peer(source: Path, folder: Path) -> float:
    """datatrove's same filters and signatures; seconds."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import JsonlWriter
    from datatrove.utils.hashing import HashConfig
    from loguru import logger

    logger.remove()
    hashing = MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(hash_fc="sha1"))

    def steps() -> list[Any]:
        return [
            JsonlReader(str(source), compression="zstd", doc_progress=False),
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
            JsonlWriter(str(folder / "out"), compression="zstd"),
            MinhashDedupSignature(str(folder / "signatures"), hashing),
        ]

    started = time.process_time()
    LocalPipelineExecutor(steps(), tasks=1, logging_dir=str(folder / "log")).run()
    return time.process_time() - started


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
