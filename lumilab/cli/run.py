"""`lumi run RECIPE`: brings a run up to date with its recipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lumilab.cli.options import Depth, Out, Overrides, RecipeReference, Trial, load, run_folder
from lumilab.cli.running import bring_up_to_date
from lumilab.work.progress import Reporter

if TYPE_CHECKING:
    from lumilab.pipeline.plan import StagePlan
    from lumilab.pipeline.run import Work


def run(
    recipe: RecipeReference,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and why, and run nothing.")] = False,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.", metavar="STAGE")] = None,
    force: Annotated[
        list[str] | None, typer.Option(help="Build this stage anew even if it is up to date.", metavar="STAGE")
    ] = None,
    out: Out = None,
    test: Trial = False,
    nproc: Annotated[
        int | None, typer.Option(help="Train with this many processes, one for each GPU of this machine.", min=2)
    ] = None,
    depth: Depth = None,
) -> None:
    """Run a recipe: from raw text to a chat model, only the stages that changed."""
    from lumilab.pipeline.launch import launched

    if launched():
        from lumilab.pipeline.team import joined_team

        with joined_team() as team:
            if team.leads:
                _run(recipe, overrides, dry_run, until, force or [], out, test, depth, team.work)
            else:
                team.follow()
    elif nproc and not dry_run:
        _launch(nproc)
    else:
        _run(recipe, overrides, dry_run, until, force or [], out, test, depth)


def _run(
    recipe: str,
    overrides: list[str] | None,
    dry_run: bool,
    until: str | None,
    force: list[str],
    out: Path | None,
    test: bool,
    depth: int | None,
    work: Work | None = None,
) -> None:
    from lumilab.pipeline import plan as planning
    from lumilab.pipeline import run as running

    loaded = load(recipe, overrides, trial=test, depth=depth)
    folder = run_folder(loaded, out)
    report = Reporter()
    forced = frozenset(force)
    if dry_run:
        running.check_stage_names(loaded.recipe, [*([until] if until else []), *forced])
        show_plan(planning.plan(loaded.recipe, folder, until=until, force=forced), folder, report)
        return
    result = bring_up_to_date(loaded.recipe, folder, report, until=until, force=forced, work=work)
    if not result.ran:
        report.say("Nothing to do: every stage is up to date.")
    report.say(f"The run is in {folder}.")


def _launch(count: int) -> None:
    """The same command again, as several ranks; to them the option means nothing, as they are launched already."""
    from lumilab.pipeline.launch import launch
    from lumilab.work.stopping import stopping_on_signals

    with stopping_on_signals() as stop:
        code = launch(sys.argv[1:], count, stop)
    if code:
        raise typer.Exit(code)


def show_plan(steps: list[StagePlan], folder: Path, report: Reporter) -> None:
    """Prints what would run and why."""
    for step in steps:
        state = "up to date" if step.fresh else "would run: " + "; ".join(step.reasons)
        report.say(f"{step.stage.name:<14} {state}", style="dim" if step.fresh else "bold")
    stale = sum(not step.fresh for step in steps)
    report.say(f"{stale} of {len(steps)} stages would run in {folder}.")
