"""Local files of every readable format, named one by one, by folder or by glob, as tasks of about equal size.

Large files that can be read from the middle are cut, JSON lines by ranges of bytes and parquet by row groups; small
ones are bundled, so that neither one huge file nor a hundred thousand tiny ones make the work uneven. Compressed files
are read as a whole. The documents, their ids and their order are the same however the files are cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lumilab.corpus.compression import SUFFIXES
from lumilab.corpus.document import Record
from lumilab.corpus.readers import formats
from lumilab.corpus.readers.documents import DocumentReader
from lumilab.corpus.readers.pieces import PIECE_BYTES, Piece, cut
from lumilab.corpus.sources.finding import find_files
from lumilab.corpus.sources.source import Part, RawPath
from lumilab.recipe.corpus import FilesSource
from lumilab.work.stopping import StopRequest

BUNDLE_FILES = 1000
# Smaller files are not even opened to see whether they could be cut.
_CUT_BYTES = 8 << 20
_MEND = (
    f"readable are {', '.join(formats.READABLE)}, also with {', '.join(SUFFIXES)} behind; "
    "a plain .json file must be named or matched by a glob, because in folders most only describe the data."
)


class LocalFiles:
    """The files of one FilesSource; finding them is part of construction.

    Raises:
        InputError: a path does not exist, matches nothing, or is of a kind that cannot be read.
    """

    def __init__(self, config: FilesSource) -> None:
        self.name = config.name
        self._reader = DocumentReader(config.name, config.text_field)
        self._files = find_files(config.name, config.paths, _is_readable, _MEND, _is_taken_from_folders)

    def raw_paths(self) -> list[RawPath]:
        return self._files

    def parts(self) -> list[Part]:
        return [Part("files", file_tasks(self._files, self._reader))]


@dataclass(frozen=True)
class FilesTask:
    """Some whole files, or a piece of one."""

    name: str
    size: int
    files: tuple[RawPath, ...]
    piece: Piece | None
    reader: DocumentReader

    def read(self, stop: StopRequest) -> Iterator[Record]:
        for file in self.files:
            stop.check()
            with file.path.open("rb") as stream:
                for record in self.reader.read(stream, file.root, file.name, self.piece):
                    stop.check()
                    yield record


def file_tasks(files: Sequence[RawPath], reader: DocumentReader) -> list[FilesTask]:
    """Cuts and bundles files into tasks, in the order of the files; reads large uncut files to count their lines."""
    tasks: list[FilesTask] = []
    bundle: list[RawPath] = []
    bytes_in_bundle = 0
    for file in files:
        size = file.path.stat().st_size
        pieces = _pieces(file, size)
        full = len(bundle) >= BUNDLE_FILES or bytes_in_bundle + size > PIECE_BYTES
        if bundle and (full or pieces):
            tasks.append(_bundle_task(bundle, bytes_in_bundle, reader))
            bundle, bytes_in_bundle = [], 0
        if pieces:
            tasks += [
                FilesTask(f"{file.root}:{file.name}:{piece.row}", piece.size, (file,), piece, reader)
                for piece in pieces
            ]
        else:
            bundle.append(file)
            bytes_in_bundle += size
    if bundle:
        tasks.append(_bundle_task(bundle, bytes_in_bundle, reader))
    return tasks


def _bundle_task(bundle: Sequence[RawPath], size: int, reader: DocumentReader) -> FilesTask:
    name = f"{bundle[0].root}:{bundle[0].name}"
    if len(bundle) > 1:
        name += f" and {len(bundle) - 1} more"
    return FilesTask(name, size, tuple(bundle), None, reader)


def _pieces(file: RawPath, size: int) -> list[Piece]:
    if size < _CUT_BYTES or formats.is_compressed(file.name):
        return []
    with file.path.open("rb") as stream:
        return cut(stream, file.name)


def _is_readable(name: str) -> bool:
    return formats.format_of(name) is not None


def _is_taken_from_folders(name: str) -> bool:
    """All but plain .json files: in a folder of texts these are most often descriptions of it."""
    return _is_readable(name) and not name.lower().endswith(formats.JSON)
