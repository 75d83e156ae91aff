"""What reading one task leaves for the steps after it: its accepted documents, where to find each, and their hashes.

A segment is a folder of `documents.jsonl.zst`, Zstandard frames of about a quarter of a megabyte, so that one document
can be fetched without reading those before it; `frames.npy`, where each frame begins and which document is its first;
`facts.npy`, what the card will count of each; `content.npy`, a 128-bit hash of each text; and, where near-duplicates
are looked for, `bands.npy`. It lives in the build's own work folder and is gone once the corpus is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import orjson
import zstandard

from lumilab.corpus.document import Document
from lumilab.corpus.samples import rank_of

FACTS = ("characters", "bytes", "rank", "language")  # rank: place in the draw of samples
LANGUAGE = "language"  # in a document's meta, where a filter identified it
FRAME_BYTES = 1 << 18
LEVEL = 1  # read twice and thrown away
Hashes = npt.NDArray[np.uint64]


class SegmentWriter:
    """Writes one segment; use it as a context manager. Memory: one frame, and the hashes of every document."""

    def __init__(self, folder: Path, bands: int | None) -> None:
        self._folder = folder
        self._bands = bands
        self._file = (folder / "documents.jsonl.zst").open("wb")
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._lines: list[bytes] = []
        self._pending = 0
        self._frames: list[tuple[int, int]] = []  # (byte offset, first document)
        self._facts: list[tuple[int, int, int, int]] = []
        self._languages: dict[str | None, int] = {}
        self._content: list[bytes] = []
        self._band_hashes: list[Hashes] = []

    def __enter__(self) -> Self:
        return self

    def __len__(self) -> int:
        return len(self._content)

    def write(self, document: Document, line: bytes, size: int, content_hash: bytes, bands: Hashes | None) -> None:
        """Appends a document.

        Args:
            document: what is written.
            line: the same as one JSON line, newline included.
            size: of its text in bytes.
            content_hash: 16 bytes.
            bands: uint64 [bands]; None where the document is too short to have any.
        """
        if not self._lines:
            self._frames.append((self._file.tell(), len(self._content)))
        self._lines.append(line)
        self._pending += len(line)
        language = self._languages.setdefault(document.meta.get(LANGUAGE), len(self._languages))
        self._facts.append((len(document.text), size, rank_of(document.id), language))
        self._content.append(content_hash)
        if self._bands is not None:
            self._band_hashes.append(np.zeros(self._bands, np.uint64) if bands is None else bands)
        if self._pending >= FRAME_BYTES:
            self._end_frame()

    def _end_frame(self) -> None:
        self._file.write(self._compressor.compress(b"".join(self._lines)))
        self._lines, self._pending = [], 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                if self._lines:
                    self._end_frame()
                documents = len(self._content)
                frames = [*self._frames, (self._file.tell(), documents)]
                np.save(self._folder / "frames.npy", np.array(frames, np.int64))
                np.save(self._folder / "facts.npy", np.array(self._facts, np.int64).reshape(documents, len(FACTS)))
                (self._folder / "languages.json").write_bytes(orjson.dumps(list(self._languages)))
                content = np.frombuffer(b"".join(self._content), np.uint64).reshape(documents, 2)
                np.save(self._folder / "content.npy", content)
                if self._bands is not None:
                    stacked = np.array(self._band_hashes, np.uint64).reshape(documents, self._bands)
                    np.save(self._folder / "bands.npy", stacked)


@dataclass(frozen=True)
class Segment:
    """A finished segment, opened when it is looked into; picklable."""

    folder: Path

    @cached_property
    def _frames(self) -> npt.NDArray[np.int64]:
        frames: npt.NDArray[np.int64] = np.load(self.folder / "frames.npy")
        return frames

    def __len__(self) -> int:
        return int(self._frames[-1, 1])

    def facts(self) -> npt.NDArray[np.int64]:
        """FACTS of each document: int64 [documents, 4], memory-mapped."""
        facts: npt.NDArray[np.int64] = np.load(self.folder / "facts.npy", mmap_mode="r")
        return facts

    def languages(self) -> list[str | None]:
        """What the numbers in the facts' last column stand for; None where no language was identified."""
        names: list[str | None] = orjson.loads((self.folder / "languages.json").read_bytes())
        return names

    def content(self) -> Hashes:
        """128-bit hash of each text: uint64 [documents, 2], memory-mapped."""
        hashes: Hashes = np.load(self.folder / "content.npy", mmap_mode="r")
        return hashes

    def bands(self) -> Hashes:
        """Band hashes: uint64 [documents, bands], memory-mapped; a row of zeros has no shingles to compare."""
        hashes: Hashes = np.load(self.folder / "bands.npy", mmap_mode="r")
        return hashes

    def lines(self, first: int, last: int) -> Iterator[bytes]:
        """Documents first to last - 1 as JSON lines with newline, in order; one frame in memory."""
        frames = self._frames
        frame = int(np.searchsorted(frames[:-1, 1], first, side="right")) - 1
        with (self.folder / "documents.jsonl.zst").open("rb") as file:
            while frame < len(frames) - 1 and int(frames[frame, 1]) < last:
                (start, document), (end, _) = frames[frame].tolist(), frames[frame + 1].tolist()
                file.seek(start)
                for line in zstandard.ZstdDecompressor().decompress(file.read(end - start)).splitlines(keepends=True):
                    if first <= document < last:
                        yield line
                    document += 1
                frame += 1

    def documents(self, numbers: Sequence[int]) -> Iterator[Document]:
        """The documents of these ascending numbers; each frame that holds any of them is read once."""
        frames = self._frames[:, 1]
        position = 0
        while position < len(numbers):
            frame = int(np.searchsorted(frames[:-1], numbers[position], side="right")) - 1
            first, last = int(frames[frame]), int(frames[frame + 1])
            lines = list(self.lines(first, last))
            while position < len(numbers) and numbers[position] < last:
                yield Document(**orjson.loads(lines[numbers[position] - first]))
                position += 1
