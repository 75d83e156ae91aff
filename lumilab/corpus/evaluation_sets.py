"""Evaluation sets as files: which there are, and the strings of their records.

Reading them is one task of a build, done before all others; what it leaves is what `Contamination.load` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumilab.corpus.compression import DamagedStreamError, open_plain
from lumilab.corpus.document import BadRecord
from lumilab.corpus.readers import formats
from lumilab.corpus.readers.documents import rows
from lumilab.corpus.sources.finding import find_files
from lumilab.corpus.sources.source import RawPath
from lumilab.errors import InputError
from lumilab.recipe.corpus import DecontaminationConfig
from lumilab.work.stopping import StopRequest

ROOT = "evaluation-set"
_FORMATS = (*formats.ROWS, ".txt")
_READABLE = f"evaluation sets are read from {', '.join(_FORMATS)}, also compressed."


def evaluation_files(config: DecontaminationConfig) -> list[RawPath]:
    """Every file of the evaluation sets, in the order of the configured paths.

    Raises:
        InputError: a path does not exist or holds nothing readable.
    """
    return [file for _, files in named_sets(config.paths) for file in files]


def named_sets(paths: Sequence[str]) -> Iterator[tuple[str, list[RawPath]]]:
    """Name and files of each set: a configured folder is one set, and so is each file that is named or matched."""
    for number, path in enumerate(paths, 1):
        root = ROOT if number == 1 else f"{ROOT}.{number}"
        files = find_files(root, [path], lambda name: formats.format_of(name) in _FORMATS, _READABLE)
        if Path(path).is_dir():
            yield Path(path).absolute().name, files
        else:
            yield from ((file.path.name.split(".")[0], [file]) for file in files)


@dataclass(frozen=True)
class ContaminationOrder:
    """Evaluation sets to gather."""

    config: DecontaminationConfig


def gather_contamination(order: ContaminationOrder, folder: Path, stop: StopRequest) -> dict[str, Any]:
    """A task: writes what `Contamination.load` reads; the answer has the number of pieces of each set."""
    # Compiled code and what compiles it are loaded only where they are used.
    from lumilab.corpus.decontamination import Contamination

    found = Contamination.build(order.config.paths, order.config.words, stop)
    found.save(folder)
    return {"pieces": found.counts()}


def items(file: RawPath) -> Iterator[str]:
    """Every string of a file's records; a text file as a whole.

    Raises:
        InputError: a record cannot be read.
    """
    if formats.format_of(file.name) in formats.TEXT:
        try:
            with open_plain(file.path) as stream:
                text = stream.read().decode(errors="replace")
        except DamagedStreamError as error:
            raise InputError(
                f"An evaluation set cannot be read: {error}",
                where=str(file.path),
                mend="bring the file anew, so that nothing of the set goes unnoticed.",
            ) from None
        yield text
        return
    with file.path.open("rb") as stream:
        for row in rows(stream, file.root, file.name):
            if isinstance(row, BadRecord):
                raise InputError(
                    f"A record of an evaluation set cannot be read: {row.reason}",
                    where=f"{file.path}{'' if row.line is None else f', line {row.line}'}",
                    mend="mend or remove it, so that nothing of the set goes unnoticed.",
                )
            yield from _strings(row[1])


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _strings(part)
