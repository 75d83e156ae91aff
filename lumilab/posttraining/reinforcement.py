"""The stage of reinforcement learning: from a model that answers to one that is rewarded more, published."""

from __future__ import annotations

import json
from pathlib import Path

from lumilab.artifact import Artifact
from lumilab.errors import MismatchError
from lumilab.posttraining.adapters import begin_adapter
from lumilab.posttraining.chat_files import chat_files, stored_form
from lumilab.posttraining.grpo import GroupRelative
from lumilab.recipe.grpo import GrpoConfig
from lumilab.tokenizer.load import Tokenizer
from lumilab.training.checkpoint import load_model
from lumilab.training.run import Probe, Sampler
from lumilab.training.stage import train_stage
from lumilab.training.telemetry import LOG_FILE
from lumilab.work.context import WorkContext

STAGE = "grpo"


def grpo(
    config: GrpoConfig,
    seed: int,
    base: Artifact,
    prompts: Artifact,
    tokenizer: Artifact,
    target: Path,
    context: WorkContext,
    sampler: Sampler | None = None,
    probe: Probe | None = None,
) -> Artifact:
    """Trains a checkpoint on its own graded answers and publishes it as `target`, going on where a run stopped.

    Args:
        config: of the training.
        seed: of the order of the questions, and of the answers.
        base: the checkpoint to begin with, taught to answer; it is asked in the form it was taught.
        prompts: the questions.
        tokenizer: the one both were made with.
        target: the folder of the new checkpoint; training states and logs go beside it.
        context: where progress goes and stops come from.
        sampler: answers other questions while training; None for a few of those held back.
        probe: measures the model as `config.suite` says.

    Raises:
        MismatchError: base or prompts were made with another tokenizer, or a question and its answer do not fit the
            model's context.
        ConfigError, InputError: a reward cannot be used, or fails.
        ResourceError: an adapter is wanted, and PEFT is not installed.
        As `lumilab.training.loop.train`.
    """
    known = Tokenizer.load(tokenizer.path)
    known.check_same(prompts.manifest.config["tokenizer_identity"], f"the prompts {prompts.path}")
    loaded = load_model(base)
    known.check_same(loaded.tokenizer_identity, f"the checkpoint {base.path}")
    form = stored_form(base.path)
    objective = GroupRelative(loaded.model, prompts, known, form, config, seed)
    if objective.window > loaded.config.context:
        raise MismatchError(
            f"The longest question and answer take {objective.window} tokens, but the model's context is "
            f"{loaded.config.context}",
            where=str(base.path),
            mend="lower grpo.max_tokens, or begin with a checkpoint of a larger model.context.",
        )
    context.report.say(f"  {objective.describe()}", style="dim")
    finish = begin_adapter(loaded.model, config.adapter, seed, context)  # behind it: the reference has none
    artifact = train_stage(
        STAGE,
        loaded.model,
        objective,
        config,
        seed,
        inputs={"base": base, "prompts": prompts, "tokenizer": tokenizer},
        tokenizer=known,
        target=target,
        context=context,
        sampler=sampler or objective.sample,
        probe=probe,
        files=chat_files(known, loaded.config.context, form),
        eos_id=form.template.end_id(known),
        finish=finish,
    )
    curve = reward_curve(target.parent)
    if len(curve) > 1:
        (_, before), (step, after) = curve[0], curve[-1]
        context.report.say(
            f"  mean reward of the most likely answers to held-back questions: {before:.3f} before, {after:.3f} after "
            f"{step:,} steps"
        )
    return artifact


def reward_curve(folder: Path) -> list[tuple[int, float]]:
    """Each validation of a run as its step and its mean reward, from the run's log."""
    path = folder / LOG_FILE
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    return [(line["step"], line["reward"]) for line in lines if line["event"] == "validation"]
