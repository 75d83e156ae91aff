"""`lumi corpus build RECIPE`: the corpus of a recipe, on this machine, on Ray, or as one rank of several."""

from __future__ import annotations

from typing import Annotated

import typer

from lumilab.cli.options import Out, Overrides, RecipeReference, Trial, load, run_folder
from lumilab.cli.running import bring_up_to_date
from lumilab.errors import ConfigError
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter
from lumilab.work.ranks import Rank
from lumilab.work.stopping import stopping_on_signals


def build(
    recipe: RecipeReference,
    overrides: Overrides = None,
    force: Annotated[bool, typer.Option("--force", help="Build it anew even if it is up to date.")] = False,
    out: Out = None,
    test: Trial = False,
    slurm: Annotated[bool, typer.Option("--slurm", help="This is one task of a Slurm array, or of srun.")] = False,
    rank: Annotated[int | None, typer.Option(help="Which of several processes this is, from 0.", metavar="N")] = None,
    world_size: Annotated[int | None, typer.Option(help="How many there are.", metavar="N")] = None,
) -> None:
    """Build a recipe's corpus: the same as `lumi run RECIPE --until corpus`, also as one rank of several."""
    loaded = load(recipe, overrides, trial=test)
    folder = run_folder(loaded, out)
    report = Reporter()
    chosen = _rank(slurm, rank, world_size)
    if chosen is None:
        result = bring_up_to_date(
            loaded.recipe, folder, report, until="corpus", force=frozenset({"corpus"} if force else ())
        )
        report.say(f"The corpus is in {result.artifacts['corpus'].path}.")
        return
    if force:
        raise ConfigError("Ranks cannot force", where="command line", mend="delete the corpus, or force without ranks.")
    from lumilab.pipeline.ranks import build_corpus_as_rank

    with stopping_on_signals() as stop:
        corpus = build_corpus_as_rank(loaded.recipe, folder, WorkContext(report, stop), chosen)
    report.say(f"The corpus is in {corpus.path}." if corpus else "This rank has done its share; the first publishes.")


def _rank(slurm: bool, rank: int | None, world_size: int | None) -> Rank | None:
    if slurm:
        return Rank.from_slurm()
    if (rank is None) != (world_size is None):
        raise ConfigError("--rank and --world-size belong together", where="command line", mend="give both or neither.")
    return None if rank is None or world_size is None else Rank(rank, world_size)
