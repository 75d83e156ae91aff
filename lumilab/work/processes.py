"""A pool of worker processes on this machine.

Each worker is a fresh interpreter (forking a process that has threads is not safe), does one task at a time and is
handed the next when it is done, the largest tasks first. A thread per worker waits for its outcomes, so that the pool
works the same on every system. A worker that dies is noticed by the end of its pipe.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self, cast

from lumilab.errors import ResourceError
from lumilab.work.frames import receive, send
from lumilab.work.jobs import THREAD_VARIABLES, Job, Outcome, Outcomes, largest_first
from lumilab.work.stopping import StopRequest
from lumilab.work.worker_process import JOB, STOP

PULSE = 0.1  # seconds between two looks at the stop request
PATIENCE = 10.0  # seconds that workers have to stop in before they are killed


class ProcessPool:
    """The strategy of up to `workers` processes at a time."""

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def __call__(self, jobs: Sequence[Job], stop: StopRequest) -> Outcomes:
        """Does the jobs, see `Strategy`."""
        waiting = deque(largest_first(jobs))
        with _Team(min(self._workers, len(waiting))) as team:
            for idle in team.workers:
                idle.begin(waiting.popleft())
            while team.busy:
                if stop.signal_number is not None:
                    team.stop(stop.signal_number)
                    stop.check()
                worker, outcome = team.next_outcome(PULSE)
                if outcome is not None and outcome.error is not None:
                    team.stop(signal.SIGTERM)
                    yield outcome
                    return
                if worker is not None and waiting:
                    worker.begin(waiting.popleft())
                yield outcome


class _Team:
    """The processes of one phase; they end with the block, whatever happens in it."""

    def __init__(self, size: int) -> None:
        self._outcomes: SimpleQueue[tuple[_Worker, bytes | None]] = SimpleQueue()
        self.workers: list[_Worker] = []
        self._size = size

    def __enter__(self) -> Self:
        try:
            for _ in range(self._size):
                self.workers.append(_Worker(self._outcomes))
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        for worker in self.workers:
            worker.let_go()
        for worker in self.workers:
            worker.end()

    @property
    def busy(self) -> bool:
        return any(worker.job is not None for worker in self.workers)

    def next_outcome(self, timeout: float) -> tuple[_Worker, Outcome] | tuple[None, None]:
        """The next outcome and the worker who is free now; nothing if none comes in time."""
        try:
            worker, data = self._outcomes.get(timeout=timeout)
        except Empty:
            return None, None
        job, worker.job = worker.job, None
        if job is None:  # a worker that had nothing to do has died: there is nothing to lose with it
            return None, None
        if data is None:
            return worker, Outcome(job.number, None, worker.death_during(job))
        return worker, cast(Outcome, pickle.loads(data))

    def stop(self, signal_number: int) -> None:
        """Asks all to stop what they do, and waits until they have. What they finish meanwhile stays finished."""
        for worker in self.workers:
            worker.ask_to_stop(signal_number)
        deadline = time.monotonic() + PATIENCE
        while self.busy and time.monotonic() < deadline:
            self.next_outcome(PULSE)


class _Worker:
    """One process, and the thread that waits for its outcomes."""

    def __init__(self, outcomes: SimpleQueue[tuple[_Worker, bytes | None]]) -> None:
        self.job: Job | None = None
        # The path by which this process finds its modules is the one by which the worker finds the tasks' functions.
        program = f"import sys; sys.path[:] = {sys.path!r}; from lumilab.work.worker_process import serve; serve()"
        with _signals_held_back():
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
                env=os.environ | dict.fromkeys(THREAD_VARIABLES, "1"),
            )  # fmt: skip
        self._orders, self._answers = cast(FileIO, self._process.stdin), cast(FileIO, self._process.stdout)
        self._listener = threading.Thread(target=self._listen, args=(outcomes,), daemon=True)
        self._listener.start()

    def _listen(self, outcomes: SimpleQueue[tuple[_Worker, bytes | None]]) -> None:
        data: bytes | None = b""
        while data is not None:
            data = receive(self._answers)
            outcomes.put((self, data))

    def begin(self, job: Job) -> None:
        self.job = job
        self._tell(JOB + pickle.dumps(job))

    def ask_to_stop(self, signal_number: int) -> None:
        self._tell(STOP + str(int(signal_number)).encode())

    def _tell(self, message: bytes) -> None:
        with suppress(BrokenPipeError):  # it has died, which its listener reports
            send(self._orders, message)

    def death_during(self, job: Job) -> ResourceError:
        """What to tell a person about the sudden end of this worker."""
        code = self._process.wait()
        how = f"with exit code {code}"
        if code < 0:
            with suppress(ValueError):
                how = f"by {signal.Signals(-code).name}"
        mend = "run the same command again: finished tasks are kept. If it ends there again, that input is the reason."
        if code == -signal.SIGKILL:
            mend = "most often memory has run out: use fewer workers, or free some memory, and run the command again."
        return ResourceError(f"A worker process was ended {how} in the middle of a task", where=job.about, mend=mend)

    def let_go(self) -> None:
        """Closes its orders, upon which an idle worker ends; a busy one has had its time and is killed."""
        if self.job is not None:
            self._process.kill()
        self._orders.close()

    def end(self) -> None:
        """Waits for the end of the process, and of the thread that listens to it."""
        try:
            self._process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(timeout=PATIENCE)
        self._answers.close()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Keeps a Ctrl-C of these milliseconds from ending a process that has not learned yet to ignore it: a blocked
    signal stays blocked in the new process until it says otherwise, and is delivered to this one after the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
