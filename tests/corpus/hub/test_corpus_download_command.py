"""`lumi corpus download` as a person meets it: killed, listed, run again, and without a network."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import hub_faults as faults
import pytest
from stand_in_hub import Repository, StandInHub, environment, noise

from lumilab.corpus.hub.download import Request, download
from lumilab.corpus.hub.persistence import Patience
from lumilab.errors import ResourceError
from lumilab.work.context import WorkContext

COMMAND = "import typer; from lumilab.cli.corpus_download import download; from lumilab.work.failures import *\n"
COMMAND += "app = typer.Typer(); app.command()(download)\nwith failures_explained(): app(standalone_mode=False)"


def lumi(*words: str, endpoint: str, home: Path) -> subprocess.Popen[str]:
    variables = {**os.environ, **environment(endpoint, home)}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words], env=variables, cwd=home, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is a signal of POSIX")
def test_after_kill_9_at_most_one_piece_is_fetched_again(hub: StandInHub, tmp_path: Path) -> None:
    files = {f"train-{number}.parquet": noise(4_000_000, number) for number in range(3)}
    hub.repositories["owner/name"] = Repository(files)
    total = sum(map(len, files.values()))
    killed = 0
    hub.lasting = faults.slowly(0.01)
    for share in (0.2, 0.9):
        process = lumi("owner/name", "--out", "all", "--workers", "2", endpoint=hub.endpoint, home=tmp_path)
        while sum(hub.sent.values()) < share * total and process.poll() is None:
            time.sleep(0.005)
        killed += process.poll() is None
        process.kill()
        process.communicate()
    assert killed == 2
    folder = tmp_path / "all" / "owner" / "name" / "default"
    for path in folder.rglob("*.parquet"):
        assert path.read_bytes() == files[path.name]  # no half file under a final name
    there = sum(path.stat().st_size for path in folder.rglob("*.parquet*") if path.suffix != ".note")
    listed = lumi("--list", "--out", "all", endpoint="http://127.0.0.1:9", home=tmp_path).communicate()[0]
    assert re.search(r"owner/name default at \w+: \d of 3 files, \S+ MB of 12 MB, incomplete", listed), listed
    hub.lasting = None
    hub.sent.clear()
    process = lumi("owner/name", "--out", "all", endpoint=hub.endpoint, home=tmp_path)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert {path.name: path.read_bytes() for path in folder.rglob("*.parquet")} == files
    assert there > 0.5 * total
    # Not one byte that had been written was fetched again; the hub counts what it sent, not what it handed on.
    assert sum(hub.sent.values()) == total - there
    assert "3 files, 12 MB, every hash checked" in output
    listed = lumi("--list", "--out", "all", endpoint="http://127.0.0.1:9", home=tmp_path).communicate()[0]
    assert "3 of 3 files, 12 MB of 12 MB, complete" in listed
    assert "HuggingFaceFW/fineweb-edu" in listed


def test_a_hub_that_cannot_be_reached_is_one_paragraph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: Patience
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    for name, value in environment(address, tmp_path).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ResourceError) as caught:
        download(Request("fineweb"), tmp_path / "here", WorkContext(), patience)
    text = str(caught.value)
    assert "\n" not in text
    assert address in text
    assert "cannot be reached" in text and "after 3 tries" in text and "HF_ENDPOINT" in text
    process = lumi("fineweb", endpoint="ftp://nowhere", home=tmp_path)
    assert "HF_ENDPOINT is 'ftp://nowhere'" in process.communicate()[1]
    assert process.returncode == 2
