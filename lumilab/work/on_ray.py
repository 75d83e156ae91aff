"""The same tasks on a Ray cluster, or on a local Ray where there is no cluster.

Ray only carries tasks out: what is done, and whether, is written in the ledger, in a folder that all machines of the
cluster see. Ray is imported when the first phase is run.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lumilab.errors import ConfigError, ResourceError
from lumilab.work.context import WorkContext
from lumilab.work.cores import available_cores
from lumilab.work.jobs import THREAD_VARIABLES, Job, Outcome, Outcomes, attempt_pickled, largest_first
from lumilab.work.ledger import Ledger
from lumilab.work.phase_run import complete
from lumilab.work.phases import Done, Phase
from lumilab.work.plans import Plans
from lumilab.work.stopping import StopRequest

PULSE = 0.1  # seconds between two looks at the stop request
PATIENCE = 10.0  # seconds that cancelled tasks have to stop in, and results to appear on a shared file system
STORE_BYTES = 100_000_000  # of the object store of a local Ray: orders and answers are small


class RayWorkers:
    """Workers of a Ray cluster: the one this process is connected to, the one of RAY_ADDRESS, one that was started on
    this machine with `ray start`, or else a Ray of this process's own, which ends with it.

    Args:
        folder: of the work, on a file system that all machines of the cluster see.
        context: where progress is shown, and whether to stop.
        workers: tasks at a time, one core each; None for all cores of the cluster.
        basis: what decides the results besides the orders, see `LocalWorkers`.
    """

    def __init__(self, folder: Path, context: WorkContext, workers: int | None = None, *, basis: Any = None) -> None:
        self._folder = folder.absolute()
        self._context = context
        self._workers = workers
        self._plans = Plans(basis)

    def run(self, phase: Phase) -> list[Done]:
        """Does what of the phase is not done yet; returns all of it, in the order of the orders.

        Raises:
            LumiError: whatever a task raised; ResourceError: a worker or its machine was lost.
            ConfigError: Ray is not installed, or no cluster answers at RAY_ADDRESS.
            Interrupted: a stop was asked for; finished tasks stay finished.
            TypeError: an order holds something whose identity is unknown, see `plans.describe`.
        """
        ledger = Ledger(self._folder / phase.name, self._plans.digest(phase))
        ledger.sweep(len(phase.orders))
        done = complete(phase, ledger, range(len(phase.orders)), self._strategy, self._context)
        return [done[number] for number in range(len(phase.orders))]

    def leave(self) -> bool:
        """True: nobody else shares the work."""
        return True

    def _strategy(self, jobs: Sequence[Job], stop: StopRequest) -> Outcomes:
        ray = _connected(self._workers)
        # Twice as many as there are cores, so that none waits for this process to hand it the next.
        at_a_time = self._workers or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
        # A lost worker is not tried again: its task may be what ended it, and the next run goes on from here.
        attempt = ray.remote(num_cpus=1, max_retries=0)(_attempt_there)
        waiting = deque(largest_first(jobs))
        running: dict[Any, Job] = {}
        try:
            while waiting or running:
                while waiting and len(running) < at_a_time:
                    job = waiting.popleft()
                    running[attempt.remote(pickle.dumps(job), sys.path)] = job
                ready, _ = ray.wait(list(running), timeout=PULSE)
                stop.check()
                for reference in ready:
                    outcome = _outcome(ray, reference, running.pop(reference))
                    if outcome.error is not None:
                        _cancel(ray, list(running))
                        running.clear()
                        yield outcome
                        return
                    yield outcome
                yield None
        finally:
            _cancel(ray, list(running))


def _attempt_there(data: bytes, path: list[str]) -> bytes:
    """What a worker of Ray does: the job, with the modules and the threads that a local worker would have."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    sys.path.extend(entry for entry in path if entry not in sys.path)
    return attempt_pickled(data, StopRequest())


def _outcome(ray: Any, reference: Any, job: Job) -> Outcome:
    try:
        outcome: Outcome = pickle.loads(ray.get(reference))
    except ray.exceptions.RayError as error:
        lost = ResourceError(
            f"A worker of Ray was lost in the middle of a task: {str(error).strip().splitlines()[0]}",
            where=job.about,
            mend="if memory ran out, use fewer workers; run the same command again: finished tasks are kept.",
        )
        return Outcome(job.number, None, lost)
    if outcome.error is None and not _appears(job):
        unseen = ConfigError(
            "A worker of Ray has finished a task whose result cannot be seen here",
            where=str(job.ledger.folder),
            mend="put the run's folder on a file system that all machines of the cluster share, at the same path.",
        )
        return Outcome(job.number, None, unseen)
    return Outcome(job.number, outcome.done, outcome.error)


def _appears(job: Job) -> bool:
    """Whether the result is there; shared file systems may show it a moment later."""
    deadline = time.monotonic() + PATIENCE
    while job.ledger.entry(job.number) is None:
        if time.monotonic() > deadline:
            return False
        time.sleep(PULSE)
    return True


def _cancel(ray: Any, references: list[Any]) -> None:
    """Ends tasks: by an interrupt, which lets them tidy up, and if that does not help by force."""
    for force in (False, True):
        if references:
            for reference in references:
                ray.cancel(reference, force=force)
            _, references = ray.wait(references, num_returns=len(references), timeout=PATIENCE)


def _connected(workers: int | None) -> Any:
    """The module `ray`, connected to a cluster.

    Raises:
        ConfigError: it is not installed, or no cluster answers at RAY_ADDRESS.
    """
    # Ray reports usage to its makers unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "Ray is not installed", mend="install it with `pip install 'lumilab[ray]'`, or use the local executor."
        ) from error
    if not ray.is_initialized():
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        with _own_signal_handler():
            _connect(ray, quiet, workers)
    return ray


def _connect(ray: Any, quiet: dict[str, Any], workers: int | None) -> None:
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            _check_answer(address)
            ray.init(address=address, **quiet)
        else:
            _join_or_start(ray, quiet, workers or available_cores())
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"No Ray cluster can be joined: {error}",
            where=f"RAY_ADDRESS={address}" if address else "the cluster that was started on this machine",
            mend="see that it runs and that this process may use it (RAY_AUTH_MODE, RAY_AUTH_TOKEN); for a Ray of this "
            "run's own, unset RAY_ADDRESS and run `ray stop`.",
        ) from error


def _join_or_start(ray: Any, quiet: dict[str, Any], cores: int) -> None:
    try:
        # A local Ray of another run is not joined: it ends with that run.
        ray.init(num_cpus=cores, object_store_memory=STORE_BYTES, include_dashboard=False, **quiet)
    except ValueError:  # a cluster was started here with `ray start`, and its size is not for us to say
        ray.init(**quiet)


def _check_answer(address: str) -> None:
    """Tries the address, HOST:PORT with or without a protocol before it: Ray itself would try for minutes.

    Raises:
        OSError, ValueError: nobody is there, or it is no address.
    """
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if not colon:
        return  # a word of Ray's, like "auto"
    socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


@contextmanager
def _own_signal_handler() -> Iterator[None]:
    """Keeps this process's way of stopping: ray.init puts a handler of its own for SIGTERM."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
