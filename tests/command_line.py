"""`lumi` in the tests' own process: what a command says and returns, without the seconds in which a process imports.

The words go through the same entry as those of the installed `lumi`, so messages, exit codes and what is printed are
the real ones. Stages, too, are built in this process, from the order that a process of theirs would get; a command that
starts other processes (workers, ranks) starts them as ever. `tiny_pipeline` has the forms in processes of their own,
for what is about processes: signals, kills, pipes, terminals, memory, what is imported.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import BinaryIO
from unittest.mock import patch

from tiny_pipeline import environment

from lumilab.__main__ import main
from lumilab.cli import app
from lumilab.pipeline import run, worker
from lumilab.work.context import WorkContext
from lumilab.work.failures import failures_explained

COMMANDS = cache(app.get_command)  # a tenth of a second each time it is made


def lumi(*words: str | Path, cwd: Path, check: int | None = None, given: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `lumi WORDS` in the folder `cwd`, with `given` on standard input; `check` is the exit code it must have."""
    command = ["lumi", *map(str, words)]
    with tempfile.TemporaryFile() as typed, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        typed.write(given.encode())
        typed.seek(0)
        with _as_in_a_process(command, cwd), _streams(typed, out, err), _without_waiting():
            code = _exit_code(main)
        said = [_text(stream) for stream in (out, err)]
    done = subprocess.CompletedProcess(command, code, *said)
    if check is not None:
        assert done.returncode == check, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@contextmanager
def _without_waiting() -> Iterator[None]:
    """For the length of the block nothing is made or imported again that the last command had made or imported."""
    with patch.object(app, "get_command", COMMANDS), patch.object(run, "work_in_subprocess", _stage):
        yield


def _stage(order: worker.WorkOrder, context: WorkContext) -> int:
    """A stage as its own process would build it: the order as plain JSON, a failure explained, an exit code."""

    def build() -> None:
        with failures_explained():
            worker.build(worker.WorkOrder(**json.loads(json.dumps(asdict(order)))), context)

    return _exit_code(build)


def _exit_code(work: Callable[[], object]) -> int:
    try:
        work()
    except SystemExit as end:
        assert end.code is None or isinstance(end.code, int)
        return end.code or 0
    return 0


@contextmanager
def _as_in_a_process(command: list[str], folder: Path) -> Iterator[None]:
    """Arguments, folder and environment for the length of the block; the command may change the environment."""
    words, place, variables = sys.argv, Path.cwd(), dict(os.environ)
    sys.argv = command
    os.environ.update(environment())
    os.chdir(folder)
    try:
        yield
    finally:
        sys.argv = words
        os.chdir(place)
        os.environ.clear()
        os.environ.update(variables)


@contextmanager
def _streams(*files: BinaryIO) -> Iterator[None]:
    """Standard input, output and error become the files, for this process, for libraries in C, and for children."""
    before = sys.stdin, sys.stdout, sys.stderr
    for stream in before[1:]:
        stream.flush()
    kept = [os.dup(number) for number in range(3)]
    for number, file in enumerate(files):
        os.dup2(file.fileno(), number)
    # Not closed afterwards: a library that was imported meanwhile may have kept one, for its log.
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
        for number, mode in enumerate("rww")
    )
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdin, sys.stdout, sys.stderr = before
        for number, descriptor in enumerate(kept):
            os.dup2(descriptor, number)
            os.close(descriptor)


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode()
