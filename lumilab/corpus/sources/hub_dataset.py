"""A dataset of the hub as a source: from the folder it was downloaded to, or streamed without keeping it.

Both ways give the same documents with the same ids, and name the same raw files by size and SHA-256: the hub lists
these hashes itself, so nothing has to be downloaded to know what will be read. A streamed parquet file is cut into
tasks by shares of its row groups, which each task finds in the footer on its own; other files are a task each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

from lumilab.artifact import RawFile
from lumilab.corpus.document import Record
from lumilab.corpus.hub import presets
from lumilab.corpus.hub.api import Hub, HubFile
from lumilab.corpus.hub.download import Request, list_files
from lumilab.corpus.hub.persistence import Manners, Patience
from lumilab.corpus.hub.record import DatasetRecord, is_complete
from lumilab.corpus.hub.remote_stream import RemoteStream
from lumilab.corpus.hub.transfer import READ_BYTES, Checksum
from lumilab.corpus.readers.documents import DocumentReader
from lumilab.corpus.readers.formats import PARQUET, format_of
from lumilab.corpus.readers.parquet_rows import row_groups
from lumilab.corpus.readers.pieces import Piece
from lumilab.corpus.sources.local_files import file_tasks
from lumilab.corpus.sources.source import Part, RawPath
from lumilab.errors import InputError, MismatchError
from lumilab.recipe.corpus import HubSource
from lumilab.work.stopping import StopRequest

TASK_BYTES = 256 << 20  # of a parquet file, compressed


class HubDataset:
    """The dataset of one HubSource; without a folder, construction asks the hub for its files.

    Args:
        config: the recipe's section.
        patience: with the hub.

    Raises:
        ConfigError: no such dataset or subset.
        InputError: the folder or the hub does not have it, or not all of it.
        MismatchError: the folder holds another dataset, subset or revision.
        ResourceError: the hub cannot be reached.
    """

    def __init__(self, config: HubSource, patience: Patience | None = None) -> None:
        self.name = config.name
        self._folder = None if config.folder is None else Path(config.folder).absolute()
        self._patience = patience
        if self._folder is None:
            request = Request(config.dataset, config.subset, config.revision)
            self._hub: Hub | None = Hub(Manners(patience))
            self._record = list_files(self._hub, request)
        else:
            self._hub = None
            self._record = _record_of(self._folder, config)
        self._reader = DocumentReader(config.name, config.text_field or self._record.text_field)

    @property
    def record(self) -> DatasetRecord:
        """Which commit and files of the dataset are read."""
        return self._record

    @property
    def origin(self) -> str:
        """Where the raw files are: a folder, or the address of the commit on the hub."""
        if self._hub is None:
            return str(self._folder)
        return f"{self._hub.endpoint}/datasets/{self._record.repository}/resolve/{self._record.commit}"

    def raw_paths(self) -> list[RawPath]:
        """The downloaded files; none are here when they are streamed, see `raw_files`."""
        if self._folder is None:
            return []
        return [RawPath(self.name, self._folder, file.name) for file in self._record.files]

    @cached_property
    def _raw_files(self) -> list[RawFile]:
        return [RawFile(self.name, file.name, file.size, self._sha256(file)) for file in self._record.files]

    def raw_files(self) -> list[RawFile]:
        """The raw files as the hub lists them, whether they are here or not: their identity without reading them."""
        return self._raw_files

    @contextmanager
    def opened(self, file: HubFile, stop: StopRequest) -> Iterator[BinaryIO]:
        """One of the record's files, as a seekable stream: for what is no text, such as conversations."""
        if self._folder is not None:
            with (self._folder / file.name).open("rb") as stream:
                yield stream
            return
        assert self._hub is not None
        hub = Hub(Manners(self._patience, stop), self._hub.endpoint)
        whole = format_of(file.name) not in PARQUET
        with RemoteStream(hub, self._record.repository, self._record.commit, file, whole=whole) as remote:
            yield cast(BinaryIO, remote)

    def parts(self) -> list[Part]:
        """One part: the rows of all files."""
        if self._folder is not None:
            return [Part("files", file_tasks(self.raw_paths(), self._reader))]
        return [Part("files", [task for file in self._record.files for task in self._tasks(file)])]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _tasks(self, file: HubFile) -> Iterator[HubTask]:
        assert self._hub is not None
        shares = max(1, -(-file.size // TASK_BYTES)) if format_of(file.name) in PARQUET else 1
        for share in range(shares):
            name = f"{self.name}:{file.name}" + (f":{share + 1} of {shares}" if shares > 1 else "")
            yield HubTask(
                name, file.size // shares, self._hub.endpoint, self._record.repository, self._record.commit,
                file, self.name, share, shares, self._reader, self._patience,
            )  # fmt: skip

    def _sha256(self, file: HubFile) -> str:
        """The hash the hub lists; the few files that it lists none for are small, and fetched."""
        if file.sha256 is not None or self._hub is None:
            return file.sha256 or ""
        checksum = Checksum(file)
        stream = RemoteStream(self._hub, self._record.repository, self._record.commit, file, whole=True)
        while data := stream.read(READ_BYTES):
            checksum.update(data)
        return checksum.sha256


@dataclass(frozen=True)
class HubTask:
    """A file of the hub, or a share of the row groups of a parquet file.

    Attributes:
        name, size: see ReadTask.
        endpoint: of the hub. The token is no part of the task: each worker finds it in its own environment.
        dataset, commit, file: what is read.
        root: for document ids.
        share, shares: the row groups from share / shares to (share + 1) / shares of all.
        reader: makes documents of rows.
        patience: with the hub.
    """

    name: str
    size: int
    endpoint: str
    dataset: str
    commit: str
    file: HubFile
    root: str
    share: int
    shares: int
    reader: DocumentReader
    patience: Patience | None

    def read(self, stop: StopRequest) -> Iterator[Record]:
        """The records of the share; honours the stop request between them and while it waits for the hub."""
        parquet = format_of(self.file.name) in PARQUET
        hub = Hub(Manners(self.patience, stop), self.endpoint)
        with RemoteStream(hub, self.dataset, self.commit, self.file, whole=not parquet) as remote:
            stream = cast(BinaryIO, remote)
            piece = self._piece(stream) if parquet else None
            if piece is not None and piece.first == piece.end and self.share:
                return  # more shares than row groups, or a damaged file, which the first share tells of
            for record in self.reader.read(stream, self.root, self.file.name, piece):
                stop.check()
                yield record

    def _piece(self, stream: BinaryIO) -> Piece | None:
        """The share in row groups; None for a file without any, which is read as a whole to be told what it is."""
        groups = row_groups(stream)
        stream.seek(0)
        if not groups and not self.share:
            return None
        first, end = (len(groups) * share // self.shares for share in (self.share, self.share + 1))
        row = 1 + sum(group.rows for group in groups[:first])
        return Piece(first, end, row, sum(group.compressed_bytes for group in groups[first:end]))


def _record_of(folder: Path, config: HubSource) -> DatasetRecord:
    """The record of a downloaded dataset, once it is known to be the configured one and whole."""
    record = DatasetRecord.read(folder)
    repository, preset = presets.find(config.dataset)
    subset = config.subset or (preset.subset if preset else record.subset)
    for what, wanted, there in (
        ("dataset", repository, (record.repository,)),
        ("subset", subset, (record.subset,)),
        ("revision", config.revision, (record.revision, record.commit)),
    ):
        if wanted not in there:
            raise MismatchError(
                f"The folder holds {what} {there[0]!r} and the recipe asks for {wanted!r}",
                where=str(folder),
                mend=f"correct `{what}` or `folder` of the source {config.name!r} in the recipe.",
            )
    missing = [file for file in record.files if not is_complete(folder, file)]
    if missing:
        raise InputError(
            f"The download is not complete: {len(missing)} of {len(record.files)} files are missing, "
            f"{missing[0].name} for one",
            where=str(folder),
            mend="run the same `lumi corpus download` again; it goes on where it was.",
        )
    return record
