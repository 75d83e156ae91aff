"""Wikipedia in its four public shapes: XML dumps, Wikimedia Enterprise's JSON lines with wikitext or HTML, its
Structured Contents, and the wikimedia/wikipedia parquet files.

A file's ending says how it is opened (`.xml`, `.ndjson`, `.jsonl`, `.json`, `.parquet`, a `.tar` of any of the JSON
ones, and each but parquet also compressed), and each row what it holds, so shapes may be mixed in one folder. A file is
one task; JSON lines and parquet files of over 64 MiB are cut into several.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from lumilab.corpus.compression import SUFFIXES, DamagedStreamError, open_plain, plain_blocks
from lumilab.corpus.document import BadRecord, Record
from lumilab.corpus.readers import formats
from lumilab.corpus.readers.documents import rows
from lumilab.corpus.readers.pieces import PIECE_BYTES, Piece, cut
from lumilab.corpus.sources.finding import find_files
from lumilab.corpus.sources.source import Part, RawPath
from lumilab.corpus.wikipedia.dump import read_pages
from lumilab.corpus.wikipedia.records import page_record, row_record
from lumilab.recipe.corpus import WikipediaSource
from lumilab.work.stopping import StopRequest

_ROWS = (*formats.JSON_LINES, *formats.JSON, *formats.PARQUET)
_MEND = f"readable are .xml, .ndjson, .jsonl, .json and .tar, also with {', '.join(SUFFIXES)} behind, and .parquet."


class Wikipedia:
    """The files of one WikipediaSource; finding them is part of construction.

    Raises:
        InputError: a path does not exist, matches nothing, or is of a kind that cannot be read.
    """

    def __init__(self, config: WikipediaSource) -> None:
        self.name = config.name
        self._files = find_files(config.name, config.paths, _is_readable, _MEND)

    def raw_paths(self) -> list[RawPath]:
        return self._files

    def parts(self) -> list[Part]:
        return [Part("articles", [task for file in self._files for task in _tasks(file, self.name)])]


@dataclass(frozen=True)
class WikipediaTask:
    """A file, or a piece of one."""

    name: str
    size: int
    source: str
    file: RawPath
    piece: Piece | None = None

    def read(self, stop: StopRequest) -> Iterator[Record]:
        for record in self._records():
            stop.check()
            yield record

    def _records(self) -> Iterator[Record]:
        root, name = self.file.root, self.file.name
        if _ending(name) == ".tar":
            yield from self._archive()
            return
        with self.file.path.open("rb") as stream:
            if _ending(name) == ".xml":
                for page in read_pages(plain_blocks(stream, name), root, name):
                    yield page if isinstance(page, BadRecord) else page_record(page, self.source, root, name)
            else:
                yield from self._rows(stream, name)

    def _rows(self, stream: BinaryIO, name: str) -> Iterator[Record]:
        root = self.file.root
        for row in rows(stream, root, name, self.piece):
            if isinstance(row, BadRecord):
                yield row
            else:
                number, fields = row
                yield row_record(fields, self.source, root, name, number)

    def _archive(self) -> Iterator[Record]:
        """The members one after the other, as they come out of the compressed stream."""
        root, name = self.file.root, self.file.name
        try:
            with open_plain(self.file.path) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
                for member in archive:
                    content = archive.extractfile(member) if member.isfile() else None
                    # Parquet cannot be read in passing, and is no way in which articles are archived.
                    if content is not None and formats.format_of(member.name) in formats.JSON_LINES + formats.JSON:
                        yield from self._rows(content, f"{name}/{member.name}")  # type: ignore[arg-type]
        except (tarfile.TarError, DamagedStreamError):
            yield BadRecord(root, name, None, "damaged archive")


def _tasks(file: RawPath, source: str) -> list[WikipediaTask]:
    size = file.path.stat().st_size
    name = f"{file.root}:{file.name}"
    pieces: list[Piece] = []
    if size > PIECE_BYTES and _ending(file.name) in formats.JSON_LINES + formats.PARQUET:
        with file.path.open("rb") as stream:
            pieces = cut(stream, file.name)
    if not pieces:
        return [WikipediaTask(name, size, source, file)]
    return [WikipediaTask(f"{name}:{piece.row}", piece.size, source, file, piece) for piece in pieces]


def _ending(name: str) -> str:
    """The ending that tells how a file is read, in lower case and without that of its compression."""
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in SUFFIXES else path.suffix


def _is_readable(name: str) -> bool:
    return _ending(name) in (".xml", ".tar") or formats.format_of(name) in _ROWS
