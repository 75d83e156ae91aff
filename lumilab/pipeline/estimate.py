"""How long a run will take on this machine, before it starts.

The data stages are estimated from the size of their text and rates seen on ordinary machines; training from its
floating-point operations (6 per parameter and token, Kaplan et al. 2020, section 2.1, plus attention) and the matrix
product rate that a short probe measures here. The answer is a guide, good to within a factor of about one and a half.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lumilab.model import count_parameters
from lumilab.pipeline.stages import STAGES
from lumilab.recipe import Recipe
from lumilab.recipe.training import TrainingConfig
from lumilab.training.hardware import resolve_device, resolve_dtype

PROBE_SECONDS = 0.4
# The share of the probe's rate that a whole training step reaches (attention, softmax, norms, optimizer), and that
# the evaluation reaches, which computes in float32.
STEP_EFFICIENCY = 0.4
EVALUATION_EFFICIENCY = 0.1
START_SECONDS = 4.0  # importing torch in a fresh process
COMPILE_SECONDS = 25.0
CONVERSATION_SECONDS = 8.0
BYTES_PER_TOKEN = 4.0  # of English and of code, for vocabularies of this size
# Bytes of text per second of the data stages, on two cores.
TEXT_RATES = {"corpus": 5.0e6, "tokenizer": 4.0e6, "dataset": 4.0e6}


@dataclass(frozen=True)
class Probe:
    """Matrix-product rate of this machine for training, in floating-point operations per second."""

    operations: float

    @classmethod
    def measure(cls, config: TrainingConfig, width: int) -> Probe:
        """Multiplies matrices of the model's width for a moment."""
        device = resolve_device(config.device)
        dtype = resolve_dtype(config.dtype, device)
        rows = 4096
        left = torch.randn(rows, width, dtype=dtype, device=device)
        right = torch.randn(width, 4 * width, dtype=dtype, device=device)
        left @ right
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < PROBE_SECONDS:
            result = left @ right
            count += 1
        result[0, 0].item()  # waits for a device that works ahead
        return cls(2 * rows * width * 4 * width * count / (time.perf_counter() - started))


def estimate(recipe: Recipe, stages: list[str], text_bytes: int) -> Iterator[tuple[str, float]]:
    """Seconds for each of the named stages, as (stage, seconds).

    Args:
        recipe: what is to be run.
        stages: names of the stages that will run.
        text_bytes: size of the raw text in bytes.
    """
    rate = Probe.measure(recipe.pretrain, recipe.model.width).operations
    work = {
        "pretrain": COMPILE_SECONDS + _training_operations(recipe, recipe.pretrain) / (rate * STEP_EFFICIENCY),
        "conversations": CONVERSATION_SECONDS,
        "sft": COMPILE_SECONDS + _training_operations(recipe, recipe.sft) / (rate * STEP_EFFICIENCY),
        "pairs": CONVERSATION_SECONDS,
        "preference": COMPILE_SECONDS + _preference_operations(recipe) / (rate * STEP_EFFICIENCY),
        "prompts": CONVERSATION_SECONDS,
        "grpo": COMPILE_SECONDS + _practice_operations(recipe) / (rate * STEP_EFFICIENCY),
        "evaluation": _evaluation_operations(recipe, text_bytes) / (rate * EVALUATION_EFFICIENCY),
    } | {stage: text_bytes / bytes_per_second for stage, bytes_per_second in TEXT_RATES.items()}
    for stage in stages:
        yield stage, START_SECONDS + work[stage]


def _operations_per_token(recipe: Recipe) -> float:
    """Of one forward pass. A backward pass costs twice as much."""
    model = recipe.model
    weights = count_parameters(model, recipe.tokenizer.vocabulary_size)
    return 2.0 * weights + 2.0 * model.layers * model.heads * model.head_dim * recipe.dataset.window  # causal: half


def _training_operations(recipe: Recipe, config: TrainingConfig) -> float:
    return 3 * _operations_per_token(recipe) * config.steps * config.batch_size * recipe.dataset.window


def _preference_operations(recipe: Recipe) -> float:
    """A pair is two windows at most."""
    return 0.0 if recipe.preference is None else 2 * _training_operations(recipe, recipe.preference)


def _practice_operations(recipe: Recipe) -> float:
    """Answering reads each token once more, in small products that are three times as slow as training's."""
    if recipe.grpo is None:
        return 0.0
    return 2 * _training_operations(recipe, recipe.grpo)


def _evaluation_operations(recipe: Recipe, text_bytes: int) -> float:
    tokens = text_bytes * recipe.dataset.validation_share / BYTES_PER_TOKEN
    if recipe.evaluation.windows:
        tokens = min(tokens, recipe.evaluation.windows * recipe.dataset.window)
    models = 1 + (recipe.conversations is not None) + (recipe.preference is not None) + (recipe.grpo is not None)
    return models * tokens * _operations_per_token(recipe)


def raw_text_bytes(recipe: Recipe) -> int:
    """Size of the corpus's raw files in bytes."""
    return sum(file.size for stage in STAGES if stage.name == "corpus" and stage.raw for file in stage.raw(recipe)[0])
