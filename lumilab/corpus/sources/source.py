"""What every source is to the build: named parts made of tasks that can be read anywhere, and raw files to hash."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lumilab.artifact import RawFile
from lumilab.corpus.document import Record
from lumilab.errors import InputError
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


class ReadTask(Protocol):
    """A piece of a source that one worker reads: a file, or a range of its row groups or bytes.

    It is pickled and read in another process or on another machine, so it holds names and numbers, no open files. How
    a source is cut into tasks depends on its files alone, never on how many workers there are.
    """

    @property
    def name(self) -> str:
        """Unique among the tasks of its source and free of absolute paths, for progress, errors and the ledger."""
        ...

    @property
    def size(self) -> int:
        """Bytes it will read, about: for progress, and to begin with the largest."""
        ...

    def read(self, stop: StopRequest) -> Iterator[Record]:
        """The records in their fixed order; honours the stop request between them. Bounded memory."""
        ...


@dataclass(frozen=True)
class Part:
    """One kind of record within a source, counted on its own in the card, with its tasks in reading order."""

    name: str
    tasks: Sequence[ReadTask]


class Source(Protocol):
    """A configured source."""

    name: str

    def raw_paths(self) -> Sequence[RawPath]:
        """Every file the source may read, in reading order."""
        ...

    def parts(self) -> Sequence[Part]:
        """What it yields, in reading order."""
        ...


@runtime_checkable
class RemoteSource(Source, Protocol):
    """A source whose raw files need not be on this machine."""

    @property
    def origin(self) -> str:
        """The address of the files."""
        ...

    def raw_files(self) -> list[RawFile]:
        """Name, size and hash of each, as they are told where they are."""
        ...


def inventory(paths: Iterable[RawPath]) -> tuple[list[RawFile], dict[str, Path]]:
    """Every raw file with its hash, and the folder of each root; reads all of them, several at a time."""
    paths = list(paths)
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # hashing leaves the interpreter's lock
        files = list(threads.map(lambda path: RawFile.of(path.root, path.folder, path.path), paths))
    return files, {path.root: path.folder for path in paths}


class Unchanged:
    """Remembers size and time of the last change of raw files: recorded hashes are only true of what was read if
    nothing changed between hashing and reading."""

    def __init__(self, paths: Iterable[RawPath]) -> None:
        self._stamps = {path.path: _stamp(path.path) for path in paths}

    def check(self) -> None:
        """Compares them with how the files are now.

        Raises:
            InputError: a file changed or is gone.
        """
        for path, stamp in self._stamps.items():
            if _stamp(path) != stamp:
                raise InputError(
                    "A source file changed while it was being read",
                    where=str(path),
                    mend="run the same command again once nothing writes to the sources.",
                )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns
