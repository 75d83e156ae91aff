"""Training batches from the page cache, one core: ours against PyTorch's DataLoader over the same memory maps.

Both give int64 inputs and labels of 2 048-token windows, 16 a batch, in random order, from the same uint16 files: ours
as a weighted mix of three sources, the peer as one shuffled list of windows, which is less work. No threads, no worker
processes. Rounds alternate, so that a machine that slows down slows both, and time is this process's own. Then the time
to open a mix of 10^10 windows at sample 10^9, and the memory that takes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from lumilab.artifact import Artifact, ArtifactBuilder
from lumilab.dataset.loader import WindowLoader, open_windows
from lumilab.dataset.mixture import Mixture, Segment
from lumilab.dataset.residency import BatchStream
from lumilab.dataset.split_writer import SplitWriter

WINDOW, BATCH, ROUNDS = 2_048, 16, 5
WEIGHTS = {"web": 0.6, "code": 0.3, "books": 0.1}
TARGET = 20.0  # million tokens a second


def main(arguments: Sequence[str]) -> int:
    """Prints both speeds as the median of five, the time to resume, and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the tokens")
    windows = 1_600 if parser.parse_args(arguments).quick else 16_000
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = _publish(Path(folder) / "dataset", windows)
        ours, theirs = [], []
        for number in range(ROUNDS + 1):
            speeds = _speed(_ours(dataset, windows)), _speed(_peers(dataset, windows))
            if number:  # the first round brings the files into the page cache
                ours.append(speeds[0])
                theirs.append(speeds[1])
    speed, peer = statistics.median(ours), statistics.median(theirs)
    tokens = windows // BATCH * BATCH * WINDOW
    print(f"{tokens / 1e6:.0f} million tokens a round, median of {ROUNDS} (lowest to highest):")
    print(f"  lumilab    {speed:7.1f} million tokens/s ({min(ours):.1f} to {max(ours):.1f}; target {TARGET:.0f})")
    print(f"  DataLoader {peer:7.1f} million tokens/s ({min(theirs):.1f} to {max(theirs):.1f})")
    seconds, peak = _resume()
    print(f"  at sample 10^9 of 10^10 windows after {seconds:.4f} s, with {peak / 1e3:.0f} kB of memory at most")
    claim = {"claim": "loader", "ours": speed, "peer": peer, "unit": "M tokens/s", "ratio": speed / peer}
    print(json.dumps({**claim, "target": None}))  # the target is a speed, not a ratio
    return 0


def _publish(target: Path, windows: int) -> Artifact:
    """A dataset of three sources with so many windows together, of random tokens in documents of 700."""
    draw = np.random.default_rng(0)
    config = {"dataset": {"window": WINDOW, "packing": "concat"}, "vocabulary_size": 32_768}
    with ArtifactBuilder(target, kind="dataset", config=config) as builder:
        with SplitWriter(builder, "train", np.dtype(np.uint16), 100_000_000) as writer:
            for source in WEIGHTS:
                count = windows // len(WEIGHTS) * WINDOW + 1
                tokens = draw.integers(0, 32_768, count, dtype=np.uint16)
                with writer.stream(source) as stream:
                    stream.append(tokens, np.append(np.arange(700, count, 700), count), 4 * count)
        return builder.publish()


def _ours(dataset: Artifact, windows: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    sources = open_windows(dataset, "train")
    mixture = Mixture({each.source: each.count for each in sources}, 1, [Segment(0, WEIGHTS)])
    with BatchStream(WindowLoader(sources, mixture, BATCH), workers=0) as stream:
        for step in range(windows // BATCH):
            batch = stream.get(step)
            yield batch.inputs, batch.labels


class _MappedWindows(Dataset[Any]):
    """The windows of memory-mapped files, as a PyTorch user would write it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.files = [np.load(path, mmap_mode="r") for path in paths]
        self.each = (len(self.files[0]) - 1) // WINDOW

    def __len__(self) -> int:
        return self.each * len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        file, place = divmod(index, self.each)
        tokens = torch.from_numpy(self.files[file][place * WINDOW : (place + 1) * WINDOW + 1].astype(np.int64))
        return tokens[:-1], tokens[1:]


def _peers(dataset: Artifact, windows: int) -> Iterator[Any]:
    loader = DataLoader(_MappedWindows(sorted(dataset.path.rglob("tokens-*.npy"))), BATCH, shuffle=True, drop_last=True)
    for step, batch in enumerate(loader):
        if step == windows // BATCH:
            return
        yield batch


def _speed(batches: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Million tokens a second of this process's time, opening included."""
    start, tokens = time.process_time(), 0
    for inputs, labels in batches:
        assert inputs.dtype is labels.dtype is torch.int64
        tokens += inputs.numel()
    return tokens / (time.process_time() - start) / 1e6


def _resume() -> tuple[float, int]:
    """Seconds to open a mix of 10^10 windows and locate sample 10^9, and the most memory it took, in bytes."""
    sizes = {"web": 7 * 10**9, "code": 2 * 10**9, "books": 10**9}
    start = time.perf_counter()
    Mixture(sizes, 1, [Segment(0, WEIGHTS)]).locate(np.arange(10**9, 10**9 + BATCH))
    seconds = time.perf_counter() - start
    tracemalloc.start()
    Mixture(sizes, 1, [Segment(0, WEIGHTS)]).locate(np.arange(10**9, 10**9 + BATCH))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return seconds, peak


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
