"""`lumi run` killed with SIGKILL at random moments, again and again, ends in the very same model."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from tiny_pipeline import digests, lumi, start_lumi, write_pipeline

KILLS = 10


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and all it started, as a power cut or the out-of-memory killer would."""
    parent = psutil.Process(pid)
    family = [*parent.children(recursive=True), parent]
    for process in family:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=30)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], float]:
    folder = tmp_path_factory.mktemp("whole")
    started = time.monotonic()
    lumi("run", write_pipeline(folder), "--out", folder / "run", cwd=folder, check=0)
    return digests(folder / "run"), time.monotonic() - started


def test_killed_ten_times_gives_the_same_digests(tmp_path: Path, uninterrupted: tuple[dict[str, str], float]) -> None:
    expected, seconds = uninterrupted
    recipe = write_pipeline(tmp_path)
    draw = random.Random(2024)
    kills = 0
    while kills < KILLS:
        process = start_lumi("run", recipe, "--out", tmp_path / "run", cwd=tmp_path)
        # Moments from "still starting" to "most of a whole run": kills land in every stage, also in the later ones
        # as the finished stages are skipped from run to run.
        time.sleep(draw.uniform(0.05, 0.45) * seconds)
        if process.poll() is not None:
            # It finished before the knife came: start over, so that there are ten real kills.
            assert process.returncode == 0, process.communicate()[0]
            lumi(
                "run", recipe, "--out", tmp_path / "run", "--force", draw.choice(list(expected)), cwd=tmp_path, check=0
            )
            continue
        kill_tree(process.pid)
        process.communicate()
        kills += 1
    lumi("run", recipe, "--out", tmp_path / "run", cwd=tmp_path, check=0)
    assert digests(tmp_path / "run") == expected
    lumi("verify", tmp_path / "run", cwd=tmp_path, check=0)
    leftovers = [path for path in (tmp_path / "run").rglob(".*") if path.is_dir()]
    assert leftovers == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_the_next_run_goes_on(
    tmp_path: Path, uninterrupted: tuple[dict[str, str], float], number: signal.Signals
) -> None:
    expected, _ = uninterrupted
    recipe = write_pipeline(tmp_path)
    process = start_lumi("run", recipe, "--out", tmp_path / "run", cwd=tmp_path)
    checkpoints = tmp_path / "run" / "checkpoints" / "pretrain"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("*/step_*")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint ever appeared"
        time.sleep(0.02)
    process.send_signal(number)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number, output
    assert "Traceback" not in output
    lumi("run", recipe, "--out", tmp_path / "run", cwd=tmp_path, check=0)
    assert digests(tmp_path / "run") == expected


def test_the_stage_ends_when_only_the_command_is_killed(tmp_path: Path) -> None:
    recipe = write_pipeline(tmp_path)
    process = start_lumi("run", recipe, "pretrain.steps=100000", "--out", tmp_path / "run", cwd=tmp_path)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "run").glob("checkpoints/pretrain/*/step_*")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint ever appeared"
        time.sleep(0.05)
    worker = psutil.Process(process.pid).children()[0]
    process.kill()
    process.communicate()
    worker.wait(timeout=60)
