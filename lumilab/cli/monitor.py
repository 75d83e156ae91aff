"""`lumi monitor RUN`: a run as it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def monitor(
    run: Annotated[Path, typer.Argument(help="A run's folder.", metavar="RUN")],
    once: Annotated[bool, typer.Option("--once", help="Show one picture and end.")] = False,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", metavar="SECONDS", min=0.1)] = 2.0,
) -> None:
    """Watch a run: its stage, steps, loss, speed, memory and remaining time, until Ctrl-C."""
    from lumilab.report.monitor import monitor as watch

    watch(run, Console(highlight=False), every, once=once)
