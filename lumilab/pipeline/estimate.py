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
from lumilab.recipe.schema import TrainingConfig
from lumilab.training.hardware import resolve_device, resolve_dtype

PROBE_SECONDS = 0.4
# The share of the probe's rate that a whole training step reaches (attention, softmax, norms, optimizer).
STEP_EFFICIENCY = 0.45
START_SECONDS = 4.0  # importing torch in a fresh process
COMPILE_SECONDS = 40.0
# Bytes of text per second of the data stages, on two cores.
TEXT_RATES = {"corpus": 3.0e6, "tokenizer": 2.5e6, "dataset": 2.5e6}


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
    probe = Probe.measure(recipe.pretrain, recipe.model.width)
    for stage in stages:
        if stage in TEXT_RATES:
            yield stage, START_SECONDS + text_bytes / TEXT_RATES[stage]
        elif stage in ("pretrain", "sft"):
            config = recipe.pretrain if stage == "pretrain" else recipe.sft
            yield (
                stage,
                START_SECONDS
                + COMPILE_SECONDS
                + _training_operations(recipe, config) / (probe.operations * STEP_EFFICIENCY),
            )
        else:
            yield stage, 2 * START_SECONDS


def _training_operations(recipe: Recipe, config: TrainingConfig) -> float:
    model, window = recipe.model, recipe.dataset.window
    tokens = config.steps * config.batch_size * window
    weights = count_parameters(model, recipe.tokenizer.vocabulary_size)
    attention = 6 * model.layers * model.heads * model.head_dim * window  # causal: half of 12 * L * d * T
    return float(tokens) * (6 * weights + attention)


def raw_text_bytes(recipe: Recipe) -> int:
    """Size of the corpus's raw files in bytes."""
    return sum(file.size for stage in STAGES if stage.name == "corpus" and stage.raw for file in stage.raw(recipe)[0])
