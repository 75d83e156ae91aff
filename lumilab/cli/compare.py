"""`lumi compare`: several models on one prompt, side by side."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lumilab.cli.options import (
    Device,
    MaxNewlines,
    MaxTokens,
    MinP,
    Quantize,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    TopK,
    TopP,
)

if TYPE_CHECKING:
    from lumilab.inference.comparison import Answer

SIDE_BY_SIDE = 28  # columns of the terminal that a model needs; with fewer they stand below each other


def compare(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs or checkpoints; a terminal lets you choose otherwise.", metavar="[PATH]..."),
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="The text to continue; `-` reads standard input.")] = None,
    max_tokens: MaxTokens = 100,
    temperature: Temperature = 0.8,
    top_k: TopK = 50,
    top_p: TopP = 0.95,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    stop: Stop = None,
    seed: Seed = 0,
    max_newlines: MaxNewlines = 2,
    quantize: Quantize = "none",
    device: Device = "auto",
) -> None:
    """Continue one prompt with several models, and rank them by speed."""
    from lumilab.cli.picking import find_model, pick_models, warn
    from lumilab.inference.checkpoints import model_name
    from lumilab.inference.comparison import answers, by_speed
    from lumilab.inference.engine import Engine
    from lumilab.recipe.load import checked_section
    from lumilab.recipe.schema import SamplingConfig

    sampling = checked_section(
        SamplingConfig,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        seed=seed,
    )
    models = [find_model(path) for path in paths] if paths else pick_models()
    warn(*models)
    if prompt is None and sys.stdin.isatty():
        prompt = input("prompt: ")
    text = sys.stdin.read() if prompt in (None, "-") else prompt
    console, progress = Console(highlight=False), Console(stderr=True, highlight=False)
    given = []
    for answer in answers(
        models, text, sampling, stop or [], partial(Engine.load, device=device, quantisation=quantize)
    ):
        progress.print(Text(f"{model_name(answer.path)}: {answer.statistics}", style="dim"))
        given.append(answer)
    for start in range(0, len(given), count := max(1, console.width // SIDE_BY_SIDE)):
        console.print(_side_by_side(text, given[start : start + count], max_newlines))
    console.print(_ranking(by_speed(given)))


def _side_by_side(prompt: str, given: list[Answer], max_newlines: int) -> Table:
    from lumilab.inference.checkpoints import model_name
    from lumilab.inference.decoding import limited_newlines

    table = Table(expand=True, show_lines=True)
    for answer in given:
        table.add_column(Text(model_name(answer.path), style="bold"))
    shown = ["".join(limited_newlines([answer.text], max_newlines)) for answer in given]
    table.add_row(*(Text.assemble((prompt, "dim"), text) for text in shown))
    return table


def _ranking(given: list[Answer]) -> Table:
    from lumilab.inference.checkpoints import model_name

    table = Table("", "model", "tokens/s", "first token", "tokens", box=None, pad_edge=False)
    for number, answer in enumerate(given, start=1):
        statistics = answer.statistics
        rate, first = statistics.tokens_per_second, statistics.first_token_seconds
        table.add_row(
            str(number),
            Text(model_name(answer.path)),
            "-" if rate is None else f"{rate:,.0f}",
            "-" if first is None else f"{1000 * first:,.0f} ms",
            str(statistics.tokens),
        )
    return table
