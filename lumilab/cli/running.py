"""Running a recipe for a person at a terminal: signals stop it cleanly, and a failed stage's words stand alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter
from lumilab.work.stopping import stopping_on_signals

if TYPE_CHECKING:
    from lumilab.pipeline.run import RunResult, Work
    from lumilab.recipe import Recipe


def bring_up_to_date(
    recipe: Recipe,
    folder: Path,
    report: Reporter,
    *,
    until: str | None = None,
    force: frozenset[str] = frozenset(),
    work: Work | None = None,
) -> RunResult:
    """Runs what is stale; ends the command with a failed stage's exit code. The arguments are those of `run`."""
    from lumilab.pipeline.run import StageFailure, run

    try:
        with stopping_on_signals() as stop:
            return run(recipe, folder, WorkContext(report, stop), until=until, force=force, work=work)
    except StageFailure as failure:
        report.say(str(failure))
        raise typer.Exit(failure.exit_code) from None
