"""`lumi run` killed with SIGKILL at random moments, again and again, ends in the very same model."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest
from command_line import lumi
from tiny_pipeline import digests, kill_at_random, start_lumi, write_pipeline

BEFORE_SFT = ("corpus", "tokenizer", "dataset", "conversations", "pretrain")
SECONDS = 30  # about what a run takes; kills come sooner after one that was faster


@pytest.fixture(scope="module")
def uninterrupted(finished: Path) -> dict[str, str]:
    return digests(finished / "run")


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_killed_again_and_again_the_digests_are_the_same(
    tmp_path: Path, uninterrupted: dict[str, str], kills: int
) -> None:
    recipe, run = write_pipeline(tmp_path), tmp_path / "run"
    words, expected = ("run", recipe, "--out", run), uninterrupted
    if kills == 1:  # which lands before fine-tuning: what comes after would only be waited for
        words = (*words, "--until", "pretrain")
        expected = {stage: uninterrupted[stage] for stage in BEFORE_SFT}

    def finished() -> None:
        check_whole(run, expected)
        shutil.rmtree(run)  # the next kills hit a new run

    # Up to a third of a whole run: the kills land in every stage, as each run goes on where the last was killed.
    kill_at_random(*words, cwd=tmp_path, kills=kills, seconds=SECONDS / 3, finished=finished)
    lumi(*words, cwd=tmp_path, check=0)
    check_whole(run, expected)


def check_whole(run: Path, expected: dict[str, str]) -> None:
    """The run has the expected digests, every byte is as published, and nothing half-written is left."""
    assert digests(run) == expected
    lumi("verify", run, cwd=run, check=0)
    assert [path for path in run.rglob(".*") if path.is_dir()] == []


@pytest.fixture
def untrained(copy: Path) -> Path:
    """A run of which nothing was trained: it goes on with what the tests are about."""
    shutil.rmtree(copy / "run" / "checkpoints")
    file = copy / "run" / "run.json"
    records = json.loads(file.read_text())
    records["stages"] = {name: records["stages"][name] for name in BEFORE_SFT if name != "pretrain"}
    file.write_text(json.dumps(records))
    return copy


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)])
def test_a_signal_stops_cleanly_and_the_next_run_goes_on(
    untrained: Path, uninterrupted: dict[str, str], number: signal.Signals
) -> None:
    process = start_lumi("run", "recipe.yaml", "--out", "run", cwd=untrained)
    checkpoints = untrained / "run" / "checkpoints" / "pretrain"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("*/step_*")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint ever appeared"
        time.sleep(0.02)
    process.send_signal(number)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 128 + number, output
    assert "Traceback" not in output
    lumi("run", "recipe.yaml", "--until", "pretrain", "--out", "run", cwd=untrained, check=0)
    found = digests(untrained / "run")
    assert "pretrain" in found and found.items() <= uninterrupted.items()


def test_the_stage_ends_when_only_the_command_is_killed(untrained: Path) -> None:
    process = start_lumi("run", "recipe.yaml", "pretrain.steps=100000", "--out", "run", cwd=untrained)
    deadline = time.monotonic() + 120
    while not list((untrained / "run").glob("checkpoints/pretrain/*/step_*")):
        assert process.poll() is None and time.monotonic() < deadline, "no checkpoint ever appeared"
        time.sleep(0.05)
    worker = psutil.Process(process.pid).children()[0]
    process.kill()
    process.communicate()
    worker.wait(timeout=60)
