"""Stopping by real signals and by the death of the parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lumilab.errors import Interrupted
from lumilab.work.stopping import StopRequest, stopping_on_signals

WORKER = Path(__file__).with_name("worker.py")
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes to end with the test, however it ends."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(processes: list[subprocess.Popen[str]], mode: str, *, ready: bool = True) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, WORKER, mode],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    processes.append(process)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("the order\n")
    process.stdin.flush()
    if ready:
        assert process.stdout.readline() == "ready\n"
    return process


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_work_at_a_safe_point(
    started: list[subprocess.Popen[str]], number: signal.Signals, code: int
) -> None:
    process = start(started, "polite")
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert said == "Stopped on request. Run the same command again to go on from here.\n"


@posix
def test_the_first_signal_only_asks_and_the_second_stops_at_once(started: list[subprocess.Popen[str]]) -> None:
    process = start(started, "deaf")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "at once, by a second signal" in said
    assert "Traceback" not in said


def test_a_parent_that_closes_its_end_stops_the_work(started: list[subprocess.Popen[str]]) -> None:
    process = start(started, "watching")
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM


def test_a_parent_can_say_by_which_signal(started: list[subprocess.Popen[str]]) -> None:
    process = start(started, "watching")
    process.communicate(str(int(signal.SIGINT)), timeout=30)
    assert process.returncode == 130


def test_a_parent_that_says_it_before_the_worker_listens_is_heard(started: list[subprocess.Popen[str]]) -> None:
    process = start(started, "watching", ready=False)
    process.communicate(str(int(signal.SIGINT)), timeout=30)
    assert process.returncode == 130


@posix
def test_a_killed_parent_takes_its_worker_along() -> None:
    program = (
        "import subprocess, sys, time\n"
        f"worker = subprocess.Popen([sys.executable, {str(WORKER)!r}, 'watching'], stdin=subprocess.PIPE)\n"
        "worker.stdin.write(b'order\\n'); worker.stdin.flush()\n"
        "print(worker.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    int(parent.stdout.readline())
    assert parent.stdout.readline() == "ready\n"
    parent.kill()
    # The worker holds the other end of this pipe: it closes when the worker has ended.
    assert parent.stdout.read() == ""
    parent.wait(timeout=30)


@pytest.mark.parametrize("attempt", range(3))
def test_a_worker_that_watches_its_parent_can_end_before_it(started: list[subprocess.Popen[str]], attempt: int) -> None:
    """A watch that waits in a buffered reader makes the interpreter abort on its way out."""
    process = start(started, "brief", ready=False)
    assert process.wait(timeout=30) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyError), stopping_on_signals():
        assert signal.getsignal(signal.SIGINT) != before[0]
        raise KeyError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_handler_that_was_not_set_from_python_becomes_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    real = signal.signal
    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", lambda number, handler: real(number, handler) and None)
        with stopping_on_signals():
            pass
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    signal.signal(signal.SIGTERM, before)


def test_a_request_is_raised_at_every_check_until_it_is_honoured() -> None:
    stop = StopRequest()
    stop.check()
    assert not stop.requested
    stop.request(signal.SIGINT)
    for _ in range(2):
        with pytest.raises(Interrupted) as caught:
            stop.check()
        assert caught.value.exit_code == 130


def test_a_request_from_another_thread_is_seen() -> None:
    stop = StopRequest()
    thread = threading.Thread(target=stop.request, args=(signal.SIGTERM,))
    thread.start()
    thread.join()
    assert stop.requested
