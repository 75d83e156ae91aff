"""One task of a phase on its way to a worker, and what comes back."""

from __future__ import annotations

import pickle
import sys
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

from lumilab.work.ledger import Ledger
from lumilab.work.phases import Done, Phase, TaskFunction
from lumilab.work.stopping import StopRequest

# Numerical libraries start a thread per core unless they are told not to, and one process per core is at work already.
# They read these variables when they are loaded.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A task to do: picklable if the order is."""

    number: int
    about: str  # names the task in messages
    size: int
    function: TaskFunction
    order: Any
    ledger: Ledger

    def do(self, stop: StopRequest) -> Done:
        """Does the task and enters it into the ledger.

        Raises:
            Interrupted: a stop was asked for.
            Exception: whatever the task raised; nothing of the task is left behind.
        """
        stop.check()
        with self.ledger.writing(self.number) as folder:
            answer = self.function(self.order, folder, stop)
            return self.ledger.enter(self.number, folder, answer)

    def attempt(self, stop: StopRequest) -> Outcome:
        """Does the task; a failure becomes part of the outcome, made so that it can travel to another process."""
        try:
            return Outcome(self.number, self.do(stop))
        except Exception as error:
            return Outcome(self.number, None, _fit_to_travel(error, self.about))


@dataclass(frozen=True)
class Outcome:
    """What became of a task: the finished task, or why it failed."""

    number: int
    done: Done | None
    error: Exception | None = None


# What a strategy yields: each outcome as it comes, and None every fraction of a second in between. A failure is the
# last outcome, yielded once no worker is at work any more. A stop request raises Interrupted, likewise.
Outcomes = Generator[Outcome | None, None, None]
# Does jobs, in an order of its own.
Strategy = Callable[[Sequence[Job], StopRequest], Outcomes]


def in_this_process(jobs: Sequence[Job], stop: StopRequest) -> Outcomes:
    """The simplest strategy: one after the other, in their sequence, here."""
    for job in jobs:
        try:
            outcome = Outcome(job.number, job.do(stop))
        except Exception as error:
            outcome = Outcome(job.number, None, error)
        yield outcome
        if outcome.error is not None:
            return


def jobs_of(phase: Phase, ledger: Ledger, numbers: Sequence[int]) -> list[Job]:
    """The tasks of these numbers, made ready for a worker."""
    return [
        Job(number, _about(phase, number), phase.sizes[number], phase.function, phase.orders[number], ledger)
        for number in numbers
    ]


def largest_first(jobs: Sequence[Job]) -> list[Job]:
    """The order in which several workers end at about the same time (R. L. Graham's longest processing time rule)."""
    return sorted(jobs, key=lambda job: (-job.size, job.number))


def _about(phase: Phase, number: int) -> str:
    name = getattr(phase.orders[number], "name", None)
    of = f"task {number + 1} of {len(phase.orders)} of {phase.name!r}"
    return f"{of} ({name})" if isinstance(name, str) else of


def _fit_to_travel(error: Exception, about: str) -> Exception:
    """The error with its traceback as a note, or words in its place if it cannot be pickled."""
    trace = f"In {about}:\n{''.join(traceback.format_exception(error))}"
    try:
        error.add_note(trace)
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
        error.add_note(trace)
    return error


def attempt_pickled(data: bytes, stop: StopRequest) -> bytes:
    """Does a pickled job and pickles its outcome. A job that cannot be unpickled here has an outcome too."""
    try:
        job: Job = pickle.loads(data)
    except Exception as error:
        return pickle.dumps(Outcome(-1, None, _fit_to_travel(error, f"a task that {sys.executable} could not load")))
    return pickle.dumps(job.attempt(stop))
