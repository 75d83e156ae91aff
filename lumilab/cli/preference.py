"""`lumi preference RECIPE`: teaches a model which answers are preferred, and shows beforehand what it will compare."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.console import Console

from lumilab.cli.options import Out, Overrides, RecipeReference, Trial, load, run_folder
from lumilab.cli.running import bring_up_to_date
from lumilab.errors import ConfigError
from lumilab.work.progress import Reporter


def preference(
    recipe: RecipeReference,
    overrides: Overrides = None,
    show_pairs: Annotated[
        bool,
        typer.Option("--show-pairs", help="Print pairs with what is compared marked; train on none of them."),
    ] = False,
    trainer: Annotated[
        Literal["lumilab", "trl"] | None,
        typer.Option(help="Who trains: our loop or TRL's; by default as the recipe says."),
    ] = None,
    examples: Annotated[int, typer.Option(help="How many pairs --show-pairs prints.", min=1)] = 3,
    out: Out = None,
    test: Trial = False,
) -> None:
    """Train on preferences: runs a recipe as far as its preference stage."""
    chosen = [f"preference.trainer={trainer}"] if trainer else []
    loaded = load(recipe, [*(overrides or []), *chosen], trial=test)
    if loaded.recipe.preference is None:
        raise ConfigError(
            "This recipe has no preferences to learn",
            where=recipe,
            mend="add a section `preference` with its `sources`; `lumi config explain preference` tells of it.",
        )
    folder = run_folder(loaded, out)
    report = Reporter()
    bring_up_to_date(loaded.recipe, folder, report, until="pairs" if show_pairs else "preference")
    if not show_pairs:
        report.say(f"The run is in {folder}.")
        return
    from lumilab.pipeline.records import current_artifact
    from lumilab.report.mask import masked_pairs
    from lumilab.tokenizer.load import Tokenizer

    pairs, tokenizer = (current_artifact(folder, stage) for stage in ("pairs", "tokenizer"))
    assert pairs is not None and tokenizer is not None  # they were just brought up to date
    console = Console(highlight=False)
    for text in masked_pairs(pairs, Tokenizer.load(tokenizer.path), examples):
        console.print(text, soft_wrap=True)
        console.print()
