"""`lumi generate`: continues a prompt, or one after another."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from lumilab.cli.options import (
    Device,
    FrequencyPenalty,
    LogitBias,
    MaxNewlines,
    MaxTokens,
    MinP,
    ModelPath,
    PresencePenalty,
    Quantize,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    TopK,
    TopP,
    biases,
)

if TYPE_CHECKING:
    from lumilab.inference.engine import Engine
    from lumilab.inference.text import TextStream
    from lumilab.recipe.schema import SamplingConfig


def generate(
    path: ModelPath = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="The text to continue; `-` reads standard input. Without it, a terminal asks for texts."),
    ] = None,
    max_tokens: MaxTokens = 200,
    temperature: Temperature = 0.8,
    top_k: TopK = 50,
    top_p: TopP = 0.95,
    min_p: MinP = 0.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    presence_penalty: PresencePenalty = 0.0,
    frequency_penalty: FrequencyPenalty = 0.0,
    logit_bias: LogitBias = None,
    stop: Stop = None,
    seed: Seed = 0,
    max_newlines: MaxNewlines = 2,
    prompt_lookup: Annotated[
        bool, typer.Option("--prompt-lookup", help="Guess tokens from the text so far: same text, at temperature 0.")
    ] = False,
    quantize: Quantize = "none",
    device: Device = "auto",
) -> None:
    """Continue a prompt with a trained model."""
    from lumilab.cli.picking import find_model, pick_model
    from lumilab.cli.streaming import show
    from lumilab.inference.decoding import limited_newlines
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
        presence_penalty=presence_penalty,
        frequency_penalty=frequency_penalty,
        logit_bias=biases(logit_bias),
        seed=seed,
    )
    console = Console(stderr=True, highlight=False)
    asking = prompt is None and sys.stdin.isatty()
    engine = Engine.load(pick_model(path) if asking else find_model(path), device, quantize)
    while True:
        text = _asked() if asking else sys.stdin.read() if prompt in (None, "-") else prompt
        if text is None:
            return
        stream = _stream(engine, text, sampling, stop or [], prompt_lookup)
        sys.stdout.write(text)
        show(limited_newlines(stream, max_newlines))
        console.print(Text(f"[{stream.statistics}]", style="dim"))
        if not asking:
            return


def _stream(engine: Engine, text: str, sampling: SamplingConfig, stop: list[str], prompt_lookup: bool) -> TextStream:
    from lumilab.inference.speculation import LookupStream
    from lumilab.inference.text import TextStream, prompt_ids_of, stream_text

    if not prompt_lookup:
        return stream_text(engine, text, sampling, stop)
    return TextStream(LookupStream(engine, prompt_ids_of(engine, text), sampling), engine.tokenizer, stop)


def _asked() -> str | None:
    """The next prompt that a person types; None at the end, which is an empty line or Ctrl-D."""
    try:
        return input("prompt: ") or None
    except EOFError:
        print()  # noqa: T201
        return None
