"""`lumi import hf|torch|adapter`: a model, or what was added to one, made elsewhere as a checkpoint of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter

app = typer.Typer(help="Take a model that was made elsewhere.", no_args_is_help=False, rich_markup_mode=None)

Target = Annotated[Path, typer.Argument(help="The folder of the new checkpoint.", metavar="OUT")]
TokenizerPlace = Annotated[
    Path | None, typer.Option(help="The model's tokenizer, if it is not beside it.", metavar="PATH")
]


@app.command("hf")
def hf(
    source: Annotated[str, typer.Argument(help="A folder, or a name on the hub.", metavar="PATH|NAME")],
    out: Target,
    tokenizer: TokenizerPlace = None,
    revision: Annotated[str, typer.Option(help="On the hub: branch, tag or commit.")] = "main",
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Do not compare with transformers; it is marked as unverified.")
    ] = False,
) -> None:
    """Take a Qwen3, Llama or GPT-2 model in the Hugging Face format."""
    from lumilab.interop.hub_models import fetch_model
    from lumilab.interop.import_hf import import_hf
    from lumilab.work.stopping import stopping_on_signals

    report = Reporter()
    folder = Path(source)
    if not folder.is_dir():
        report.say(f"There is no folder {source} here, so the hub is asked for it.", style="dim")
        with stopping_on_signals() as stop:
            folder = fetch_model(source, revision, WorkContext(report, stop))
    artifact, proof = import_hf(folder, out, tokenizer, unverified=unverified)
    report.say(f"{proof}." if proof else "Not verified: no other library has opened it.", None if proof else "yellow")
    report.say(f"The checkpoint is in {artifact.path}.")


@app.command("torch")
def torch(
    source: Annotated[Path, typer.Argument(help="A .pt file, or a folder with one.", metavar="PATH")],
    out: Target,
    tokenizer: TokenizerPlace = None,
    config: Annotated[
        Path | None, typer.Option(help="What describes the model (JSON or YAML), if not beside it.", metavar="FILE")
    ] = None,
    heads: Annotated[int | None, typer.Option(help="Query heads, where no file says it.", min=1)] = None,
) -> None:
    """Take an old checkpoint: a flat folder or a .pt file. Only weights are read from it, never code."""
    from lumilab.interop.import_torch import import_torch

    artifact, lines = import_torch(source, out, tokenizer, config, heads)
    report = Reporter()
    for line in lines:
        report.say(line, style="dim")
    report.say(f"The checkpoint is in {artifact.path}.")


@app.command("adapter")
def adapter(
    source: Annotated[Path, typer.Argument(help="The folder that PEFT wrote.", metavar="PATH")],
    out: Target,
    base: Annotated[Path, typer.Option(help="The run or checkpoint that it was trained on.", metavar="PATH")],
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Do not compare with PEFT; it is marked as unverified.")
    ] = False,
) -> None:
    """Merge a low-rank adapter (LoRA, PEFT's files) into a checkpoint."""
    from lumilab.interop.import_adapter import import_adapter
    from lumilab.pipeline.records import find_checkpoint

    artifact, proof = import_adapter(source, find_checkpoint(base), out, unverified=unverified)
    report = Reporter()
    report.say(f"{proof}." if proof else "Not verified: no other library has opened it.", None if proof else "yellow")
    report.say(f"The checkpoint is in {artifact.path}.")
