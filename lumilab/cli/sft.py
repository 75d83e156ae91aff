"""`lumi sft RECIPE`: teaches a model to answer, and shows beforehand what exactly it will be taught."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.console import Console

from lumilab.cli.options import Out, Overrides, RecipeReference, Trial, load, run_folder
from lumilab.cli.running import bring_up_to_date
from lumilab.work.progress import Reporter


def sft(
    recipe: RecipeReference,
    overrides: Overrides = None,
    show_mask: Annotated[
        bool,
        typer.Option("--show-mask", help="Print examples with what is trained marked; train on none of them."),
    ] = False,
    trainer: Annotated[
        Literal["lumilab", "trl"] | None,
        typer.Option(help="Who trains: our loop or TRL's; by default as the recipe says."),
    ] = None,
    examples: Annotated[int, typer.Option(help="How many examples --show-mask prints.", min=1)] = 3,
    out: Out = None,
    test: Trial = False,
) -> None:
    """Fine-tune on conversations: runs a recipe as far as its sft stage."""
    chosen = [f"sft.trainer={trainer}"] if trainer else []
    loaded = load(recipe, [*(overrides or []), *chosen], trial=test)
    folder = run_folder(loaded, out)
    report = Reporter()
    bring_up_to_date(loaded.recipe, folder, report, until="conversations" if show_mask else "sft")
    if not show_mask:
        report.say(f"The run is in {folder}.")
        return
    from lumilab.pipeline.records import current_artifact
    from lumilab.report.mask import masked_examples
    from lumilab.tokenizer.load import Tokenizer

    conversations, tokenizer = (current_artifact(folder, stage) for stage in ("conversations", "tokenizer"))
    assert conversations is not None and tokenizer is not None  # they were just brought up to date
    console = Console(highlight=False)
    for text in masked_examples(conversations, Tokenizer.load(tokenizer.path), examples):
        console.print(text, soft_wrap=True)
        console.print()
