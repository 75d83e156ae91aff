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
        data = path.read_bytes()
        rebuild = "rebuild the artifact, or restore this file from a copy."
        try:
            body = json.loads(data)
            manifest = cls(
                kind=body["kind"],
                config=body["config"],
                inputs={name: InputRecord(**record) for name, record in body["inputs"].items()},
                files={name: FileRecord(**record) for name, record in body["files"].items()},
                statistics=body["statistics"],
                environment=body["environment"],
                format_version=body["format_version"],
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamageError("The manifest cannot be read", where=str(path), mend=rebuild) from error
        if manifest.format_version > FORMAT_VERSION:
            raise DamageError(
                f"The artifact has format version {manifest.format_version}, newer than this lumilab reads "
                f"({FORMAT_VERSION})",
                where=str(path),
                mend="upgrade lumilab, or rebuild the artifact with this version.",
            )
        if manifest.to_bytes() != data:
            raise DamageError("The manifest is not as it was written", where=str(path), mend=rebuild)
        return manifest


def canonical_json(value: Any, indent: int | None = None) -> bytes:
    """JSON with sorted keys and no choice left: equal values give equal bytes."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    return text.encode()


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def hash_file(path: Path) -> FileRecord:
    """Size and SHA-256 of a file, read in one pass."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileRecord(size=file.tell(), sha256=sha256)
