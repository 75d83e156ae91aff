"""What every source is to the build: named parts that are read in order, and raw files that can be hashed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lumilab.corpus.document import Record
from lumilab.work.stopping import StopRequest


@dataclass(frozen=True)
class RawPath:
    """A raw file: `name` (relative, forward slashes) below `folder`, which the artifact knows as `root`."""

    root: str
    folder: Path
    name: str

    @property
    def path(self) -> Path:
        return self.folder / self.name


@dataclass(frozen=True)
class Part:
    """One kind of record within a source, counted on its own in the card.

    `read(stop)` yields the records in a fixed order and honours the stop request between them.
    """

    name: str
    read: Callable[[StopRequest], Iterator[Record]]


class Source(Protocol):
    """A configured source."""

    name: str

    def raw_paths(self) -> Sequence[RawPath]:
        """Every file the source may read, in reading order."""
        ...

    def parts(self) -> Sequence[Part]:
        """What it yields, in reading order."""
        ...
