"""Phases done by several ranks that know nothing of each other but a folder they share, as in a Slurm array.

Every rank runs the same command. Of each phase it does the tasks k with k % world_size == rank, then waits until the
ledger holds the others' too, so that each rank has all results and goes on to the next phase. A rank that fails leaves
a note in the ledger, which ends the waiting of the others with the same message; one that is restarted takes its notes
away. Every rank has to be at work, or to come to work, until all phases are done: one that was killed is waited for
until it is started again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lumilab import errors
from lumilab.errors import ConfigError, Interrupted, LumiError
from lumilab.work.context import WorkContext
from lumilab.work.cores import available_cores
from lumilab.work.jobs import Outcome
from lumilab.work.ledger import Ledger, failure_notes
from lumilab.work.local import local_strategy
from lumilab.work.phase_run import complete
from lumilab.work.phases import Done, Phase
from lumilab.work.plans import Plans

PULSE = 0.1  # seconds between two looks at the stop request
POLL = 0.5  # seconds between two looks at the shared folder
GRACE = 60.0  # seconds in which ranks that are restarted together take away the notes of their earlier failures
LEAVING = "leaving"  # the phase in which a rank says that it needs the folder no more


@dataclass(frozen=True)
class Rank:
    """Which of how many.

    Raises:
        ConfigError: there is no such rank.
    """

    rank: int
    world_size: int

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(
                f"There is no rank {self.rank} among {self.world_size}",
                mend="ranks count from 0 to one less than their number (the world size).",
            )

    @classmethod
    def from_slurm(cls, environment: Mapping[str, str] = os.environ) -> Rank:
        """What Slurm says: of the task within an array, else of the process within an `srun`.

        Raises:
            ConfigError: this is neither, or the array's numbers are not evenly spaced.
        """
        if "SLURM_ARRAY_TASK_ID" in environment:
            return cls._in_array(environment)
        if "SLURM_PROCID" in environment and "SLURM_NTASKS" in environment:
            return cls(int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"]))
        raise ConfigError(
            "Nothing says which rank this is: this is no task of a Slurm array and no process of `srun`",
            mend="start it with `sbatch --array=0-7`, or give the rank and the world size.",
        )

    @classmethod
    def _in_array(cls, environment: Mapping[str, str]) -> Rank:
        names = ("ID", "MIN", "MAX", "STEP", "COUNT")
        try:
            number, first, last, step, count = (int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in names)
        except (KeyError, ValueError) as error:
            raise ConfigError(
                "This task of a Slurm array cannot tell which one it is: a variable SLURM_ARRAY_TASK_... is missing",
                where=str(error),
                mend="give the rank and the world size.",
            ) from error
        if (number - first) % step or (last - first) // step + 1 != count:
            raise ConfigError(
                "The numbers of this Slurm array are not evenly spaced, so they do not tell the ranks",
                mend="use a range as in `--array=0-7`, or give the rank and the world size.",
            )
        return cls((number - first) // step, count)


class RankWorkers:
    """The part of one rank.

    Args:
        folder: of the work, on a file system that all ranks see; each phase has a folder in it.
        context: where progress is shown, and whether to stop.
        rank: which one this is. No two processes are the same rank at a time.
        workers: processes at a time of this rank, see `LocalWorkers`.
        basis: what decides the results besides the orders, the same in all ranks, see `LocalWorkers`.
        grace: for how many seconds failures noted before this rank began are not believed, because the rank they
            are of may be starting too.
    """

    def __init__(
        self,
        folder: Path,
        context: WorkContext,
        rank: Rank,
        workers: int | None = None,
        *,
        basis: Any = None,
        grace: float = GRACE,
    ) -> None:
        self._folder = folder.absolute()
        self._context = context
        self._rank = rank
        self._strategy = local_strategy(available_cores() if workers is None else workers)
        self._plans = Plans(basis)
        self._earlier: set[Any] = set()
        self._believe_all_from = time.monotonic() + grace
        for path, number, note in failure_notes(self._folder.glob("*")):
            if self._is_mine(number):
                path.unlink(missing_ok=True)
            else:
                self._earlier.add(note["token"])
        # Who is here again has not left.
        Ledger(self._folder / LEAVING, "").sweep(0, rank.rank, rank.world_size)

    def _is_mine(self, number: int) -> bool:
        return number % self._rank.world_size == self._rank.rank

    def run(self, phase: Phase) -> list[Done]:
        """Does this rank's share of what is not done yet, waits for the others', and returns all of the phase, in the
        order of the orders.

        Raises:
            LumiError: whatever a task raised, here or in another rank.
            Interrupted: a stop was asked for; finished tasks stay finished.
            TypeError: an order holds something whose identity is unknown, see `plans.describe`.
        """
        ledger = Ledger(self._folder / phase.name, self._plans.digest(phase))
        ledger.sweep(len(phase.orders), self._rank.rank, self._rank.world_size)
        mine = range(self._rank.rank, len(phase.orders), self._rank.world_size)
        named = replace(phase, about=f"{phase.about} (rank {self._rank.rank} of {self._rank.world_size})")
        done = complete(named, ledger, mine, self._strategy, self._context, partial(self._note, ledger))
        done |= self._wait(ledger, [number for number in range(len(phase.orders)) if not self._is_mine(number)])
        return [done[number] for number in range(len(phase.orders))]

    def leave(self) -> bool:
        """Says that this rank needs the folder no more; rank 0 waits for all others to have said so.

        Returns:
            Whether this is rank 0, which publishes the result and removes the folder.

        Raises:
            Interrupted: a stop was asked for.
        """
        ledger = Ledger(self._folder / LEAVING, "")
        if self._rank.rank == 0:
            self._wait(ledger, list(range(1, self._rank.world_size)))
            return True
        with ledger.writing(self._rank.rank) as folder:
            ledger.enter(self._rank.rank, folder, {})
        return False

    def _note(self, ledger: Ledger, outcome: Outcome) -> None:
        """Tells the other ranks of a failure, which they would wait for otherwise."""
        error = outcome.error
        if isinstance(error, Interrupted):
            return  # it goes on once this rank is run again
        words = {"what": f"{type(error).__name__}: {error}", "where": None, "mend": None}
        if isinstance(error, LumiError):
            words = {"what": error.what, "where": error.where, "mend": error.mend}
        ledger.note_failure(outcome.number, words | {"kind": type(error).__name__, "rank": self._rank.rank})

    def _wait(self, ledger: Ledger, numbers: list[int]) -> dict[int, Done]:
        """Until these tasks are done by other ranks."""
        done = ledger.entries(numbers)
        if len(done) == len(numbers):
            return done
        about = f"Waiting for other ranks ({ledger.folder.name})"
        with self._context.report.task(about, len(numbers), "tasks") as task:
            task.start_at(len(done))
            while len(done) < len(numbers):
                _sleep(POLL, self._context.stop.check)
                self._raise_failure(ledger)
                missing = [number for number in numbers if number not in done]
                came = ledger.entries(missing)
                done |= came
                late = sorted({number % self._rank.world_size for number in missing if number not in came})
                task.advance(len(came), missing=f"from ranks {', '.join(map(str, late))}" if late else "nothing")
        return done

    def _raise_failure(self, ledger: Ledger) -> None:
        for _, _, note in failure_notes([ledger.folder]):
            old = note["token"] in self._earlier and time.monotonic() < self._believe_all_from
            if note["plan"] == ledger.plan and not old:
                raise _error_of(note)


def _error_of(note: dict[str, Any]) -> LumiError:
    """The failure of another rank as an error of the same kind."""
    kind = getattr(errors, note["kind"], LumiError)
    if not (isinstance(kind, type) and issubclass(kind, LumiError)) or issubclass(kind, Interrupted):
        kind = LumiError
    error: LumiError = kind(f"Rank {note['rank']} failed: {note['what']}", where=note["where"], mend=note["mend"])
    return error


def _sleep(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        check()
        time.sleep(PULSE)
