"""The stages `prompts` and `grpo`: what shapes them, and who builds them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lumilab.artifact import Artifact, RawFile
from lumilab.recipe import Recipe, identity

if TYPE_CHECKING:
    from lumilab.pipeline.stages import Job


def practises(recipe: Recipe) -> bool:
    """Whether a recipe asks for reinforcement learning."""
    return recipe.grpo is not None


def longest_prompt(recipe: Recipe) -> int:
    """Tokens of the longest question that leaves room for an answer."""
    assert recipe.grpo is not None
    return recipe.model.context - recipe.grpo.max_tokens


def prompts_config(recipe: Recipe) -> dict[str, Any]:
    """What shapes the questions."""
    from lumilab.posttraining.prompts import prompts_identity

    assert recipe.prompts is not None and recipe.conversations is not None
    return {
        "prompts": prompts_identity(recipe.prompts),
        "template": recipe.conversations.template,
        "think": recipe.conversations.think,
        "longest": longest_prompt(recipe),
        "seed": recipe.seed,
    }


def prompts_raw(recipe: Recipe) -> tuple[list[RawFile], Mapping[str, Path | str]]:
    """The files that the questions are read from."""
    from lumilab.posttraining.prompts import prompts_inventory

    assert recipe.prompts is not None
    return prompts_inventory(recipe.prompts)


def build_prompts(job: Job) -> Artifact:
    """Publishes the questions."""
    from lumilab.posttraining import prompts
    from lumilab.posttraining.templates import ChatForm

    recipe = job.recipe
    assert recipe.prompts is not None and recipe.conversations is not None
    form = ChatForm.named(recipe.conversations.template, recipe.conversations.think)
    return prompts.build_prompts(
        recipe.prompts, form, longest_prompt(recipe), recipe.seed, job.inputs["tokenizer"], job.target, job.context
    )


def grpo_config(recipe: Recipe) -> dict[str, Any]:
    """What shapes the training, with the source of a user's rewards."""
    from lumilab.posttraining.rewards import rewards_identity

    assert recipe.grpo is not None
    config = identity(recipe.grpo) | {"rewards": rewards_identity(recipe.grpo.rewards)}
    return {"grpo": config, "seed": recipe.seed}


def build_grpo(job: Job) -> Artifact:
    """Trains on the questions, from the last model that answers."""
    from lumilab.evaluation.while_training import benchmark_probe
    from lumilab.inference.sampler import answer_prompts
    from lumilab.posttraining.chat_files import stored_form
    from lumilab.posttraining.reinforcement import grpo

    recipe, tokenizer = job.recipe, job.inputs["tokenizer"]
    assert recipe.grpo is not None
    base = job.inputs.get("preference") or job.inputs["sft"]
    asked = recipe.grpo.sample_prompts
    form = stored_form(base.path)
    sampler = answer_prompts(tokenizer, asked, recipe.chat, form) if asked else None
    probe = benchmark_probe(recipe.grpo.suite, tokenizer)
    questions = job.inputs["prompts"]
    return grpo(recipe.grpo, recipe.seed, base, questions, tokenizer, job.target, job.context, sampler, probe)
