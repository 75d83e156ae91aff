"""`lumi` alone: a menu of what there is to do. Each choice runs as its own process, like the command it stands for."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import dataclass

import questionary
import typer
from rich.console import Console

from lumilab.errors import Interrupted

RECIPE_WORDS = "Recipe, and key=value changes"
MODEL_WORDS = "Run or checkpoint (empty: choose from a list)"
MODELS_WORDS = "Runs or checkpoints (empty: choose from a list)"


@dataclass(frozen=True)
class Choice:
    """A line of the menu: what it says, the command it runs, and what it asks for first."""

    title: str
    command: tuple[str, ...]
    question: str | None = None
    default: str = ""


def choices() -> list[Choice]:
    """The menu: the quickstart, every stage, and what to do with the result."""
    from lumilab.pipeline.stages import STAGES

    stages = [
        Choice(f"stage {stage.name}: {stage.about}", ("run", "--until", stage.name), RECIPE_WORDS, "quickstart")
        for stage in STAGES
    ]
    return [
        Choice("quickstart: from text to a chat model", ("quickstart",)),
        *stages,
        Choice("run: a whole recipe", ("run",), RECIPE_WORDS, "quickstart"),
        Choice("chat with a model", ("chat",), MODEL_WORDS),
        Choice("generate: continue a prompt", ("generate",), MODEL_WORDS),
        Choice("compare: several models on one prompt", ("compare",), MODELS_WORDS),
        Choice("corpus download: a dataset of the hub", ("corpus", "download"), "Name, and options", "fineweb --list"),
        Choice(
            "corpus stats: what is in a corpus", ("corpus", "stats"), "Run, corpus or text files", "runs/quickstart"
        ),
        Choice(
            "corpus sample: some of its documents", ("corpus", "sample"), "Run, corpus or text files", "runs/quickstart"
        ),
        Choice("corpus diff: two corpora side by side", ("corpus", "diff"), "The two"),
        Choice("inspect a run or an artifact", ("inspect",), "Folder", "runs"),
        Choice("verify a run or an artifact", ("verify",), "Folder", "runs"),
        Choice("config: explain a recipe", ("config", "explain"), RECIPE_WORDS, "quickstart"),
        Choice("doctor: check this machine", ("doctor",)),
    ]


def menu() -> None:
    """Asks what to do, does it, and asks again."""
    if not sys.stdin.isatty():
        typer.echo("This is the interactive menu, and standard input is not a terminal. See `lumi --help`.")
        return
    console = Console(highlight=False)
    while True:
        options = [questionary.Choice(choice.title, choice) for choice in choices()]
        picked = questionary.select("What shall we do?", [*options, questionary.Choice("leave", "leave")]).unsafe_ask()
        if picked == "leave":
            return
        words = list(picked.command)
        if picked.question:
            words += shlex.split(questionary.text(f"{picked.question}:", default=picked.default).unsafe_ask())
        console.print(f"[dim]$ lumi {shlex.join(words)}[/dim]")
        console.print(_verdict(_run(words)))
        if not questionary.confirm("Do something else?", default=True).unsafe_ask():
            return


def _run(words: list[str]) -> int:
    """Runs a command in its own process. Ctrl-C reaches it through the terminal; this process only waits."""
    process = subprocess.Popen([sys.executable, "-m", "lumilab", *words])
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _verdict(code: int) -> str:
    if code == 0:
        return "[green]Done.[/green]"
    if code == Interrupted.by_keyboard().exit_code:
        return "[yellow]Stopped by Ctrl-C (exit code 130). Running it again goes on.[/yellow]"
    return f"[red]It failed (exit code {code}); the reason is above.[/red]"
