"""The rows that conversations are made of, from files of this machine or from a dataset of the hub.

Both are read by the corpus's own readers, in every format that has rows (JSON lines, JSON, CSV, parquet; compressed or
not), and are known by the hashes of their raw files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lumilab.artifact import RawFile
from lumilab.corpus.compression import SUFFIXES
from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers import formats
from lumilab.corpus.readers.documents import rows
from lumilab.corpus.sources.hub_dataset import HubDataset
from lumilab.corpus.sources.local_files import LocalFiles
from lumilab.corpus.sources.source import RawPath
from lumilab.errors import InputError
from lumilab.recipe.conversations import RowConversations
from lumilab.recipe.corpus import FilesSource, HubSource
from lumilab.work.stopping import StopRequest


@dataclass(frozen=True, slots=True)
class RefusedRow(BadRecord):
    """A row that is no conversation.

    Attributes:
        detail: what was found in it, in words.
    """

    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands."""

    root: str
    file: str
    number: int
    value: Any

    def refused(self, reason: str, detail: str) -> RefusedRow:
        """This row as one that is no conversation."""
        return RefusedRow(self.root, self.file, self.number, reason, detail)


class Rows(Protocol):
    """Where rows come from."""

    def raw_paths(self) -> Sequence[RawPath]:
        """The files on this machine, in reading order."""
        ...

    def remote_files(self) -> tuple[Sequence[RawFile], Mapping[str, str]]:
        """The files that are not, with the address of their root."""
        ...

    def read(self, stop: StopRequest) -> Iterator[Row | BadRecord]:
        """All rows in a fixed order, and what cannot be read; honours the stop request between them."""
        ...


def open_rows(section: RowConversations) -> Rows:
    """The rows of a section.

    Raises:
        InputError: a path does not exist, or holds no file with rows; or as HubDataset.
    """
    return FileRows(section.name, section.paths) if section.paths else HubRows(section)


class FileRows:
    """Rows of local files.

    Args:
        name: of the source.
        paths: files, folders and globs.
    """

    def __init__(self, name: str, paths: Sequence[str]) -> None:
        found = LocalFiles(FilesSource(name=name, paths=list(paths))).raw_paths()
        self._files = [file for file in found if formats.format_of(file.name) in formats.ROWS]
        if not self._files:
            raise InputError(
                "There is no file with rows to read conversations from",
                where=", ".join(paths),
                mend=f"give files that end in {', '.join(formats.ROWS)}; all but the last also with "
                f"{', '.join(SUFFIXES)} behind.",
            )

    def raw_paths(self) -> Sequence[RawPath]:
        return self._files

    def remote_files(self) -> tuple[Sequence[RawFile], Mapping[str, str]]:
        return [], {}

    def read(self, stop: StopRequest) -> Iterator[Row | BadRecord]:
        for file in self._files:
            with file.path.open("rb") as stream:
                for row in rows(stream, file.root, file.name):
                    stop.check()
                    yield row if isinstance(row, BadRecord) else Row(file.root, file.name, *row)


class HubRows:
    """Rows of a dataset of the hub, streamed or from the folder it was downloaded to."""

    def __init__(self, section: RowConversations) -> None:
        assert section.dataset is not None  # the recipe sees to it
        self._name = section.name
        self._dataset = HubDataset(
            HubSource(
                name=section.name,
                dataset=section.dataset,
                subset=section.subset,
                revision=section.revision,
                folder=section.folder,
            )
        )

    def raw_paths(self) -> Sequence[RawPath]:
        return self._dataset.raw_paths()

    def remote_files(self) -> tuple[Sequence[RawFile], Mapping[str, str]]:
        if self._dataset.raw_paths():
            return [], {}
        return self._dataset.raw_files(), {self._name: self._dataset.origin}

    def read(self, stop: StopRequest) -> Iterator[Row | BadRecord]:
        for file in self._dataset.record.files:
            with self._dataset.opened(file, stop) as stream:
                for row in rows(stream, self._name, file.name):
                    stop.check()
                    yield row if isinstance(row, BadRecord) else Row(self._name, file.name, *row)


def place_of(record: BadRecord, folders: Mapping[str, Path]) -> str:
    """Where a refused row stands, for a person."""
    file = str(folders[record.root] / record.file) if record.root in folders else record.file
    return file if record.line is None else f"{file}, row {record.line}"
