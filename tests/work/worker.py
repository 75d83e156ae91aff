"""A process that works until it is asked to stop, for tests that send it real signals.

Run as `python worker.py MODE [PATH]`; says "ready" once it is at work. Modes: `polite` honours a stop at its next safe
point, `deaf` never looks, `watching` also stops when its standard input closes, `brief` watches and ends by itself,
`locked` holds the lock of PATH.
"""

from __future__ import annotations

import sys
import time
from io import FileIO
from pathlib import Path

from lumilab.work.context import WorkContext
from lumilab.work.failures import failures_explained
from lumilab.work.lock import exclusive
from lumilab.work.progress import Reporter
from lumilab.work.stopping import StopRequest, stop_when_closed, stopping_on_signals


def work(stop: StopRequest, *, looks: bool) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        time.sleep(0.005)
        if looks:
            stop.check()


def main(mode: str, path: str = "") -> None:
    with failures_explained(), stopping_on_signals() as stop:
        if mode in ("watching", "brief"):
            pipe = FileIO(sys.stdin.fileno(), closefd=False)
            pipe.readline()
            stop_when_closed(pipe, stop)
        if mode == "brief":
            return
        if mode == "locked":
            with exclusive(Path(path), WorkContext(Reporter(), stop)):
                work(stop, looks=True)
        work(stop, looks=mode != "deaf")


if __name__ == "__main__":
    main(*sys.argv[1:])
