"""The ledger of a phase: one folder per finished task, which appears whole or not at all.

A task writes into a hidden sibling of its entry, `.NUMBER.doing-TOKEN`. When it is done, its files are made durable,
`answer.json` is written last (the answer, the plan it belongs to, and the size of every file), and the folder is
renamed to `NUMBER`. An entry counts if its answer is of the plan at hand and its files are there in their sizes;
anything else, and what killed workers left, is swept away before the phase goes on. (Renaming as the commit is the
usual way of POSIX file systems; see T. S. Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.)

With ranks several processes share one ledger. Each then looks after its own numbers only, and leaves a note where
the others can read it when a task of its own failed: `NUMBER.failed.json`.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumilab.errors import says_disk_full
from lumilab.work.phases import Done

ANSWER = "answer.json"
DOING = ".doing-"
FAILED = ".failed.json"


@dataclass(frozen=True)
class Ledger:
    """The finished tasks of one phase; picklable.

    Attributes:
        folder: of the phase, on a file system that all its workers see.
        plan: digest of what the phase does; an entry of another plan does not count.
    """

    folder: Path
    plan: str

    # --- reading --------------------------------------------------------------------------------------------------

    def entries(self, numbers: Iterable[int]) -> dict[int, Done]:
        """Those of the tasks that are done, by number."""
        there = self._names()
        found = ((number, self.entry(number)) for number in numbers if str(number) in there)
        return {number: done for number, done in found if done is not None}

    def entry(self, number: int) -> Done | None:
        """A finished task, or None if it is not done, is damaged or belongs to another plan."""
        folder = self.folder / str(number)
        try:
            record = json.loads((folder / ANSWER).read_bytes())
            if record["plan"] != self.plan or record["files"] != _sizes(folder):
                return None
            return Done(folder, record["answer"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _names(self) -> set[str]:
        try:
            return {path.name for path in self.folder.iterdir()}
        except FileNotFoundError:
            return set()

    # --- writing --------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, number: int) -> Iterator[Path]:
        """A new folder for a task to write into, which is gone after the block if the task was not entered."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = self._aside(number)
        folder.mkdir()
        try:
            yield folder
        except OSError as error:
            # What a compressor or an array writes goes through a descriptor, and the error names no file.
            if says_disk_full(error) and error.filename is None:
                error.filename = str(self.folder)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def enter(self, number: int, folder: Path, answer: dict[str, Any]) -> Done:
        """Publishes what a task wrote into `folder`.

        Raises:
            TypeError, ValueError: the answer is not made of JSON values.
        """
        for path in folder.rglob("*"):
            _fsync(path)
        record = {"plan": self.plan, "answer": answer, "files": _sizes(folder)}
        with (folder / ANSWER).open("x", encoding="utf-8") as file:
            json.dump(record, file, ensure_ascii=False, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        _fsync(folder)
        self._move(number, folder)
        _fsync(self.folder)
        done = self.entry(number)
        if done is None:
            raise OSError(errno.EIO, "A result was not there after it was written", str(self.folder / str(number)))
        return done

    def _move(self, number: int, folder: Path) -> None:
        """Renames the folder to its entry, unless somebody has entered the same task meanwhile."""
        while True:
            try:
                folder.rename(self.folder / str(number))
                return
            except OSError as error:
                # Which of these a system reports when the target is a folder that is not empty, differs.
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EACCES):
                    raise
                if not (self.folder / str(number)).exists():
                    raise
            if self.entry(number) is not None:
                return
            self._remove(number)

    def _remove(self, number: int) -> None:
        """Takes an entry away in one step: a half-removed one would be taken for a damaged one at best."""
        aside = self._aside(number)
        with suppress(FileNotFoundError):
            (self.folder / str(number)).rename(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _aside(self, number: int) -> Path:
        return self.folder / f".{number}{DOING}{secrets.token_hex(4)}"

    # --- tidying --------------------------------------------------------------------------------------------------

    def sweep(self, tasks: int, rank: int = 0, world_size: int = 1) -> None:
        """Removes what killed workers left, entries that do not count and old failure notes, among the numbers of
        this rank (number % world_size == rank).

        Args:
            tasks: how many tasks the phase has; entries beyond are of another plan.
            rank: whose numbers.
            world_size: among how many ranks the numbers are dealt.
        """
        for name in self._names():
            number = _number(name)
            if number is None or number % world_size != rank:
                continue
            if name == str(number):
                if number >= tasks or self.entry(number) is None:
                    self._remove(number)
            elif DOING in name:
                shutil.rmtree(self.folder / name, ignore_errors=True)
            else:
                (self.folder / name).unlink(missing_ok=True)

    # --- failures of other ranks ------------------------------------------------------------------------------------

    def note_failure(self, number: int, note: dict[str, Any]) -> None:
        """Leaves word for other ranks that this task failed: JSON values."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self._aside(number)
        temporary.write_text(json.dumps(note | {"plan": self.plan, "token": secrets.token_hex(8)}), encoding="utf-8")
        temporary.replace(self.folder / f"{number}{FAILED}")


def failure_notes(folders: Iterable[Path]) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    """The notes of failed tasks in these folders of phases: where each is, the task's number, and what it says, with
    the `plan` it is of and a `token` of its own."""
    for folder in folders:
        for path in folder.glob(f"*{FAILED}"):
            number = _number(path.name)
            # One that cannot be read is just being taken away.
            with suppress(OSError, ValueError):
                note = json.loads(path.read_bytes())
                if number is not None:
                    yield path, number, note


def _number(name: str) -> int | None:
    """The task that a name in a phase's folder speaks of."""
    digits = name.removeprefix(".").partition(".")[0]
    return int(digits) if digits.isdecimal() else None


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file, by its path below the folder, without the answer's own."""
    files = (path for path in folder.rglob("*") if path.is_file())
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}
    sizes.pop(ANSWER, None)
    return sizes


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
