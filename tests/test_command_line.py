"""A command in the tests' own process does what it does in one of its own, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from command_line import lumi
from tiny_pipeline import lumi_process


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["config", "show", "tiny"], 0),
        (["run", "absent.yaml"], 2),
        (["run", "tiny", "--untill", "sft"], 2),
        (["corpus", "stats", "absent"], 3),
        (["tokenizer", "encode", "absent"], 3),
    ],
)
def test_both_forms_say_the_same_with_the_same_exit_code(tmp_path: Path, words: list[str], code: int) -> None:
    here, there = lumi(*words, cwd=tmp_path), lumi_process(*words, cwd=tmp_path)
    assert (here.returncode, here.stdout, here.stderr) == (there.returncode, there.stdout, there.stderr)
    assert here.returncode == code and here.stdout + here.stderr


def test_what_a_command_changes_is_put_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def state() -> object:
        streams = (sys.stdin, sys.stdout, sys.stderr)
        return dict(os.environ), Path.cwd(), sys.argv, streams, signal.getsignal(signal.SIGINT)

    before = state()
    assert "Traceback" in lumi("--debug", "run", "absent.yaml", cwd=tmp_path, check=2).stderr
    assert state() == before
    assert "Traceback" not in lumi("run", "absent.yaml", cwd=tmp_path, check=2).stderr, "--debug was forgotten"
    os.write(1, b"seen")
    assert capfd.readouterr() == ("seen", "")
