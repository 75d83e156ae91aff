"""Several processes of one command on this machine: `lumi run --nproc 4`.

The ranks are told who they are in the environment, by the names that torchrun and accelerate use too. This launcher
does less than torchrun (one machine, no restarts), and hands on the exit code and the words of the rank that failed
first, with no traceback of its own around them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from lumilab.work.cores import available_cores
from lumilab.work.stopping import StopRequest

COMMAND = (sys.executable, "-m", "lumilab")
LOCALHOST = "127.0.0.1"
PULSE = 0.05  # seconds between two looks at the processes
GRACE = 20.0  # seconds in which the others may end by themselves once one has failed
PATIENCE = 120.0  # seconds to save their work after a stop was asked for


def launched(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher started this process as one of several ranks."""
    return "RANK" in environment and int(environment.get("WORLD_SIZE", "1")) > 1


def launch(words: Sequence[str], count: int, stop: StopRequest) -> int:
    """Runs `lumi WORDS` as `count` ranks and waits for all of them.

    Returns:
        0, or the exit code of the rank that failed first.
    """
    ranks = [_start(words, environment) for environment in _environments(count)]
    try:
        return _watch(ranks, stop)
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()


def _environments(count: int) -> list[dict[str, str]]:
    with socket.socket() as probe:
        probe.bind((LOCALHOST, 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": LOCALHOST,
        "MASTER_PORT": str(port),
    }
    threads = {"OMP_NUM_THREADS": str(max(1, available_cores() // count))}  # the cores shared out, if nobody chose
    return [threads | os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]


def _start(words: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Starts a rank in a process group of its own, so that Ctrl-C reaches only this process, which hands it on."""
    command = [*COMMAND, *words]
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, creationflags=flags)
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, process_group=0)


def _watch(ranks: Sequence[subprocess.Popen[bytes]], stop: StopRequest) -> int:
    """Until all have ended, or one has failed and its grace is over."""
    failed, told, end = 0, False, float("inf")
    while any(rank.poll() is None for rank in ranks) and time.monotonic() < end:
        if not failed:
            failed = next((code for rank in ranks if (code := rank.poll())), 0)
            end = time.monotonic() + GRACE if failed else end
        if stop.requested and not told:
            told, end = True, time.monotonic() + PATIENCE
            for rank in ranks:
                rank.send_signal(stop.signal_number or signal.SIGTERM)
        time.sleep(PULSE)
    failed = failed or next((code for rank in ranks if (code := rank.poll())), 0)
    return 128 - failed if failed < 0 else failed
