"""What loss a recipe will reach: a ladder of small models of its shape is trained, and a law of compute fitted.

The rungs are the recipe's model made smaller (fewer blocks, and narrower in proportion: heads of the same size, the
same shape of the feed-forward layer, the same vocabulary and window), each trained on as many tokens a parameter as the
recipe's own, on the run's dataset, with all of its other settings. So they lie on one line towards the recipe, and
L(C) = E + A / C^alpha (`lumilab.training.scaling_law`) tells what is at its end.

Everything is kept in the run's `ladder/KEY`: each rung as a checkpoint, and for each budget which rungs were chosen (by
the speed at the time; the choice stays) and what they foretell. A rung that is finished is not trained again, not for
another budget either; one that was stopped or killed goes on from its last state.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, canonical_json, digest_of, write_atomically
from lumilab.errors import ConfigError, InputError
from lumilab.pipeline.plan import plan
from lumilab.recipe import Recipe, identity
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.cost import operations_per_token, parameters_of, tokens_of
from lumilab.training.pretrain import pretrain
from lumilab.training.probe import measure
from lumilab.training.scaling_law import Prediction, predict
from lumilab.training.time_limit import parse_duration
from lumilab.work.context import WorkContext
from lumilab.work.lock import exclusive
from lumilab.work.progress import format_count, format_seconds

RUNGS = 4
FEWEST_RUNGS = 3
FEWEST_STEPS = 20  # of a rung: fewer are all warm-up
SPENT = 0.8  # share of the budget that the rungs are chosen to fill; validation and starting take the rest
VERSION = 1


@dataclass(frozen=True)
class Rung:
    """A small model and its training.

    Attributes:
        layers, width, heads, kv_heads, feed_forward: what differs from the recipe's model.
        parameters, steps, tokens: its size and its training.
        compute: floating-point operations of the whole training.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    feed_forward: int
    parameters: int
    steps: int
    tokens: int
    compute: float

    def model(self, of: ModelConfig) -> ModelConfig:
        """The recipe's model in this size."""
        names = ("layers", "width", "heads", "kv_heads", "feed_forward")
        return ModelConfig.model_validate(of.model_dump() | {name: getattr(self, name) for name in names})


def climb_in_run(recipe: Recipe, folder: Path, budget: str, context: WorkContext) -> dict[str, Any]:
    """`climb` on what the recipe's run has made so far, which must reach to the dataset.

    Raises:
        InputError: there is no dataset yet.
        As `climb`.
    """
    made = {step.stage.name: step.artifact for step in plan(recipe, folder, until="dataset")}
    dataset, tokenizer = made["dataset"], made["tokenizer"]
    if dataset is None or tokenizer is None:
        raise InputError(
            "The ladder trains on the run's dataset, and it has none for this recipe",
            where=str(folder),
            mend="make it with `lumi pack RECIPE`, then give the same command again.",
        )
    return climb(recipe, folder, dataset, tokenizer, budget, context)


def climb(
    recipe: Recipe, folder: Path, dataset: Artifact, tokenizer: Artifact, budget: str, context: WorkContext
) -> dict[str, Any]:
    """Trains the ladder, or what of it is missing, and predicts the recipe's validation loss.

    Args:
        recipe: whose loss is wanted.
        folder: of its run.
        dataset, tokenizer: of the run.
        budget: time for all rungs together, such as "10m".
        context: progress and stopping.

    Returns:
        What `prediction-BUDGET.json` holds: `rungs` with their losses, the `law`, and the `prediction` with its bounds.

    Raises:
        ConfigError: the budget is too short for a ladder, or the recipe too small to have one below it.
        As `lumilab.training.pretrain.pretrain`.
    """
    if not re.fullmatch(r"\d+(\.\d+)?[smhd]", budget):
        raise ConfigError(f"{budget} is no length of time", where="--budget", mend="write it as 90s, 10m or 2h.")
    settings = [identity(recipe.model), identity(recipe.pretrain), recipe.pretrain.validation_windows, recipe.seed]
    place = folder / "ladder" / digest_of([VERSION, settings, dataset.digest])[:12]
    with exclusive(place, context):
        vocabulary = int(dataset.manifest.config["vocabulary_size"])
        rungs = _chosen(recipe, vocabulary, budget, place, context)
        losses = []
        for rung in rungs:
            context.report.say(
                f"Rung of {format_count(rung.parameters)} parameters: {rung.layers} blocks of {rung.width}, "
                f"{format_count(rung.tokens)} tokens",
                style="bold",
            )
            losses.append(_loss(rung, recipe, dataset, tokenizer, place, context))
        each = operations_per_token(recipe.model, vocabulary, recipe.dataset.window)
        compute = each.total * tokens_of(recipe.pretrain, recipe.dataset.window)
        found = predict([rung.compute for rung in rungs], losses, compute)
        result = _result(rungs, losses, compute, found)
        write_atomically(place / f"prediction-{budget}.json", canonical_json(result, indent=2) + b"\n")
    return result


def _result(rungs: list[Rung], losses: list[float], compute: float, found: Prediction) -> dict[str, Any]:
    return {
        "rungs": [asdict(rung) | {"loss": loss} for rung, loss in zip(rungs, losses, strict=True)],
        "law": asdict(found.law),
        "compute": compute,
        "prediction": {"loss": found.loss, "lowest": found.lowest, "highest": found.highest},
    }


# --- which rungs -----------------------------------------------------------------------------------------------------


def _chosen(recipe: Recipe, vocabulary: int, budget: str, place: Path, context: WorkContext) -> list[Rung]:
    """The rungs of an earlier start, or those that fit the budget by a short measurement."""
    path = place / f"rungs-{budget}.json"
    if path.exists():
        return [Rung(**values) for values in json.loads(path.read_bytes())]
    possible = list(possible_rungs(recipe, vocabulary))
    if len(possible) < FEWEST_RUNGS:
        raise ConfigError(
            f"A ladder needs {FEWEST_RUNGS} sizes below the recipe's model with {FEWEST_STEPS} steps or more each, "
            f"and there are {len(possible)}",
            where="model",
            mend="this recipe is small enough to be trained itself; or raise pretrain.steps.",
        )
    middle = possible[len(possible) // 2]
    context.report.say("Measuring the speed for the choice of sizes...", style="dim")
    speed = measure(middle.model(recipe.model), vocabulary, recipe.pretrain, recipe.dataset.window, context.stop)
    rate = speed.tokens_per_second * middle.compute / middle.tokens
    rungs = affordable(possible, SPENT * parse_duration(budget) * rate)
    if rungs is None:
        least = sum(rung.compute for rung in possible[:FEWEST_RUNGS]) / rate / SPENT
        raise ConfigError(
            f"A budget of {budget} is too short for a ladder: its {FEWEST_RUNGS} smallest sizes take about "
            f"{format_seconds(least)} here",
            where="--budget",
            mend="give more time, or lower pretrain.steps.",
        )
    place.mkdir(parents=True, exist_ok=True)
    write_atomically(path, canonical_json([asdict(rung) for rung in rungs], indent=2) + b"\n")
    return rungs


def possible_rungs(recipe: Recipe, vocabulary: int) -> Iterator[Rung]:
    """All sizes below the recipe's, the smallest first: one for each number of heads and of blocks on its diagonal."""
    model, window, batch = recipe.model, recipe.dataset.window, recipe.pretrain.batch_size
    whole = parameters_of(model, vocabulary).total
    tokens_each = tokens_of(recipe.pretrain, window) / whole
    seen: set[tuple[int, int]] = set()
    for count in range(1, max(model.layers, model.heads)):
        share = count / max(model.layers, model.heads)
        layers, heads = max(1, round(share * model.layers)), max(1, round(share * model.heads))
        if (layers, heads) in seen or (layers, heads) == (model.layers, model.heads):
            continue
        seen.add((layers, heads))
        smaller = _narrowed(model, layers, heads)
        parameters = parameters_of(smaller, vocabulary).total
        steps = round(tokens_each * parameters / (batch * window))
        if steps < FEWEST_STEPS:
            continue
        tokens = steps * batch * window
        compute = operations_per_token(smaller, vocabulary, window).total * tokens
        yield Rung(
            layers, smaller.width, heads, smaller.kv_heads, smaller.feed_forward, parameters, steps, tokens, compute
        )


def _narrowed(model: ModelConfig, layers: int, heads: int) -> ModelConfig:
    share = heads / model.heads
    kv_heads = max(1, round(model.kv_heads * share))
    while heads % kv_heads:
        kv_heads -= 1
    changes = {
        "layers": layers,
        "heads": heads,
        "kv_heads": kv_heads,
        "width": max(2, round(model.width * share / 2) * 2),
        "feed_forward": max(2, round(model.feed_forward * share / 2) * 2),
    }
    return ModelConfig.model_validate(model.model_dump() | changes)


def affordable(possible: list[Rung], compute: float) -> list[Rung] | None:
    """Up to four rungs, as far apart as can be, that together take no more than `compute`; None where three do not.

    The largest is as large as it can be: the shorter the way from it to the recipe, the surer the prediction.
    """
    for count in (RUNGS, FEWEST_RUNGS):
        for top in range(len(possible) - 1, count - 2, -1):
            rungs = [possible[index] for index in _spread(possible, top, count)]
            if sum(rung.compute for rung in rungs) <= compute:
                return rungs
    return None


def _spread(possible: list[Rung], top: int, count: int) -> list[int]:
    """Indices from the smallest to `top`, by compute about equally far apart on a logarithmic scale."""
    first, last = math.log(possible[0].compute), math.log(possible[top].compute)
    wanted = [first + (last - first) * number / (count - 1) for number in range(count)]
    near = {min(range(top + 1), key=lambda index: abs(math.log(possible[index].compute) - each)) for each in wanted}
    # Where sizes are so few that two places fall on one, by their number instead.
    return sorted(near) if len(near) == count else [round(top * number / (count - 1)) for number in range(count)]


# --- training one ----------------------------------------------------------------------------------------------------


def _loss(
    rung: Rung, recipe: Recipe, dataset: Artifact, tokenizer: Artifact, place: Path, context: WorkContext
) -> float:
    """The validation loss after a rung's last step; trains it, or what is left of it, if it is not finished."""
    target = place / f"{rung.parameters}-{rung.steps}" / "final"
    try:
        checkpoint = Artifact.open(target, kind="checkpoint")
    except InputError:
        model = rung.model(recipe.model)
        config = training_of(recipe.pretrain, rung.steps)
        checkpoint = pretrain(config, model, recipe.seed, dataset, tokenizer, target, context)
    for state in target.parent.glob("step_*"):
        shutil.rmtree(state, ignore_errors=True)
    return float(checkpoint.manifest.statistics["validation_loss"])


def training_of(config: TrainingConfig, steps: int) -> TrainingConfig:
    """The recipe's training at another length: no samples, no early end, validated once, saved now and then."""
    phases = [phase.model_dump() for phase in config.mixture.phases]  # as long as before in proportion
    for phase in phases:
        if phase["tokens"] is not None:
            phase["tokens"] = max(1, phase["tokens"] * steps // config.steps)
    changes = {
        "steps": steps,
        "mixture": {"phases": phases},
        "validate_every": steps,
        "checkpoint_every": max(1, steps // 4),
        "keep_checkpoints": 1,
        "sample_every": 0,
        "early_stopping": None,
        "publish": "last",
        "time_limit": None,
        "wandb": "off",
    }
    return TrainingConfig.model_validate(config.model_dump() | changes)
