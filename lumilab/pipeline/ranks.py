"""The corpus built by several ranks at once, as in a Slurm array, on a file system that all of them see.

Each rank runs the same command and does its share of the tasks; the first one publishes. Unlike `run`, nothing is
started in a subprocess: the job scheduler has already given each rank a process of its own.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from lumilab.artifact import Artifact
from lumilab.corpus.build import build_corpus
from lumilab.errors import ConfigError
from lumilab.pipeline.plan import plan_stage
from lumilab.pipeline.records import write_record
from lumilab.pipeline.stages import STAGES
from lumilab.recipe import Recipe
from lumilab.recipe.corpus import HubSource
from lumilab.work.context import WorkContext
from lumilab.work.ranks import Rank

_COMMIT = re.compile("[0-9a-f]{40}")


def build_corpus_as_rank(recipe: Recipe, folder: Path, context: WorkContext, rank: Rank) -> Artifact | None:
    """Does one rank's share of a run's corpus.

    Returns:
        The corpus, in the rank that publishes it and where it was there before; None in the others.

    Raises:
        LumiError: as in `build_corpus`, also for what failed in another rank.
        ConfigError: a dataset is streamed of which the ranks might see different commits.
    """
    _check_pinned(recipe)
    stage = next(stage for stage in STAGES if stage.name == "corpus")
    step = plan_stage(stage, recipe, folder, {}, forced=False)
    if step.artifact is not None:
        context.report.say("corpus: up to date", style="dim")
        return step.artifact
    assert step.record is not None
    target = (folder / step.record.path).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    artifact = build_corpus(recipe.corpus, target, context, rank, step.record.raw)
    if artifact is not None:
        write_record(folder, stage.name, replace(step.record, digest=artifact.digest))
    return artifact


def _check_pinned(recipe: Recipe) -> None:
    """Ranks start at different times and meet in the folder that the raw files' hashes name: a branch of the hub that
    moved in between would leave them waiting for one another for ever."""
    for source in recipe.corpus.sources:
        if isinstance(source, HubSource) and source.folder is None and not _COMMIT.fullmatch(source.revision):
            raise ConfigError(
                f"Several ranks cannot stream revision {source.revision!r} of {source.dataset}: it may move between "
                "the starts of two of them",
                where=f"source {source.name!r} in corpus.sources",
                mend="set its `revision` to a commit (40 hex digits), or download it first and set `folder`.",
            )
