"""Writing an artifact so that nobody ever sees half of one.

Files go to a temporary sibling of the target folder; `publish` hashes and fsyncs them, writes the manifest
last, fsyncs the folders and renames the whole into place. A process killed at any moment leaves either no artifact
or a whole one; the leftovers of a killed process are swept away by the next builder for the same target.
"""

from __future__ import annotations

import errno
import glob
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
from lumilab.artifact.manifest import FILE_NAME, InputRecord, Manifest, canonical_json, hash_file, plain_json
from lumilab.artifact.open import Artifact
from lumilab.errors import InputError, LumiError, explain_os_error, says_disk_full

FULL_DISK = 64 * 1024  # bytes: with less than this free, a failed write is taken to be the disk's fault


class ArtifactBuilder:
    """Builds one artifact folder; use it as a context manager and end with `publish`.

    Leaving the block without `publish`, by an error or on purpose, removes what was written. An error met while the
    disk is full leaves the block as a ResourceError that says so.

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
        self.folder = building_folder(self.target, os.getpid())

    def __enter__(self) -> Self:
        self.target.parent.mkdir(parents=True, exist_ok=True)
        sweep_leftovers(self.target)
        self.folder.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        full = isinstance(error, Exception) and not isinstance(error, LumiError) and _disk_full(error, self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        if full:
            reason = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.target.parent))
            raise explain_os_error(reason) from error

    def path(self, name: str) -> Path:
        """Where to write the file `name` (a relative path with forward slashes).

        Raises:
            ValueError: the name is the manifest's own.
        """
        if name == FILE_NAME:
            raise ValueError(f"{FILE_NAME} is written by publish")
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
            FileExistsError: an artifact is there already and `replace` is off.
            InputError: something that is no artifact is in the way.
        """
        if self.target.exists():
            if not (self.target / FILE_NAME).exists():
                raise InputError(
                    "Something that is not an artifact is in the way: it has no manifest.json",
                    where=str(self.target),
                    mend="move or delete it and run the same command again.",
                )
            if not replace:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.target))
        data = self._seal().to_bytes()
        (self.folder / FILE_NAME).write_bytes(data)
        _fsync(self.folder / FILE_NAME)
        for folder, _, _ in os.walk(self.folder):
            _fsync(Path(folder))
        self._move_into_place()
        _fsync(self.target.parent)
        return Artifact(self.target, Manifest.parse(data, where=str(self.target / FILE_NAME)))

    def _seal(self) -> Manifest:
        """Makes every file durable and describes it."""
        files = {}
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                _fsync(path)
                files[path.relative_to(self.folder).as_posix()] = hash_file(path)
        return Manifest(
            kind=self.kind,
            config=plain_json(self.config),
            inputs={
                name: InputRecord(digest=artifact.digest, path=_way(self.target, artifact.path))
                for name, artifact in self.inputs.items()
            },
            files=files,
            statistics=plain_json(self.statistics),
            environment=plain_json(_environment() | self.environment),
        )

    def _move_into_place(self) -> None:
        if not self.target.exists():
            self.folder.rename(self.target)
            return
        # A folder cannot be replaced in one step, so the old one moves aside first. A kill in between leaves no
        # artifact (which readers understand) and a leftover (which the next builder sweeps).
        aside = self.target.with_name(f".{self.target.name}.replaced-{os.getpid()}")
        self.target.rename(aside)
        try:
            self.folder.rename(self.target)
        except BaseException:
            aside.rename(self.target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def sweep_leftovers(target: Path) -> None:
    """Removes what killed builders of `target` left behind. The caller holds the target's lock."""
    name = glob.escape(target.name)
    for pattern in (f".{name}.building-*", f".{name}.replaced-*"):
        for leftover in target.parent.glob(pattern):
            shutil.rmtree(leftover, ignore_errors=True)


def building_folder(target: Path, process: int) -> Path:
    """Where the process of that number builds `target`."""
    return target.with_name(f".{target.name}.building-{process}")


def work_folder(target: Path) -> Path:
    """Where a long build of `target` keeps what it has finished, for the next one to go on with if it is killed. It is
    removed once the artifact is published."""
    return target.with_name(f".{target.name}.work")


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
    folder = path.is_dir()
    if os.name == "nt" and folder:
        return  # Windows cannot open folders for fsync; its rename is journaled
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and user-space file systems have no fsync of folders; there is nothing else to do then.
        if not (folder and error.errno in (errno.EINVAL, errno.ENOTSUP, errno.EBADF)):
            raise
    finally:
        os.close(descriptor)


def _way(target: Path, source: Path) -> str:
    """The path from one folder to another, with forward slashes. Links are followed first, as `..` does on disk."""
    start, end = target.parent.resolve() / target.name, source.resolve()
    try:
        return Path(os.path.relpath(end, start)).as_posix()
    except ValueError:  # another drive of a Windows machine
        return end.as_posix()


def _disk_full(error: Exception, folder: Path) -> bool:
    """Whether the disk is the reason: some libraries say it, some only write less than they were asked to."""
    return says_disk_full(error) or (folder.exists() and shutil.disk_usage(folder).free < FULL_DISK)


def _environment() -> dict[str, Any]:
    """Who made it, when and on what: kept for people, never part of the digest."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "lumilab": lumilab.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
