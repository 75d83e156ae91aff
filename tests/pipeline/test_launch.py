"""Several processes of one command: all are told who they are, and the exit code is that of the one that failed."""

from __future__ import annotations

import sys

import pytest

from lumilab.pipeline import launch as launching
from lumilab.pipeline.launch import launch, launched
from lumilab.work.stopping import StopRequest

SCRIPT = """
import os, sys, time
assert os.environ["WORLD_SIZE"] == os.environ["LOCAL_WORLD_SIZE"] == "3" and os.environ["MASTER_ADDR"]
assert 0 <= int(os.environ["RANK"]) == int(os.environ["LOCAL_RANK"]) < 3 and int(os.environ["MASTER_PORT"]) > 0
time.sleep(float(sys.argv[1]) if os.environ["RANK"] != "1" else 0)
sys.exit(7 if os.environ["RANK"] == "1" and sys.argv[1] != "0" else 0)
"""


@pytest.fixture(autouse=True)
def instead_of_lumi(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that start in no time."""
    monkeypatch.setattr(launching, "COMMAND", (sys.executable, "-c", SCRIPT))


def test_all_are_told_who_they_are() -> None:
    assert launch(["0"], 3, StopRequest()) == 0


def test_the_others_are_ended_once_one_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "GRACE", 0.2)
    assert launch(["600"], 3, StopRequest()) == 7


def test_a_stop_is_handed_on() -> None:
    stop = StopRequest()
    stop.request(15)
    assert launch(["600"], 3, stop) in (143, 7)  # the signal, or the rank that was faster


def test_who_was_launched() -> None:
    assert launched({"RANK": "0", "WORLD_SIZE": "2"})
    assert not launched({"RANK": "0", "WORLD_SIZE": "1"})
    assert not launched({})
