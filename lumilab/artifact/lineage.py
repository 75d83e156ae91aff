"""Where an artifact came from, proven: from a model back through every input to the raw files.

An artifact made from files outside the pipeline lists them in `raw.jsonl`, one JSON object a line:
`{"root", "name", "size", "sha256"}`. The list is content and so part of the digest; where each root was on
disk is environment and is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lumilab.artifact.manifest import FILE_NAME, Manifest, canonical_json, hash_file
from lumilab.artifact.open import Artifact, Problem
from lumilab.artifact.publish import ArtifactBuilder
from lumilab.errors import DamageError, InputError

RAW_FILES = "raw.jsonl"


@dataclass(frozen=True)
class RawFile:
    """One file outside the pipeline: `name` is relative to `root`, with forward slashes."""

    root: str
    name: str
    size: int
    sha256: str

    @classmethod
    def of(cls, root: str, folder: Path, path: Path) -> RawFile:
        """Reads and hashes `path`, which lies below `folder`."""
        record = hash_file(path)
        return cls(root, path.relative_to(folder).as_posix(), record.size, record.sha256)


def record_raw_files(builder: ArtifactBuilder, files: Iterable[RawFile], roots: Mapping[str, Path | str]) -> None:
    """Writes the list of raw files into an artifact under construction.

    Args:
        builder: of the artifact.
        files: what was read.
        roots: where each root is: a folder, or as text the address of something that is not on this machine.
    """
    ordered = sorted(files, key=lambda file: (file.root, file.name))
    with builder.open(RAW_FILES) as out:
        for file in ordered:
            out.write(canonical_json(asdict(file)) + b"\n")
    builder.environment["raw_roots"] = {
        name: place if isinstance(place, str) else str(place.absolute()) for name, place in roots.items()
    }


def raw_files(artifact: Artifact) -> Iterator[RawFile]:
    """The raw files an artifact was made from; none when it lists none."""
    if RAW_FILES in artifact.manifest.files:
        with artifact.file(RAW_FILES).open("rb") as lines:
            for line in lines:
                yield RawFile(**json.loads(line))


@dataclass(frozen=True)
class Step:
    """One artifact met on the way back, with what is wrong with it.

    Attributes:
        raw_count: raw files that were compared with what was read.
        remote_count: raw files on another machine, which were not.
    """

    name: str
    path: Path
    artifact: Artifact | None
    raw_count: int
    problems: list[Problem]
    remote_count: int = 0


def walk(*paths: Path) -> Iterator[Step]:
    """Checks the artifacts at `paths`, then everything they were made from, each folder once, nearest first.

    A folder that two artifacts name as an input, but with different digests, is met again for the second: only one
    of them can be right about it.
    """
    waiting: list[tuple[str, Path, str | None]] = [("", path, None) for path in paths]
    seen: dict[Path, Artifact | None] = {}
    while waiting:
        name, folder, expected = waiting.pop(0)
        folder = folder.resolve()
        if folder not in seen:
            step = _prove(name, folder, expected)
            seen[folder] = step.artifact
            yield step
            if step.artifact is not None:
                for role, record in step.artifact.manifest.inputs.items():
                    waiting.append((role, folder / record.path, record.digest))
            continue
        known = seen[folder]
        if known is not None and expected not in (None, known.digest):
            yield Step(name, folder, known, 0, [_another(folder)])


def examine(folder: Path, name: str = "") -> Step:
    """Checks one artifact's own bytes, and not where it came from; `name` is what to call it besides its kind."""
    try:
        artifact = Artifact(folder, Manifest.read(folder))
    except (FileNotFoundError, NotADirectoryError):
        return Step(name or "?", folder, None, 0, [Problem(folder, "is missing or has no manifest.json")])
    except DamageError as error:
        return Step(name or "?", folder, None, 0, [Problem(folder / FILE_NAME, f"is damaged: {error.what}")])
    except OSError as error:
        return Step(name or "?", folder, None, 0, [Problem(folder / FILE_NAME, f"cannot be read ({error.strerror})")])
    return Step(name or artifact.manifest.kind, folder, artifact, 0, list(artifact.problems()))


def _prove(name: str, folder: Path, expected: str | None) -> Step:
    step = examine(folder, name)
    if step.artifact is None:
        return step
    problems = list(step.problems)
    if expected not in (None, step.artifact.digest):
        problems.append(_another(folder))
    if any(problem.path == folder / RAW_FILES for problem in step.problems):
        return replace(step, problems=problems)  # a damaged list is not to be believed
    raw_count, remote_count, raw_problems = _check_raw_files(step.artifact)
    return replace(step, raw_count=raw_count, remote_count=remote_count, problems=problems + raw_problems)


def _another(folder: Path) -> Problem:
    return Problem(folder, "is another artifact than the one that was used (digest differs)")


def _check_raw_files(artifact: Artifact) -> tuple[int, int, list[Problem]]:
    roots = artifact.manifest.environment.get("raw_roots", {})
    count, remote, problems = 0, 0, []
    for file in raw_files(artifact):
        if "://" in roots.get(file.root, ""):
            remote += 1
            continue
        count += 1
        if file.root not in roots:
            problems.append(Problem(Path(file.root) / file.name, "is a raw file, and where it was is not recorded"))
            continue
        path = Path(roots[file.root]) / file.name
        try:
            same = hash_file(path).sha256 == file.sha256
        except (FileNotFoundError, NotADirectoryError):
            problems.append(Problem(path, "is a raw file that is no longer there"))
        except OSError as error:
            problems.append(Problem(path, f"is a raw file that cannot be read ({error.strerror})"))
        else:
            if not same:
                problems.append(Problem(path, "is a raw file that has changed since it was read"))
    return count, remote, problems


def artifacts_below(folder: Path) -> list[Path]:
    """Every artifact folder at or below `folder`, in path order.

    Raises:
        InputError: there is none.
    """
    if (folder / FILE_NAME).exists():
        return [folder]
    found = sorted(
        path.parent
        for path in folder.rglob(FILE_NAME)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not found:
        raise InputError(
            "No artifact is here: neither this folder nor one below it has a manifest.json"
            if folder.exists()
            else "There is no such folder",
            where=str(folder),
            mend="give the folder of an artifact or of a run, such as runs/quickstart.",
        )
    return found
