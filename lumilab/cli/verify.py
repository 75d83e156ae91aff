"""`lumi verify PATH`: proves an artifact, or a whole run, back to its raw files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lumilab.errors import DamageError
from lumilab.work.progress import Reporter

if TYPE_CHECKING:
    from lumilab.artifact import Step


def verify(
    path: Annotated[Path, typer.Argument(help="An artifact's folder, or a run's.", metavar="PATH")],
) -> None:
    """Check every byte of an artifact and of all it was made from, back to the raw files."""
    report = Reporter()
    seen: set[Path] = set()
    problems = []
    for step in _steps(path):
        seen.add(step.path)
        raw = f", {step.raw_count:,} raw files" if step.raw_count else ""
        raw += f", {step.remote_count:,} raw files elsewhere, not read again" if step.remote_count else ""
        good = "whole" if not step.problems else f"{len(step.problems)} problems"
        digest = step.artifact.digest[:12] if step.artifact else "?" * 12
        report.say(f"{step.name:<16} {digest}  {good}{raw}  {step.path}", style="red" if step.problems else None)
        problems += step.problems
    if problems:
        for problem in problems[:20]:
            report.say(f"  {problem}", style="red")
        more = f" (and {len(problems) - 20} more)" if len(problems) > 20 else ""
        raise DamageError(
            f"{len(problems)} problems found{more}; the first: {problems[0]}",
            mend="restore the named files, or rebuild with `lumi run RECIPE --force STAGE`.",
        )
    report.say(f"{len(seen)} artifacts verified, every byte as published.", style="green")


def _steps(path: Path) -> Iterator[Step]:
    """What a run's current results are made from, back to the raw files; then what else lies in its folder.

    A result that a later one took the place of must be whole, but its raw files may well have changed since.
    """
    from lumilab.artifact import artifacts_below, examine, walk
    from lumilab.pipeline.records import read_records

    everything = artifacts_below(path)
    current = [path / record.path for record in read_records(path).values()]
    proven: set[Path] = set()
    for step in walk(*(current or everything)):
        proven.add(step.path)
        yield step
    for folder in everything:
        if folder.resolve() not in proven:
            yield examine(folder.resolve())
