"""Learning and encoding, one core: 32k byte-level BPE and Wikipedia to `.npy` files, ours against `tokenizers`.

Both learn the vocabulary from the same articles, and their files must be equal. Both then encode the same articles in
the same batches and write ids and document ends to the same files, which are compared byte by byte; ours begins each
round with a new encoder that remembers nothing. Everything is held to one thread. Time is this process's own, so that
other work does not count, and rounds alternate. Needs ../shared/data.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import tokenizers
import zstandard

from lumilab.dataset.arrays import ArrayWriter
from lumilab.tokenizer.learn_byte_level import learn_by_reference, learn_compiled
from lumilab.tokenizer.load import Tokenizer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "wikipedia-en-2015"
ROUNDS = 3
VOCABULARY = 32_768
BATCH_CHARACTERS = 2**19
ENCODE_TARGET, TRAIN_TARGET = 15.0, 2.0
Result = TypeVar("Result")
Batches = Sequence[Sequence[str]]


def main(arguments: Sequence[str]) -> int:
    """Prints the speeds and one JSON line per claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the articles")
    quick = parser.parse_args(arguments).quick
    if not DATA.is_dir():
        print("Left out: ../shared/data is not beside this checkout.")
        return 0
    # Looked at when the libraries start their first thread.
    os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    files = sorted(DATA.glob("*.jsonl.*"))
    learned_from = _batches(_articles(files[:1]) if quick else _articles(files[:4]))
    definition = _train(learned_from if not quick else learned_from[:4])
    _encode(definition, _batches(_articles(files[:1] if quick else files)))
    return 0


# --- learning --------------------------------------------------------------------------------------------------------


def _train(batches: Batches) -> str:
    """The vocabulary that both learn, and the claim `train`."""
    size = _megabytes(batches)
    learn_compiled([["Compiled before the clock starts. " * 20]], 400, 2)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        seconds, definition = _timed(lambda: learn_compiled(_lists(batches), VOCABULARY, 2))
        ours.append(size / seconds)
        seconds, reference = _timed(lambda: learn_by_reference(_lists(batches), VOCABULARY, 2))
        theirs.append(size / seconds)
        if definition != reference:
            raise SystemExit("The two learned different vocabularies.")
    print(f"learning {VOCABULARY:,} tokens from {size:.1f} MB: equal files, median of {ROUNDS} (lowest to highest):")
    _show("lumilab", ours)
    _show("tokenizers", theirs)
    _claim("train", ours, theirs, TRAIN_TARGET)
    return reference


# --- encoding --------------------------------------------------------------------------------------------------------


def _encode(definition: str, batches: Batches) -> None:
    size = _megabytes(batches)
    library = tokenizers.Tokenizer.from_str(definition)
    library.encode_special_tokens = True
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        places = Path(folder) / "ours", Path(folder) / "theirs"
        for place in places:
            place.mkdir()
        for _ in range(ROUNDS):
            fresh = Tokenizer(definition)
            ready, encoder = _timed(lambda fresh=fresh: fresh.fast_encoder)
            if encoder is None:
                raise SystemExit("gigatoken is missing, or differs from the reference.")
            seconds, _ = _timed(lambda fresh=fresh: _write(places[0], map(fresh.encode_arrays, batches)))
            ours.append(size / seconds)
            seconds, _ = _timed(lambda: _write(places[1], (_library_ids(library, texts) for texts in batches)))
            theirs.append(size / seconds)
        for name in ("tokens.npy", "ends.npy"):
            if (places[0] / name).read_bytes() != (places[1] / name).read_bytes():
                raise SystemExit(f"The two wrote different files: {name}.")
        tokens = np.load(places[0] / "tokens.npy", mmap_mode="r").size
    print(
        f"encoding {size:.1f} MB, {tokens:,} tokens, with writing: equal files, median of {ROUNDS} (lowest to highest);"
        f" ours was loaded and checked on the built-in sample in {ready:.2f} s before the clock started:"
    )
    _show("lumilab", ours)
    _show("tokenizers", theirs)
    _claim("encode", ours, theirs, ENCODE_TARGET)


def _library_ids(library: tokenizers.Tokenizer, texts: Sequence[str]) -> list[np.ndarray]:
    encodings = library.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.array(encoding.ids, dtype=np.uint32) for encoding in encodings]


def _write(folder: Path, batches: Iterator[list[np.ndarray]]) -> None:
    """Ids as uint16 in one file, and in another where each document ends."""
    end = 0
    with (
        ArrayWriter(folder / "tokens.npy", np.dtype(np.uint16)) as tokens,
        ArrayWriter(folder / "ends.npy", np.dtype(np.uint64)) as ends,
    ):
        for arrays in batches:
            tokens.append(np.concatenate(arrays).astype(np.uint16))
            lengths = np.fromiter(map(len, arrays), dtype=np.uint64, count=len(arrays))
            ends.append(end + np.cumsum(lengths, dtype=np.uint64))
            end += int(lengths.sum())


# --- the texts -------------------------------------------------------------------------------------------------------


def _articles(files: Sequence[Path]) -> Iterator[str]:
    for path in files:
        data = path.read_bytes()
        if path.suffix == ".gz":
            lines = gzip.decompress(data)
        else:
            with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as stream:
                lines = stream.read()
        for line in lines.splitlines():
            yield json.loads(line)["text"]


def _batches(texts: Iterator[str]) -> list[list[str]]:
    batches: list[list[str]] = [[]]
    characters = 0
    for text in texts:
        if characters >= BATCH_CHARACTERS:
            batches.append([])
            characters = 0
        batches[-1].append(text)
        characters += len(text)
    return batches


def _lists(batches: Batches) -> Iterator[list[str]]:
    return (list(batch) for batch in batches)


def _megabytes(batches: Batches) -> float:
    return sum(len(text.encode()) for batch in batches for text in batch) / 1e6


# --- the clock -------------------------------------------------------------------------------------------------------


def _timed(work: Callable[[], Result]) -> tuple[float, Result]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def _show(name: str, speeds: list[float]) -> None:
    print(f"  {name:<10} {statistics.median(speeds):8.2f} MB/s ({min(speeds):.2f} to {max(speeds):.2f})")


def _claim(name: str, ours: list[float], theirs: list[float], target: float) -> None:
    speed, peer = statistics.median(ours), statistics.median(theirs)
    claim = {"claim": name, "ours": speed, "peer": peer, "unit": "MB/s", "ratio": speed / peer}
    print(json.dumps({**claim, "target": target}))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
