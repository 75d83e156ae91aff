"""A process of the pool: does the jobs it is sent, one at a time, until its standard input closes.

It ignores SIGINT, because Ctrl-C goes to every process of a terminal and the parent is the one to decide; the parent
says so through the pipe. When the pipe closes, the parent is done or dead: the task at hand is asked to stop, and
if it does not listen, the process ends all the same. That is safe, since a task counts only once it is entered.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from io import FileIO
from queue import SimpleQueue

from lumilab.work.frames import receive, send
from lumilab.work.jobs import attempt_pickled
from lumilab.work.stopping import StopRequest

JOB, STOP = b"j", b"s"  # the first byte of a message
GRACE = 3.0  # seconds a task has to stop in after its parent is gone


def serve() -> None:
    """The life of a worker process. Standard input brings messages: JOB and a pickled job, or STOP and a signal's
    number. Standard output takes a pickled outcome for each job."""
    incoming, outgoing = _take_pipes()
    stop = StopRequest()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: stop.request(number))
    if hasattr(signal, "pthread_sigmask"):  # the parent had them blocked until somebody listens
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))
    jobs: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, jobs, stop), daemon=True).start()
    while (data := jobs.get()) is not None:
        try:
            send(outgoing, attempt_pickled(data, stop))
        except BrokenPipeError:
            break
    # Without the interpreter's own end: threads of libraries, or the listener, must not hold it up.
    sys.stderr.flush()
    os._exit(0)


def _take_pipes() -> tuple[FileIO, FileIO]:
    """The pipes to the parent, moved away from where a task might read or print."""
    incoming, outgoing = FileIO(os.dup(0)), FileIO(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing


def _listen(incoming: FileIO, jobs: SimpleQueue[bytes | None], stop: StopRequest) -> None:
    while (message := receive(incoming)) is not None:
        kind, data = message[:1], message[1:]
        if kind == JOB:
            jobs.put(data)
        else:
            stop.request(int(data))
    stop.request(signal.SIGTERM)
    jobs.put(None)
    time.sleep(GRACE)
    os._exit(1)
