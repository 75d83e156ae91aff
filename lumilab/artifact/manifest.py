"""The manifest: what an artifact is, what it was made from, and the digest that names its content.

A manifest is canonical JSON, so that one content has one byte sequence. Two hashes protect it:

- the *digest* covers kind, format version, configuration, the digests of the inputs and the files. It names
  the content, and never depends on time, host, path or worker count;
- the *seal* covers the whole manifest, also the parts that are not identity (statistics, environment,
  where the inputs were found), so that a changed byte anywhere in the file is noticed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lumilab.errors import DamageError

FILE_NAME = "manifest.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 (hex) of one file of an artifact."""

    size: int
    sha256: str


@dataclass(frozen=True)
class InputRecord:
    """An artifact this one was made from: its digest, and where it was, relative to this artifact."""

    digest: str
    path: str


@dataclass(frozen=True)
class Manifest:
    """Everything known of an artifact; see the module's text for what is identity and what is not."""

    kind: str
    config: dict[str, Any]
    inputs: dict[str, InputRecord]
    files: dict[str, FileRecord]
    statistics: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the content."""
        return digest_of(
            {
                "kind": self.kind,
                "format_version": self.format_version,
                "config": self.config,
                "inputs": {name: record.digest for name, record in self.inputs.items()},
                "files": {name: asdict(record) for name, record in self.files.items()},
            }
        )

    def to_bytes(self) -> bytes:
        """The one byte sequence of this manifest, seal included."""
        body = asdict(self) | {"digest": self.digest}
        return canonical_json(body | {"seal": digest_of(body)}, indent=2) + b"\n"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Reads and checks `folder/manifest.json`.

        Raises:
            FileNotFoundError: there is no manifest, so by contract there is no artifact.
            DamageError: a byte of it is not what was written.
        """
        path = folder / FILE_NAME
        return cls.parse(path.read_bytes(), where=str(path))

    @classmethod
    def parse(cls, data: bytes, where: str) -> Manifest:
        """The manifest that `data` is the byte sequence of; `where` names its source in errors.

        Raises:
            DamageError: a byte of it is not what was written.
        """
        rebuild = "rebuild the artifact, or restore this file from a copy."
        try:
            body = json.loads(data)
            version = body["format_version"]
            if isinstance(version, int) and version > FORMAT_VERSION:
                raise DamageError(
                    f"The manifest says format version {version}, and this lumilab reads up to {FORMAT_VERSION}",
                    where=where,
                    mend="upgrade lumilab, or rebuild the artifact with this version.",
                )
            manifest = cls(
                kind=body["kind"],
                config=body["config"],
                inputs={name: InputRecord(**record) for name, record in body["inputs"].items()},
                files={name: FileRecord(**record) for name, record in body["files"].items()},
                statistics=body["statistics"],
                environment=body["environment"],
                format_version=version,
            )
            whole = manifest.to_bytes() == data
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DamageError("The manifest cannot be read", where=where, mend=rebuild) from error
        if not whole:
            raise DamageError("The manifest is not as it was written", where=where, mend=rebuild)
        return manifest


def canonical_json(value: Any, indent: int | None = None) -> bytes:
    """JSON with sorted keys and no choice left: equal values give equal bytes.

    Raises:
        ValueError: the value holds a number that JSON has no word for (NaN, infinity).
    """
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    # A file name that is not UTF-8 reaches Python with lone surrogates; these can only be written as JSON escapes.
    return text.encode(errors="backslashreplace")


def plain_json(value: Any) -> Any:
    """The value as JSON gives it back: tuples become lists and keys become text."""
    return json.loads(canonical_json(value))


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def hash_file(path: Path) -> FileRecord:
    """Size and SHA-256 of a file, read in one pass."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(size=file.tell(), sha256=sha256)
