"""Who does the phases, by the words of a recipe or a command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from lumilab.work.context import WorkContext
from lumilab.work.local import LocalWorkers
from lumilab.work.on_ray import RayWorkers
from lumilab.work.phases import Workers
from lumilab.work.ranks import Rank, RankWorkers

Executor = Literal["local", "ray", "ranks"]


def workers_for(
    executor: Executor,
    folder: Path,
    context: WorkContext,
    workers: int | None = None,
    *,
    rank: Rank | None = None,
    basis: Any = None,
) -> Workers:
    """Those who do the phases.

    Args:
        executor: `local` for processes on this machine, `ray` for a Ray cluster, `ranks` for one of several processes
            that are started alike and share the folder, as in a Slurm array.
        folder: of the work. It may be kept for a later run to go on with and is removed after publishing.
        context: where progress is shown, and whether to stop.
        workers: processes at a time (of each rank); None for one per available core.
        rank: with `ranks`, which one this is; None for what Slurm says.
        basis: what decides the results besides the orders: the stage's key, or digests of raw files and versions.
            Results that were left in the folder by work on another basis are not used.

    Raises:
        ConfigError: `ranks`, and neither `rank` nor Slurm says which one.
    """
    if executor == "ranks":
        return RankWorkers(folder, context, rank or Rank.from_slurm(), workers, basis=basis)
    if executor == "ray":
        return RayWorkers(folder, context, workers, basis=basis)
    return LocalWorkers(folder, context, workers, basis=basis)
