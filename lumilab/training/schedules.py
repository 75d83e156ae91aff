"""The learning rate over a run, as a share of its peak: pure functions of the step, so resuming needs no state.

All begin with a linear warm-up. Then cosine (Loshchilov and Hutter 2016), a straight line, warm-up-stable-decay
(Hu et al. 2024, MiniCPM, section 4: constant, then a linear fall over the last part) or nothing more.
"""

from __future__ import annotations

import math

from lumilab.recipe.training import ScheduleConfig


def learning_rate_share(step: int, steps: int, config: ScheduleConfig) -> float:
    """The share of the peak learning rate to use at `step` (0 to steps - 1).

    The warm-up rises to 1 at its last step. A falling schedule would reach `minimum` one step after the last, so that
    with a minimum of 0 no step is without effect.
    """
    warmup = round(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    return config.minimum + (1 - config.minimum) * _height((step - warmup) / (steps - warmup), step, steps, config)


def _height(progress: float, step: int, steps: int, config: ScheduleConfig) -> float:
    """The schedule's shape from 1 to 0, where `progress` is the share of the steps after the warm-up that are done."""
    if config.name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if config.name == "linear":
        return 1 - progress
    if config.name == "wsd":
        return min(1.0, (steps - step) / max(1, round(config.decay * steps)))
    return 1.0
