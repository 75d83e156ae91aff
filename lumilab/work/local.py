"""Phases done on this machine: in this process, or in several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lumilab.work.context import WorkContext
from lumilab.work.cores import available_cores
from lumilab.work.jobs import Strategy, in_this_process
from lumilab.work.ledger import Ledger
from lumilab.work.phase_run import complete
from lumilab.work.phases import Done, Phase
from lumilab.work.plans import Plans
from lumilab.work.processes import ProcessPool


class LocalWorkers:
    """Workers on this machine.

    Args:
        folder: of the work; each phase has a folder in it. The caller sees to it that nobody else works there.
        context: where progress is shown, and whether to stop.
        workers: processes at a time. One is this process; None is one for each available core.
        basis: what decides the results besides the orders (digests of raw files, versions); results left in the
            folder by work on another basis are removed.
    """

    def __init__(self, folder: Path, context: WorkContext, workers: int | None = None, *, basis: Any = None) -> None:
        self._folder = folder.absolute()
        self._context = context
        self._workers = available_cores() if workers is None else workers
        self._plans = Plans(basis)

    def run(self, phase: Phase) -> list[Done]:
        """Does what of the phase is not done yet; returns all of it, in the order of the orders.

        Raises:
            LumiError: whatever a task raised; ResourceError: a worker process died.
            Interrupted: a stop was asked for; finished tasks stay finished.
            TypeError: an order holds something whose identity is unknown, see `plans.describe`.
        """
        ledger = Ledger(self._folder / phase.name, self._plans.digest(phase))
        ledger.sweep(len(phase.orders))
        done = complete(phase, ledger, range(len(phase.orders)), local_strategy(self._workers), self._context)
        return [done[number] for number in range(len(phase.orders))]

    def leave(self) -> bool:
        """True: nobody else shares the work."""
        return True


def local_strategy(workers: int) -> Strategy:
    """How this many workers do jobs on this machine."""
    return in_this_process if workers == 1 else ProcessPool(workers)
