"""Real processes, killed and stopped: the next run does what is missing and ends in the same results."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_phases import begun, processes

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")
BUILDER = Path(__file__).with_name("builder.py")
COUNT, PHASES = 6, 2


class Builds:
    """Starts builders in one work folder."""

    def __init__(self, folder: Path) -> None:
        self.diary = folder / "diary"
        self._settings = {"folder": str(folder / "work"), "diary": str(self.diary), "count": COUNT, "phases": PHASES}
        self._running: list[subprocess.Popen[str]] = []

    def start(self, **settings: Any) -> subprocess.Popen[str]:
        environment = os.environ | {"PYTHONPATH": str(BUILDER.parents[1])}
        process = subprocess.Popen(
            [sys.executable, BUILDER, json.dumps(self._settings | settings)], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._running.append(process)
        return process

    def finish(self, **settings: Any) -> list[list[dict[str, Any]]]:
        said, complaint = self.start(**settings).communicate(timeout=60)
        answers: list[list[dict[str, Any]]] = json.loads(said.splitlines()[-1])["answers"]
        assert complaint == ""
        return answers

    def end(self) -> None:
        for process in self._running:
            process.kill()
            process.communicate()


@pytest.fixture
def builds(tmp_path: Path) -> Iterator[Builds]:
    builds = Builds(tmp_path)
    yield builds
    builds.end()


def wait_until(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def ended(pid: int) -> bool:
    """Whether a process has ended, though its new parent may not have taken note of it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def expected() -> list[list[dict[str, Any]]]:
    phase = [{"square": n**2, "pair": [f"order-{n}", n], "part": 0.1 * n} for n in range(COUNT)]
    return [phase] * PHASES


def entered(work: Path) -> int:
    return sum(1 for _ in work.glob("phase-*/[0-9]*/answer.json"))


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments_it_still_ends_in_the_same_results(
    builds: Builds, tmp_path: Path, workers: int
) -> None:
    draw = random.Random(workers)
    seconds = 0.05
    for _ in range(5):
        process = builds.start(workers=workers, seconds=seconds)
        before = len(begun(builds.diary))
        wait_until(lambda before=before, process=process: len(begun(builds.diary)) > before or process.poll() == 0)
        time.sleep(draw.uniform(0, 0.15))
        children = [child.pid for child in psutil.Process(process.pid).children()]
        process.kill()  # its workers are left to end by themselves
        process.wait()
        wait_until(lambda children=children: all(map(ended, children)))
    kept, begun_before = entered(tmp_path / "work"), len(begun(builds.diary))
    assert builds.finish(workers=workers, seconds=seconds) == expected()
    assert len(begun(builds.diary)) - begun_before == COUNT * PHASES - kept
    assert {path.name for path in (tmp_path / "work").glob("phase-*/*")} == {str(n) for n in range(COUNT)}
    # However many workers there are, what is done is done.
    assert builds.finish(workers=3 - workers, seconds=seconds) == expected()
    assert len(begun(builds.diary)) - begun_before == COUNT * PHASES - kept


@pytest.mark.parametrize("function", ["square", "deaf"])
def test_workers_end_when_their_parent_is_killed(builds: Builds, function: str) -> None:
    """Also in the middle of a task that never looks whether to stop."""
    parent = builds.start(workers=2, seconds=600, function=function)
    wait_until(lambda: len(processes(builds.diary)) == 2)
    parent.kill()
    parent.wait()
    wait_until(lambda: all(map(ended, processes(builds.diary))))


def test_a_killed_worker_ends_the_build_with_a_word(builds: Builds) -> None:
    parent = builds.start(workers=2, seconds=600)
    wait_until(lambda: len(processes(builds.diary)) == 2)
    victim, other = processes(builds.diary)
    os.kill(victim, signal.SIGKILL)
    _, complaint = parent.communicate(timeout=60)
    assert parent.returncode == 5
    assert "A worker process was ended by SIGKILL in the middle of a task" in complaint
    assert "use fewer workers" in complaint
    assert ended(other)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_the_whole_group_stops_cleanly(
    builds: Builds, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    """As Ctrl-C in a terminal, or the end of a Slurm step, reaches parent and workers alike."""
    parent = builds.start(workers=2, seconds=600)
    wait_until(lambda: len(processes(builds.diary)) == 2)
    os.killpg(parent.pid, number)
    _, complaint = parent.communicate(timeout=60)
    assert parent.returncode == code
    assert complaint == "Stopped on request. Run the same command again to go on from here.\n"
    assert all(map(ended, processes(builds.diary)))
    assert list((tmp_path / "work").glob("phase-0/.*")) == []
    assert builds.finish(workers=2) == expected()


def test_a_signal_while_workers_are_starting_stops_cleanly(builds: Builds) -> None:
    for delay in (0.0, 0.05, 0.1):
        parent = builds.start(workers=2, seconds=600)
        wait_until(psutil.Process(parent.pid).children)
        time.sleep(delay)
        os.killpg(parent.pid, signal.SIGINT)
        _, complaint = parent.communicate(timeout=60)
        assert (parent.returncode, "Traceback" in complaint) == (130, False), complaint


def test_a_second_signal_stops_at_once(builds: Builds) -> None:
    parent = builds.start(workers=2, seconds=600, function="deaf")
    wait_until(lambda: len(processes(builds.diary)) == 2)
    parent.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert parent.poll() is None
    parent.send_signal(signal.SIGINT)
    _, complaint = parent.communicate(timeout=60)
    assert parent.returncode == 130
    assert complaint.startswith("Stopped at once, by a second signal.")
    assert all(map(ended, processes(builds.diary)))
