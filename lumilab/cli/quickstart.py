"""`lumi quickstart`: the shipped recipe, from the Python library's text to a model to talk to, with a report."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from lumilab.cli.options import Out, Overrides, Trial, load, run_folder
from lumilab.cli.running import bring_up_to_date
from lumilab.work.progress import Reporter, format_count, format_seconds

if TYPE_CHECKING:
    from lumilab.pipeline.plan import StagePlan
    from lumilab.recipe import Recipe


def quickstart(overrides: Overrides = None, out: Out = None, test: Trial = False) -> None:
    """From raw text to a small model you can talk to, in minutes, with no network."""
    from lumilab.pipeline.plan import plan
    from lumilab.report.quickstart import summary

    loaded = load("quickstart", overrides, trial=test)
    folder = run_folder(loaded, out)
    report = Reporter()
    steps = plan(loaded.recipe, folder)
    _announce(loaded.recipe, steps, report)
    result = bring_up_to_date(loaded.recipe, folder, report)
    console = Console(highlight=False)
    for line in summary(result.artifacts["pretrain"], result.artifacts["evaluation"]):
        console.print(line, soft_wrap=True)
    place = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    console.print(Text.assemble("\nTalk to it:       ", (f"{_program()} chat {place}", "bold green")), soft_wrap=True)
    console.print(Text.assemble("Prove its origin: ", (f"{_program()} verify {place}", "bold")), soft_wrap=True)


def _program() -> str:
    """How this command is called here: by its name where the shell finds it, else by its path."""
    called = Path(sys.argv[0]).absolute()
    if shutil.which("lumi") or called.name.startswith("__main__"):
        return "lumi"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)


def _announce(recipe: Recipe, steps: list[StagePlan], report: Reporter) -> None:
    """Says what will be done and for about how long."""
    from lumilab.model import count_parameters

    parameters = format_count(count_parameters(recipe.model, recipe.tokenizer.vocabulary_size))
    tokens = format_count(recipe.pretrain.steps * recipe.pretrain.batch_size * recipe.dataset.window)
    report.say("Lumilab quickstart: from the Python standard library's text to a model you can talk to.", style="bold")
    report.say(
        f"A transformer of {parameters} parameters learns from {tokens} tokens, then from questions and answers."
    )
    stale = [step.stage for step in steps if not step.fresh]
    if not stale:
        report.say("Everything is already there; this is its report.")
        return
    from lumilab.pipeline.estimate import estimate, raw_text_bytes

    seconds = dict(estimate(recipe, [stage.name for stage in stale], raw_text_bytes(recipe)))
    for stage in stale:
        report.say(f"  {stage.name:<14} {stage.about:<54} about {format_seconds(seconds[stage.name])}", style="dim")
    report.say(
        f"About {format_seconds(sum(seconds.values()))} on this machine. "
        "Ctrl-C stops at any moment and loses nothing: the same command goes on.\n"
    )
