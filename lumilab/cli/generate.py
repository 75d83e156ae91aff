"""`lumi generate`: continues a prompt."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lumilab.cli.options import MaxTokens, MinP, ModelPath, RepetitionPenalty, Seed, Temperature, TopK, TopP


def generate(
    path: ModelPath = None,
    prompt: Annotated[str, typer.Option(help="The text to continue; `-` reads standard input.")] = "-",
    max_tokens: MaxTokens = 200,
    temperature: Temperature = 0.8,
    top_k: TopK = 50,
    top_p: TopP = 0.95,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    seed: Seed = 0,
) -> None:
    """Continue a prompt with a trained model."""
    from lumilab.cli.streaming import show
    from lumilab.inference.engine import Engine
    from lumilab.inference.text import stream_text
    from lumilab.pipeline.records import find_checkpoint
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
    checkpoint = find_checkpoint(path)
    text = sys.stdin.read() if prompt == "-" else prompt
    engine = Engine.load(checkpoint.path)
    stream = stream_text(engine, text, sampling)
    sys.stdout.write(text)
    show(stream)
    Console(stderr=True, highlight=False).print(Text(f"[{stream.statistics}]", style="dim"))
