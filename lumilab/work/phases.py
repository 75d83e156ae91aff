"""Work in phases: each a list of independent tasks, done in any order, on any number of workers, with one result.

A task is a function of its order alone and writes only into the folder it is given. The folder is renamed into place
when the task is done, with its answer in it: that is the ledger. A build that was killed does again only the tasks
whose folders are not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lumilab.work.stopping import StopRequest

# What a worker does with one order: a function at the top of a module, so that it can be pickled by name. It writes
# files into the folder, which is new and its own, calls `stop.check()` several times a second, and returns its answer
# as JSON values (counts; never large). It must not depend on anything but the order.
TaskFunction = Callable[[Any, Path, StopRequest], dict[str, Any]]


@dataclass(frozen=True)
class Done:
    """A finished task: the folder with its files, and its answer."""

    folder: Path
    answer: dict[str, Any]


@dataclass(frozen=True)
class Phase:
    """One list of tasks.

    Attributes:
        name: a folder name, unique in the work at hand.
        about: what it does, for the progress display, for example "Reading the sources".
        function: done for every order.
        orders: picklable; their sequence is the sequence of the results.
        sizes: of the orders, for progress and balance (any unit, same length).
        unit: what `sizes` counts, for the display ("bytes" shows as MB/s).
        worth_a_line: seconds that the phase must take for its end to be told; small steps of little corpora are not.
        facts: from the answers so far to what is shown beside the progress bar.
    """

    name: str
    about: str
    function: TaskFunction
    orders: Sequence[Any]
    sizes: Sequence[int]
    unit: str = "bytes"
    worth_a_line: float = 2.0
    facts: Callable[[Sequence[dict[str, Any]]], dict[str, str]] | None = None


class Workers(Protocol):
    """Whoever does phases: this process, a pool of processes, a Ray cluster, one rank of several."""

    def run(self, phase: Phase) -> list[Done]:
        """Does what of the phase is not done yet; returns all of it, in the order of the orders.

        Raises:
            LumiError: whatever a task raised, with nothing of that task left behind.
            Interrupted: a stop was asked for; finished tasks stay finished.
        """
        ...

    def leave(self) -> bool:
        """Says that this process reads nothing in the work folder any more, unless it is the one that publishes.

        Returns:
            Whether it is: true in one process of those that share the work, once all others have left. That one
            reads the results, publishes what comes of them, and removes the folder.
        """
        ...
