"""The stages `pairs` and `preference`: what shapes them, and who builds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumilab.artifact import Artifact, RawFile
from lumilab.recipe import Recipe, identity
from lumilab.recipe.preference import PairsConfig

if TYPE_CHECKING:
    from lumilab.pipeline.stages import Job


def prefers(recipe: Recipe) -> bool:
    """Whether a recipe asks for preference training."""
    return recipe.preference is not None


def pairs_config(recipe: Recipe) -> dict[str, Any]:
    """What shapes the pairs."""
    from lumilab.posttraining.preference_data import pairs_identity

    assert recipe.preference is not None and recipe.conversations is not None
    return {
        "pairs": pairs_identity(recipe.preference.pairs()),
        "template": recipe.conversations.template,
        "think": recipe.conversations.think,
        "window": recipe.dataset.window,
        "seed": recipe.seed,
    }


def pairs_raw(recipe: Recipe) -> tuple[list[RawFile], Mapping[str, Path | str]]:
    """The files that the pairs are read from."""
    from lumilab.posttraining.preference_data import pairs_inventory

    assert recipe.preference is not None
    return pairs_inventory(recipe.preference.pairs())


def build_pairs(job: Job) -> Artifact:
    """Publishes the pairs."""
    from lumilab.posttraining import preference_data
    from lumilab.posttraining.templates import ChatForm

    recipe = job.recipe
    assert recipe.preference is not None and recipe.conversations is not None
    return preference_data.build_pairs(
        recipe.preference.pairs(),
        ChatForm.named(recipe.conversations.template, recipe.conversations.think),
        recipe.dataset.window,
        recipe.seed,
        job.inputs["tokenizer"],
        job.target,
        job.context,
    )


def preference_config(recipe: Recipe) -> dict[str, Any]:
    """What shapes the training, besides the pairs."""
    assert recipe.preference is not None
    values = identity(recipe.preference)
    training = {name: value for name, value in values.items() if name not in PairsConfig.model_fields}
    return {"preference": training, "seed": recipe.seed}


def build_preference(job: Job) -> Artifact:
    """Trains on the pairs, from the model that answers."""
    from lumilab.evaluation.while_training import benchmark_probe
    from lumilab.inference.sampler import answer_prompts
    from lumilab.posttraining.chat_files import stored_form
    from lumilab.posttraining.preference import preference

    recipe, tokenizer, base = job.recipe, job.inputs["tokenizer"], job.inputs["sft"]
    assert recipe.preference is not None
    return preference(
        recipe.preference,
        recipe.seed,
        base,
        job.inputs["pairs"],
        tokenizer,
        job.target,
        job.context,
        answer_prompts(tokenizer, recipe.preference.sample_prompts, recipe.chat, stored_form(base.path)),
        benchmark_probe(recipe.preference.suite, tokenizer),
    )
