"""`lumi report` and `lumi monitor` as they are called: where the page goes, what a pipe gets, how Ctrl-C ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from told_run import write_run
from typer.testing import CliRunner

from lumilab.cli.app import app
from lumilab.errors import InputError


def test_the_report_goes_into_the_run_or_where_it_is_asked_for(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    done = CliRunner().invoke(app, ["report", str(run)])
    assert done.exit_code == 0 and f"The report is in {run / 'report.html'}." in done.output
    CliRunner().invoke(app, ["report", str(run), "--out", str(tmp_path / "page.html")])
    assert (tmp_path / "page.html").exists() and (run / "report.html").exists()


@pytest.mark.parametrize("command", [["report"], ["monitor", "--once"]])
def test_what_is_no_run_is_refused(tmp_path: Path, command: list[str]) -> None:
    done = CliRunner().invoke(app, [*command, str(tmp_path)])
    assert isinstance(done.exception, InputError)


def test_one_picture_of_a_run(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["monitor", str(write_run(tmp_path / "run")), "--once"])
    assert done.exit_code == 0 and "preference  step 2 of 2" in done.output


@pytest.mark.skipif(os.name == "nt", reason="signals of a console are another matter there")
def test_ctrl_c_ends_the_monitor_without_a_traceback(tmp_path: Path) -> None:
    # A shell starts what runs in its background with SIGINT ignored, and that is inherited; a handler is not.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "lumilab", "monitor", str(write_run(tmp_path / "run")), "--every", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        signal.signal(signal.SIGINT, before)
        assert process.stdout is not None and process.stderr is not None
        assert "nothing is at work" in process.stdout.readline()
        assert "preference step 2/2" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert "Traceback" not in process.stderr.read()
