"""The errors a user can meet, each with what happened, where, and how to mend it.

A user's mistake never shows a traceback: the command line prints the three parts and exits with the
kind's code. Codes: 2 usage or configuration, 3 bad input, 4 mismatch or damage, 5 resources
(memory, disk, device), 6 worse than before, 75 stopped at a time limit, 128 + signal number when interrupted.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Callable
from typing import Any


class LumiError(Exception):
    """Base of every error meant for a person.

    Args:
        what: one sentence, what went wrong.
        where: file, line, record or configuration key, when there is one.
        mend: what the reader can do about it.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __reduce__(self) -> tuple[Callable[..., LumiError], tuple[type[LumiError], dict[str, Any]]]:
        # By default an exception is rebuilt from its words alone; one from another process must come home whole.
        return _restored, (type(self), self.__dict__)

    def __str__(self) -> str:
        parts = [self.what if self.what.endswith((".", "!", "?")) else f"{self.what}."]
        if self.where:
            parts.append(f"Where: {self.where}.")
        if self.mend:
            parts.append(f"To mend it: {self.mend}")
        return " ".join(parts)


def _restored(kind: type[LumiError], state: dict[str, Any]) -> LumiError:
    error = kind.__new__(kind, state["what"])
    error.__dict__.update(state)
    return error


class ConfigError(LumiError):
    """A recipe, an override or a command-line argument that cannot be used."""

    exit_code = 2


class InputError(LumiError):
    """Input that is missing, empty or malformed."""

    exit_code = 3


class MismatchError(LumiError):
    """Two artifacts that do not belong together, for example a dataset and another tokenizer."""

    exit_code = 4


class DamageError(LumiError):
    """An artifact whose content is not what its manifest says."""

    exit_code = 4


class ResourceError(LumiError):
    """The machine lacks memory, disk space or a device."""

    exit_code = 5


class RegressionError(LumiError):
    """A model that is worse than it was, where that was not to be."""

    exit_code = 6


class Interrupted(LumiError):
    """Work stopped by a signal, with everything worth keeping already saved."""

    def __init__(self, signal_number: int, what: str = "Stopped on request") -> None:
        super().__init__(f"{what}. Run the same command again to go on from here")
        self.signal_number = int(signal_number)
        self.exit_code = 128 + self.signal_number

    @classmethod
    def by_keyboard(cls) -> Interrupted:
        return cls(signal.SIGINT)


class TimeLimitReached(Interrupted):
    """Work stopped at its own time limit, saved but not finished.

    The exit code is 75, "try again" in the system's sysexits.h (EX_TEMPFAIL): not 0, because what was asked for is
    not there yet.
    """

    def __init__(self, limit: str) -> None:
        super().__init__(0, f"Stopped at the time limit of {limit}; the work so far is saved")
        self.exit_code = 75


def says_disk_full(error: BaseException) -> bool:
    """Whether an error, of whatever library, says that there is no space left."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    # Libraries in Rust report the system's number: 28 is ENOSPC on POSIX, 112 ERROR_DISK_FULL on Windows.
    return any(words in str(error) for words in ("No space left on device", "(os error 28)", "(os error 112)"))


def explain_os_error(error: OSError) -> LumiError:
    """Turns an operating-system error a user can act on into one of ours.

    Errors that are neither about space nor about access are bad input by default: the path named in
    them could not be used.
    """
    place = str(error.filename) if error.filename else None
    if says_disk_full(error):
        return ResourceError(
            "The disk is full, so the work stopped before anything was published",
            where=place,
            mend="free some space (`lumi doctor` shows how much there is) and run the same command again.",
        )
    if error.errno == errno.ENOMEM:
        return ResourceError("The machine ran out of memory", where=place, mend="free some memory and try again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ResourceError(
            f"No permission: {error.strerror}", where=place, mend="choose another folder or change its rights."
        )
    return InputError(f"{error.strerror or error}", where=place, mend="check the path and try again.")
