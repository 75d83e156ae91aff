"""`lumi chat`: talks with a trained model."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lumilab.cli.options import (
    Device,
    MaxTokens,
    MinP,
    ModelPath,
    Quantize,
    RepetitionPenalty,
    Seed,
    Temperature,
    TopK,
    TopP,
)


def chat(
    path: ModelPath = None,
    temperature: Temperature = 0.7,
    top_k: TopK = 50,
    top_p: TopP = 0.9,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.1,
    max_tokens: MaxTokens = 200,
    seed: Seed = 0,
    think: Annotated[bool, typer.Option("--think/--hide-think", help="Show what the model thinks, or hide it.")] = True,
    think_budget: Annotated[
        int | None, typer.Option(help="Tokens it may think before it has to answer; any number otherwise.", min=0)
    ] = None,
    quantize: Quantize = "none",
    device: Device = "auto",
) -> None:
    """Talk with a trained model. An empty line starts a new conversation; Ctrl-D leaves."""
    from lumilab.cli.picking import pick_model
    from lumilab.cli.streaming import show
    from lumilab.inference.chat import ChatSession
    from lumilab.inference.engine import Engine
    from lumilab.recipe.load import checked_section
    from lumilab.recipe.schema import SamplingConfig

    sampling = checked_section(
        SamplingConfig,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition_penalty,
        max_tokens=max_tokens,
        seed=seed,
    )
    model = pick_model(path)
    console = Console(stderr=True, highlight=False)
    engine = Engine.load(model, device, quantize)
    session = ChatSession(
        engine,
        sampling,
        notify=lambda notice: console.print(Text(notice, style="yellow")),
        thoughts_shown=think,
        think_budget=think_budget,
    )
    interactive = sys.stdin.isatty()
    if interactive:
        console.print(Text(f"Talking with {model}. Empty line: new conversation. Ctrl-D: leave.", style="dim"))
    while True:
        question = _question(interactive)
        if question is None:
            return
        if not question.strip():
            session.reset()
            console.print(Text("new conversation", style="dim"))
            continue
        show(session.reply(question))
        if interactive:
            console.print(Text(f"[{session.statistics}]", style="dim"))


def _question(interactive: bool) -> str | None:
    """The next line a person typed, or None at the end; piped questions are echoed so that the output reads well."""
    if interactive:
        try:
            return input("you: ")
        except EOFError:
            print()  # noqa: T201
            return None
    line = sys.stdin.readline()
    if not line:
        return None
    question = line.rstrip("\n")
    if question.strip():
        print(f"you: {question}")  # noqa: T201
    return question
