"""`lumi doctor`: what this machine has, what is missing, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lumilab.errors import ResourceError

MARKS = {"good": ("ok     ", "green"), "note": ("note   ", "yellow"), "bad": ("missing", "bold red")}


def doctor(
    folder: Annotated[Path, typer.Option(help="Where runs will be written.", metavar="DIR")] = Path("runs"),
) -> None:
    """Check this machine: Python, PyTorch, devices, number formats, compiler, memory, disk, network."""
    from lumilab.pipeline.examination import examine

    console = Console(highlight=False, soft_wrap=True)
    findings = list(examine(folder))
    for finding in findings:
        word, style = MARKS[finding.verdict]
        console.print(Text.assemble((word, style), f"  {finding.subject:<14} {finding.fact}"))
        if finding.advice:
            console.print(Text(f"{'':9}{'':15}{finding.advice}", style="dim"))
    missing = [finding.subject for finding in findings if finding.verdict == "bad"]
    if missing:
        raise ResourceError(f"Lumilab cannot work well here: {', '.join(missing)}", mend="see the advice above.")
