"""The table of stages: what each reads, what configuration shapes it, where it goes, and who builds it.

Rooms are imported when a stage is built, so that planning and `--dry-run` stay quick.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, RawFile
from lumilab.corpus import VERSION as CORPUS_VERSION
from lumilab.dataset import VERSION as DATASET_VERSION
from lumilab.pipeline import grpo_stages, preference_stages
from lumilab.recipe import Recipe, identity
from lumilab.work.context import WorkContext

RawInventory = tuple[list[RawFile], Mapping[str, Path | str]]


@dataclass(frozen=True)
class Job:
    """One stage to build: the recipe, the artifacts it reads by stage name, the folder to publish, and the digest of
    the raw files that the stage's key was made of."""

    recipe: Recipe
    inputs: dict[str, Artifact]
    target: Path
    context: WorkContext
    raw: str | None = None


@dataclass(frozen=True)
class Stage:
    """A step of the pipeline.

    Attributes:
        name: as the user types it.
        kind: of the artifact it publishes.
        about: what it does, in a few words, for plans and menus.
        inputs: the stages whose artifacts it reads.
        config: the part of the recipe that shapes its result, as JSON values.
        build: publishes the artifact.
        place: folder below the run's, with `{key}` for the stage's key.
        raw: the files it reads from outside the pipeline; None when it reads none.
        wanted: whether a recipe asks for it.
        trains: whether it takes all the ranks that a launcher started.
        version: raised when a change of the code changes the result for the same configuration.
    """

    name: str
    kind: str
    about: str
    inputs: tuple[str, ...]
    config: Callable[[Recipe], dict[str, Any]]
    build: Callable[[Job], Artifact]
    place: str
    raw: Callable[[Recipe], RawInventory] | None = None
    wanted: Callable[[Recipe], bool] = lambda recipe: True
    trains: bool = False
    version: int = 1


def _corpus_config(recipe: Recipe) -> dict[str, Any]:
    from lumilab.corpus.plan import corpus_identity

    return {"corpus": corpus_identity(recipe.corpus)}


def _corpus_raw(recipe: Recipe) -> RawInventory:
    from lumilab.corpus.plan import raw_inventory

    return raw_inventory(recipe.corpus)


def _build_corpus(job: Job) -> Artifact:
    from lumilab.corpus.build import build_corpus

    artifact = build_corpus(job.recipe.corpus, job.target, job.context, raw=job.raw)
    assert artifact is not None  # one process builds it alone
    return artifact


def _tokenizer_config(recipe: Recipe) -> dict[str, Any]:
    from lumilab.tokenizer.plan import tokenizer_identity

    return {"tokenizer": tokenizer_identity(recipe.tokenizer)}


def _tokenizer_raw(recipe: Recipe) -> RawInventory:
    from lumilab.tokenizer.plan import raw_inventory

    files, roots = raw_inventory(recipe.tokenizer)
    return files, dict(roots)


def _build_tokenizer(job: Job) -> Artifact:
    if job.recipe.tokenizer.algorithm == "pretrained":
        from lumilab.tokenizer.pretrained import import_tokenizer

        return import_tokenizer(job.recipe.tokenizer, job.target, job.context, job.inputs["corpus"])
    from lumilab.tokenizer.train import train_tokenizer

    return train_tokenizer(job.recipe.tokenizer, job.inputs["corpus"], job.target, job.context)


def _build_dataset(job: Job) -> Artifact:
    from lumilab.dataset.pack import build_dataset

    return build_dataset(
        job.recipe.dataset, job.recipe.seed, job.inputs["corpus"], job.inputs["tokenizer"], job.target, job.context
    )


def _build_pretrain(job: Job) -> Artifact:
    from lumilab.evaluation.while_training import benchmark_probe
    from lumilab.inference.sampler import continue_prompts
    from lumilab.training.pretrain import pretrain

    recipe = job.recipe
    tokenizer = job.inputs["tokenizer"]
    return pretrain(
        recipe.pretrain,
        recipe.model,
        recipe.seed,
        job.inputs["dataset"],
        tokenizer,
        job.target,
        job.context,
        sampler=continue_prompts(tokenizer, recipe.pretrain.sample_prompts, recipe.chat),
        probe=benchmark_probe(recipe.pretrain.suite, tokenizer),
    )


def _conversations_config(recipe: Recipe) -> dict[str, Any]:
    from lumilab.posttraining.conversations import conversations_identity

    assert recipe.conversations is not None
    return {
        "conversations": conversations_identity(recipe.conversations),
        "window": recipe.dataset.window,
        "seed": recipe.seed,
    }


def _conversations_raw(recipe: Recipe) -> RawInventory:
    from lumilab.posttraining.conversations import raw_inventory

    assert recipe.conversations is not None
    return raw_inventory(recipe.conversations)


def _build_conversations(job: Job) -> Artifact:
    from lumilab.posttraining.conversations import build_conversations

    recipe = job.recipe
    assert recipe.conversations is not None
    return build_conversations(
        recipe.conversations, recipe.dataset.window, recipe.seed, job.inputs["tokenizer"], job.target, job.context
    )


def _build_sft(job: Job) -> Artifact:
    from lumilab.evaluation.while_training import benchmark_probe
    from lumilab.inference.sampler import answer_prompts
    from lumilab.posttraining.sft import sft
    from lumilab.posttraining.templates import ChatForm

    recipe = job.recipe
    assert recipe.conversations is not None
    form = ChatForm.named(recipe.conversations.template, recipe.conversations.think)
    tokenizer = job.inputs["tokenizer"]
    return sft(
        recipe.sft,
        recipe.dataset.window,
        recipe.seed,
        job.inputs["pretrain"],
        job.inputs["conversations"],
        tokenizer,
        job.target,
        job.context,
        sampler=answer_prompts(
            tokenizer,
            recipe.sft.sample_prompts,
            recipe.chat,
            form,
            held_back=(job.inputs["conversations"], recipe.sft.held_back_answers),
        ),
        probe=benchmark_probe(recipe.sft.suite, tokenizer),
    )


def _build_evaluation(job: Job) -> Artifact:
    from lumilab.evaluation.evaluate import evaluate

    checkpoints: dict[str, Artifact] = {
        name: job.inputs[name] for name in ("pretrain", "sft", "preference", "grpo") if name in job.inputs
    }
    return evaluate(
        job.recipe.evaluation,
        checkpoints,
        job.inputs["dataset"],
        job.inputs["tokenizer"],
        job.target,
        job.context,
        job.inputs.get("conversations"),
    )


def _chats(recipe: Recipe) -> bool:
    return recipe.conversations is not None


STAGES: tuple[Stage, ...] = (
    Stage(
        name="corpus",
        kind="corpus",
        about="read, clean and deduplicate the raw text",
        inputs=(),
        config=_corpus_config,
        raw=_corpus_raw,
        build=_build_corpus,
        place="corpus/{key}",
        version=CORPUS_VERSION,
    ),
    Stage(
        name="tokenizer",
        kind="tokenizer",
        about="learn the vocabulary",
        inputs=("corpus",),
        config=_tokenizer_config,
        raw=_tokenizer_raw,
        build=_build_tokenizer,
        place="tokenizer/{key}",
        version=2,
    ),
    Stage(
        name="dataset",
        kind="dataset",
        about="encode the text and split off validation documents",
        inputs=("corpus", "tokenizer"),
        config=lambda recipe: {"dataset": identity(recipe.dataset), "seed": recipe.seed},
        build=_build_dataset,
        place="dataset/{key}",
        version=DATASET_VERSION,
    ),
    Stage(
        name="conversations",
        kind="conversations",
        about="render questions and answers",
        inputs=("tokenizer",),
        config=_conversations_config,
        raw=_conversations_raw,
        build=_build_conversations,
        place="conversations/{key}",
        wanted=_chats,
    ),
    Stage(
        name="pretrain",
        kind="checkpoint",
        about="train the model to continue text",
        inputs=("dataset", "tokenizer"),
        config=lambda recipe: {
            "model": identity(recipe.model),
            "pretrain": identity(recipe.pretrain),
            "seed": recipe.seed,
        },
        build=_build_pretrain,
        place="checkpoints/pretrain/{key}/final",
        trains=True,
    ),
    Stage(
        name="sft",
        kind="checkpoint",
        about="train the model to answer",
        inputs=("pretrain", "conversations", "tokenizer"),
        config=lambda recipe: {"sft": identity(recipe.sft), "window": recipe.dataset.window, "seed": recipe.seed},
        build=_build_sft,
        place="checkpoints/sft/{key}/final",
        trains=True,
        wanted=_chats,
    ),
    Stage(
        name="pairs",
        kind="pairs",
        about="render better and worse answers",
        inputs=("tokenizer",),
        config=preference_stages.pairs_config,
        raw=preference_stages.pairs_raw,
        build=preference_stages.build_pairs,
        place="pairs/{key}",
        wanted=preference_stages.prefers,
    ),
    Stage(
        name="preference",
        kind="checkpoint",
        about="teach the model which answers are preferred",
        inputs=("sft", "pairs", "tokenizer"),
        config=preference_stages.preference_config,
        build=preference_stages.build_preference,
        place="checkpoints/preference/{key}/final",
        trains=True,
        wanted=preference_stages.prefers,
    ),
    Stage(
        name="prompts",
        kind="prompts",
        about="read questions whose answers can be graded",
        inputs=("tokenizer",),
        config=grpo_stages.prompts_config,
        raw=grpo_stages.prompts_raw,
        build=grpo_stages.build_prompts,
        place="prompts/{key}",
        wanted=grpo_stages.practises,
    ),
    Stage(
        name="grpo",
        kind="checkpoint",
        about="let the model practise on them",
        inputs=("sft", "preference", "prompts", "tokenizer"),
        config=grpo_stages.grpo_config,
        build=grpo_stages.build_grpo,
        place="checkpoints/grpo/{key}/final",
        trains=True,
        wanted=grpo_stages.practises,
    ),
    Stage(
        name="evaluation",
        kind="evaluation",
        about="measure the models",
        inputs=("dataset", "tokenizer", "conversations", "pretrain", "sft", "preference", "grpo"),
        config=lambda recipe: {"evaluation": identity(recipe.evaluation)},
        build=_build_evaluation,
        place="evaluation/{key}",
    ),
)


def stages_of(recipe: Recipe) -> list[Stage]:
    """The stages a recipe asks for, in the order in which they run."""
    return [stage for stage in STAGES if stage.wanted(recipe)]
