"""Local text and JSON-lines files, plain or compressed, named one by one, by folder or by glob.

A text file is one document; each line of a JSON-lines file is one. Everything streams: at most one record is in
memory. What cannot be read is yielded as a BadRecord and the reading goes on behind it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from lumilab.corpus.compression import DAMAGE, SUFFIXES, open_plain
from lumilab.corpus.document import BadRecord, Document, Record
from lumilab.corpus.sources.source import Part, RawPath
from lumilab.errors import InputError
from lumilab.recipe.corpus import FilesSource
from lumilab.work.stopping import StopRequest

TEXT_ENDINGS = (".txt", ".md")
LINE_ENDINGS = (".jsonl",)
MAX_LINE_BYTES = 32 << 20
MAX_TEXT_BYTES = 256 << 20
META_CHARACTERS = 200  # longer strings beside the text are content of some other kind, not a description


class LocalFiles:
    """The files of one FilesSource; finding them is part of construction.

    Raises:
        InputError: a path does not exist, matches nothing, or is of a kind that cannot be read.
    """

    def __init__(self, config: FilesSource) -> None:
        self.name = config.name
        self._text_field = config.text_field
        self._files = _find(config)

    def raw_paths(self) -> list[RawPath]:
        return self._files

    def parts(self) -> list[Part]:
        return [Part("files", self._read)]

    def _read(self, stop: StopRequest) -> Iterator[Record]:
        for file in self._files:
            stop.check()
            records = self._read_lines(file) if _kind(file.name) in LINE_ENDINGS else self._read_text(file)
            for record in records:
                stop.check()
                yield record

    def _read_text(self, file: RawPath) -> Iterator[Record]:
        try:
            with open_plain(file.path) as stream:
                data = stream.read(MAX_TEXT_BYTES + 1)
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            yield BadRecord(file.root, file.name, None, "invalid UTF-8")
        except DAMAGE:
            yield BadRecord(file.root, file.name, None, "damaged compression")
        else:
            if not data:
                yield BadRecord(file.root, file.name, None, "empty file")
            elif len(data) > MAX_TEXT_BYTES:
                yield BadRecord(file.root, file.name, None, f"text file over {MAX_TEXT_BYTES >> 20} MiB")
            else:
                yield Document(f"{file.root}:{file.name}", text, self.name)

    def _read_lines(self, file: RawPath) -> Iterator[Record]:
        for row in json_rows(file):
            yield row if isinstance(row, BadRecord) else self._record(file, *row)

    def _record(self, file: RawPath, number: int, fields: Any) -> Record:
        reason = None
        if not isinstance(fields, dict):
            reason = "not a JSON object"
        elif self._text_field not in fields:
            reason = f"no field {self._text_field!r}"
        elif not isinstance(fields[self._text_field], str):
            reason = f"field {self._text_field!r} is not a string"
        if reason:
            return BadRecord(file.root, file.name, number, reason)
        text = fields.pop(self._text_field)
        url = fields.pop("url", None)
        return Document(
            f"{file.root}:{file.name}:{number}", text, self.name, url if isinstance(url, str) else None, _meta(fields)
        )


def json_rows(file: RawPath) -> Iterator[tuple[int, Any] | BadRecord]:
    """The lines of a JSON-lines file that are not blank, as (line number from 1, value), or why one cannot be read."""
    number = 0
    try:
        with open_plain(file.path) as stream:
            for line in _lines(stream):
                number += 1
                if line is None:
                    yield BadRecord(file.root, file.name, number, f"line over {MAX_LINE_BYTES >> 20} MiB")
                elif not line.isspace():
                    yield _parse(file, number, line)
    except DAMAGE:
        yield BadRecord(file.root, file.name, number + 1, "damaged compression")
    if number == 0 and file.path.stat().st_size == 0:
        yield BadRecord(file.root, file.name, None, "empty file")


def _parse(file: RawPath, number: int, line: bytes) -> tuple[int, Any] | BadRecord:
    try:
        return number, orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        return BadRecord(file.root, file.name, number, "not valid JSON" if _is_utf8(line) else "invalid UTF-8")


def path_names(paths: Sequence[str]) -> list[str]:
    """Configured paths without the folders above them, which say where the data lies and not what it is."""
    names = []
    for text in paths:
        path = Path(text)
        pattern = None if path.exists() else _split_glob(path)[1]
        names.append(pattern or path.absolute().name)
    return names


def _lines(stream: BinaryIO) -> Iterator[bytes | None]:
    """Lines of at most MAX_LINE_BYTES; None stands for a longer one, which is passed over piece by piece."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) <= MAX_LINE_BYTES:
            yield line
            continue
        while not line.endswith(b"\n") and (line := stream.readline(1 << 20)):
            pass
        yield None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _meta(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in fields.items()
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= META_CHARACTERS)
    }


def _kind(name: str) -> str | None:
    """The ending that tells how a file is read, without that of its compression; None for other kinds of files."""
    path = Path(name.lower())
    ending = Path(path.stem).suffix if path.suffix in SUFFIXES else path.suffix
    return ending if ending in TEXT_ENDINGS + LINE_ENDINGS else None


# --- finding -----------------------------------------------------------------------------------------------------


def _find(config: FilesSource) -> list[RawPath]:
    """Every file once, in the order of the configured paths and by name within each."""
    roots: dict[Path, str] = {}
    found: dict[Path, RawPath] = {}
    for text in config.paths:
        folder, names = _match(Path(text).absolute())
        # The place in the list names a root, because folder names may repeat and absolute paths must not be identity.
        root = roots.setdefault(folder, config.name if not roots else f"{config.name}.{len(roots) + 1}")
        for name in names:
            found.setdefault(folder / name, RawPath(root, folder, name))
    return list(found.values())


def _match(path: Path) -> tuple[Path, list[str]]:
    """The folder a configured path speaks of, and the names of the readable files in it."""
    endings = ", ".join(TEXT_ENDINGS + LINE_ENDINGS)
    mend = f"readable are {endings}, also with {' or '.join(SUFFIXES)} behind."
    if path.is_file():
        if _kind(path.name) is None:
            raise InputError("This kind of file cannot be read as text", where=str(path), mend=mend)
        return path.parent, [path.name]
    if path.is_dir():
        folder, names = path, _walk(path)
    else:
        folder, pattern = _split_glob(path)
        if pattern is None:
            raise InputError(
                "There is no such file or folder", where=str(path), mend="correct `paths` of this source in the recipe."
            )
        matches = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 - Path.glob takes hidden files
        names = [Path(name).as_posix() for name in matches if (folder / name).is_file()]
    readable = sorted(name for name in names if _kind(name))
    if not readable:
        what = "matches no file" if folder != path and not names else "holds no readable file"
        raise InputError(f"The source path {what}", where=str(path), mend=mend)
    for name in readable:
        if not _is_utf8(os.fsencode(name)):
            raise InputError(
                "A file's name is not valid Unicode", where=repr(str(folder / name)), mend="rename the file."
            )
    return folder, readable


def _split_glob(path: Path) -> tuple[Path, str | None]:
    """The folder before the first part with a wildcard, and the pattern from there on (None without any)."""
    for index, part in enumerate(path.parts):
        if glob.has_magic(part):
            return Path(*path.parts[:index]), "/".join(path.parts[index:])
    return path, None


def _walk(folder: Path) -> list[str]:
    """Files at any depth, without hidden ones and without following linked folders (which may run in circles)."""
    names = []
    for current, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = Path(current).relative_to(folder)
        names += [(here / name).as_posix() for name in files if not name.startswith(".")]
    return names
