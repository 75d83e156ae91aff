"""What every source yields: a document, a record that is none, or a record that could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """One text with its origin.

    Attributes:
        id: unique in the corpus and independent of where the files lie, for example `novels:Hardy_Jude_1895.txt`
            or `web:c4.jsonl.gz:17` (source, file, line).
        text: Unicode without lone surrogates, so it always encodes to UTF-8.
        source: the name of the source in the recipe.
        url: where it was published, if known.
        meta: what else is known, as JSON values. Documents with the same "group" in it share text, such as a
            module's code and its docstrings.
    """

    id: str
    text: str
    source: str
    url: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """What must not be torn apart by a split into training and validation text; the id where nothing is said."""
        group = self.meta.get("group")
        return group if isinstance(group, str) else self.id


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A raw record that holds no readable document.

    Attributes:
        root: the name of the raw root the file belongs to (see lumilab.artifact.RawFile).
        file: path relative to the root, with forward slashes.
        line: counted from 1; None when the record is the whole file.
        reason: one of few fixed phrases, so that reasons can be counted.
    """

    root: str
    file: str
    line: int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.file}{'' if self.line is None else f':{self.line}'} ({self.reason})"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A raw record that was read well and is no document by its nature, such as a redirect of an encyclopedia.

    Attributes:
        reason: one of few fixed phrases, so that reasons can be counted.
    """

    reason: str


Record = Document | BadRecord | Skipped
