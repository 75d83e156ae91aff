"""The lock of a folder: one worker at a time, freed by death."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from lumilab.errors import Interrupted
from lumilab.work.context import WorkContext
from lumilab.work.lock import exclusive
from lumilab.work.progress import Reporter
from lumilab.work.stopping import StopRequest

WORKER = Path(__file__).with_name("worker.py")


def context() -> tuple[WorkContext, io.StringIO]:
    said = io.StringIO()
    return WorkContext(Reporter(Console(file=said, width=200)), StopRequest()), said


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of `target`."""
    process = subprocess.Popen(
        [sys.executable, WORKER, "locked", tmp_path / "deep" / "target"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def test_a_free_lock_is_taken_and_given_back(tmp_path: Path) -> None:
    work, said = context()
    for _ in range(2):
        with exclusive(tmp_path / "deep" / "target", work):
            assert (tmp_path / "deep").is_dir()
    assert said.getvalue() == ""


def test_an_error_gives_the_lock_back(tmp_path: Path) -> None:
    work, _ = context()
    with pytest.raises(KeyError), exclusive(tmp_path / "target", work):
        raise KeyError
    with exclusive(tmp_path / "target", work):
        pass


def test_who_waits_says_so_once_and_can_be_stopped(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    work, said = context()
    threading.Timer(1.5, work.stop.request, args=(2,)).start()
    with pytest.raises(Interrupted), exclusive(tmp_path / "deep" / "target", work):
        pytest.fail("two held the lock at once")
    assert said.getvalue() == "Another process is at work on target; waiting for it to end.\n"


def test_a_killed_holder_frees_the_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    work, said = context()
    threading.Timer(0.8, holder.kill).start()
    with exclusive(tmp_path / "deep" / "target", work):
        assert holder.wait(timeout=30) != 0
    assert "waiting" in said.getvalue()


def test_different_folders_have_different_locks(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    work, said = context()
    with exclusive(tmp_path / "deep" / "other", work):
        assert holder.poll() is None
    assert said.getvalue() == ""
