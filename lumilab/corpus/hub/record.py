"""`dataset.json`: which dataset a folder holds, at which commit, with every file's size and hash.

It is written before the first byte is fetched, so that an interrupted download is known as one. Only whole, checked
files ever have their final name (see `transfer.py`), so a file that is there with its size is complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from lumilab.artifact import write_atomically
from lumilab.corpus.hub.api import HubFile
from lumilab.corpus.hub.transfer import part_path
from lumilab.errors import DamageError, InputError

FILE_NAME = "dataset.json"
FORMAT = 1


@dataclass(frozen=True)
class DatasetRecord:
    """What a folder holds, or will hold.

    Attributes:
        repository: OWNER/NAME.
        revision: branch, tag or commit that was asked for.
        commit: what it stood for.
        subset: its name.
        trial: whether these are only the few files of `--test`.
        text_field: the column with the text.
        licence: as its publishers say; None if they do not.
        files: in name order.
    """

    repository: str
    revision: str
    commit: str
    subset: str
    trial: bool
    text_field: str
    licence: str | None
    files: Sequence[HubFile]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads a folder's record.

        Raises:
            InputError: the folder has none.
            DamageError: it is not one of ours.
        """
        path = folder / FILE_NAME
        try:
            values: dict[str, Any] = json.loads(path.read_bytes())
            if values.pop("format") != FORMAT:
                raise ValueError("another format")
            files = [HubFile(**file) for file in values.pop("files")]
            return cls(**values, files=files)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(
                "This folder holds no downloaded dataset: it has no dataset.json",
                where=str(folder),
                mend="give a folder that `lumi corpus download --list` shows.",
            ) from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise DamageError(
                "The record of a downloaded dataset cannot be read",
                where=str(path),
                mend="remove this file and run the same `lumi corpus download` again: whole files are kept.",
            ) from None

    def write(self, folder: Path) -> None:
        values = {"format": FORMAT, **asdict(self), "files": [asdict(file) for file in self.files]}
        write_atomically(folder / FILE_NAME, json.dumps(values, indent=1, ensure_ascii=False).encode() + b"\n")

    def with_hashes(self, hashes: Mapping[str, str]) -> DatasetRecord:
        """The same, with the SHA-256 of small files too, for which the hub lists none."""
        files = [replace(file, sha256=file.sha256 or hashes.get(file.name)) for file in self.files]
        return replace(self, files=files)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class State:
    """How much of a dataset is on the disk."""

    complete_files: int
    complete_bytes: int
    partial_bytes: int


def state_of(folder: Path, record: DatasetRecord) -> State:
    """Looks at sizes only."""
    complete = [file for file in record.files if is_complete(folder, file)]
    partial = [part_path(folder / file.name) for file in record.files if file not in complete]
    return State(
        len(complete),
        sum(file.size for file in complete),
        sum(path.stat().st_size for path in partial if path.is_file()),
    )


def is_complete(folder: Path, file: HubFile) -> bool:
    """Whether a file is there under its final name with its size."""
    try:
        return (folder / file.name).stat().st_size == file.size
    except (FileNotFoundError, NotADirectoryError):
        return False


def datasets_below(folder: Path) -> Iterator[tuple[Path, DatasetRecord]]:
    """Every downloaded dataset at or below a folder, in path order."""
    for path in sorted(folder.rglob(FILE_NAME)):
        try:
            yield path.parent, DatasetRecord.read(path.parent)
        except DamageError:
            continue  # some other program's dataset.json
