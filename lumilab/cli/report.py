"""`lumi report RUN`: one page that tells a run."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from lumilab.work.progress import Reporter


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    out: Annotated[Path | None, typer.Option(help="The page; RUN/report.html otherwise.", metavar="FILE")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write one self-contained HTML page: lineage, data, curves, scores, samples and cost of a run."""
    from lumilab.report.page import write_report

    path = write_report(run, out)
    Reporter().say(f"The report is in {path}.")
    if show and not webbrowser.open(path.absolute().as_uri()):
        Reporter().say("No browser could be opened here.", style="yellow")
