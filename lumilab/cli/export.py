"""`lumi export hf|gguf`: a checkpoint in the formats of others, opened by them before it is called done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from lumilab.work.progress import Reporter

app = typer.Typer(help="Write a model for other programs.", no_args_is_help=False, rich_markup_mode=None)

Source = Annotated[Path, typer.Argument(help="A run or a checkpoint.", metavar="PATH")]


@app.command("hf")
def hf(
    path: Source,
    out: Annotated[Path, typer.Argument(help="The folder to write.", metavar="OUT")],
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="Type of the written weights.")
    ] = "float32",
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Do not open it with transformers; it is marked as unverified.")
    ] = False,
) -> None:
    """Write a folder that transformers, vLLM and the like open."""
    from lumilab.interop.export_hf import export_hf
    from lumilab.pipeline.records import find_checkpoint

    artifact, proof = export_hf(find_checkpoint(path), out, dtype, unverified=unverified)
    report = Reporter()
    report.say(f"{proof}." if proof else "Not verified: no other library has opened it.", None if proof else "yellow")
    report.say(f"The model is in {artifact.path}.")


@app.command("gguf")
def gguf(
    path: Source,
    out: Annotated[Path, typer.Argument(help="The file to write, NAME.gguf.", metavar="OUT")],
    type: Annotated[Literal["F32", "F16", "BF16", "Q8_0"], typer.Option(help="Type of the written matrices.")] = "F16",
    unverified: Annotated[
        bool, typer.Option("--unverified", help="Open it with gguf's own reader only, not with transformers.")
    ] = False,
) -> None:
    """Write a GGUF file, which llama.cpp and the programs built on it open."""
    from lumilab.interop.export_gguf import export_gguf
    from lumilab.pipeline.records import find_checkpoint

    done = export_gguf(find_checkpoint(path), out, type, unverified=unverified)
    report = Reporter()
    for proof in done.proofs:
        report.say(f"{proof}.")
    for note in done.notes:
        report.say(note, style="yellow")
    report.say(f"The model is in {out.absolute()}.")
