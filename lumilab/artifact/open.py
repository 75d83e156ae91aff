"""Opening an artifact and checking that it is what it says.

`Artifact.open` reads the manifest and compares file sizes, which is cheap enough to do every time;
`Artifact.problems` reads every byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lumilab.artifact.manifest import FILE_NAME, Manifest, hash_file
from lumilab.errors import DamageError, InputError, MismatchError


@dataclass(frozen=True)
class Problem:
    """One way in which a file differs from what was published."""

    path: Path
    what: str

    def __str__(self) -> str:
        return f"{self.path} {self.what}"


@dataclass(frozen=True)
class Artifact:
    """A published folder and its manifest."""

    path: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        """SHA-256 (hex) that names the content."""
        return self.manifest.digest

    @classmethod
    def open(cls, path: Path, kind: str | None = None) -> Artifact:
        """Opens a published artifact.

        Raises:
            InputError: the folder or its manifest does not exist.
            MismatchError: it is an artifact of another kind.
            DamageError: the manifest or a file's size is not what was published.
        """
        path = path.absolute()
        try:
            manifest = Manifest.read(path)
        except (FileNotFoundError, NotADirectoryError):
            what = "is not an artifact: it has no manifest.json" if path.exists() else "does not exist"
            raise InputError(
                f"{'The ' + kind if kind else 'The folder'} {what}",
                where=str(path),
                mend="give the folder that holds a manifest.json, or build it first with `lumi run`.",
            ) from None
        if kind is not None and manifest.kind != kind:
            raise MismatchError(
                f"Expected a {kind}, but this is a {manifest.kind}",
                where=str(path),
                mend=f"give the folder of a {kind}; `lumi inspect` shows what a folder is.",
            )
        artifact = cls(path, manifest)
        for problem in artifact.size_problems():
            raise DamageError(
                f"A file of the {manifest.kind} {problem.what}",
                where=str(problem.path),
                mend="restore the file, or rebuild the artifact with `lumi run RECIPE --force STAGE`.",
            )
        return artifact

    def file(self, name: str) -> Path:
        """The path of one of the artifact's files.

        Raises:
            DamageError: the manifest lists no such file.
        """
        if name not in self.manifest.files:
            raise DamageError(
                f"The {self.manifest.kind} has no file {name}",
                where=str(self.path),
                mend="rebuild the artifact with this version of lumilab.",
            )
        return self.path / name

    def size_problems(self) -> Iterator[Problem]:
        """Files that are missing or of another size than published."""
        for name, record in self.manifest.files.items():
            path = self.path / name
            if not path.is_file():
                yield Problem(path, "is missing")
            elif path.stat().st_size != record.size:
                yield Problem(path, f"has {path.stat().st_size} bytes instead of {record.size}")

    def problems(self) -> Iterator[Problem]:
        """Every way in which the folder differs from what was published; reads every byte."""
        wrong_size = list(self.size_problems())
        yield from wrong_size
        seen = {problem.path for problem in wrong_size}
        for name, record in self.manifest.files.items():
            path = self.path / name
            if path in seen:
                continue
            try:
                same = hash_file(path).sha256 == record.sha256
            except OSError as error:
                yield Problem(path, f"cannot be read ({error.strerror})")
                continue
            if not same:
                yield Problem(path, "has other content than was published (SHA-256 differs)")
        known = {*self.manifest.files, FILE_NAME}
        for path in sorted(self.path.rglob("*")):
            if path.is_file() and path.relative_to(self.path).as_posix() not in known:
                yield Problem(path, "is not part of the artifact")
