"""Choosing a model: from the command line, or from lists of what there is."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import questionary
from rich.console import Console
from rich.text import Text

from lumilab.work.progress import format_bytes

if TYPE_CHECKING:
    from lumilab.inference.checkpoints import StoredModel

RUNS = Path("runs")
STYLE = {"best": "fg:ansigreen bold", "latest": "fg:ansiblue bold", "dim": "fg:ansibrightblack"}


def pick_model(path: Path | None) -> Path:
    """The folder of the model that a person means; asks where nothing is given and there is someone to ask.

    Raises:
        InputError: there is none.
    """
    from lumilab.inference.checkpoints import models_of, runs_below

    runs = runs_below(RUNS) if path is None else []
    if not runs or not sys.stdin.isatty():
        return find_model(path)
    run = runs[0] if len(runs) == 1 else _ask("Which run?", [questionary.Choice(run.name, run) for run in runs])
    choice: StoredModel = _ask("Which checkpoint?", model_choices(models_of(run)))
    warn(choice.path)
    return choice.path


def pick_models() -> list[Path]:
    """The models that a person ticks, of all runs.

    Raises:
        InputError: there is none.
    """
    from lumilab.inference.checkpoints import models_of, runs_below

    choices = [
        choice
        for run in runs_below(RUNS)
        for choice in (questionary.Separator(run.name), *model_choices(models_of(run)))
    ]
    if not choices or not sys.stdin.isatty():
        return [find_model(None)]
    ticked = questionary.checkbox("Which checkpoints? (space ticks)", choices, style=_style()).unsafe_ask()
    return [choice.path for choice in ticked]


def find_model(path: Path | None) -> Path:
    """The folder of the model that a path means: that of a checkpoint, of a run, or of a state of training."""
    from lumilab.artifact import Artifact
    from lumilab.pipeline.records import find_checkpoint

    if path is not None and path.name.startswith("step_"):
        return Artifact.open(path).path
    return find_checkpoint(path).path


def model_choices(models: list[StoredModel]) -> list[questionary.Choice]:
    """Lines of a list, newest first: the best in green, the latest in blue."""
    return [questionary.Choice(_line(model), model) for model in models]


def warn(*paths: Path) -> None:
    """Says on standard error which of the models will hardly fit into memory."""
    from lumilab.inference.checkpoints import memory_warning

    for path in paths:
        warning = memory_warning(sum(file.stat().st_size for file in path.glob("model*.safetensors")))
        if warning:
            Console(stderr=True, highlight=False).print(Text(f"{path}: {warning}", style="yellow"))


def _line(model: StoredModel) -> list[tuple[str, str]]:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(model.changed))
    kind = "class:best" if model.best else "class:latest" if model.latest else ""
    words = [word for word, said in (("best", model.best), ("latest", model.latest)) if said]
    marks = f" ({', '.join(words)})" if words else ""
    return [
        (kind, f"{model.stage} {model.name}{marks}"),
        ("class:dim", f"  {when}, {format_bytes(model.parameters)}"),
    ]


def _ask(question: str, choices: list[questionary.Choice]) -> Any:
    return questionary.select(question, choices, style=_style()).unsafe_ask()


def _style() -> questionary.Style:
    return questionary.Style(list(STYLE.items()))
