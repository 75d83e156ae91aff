"""Failures become one paragraph and an exit code; defects of ours keep their traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from lumilab.errors import ConfigError, DamageError, InputError, Interrupted, LumiError, MismatchError, ResourceError
from lumilab.work.failures import DEBUG_VARIABLE, DEFECT_EXIT_CODE, failures_explained


def leave_by(error: BaseException, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as caught, failures_explained():
        raise error
    return int(caught.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "code"),
    [(ConfigError, 2), (InputError, 3), (MismatchError, 4), (DamageError, 4), (ResourceError, 5), (LumiError, 1)],
)
def test_our_own_errors_are_a_paragraph(kind: type[LumiError], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    error = kind("It went wrong [here]", where="file.txt, line 3", mend="do this.")
    assert leave_by(error, capsys) == (
        code,
        "error: It went wrong [here]. Where: file.txt, line 3. To mend it: do this.\n",
    )


def test_a_key_press_is_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = leave_by(KeyboardInterrupt(), capsys)
    assert code == 130
    assert said.startswith("Stopped on request.")
    assert leave_by(Interrupted(15), capsys)[0] == 143


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), 5, "disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 5, "disk is full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), 5, "disk is full"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 5, "out of memory"),
        (MemoryError(), 5, "out of memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore lines"), 5, "Tried to allocate 2 GiB."),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), 5, "not enough memory"),
        (PermissionError(errno.EACCES, "Permission denied", "/locked/x"), 5, "No permission"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.txt"), 3, "Where: a.txt"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a.txt"), 3, "Where: a.txt"),
    ],
)
def test_failures_of_the_machine_are_known(
    error: Exception, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    left, said = leave_by(error, capsys)
    assert left == code
    assert says in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def during(error: Exception, context: Exception, *, suppressed: bool = False) -> Exception:
    error.__context__ = context
    error.__suppress_context__ = suppressed
    return error


FULL = OSError(errno.ENOSPC, "No space left on device")
GONE = FileNotFoundError(errno.ENOENT, "No such file or directory", "x")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (caused(ValueError("cannot save"), FULL), 5),
        (during(ValueError("cannot clean up"), FULL), 5),
        (during(ValueError("a defect"), FULL, suppressed=True), DEFECT_EXIT_CODE),
        (during(KeyError("a defect met while a missing file was handled"), GONE), DEFECT_EXIT_CODE),
        (caused(KeyError("a defect"), GONE), DEFECT_EXIT_CODE),
    ],
)
def test_only_the_machines_limits_explain_a_later_error(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leave_by(error, capsys)[0] == code


def test_a_defect_shows_its_traceback_and_says_whose_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = leave_by(KeyError("x"), capsys)
    assert code == DEFECT_EXIT_CODE
    assert "Traceback" in said
    assert "defect in lumilab" in said


def test_debug_shows_the_traceback_of_a_users_mistake_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Traceback" not in leave_by(ConfigError("wrong"), capsys)[1]
    monkeypatch.setenv(DEBUG_VARIABLE, "1")
    code, said = leave_by(ConfigError("wrong"), capsys)
    assert code == 2
    assert "Traceback" in said


def test_success_and_deliberate_exits_pass_through() -> None:
    with failures_explained():
        pass
    with pytest.raises(SystemExit) as caught, failures_explained():
        sys.exit(7)
    assert caught.value.code == 7


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX pipeline")
def test_a_reader_that_leaves_early_is_no_failure() -> None:
    program = (
        "from lumilab.work.failures import failures_explained\n"
        "with failures_explained():\n"
        "    for _ in range(100_000): print('a line of text', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(timeout=30) == 0
