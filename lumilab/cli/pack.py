"""`lumi pack RECIPE`: a recipe's dataset; `lumi pack --repack DIR`: an existing one, encoded again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lumilab.cli.options import Overrides, Trial, load, run_folder
from lumilab.cli.running import bring_up_to_date
from lumilab.errors import ConfigError
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter
from lumilab.work.stopping import stopping_on_signals


def pack(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe file (.yaml) or a preset's name.", metavar="[RECIPE]")
    ] = None,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Build it anew even if it is up to date.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; runs/NAME otherwise. With --repack, of the new dataset.", metavar="DIR"),
    ] = None,
    test: Trial = False,
    again: Annotated[
        Path | None, typer.Option("--repack", help="Encode the text of this dataset again.", metavar="DIR")
    ] = None,
    tokenizer: Annotated[
        Path | None,
        typer.Option(help="With --repack: the tokenizer to use; its run's current one otherwise.", metavar="DIR"),
    ] = None,
) -> None:
    """Encode and pack a recipe's corpus: the same as `lumi run RECIPE --until dataset`."""
    report = Reporter()
    if again is None:
        if tokenizer is not None:
            raise ConfigError(
                "--tokenizer belongs to --repack", where="command line", mend="set the recipe's tokenizer section."
            )
        if recipe is None:
            raise ConfigError("Which recipe?", where="command line", mend="give a recipe, or --repack with a dataset.")
        loaded = load(recipe, overrides, trial=test)
        forced = frozenset({"dataset"} if force else ())
        result = bring_up_to_date(loaded.recipe, run_folder(loaded, out), report, until="dataset", force=forced)
        report.say(f"The dataset is in {result.artifacts['dataset'].path}.")
        return
    if recipe is not None or test or force:
        raise ConfigError(
            "--repack takes everything from the dataset itself",
            where="command line",
            mend="leave out the recipe, --test and --force.",
        )
    from lumilab.pipeline.repack import repack

    with stopping_on_signals() as stop:
        dataset = repack(again, tokenizer, out, WorkContext(report, stop))
    report.say(f"The dataset is in {dataset.path}.")
