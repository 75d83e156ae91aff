"""Writing an artifact so that nobody ever sees half of one.

Files go to a temporary sibling of the target folder; `publish` hashes and fsyncs them, writes the manifest
last, fsyncs the folder and renames it into place. A process killed at any moment leaves either no artifact
or a whole one; the leftovers of a killed process are swept away by the next builder for the same target.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import lumilab
from lumilab.artifact.manifest import FILE_NAME, InputRecord, Manifest, canonical_json, hash_file
from lumilab.artifact.open import Artifact


class ArtifactBuilder:
    """Builds one artifact folder; use it as a context manager and end with `publish`.

    Leaving the block without `publish`, by an error or on purpose, removes what was written.

    Args:
        target: the folder the artifact will be.
        kind: what it is, for example "corpus".
        config: the resolved configuration that made it, as JSON values, without anything that does not
            change the content (worker counts, logging).
        inputs: the artifacts it is made from, by role.
    """

    def __init__(
        self,
        target: Path,
        *,
        kind: str,
        config: dict[str, Any],
        inputs: Mapping[str, Artifact] | None = None,
    ) -> None:
        self.target = target.absolute()
        self.kind = kind
        self.config = config
        self.inputs = dict(inputs or {})
        self.statistics: dict[str, Any] = {}
        self.environment: dict[str, Any] = {}
        self.folder = self.target.with_name(f".{self.target.name}.building-{os.getpid()}")

    def __enter__(self) -> Self:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(self.target)
        self.folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        """Where to write the file `name` (a relative path with forward slashes)."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """The file `name`, open for binary writing."""
        with self.path(name).open("wb") as file:
            yield file

    def write_bytes(self, name: str, data: bytes) -> None:
        """Writes a whole file."""
        self.path(name).write_bytes(data)

    def write_json(self, name: str, value: Any) -> None:
        """Writes a value as canonical, indented JSON."""
        self.write_bytes(name, canonical_json(value, indent=2) + b"\n")

    def publish(self, *, replace: bool = False) -> Artifact:
        """Makes the artifact appear, whole, and returns it.

        Args:
            replace: put it in the place of an existing artifact; otherwise an existing target is an error.

        Raises:
            FileExistsError: the target exists and `replace` is off.
        """
        files = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                _fsync(path)
                files[path.relative_to(self.folder).as_posix()] = hash_file(path)
        manifest = Manifest(
            kind=self.kind,
            config=self.config,
            inputs={
                name: InputRecord(
                    digest=artifact.digest, path=Path(os.path.relpath(artifact.path, self.target)).as_posix()
                )
                for name, artifact in self.inputs.items()
            },
            files=files,
            statistics=self.statistics,
            environment=_environment() | self.environment,
        )
        self.write_bytes(FILE_NAME, manifest.to_bytes())
        _fsync(self.folder / FILE_NAME)
        _fsync(self.folder)
        if self.target.exists():
            if not replace:
                raise FileExistsError(self.target)
            # A folder cannot be replaced in one step, so the old one moves aside first. A kill in between
            # leaves no artifact (which readers understand) and a leftover (which the next builder sweeps).
            aside = self.target.with_name(f".{self.target.name}.replaced-{os.getpid()}")
            self.target.rename(aside)
            self.folder.rename(self.target)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            self.folder.rename(self.target)
        _fsync(self.target.parent)
        return Artifact(self.target, manifest)


def sweep_leftovers(target: Path) -> None:
    """Removes what killed builders of `target` left behind. The caller holds the target's lock."""
    for pattern in (f".{target.name}.building-*", f".{target.name}.replaced-*"):
        for leftover in target.parent.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces a small file in one step: readers see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _fsync(path.parent)


def _fsync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open folders for fsync; its rename is journaled
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _environment() -> dict[str, Any]:
    """Who made it, when and on what: kept for people, never part of the digest."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "lumilab": lumilab.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
