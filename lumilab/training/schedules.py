"""The learning rate over a run, as a share of its peak: pure functions of the step, so resuming needs no state.

All begin with a linear warm-up. Then cosine (Loshchilov and Hutter 2016), a straight line, warm-up-stable-decay
(Hu et al. 2024, MiniCPM, section 4: constant, then a linear fall over the last part) or nothing more.
"""

from __future__ import annotations

import math

from lumilab.recipe.schema import ScheduleConfig


def learning_rate_share(step: int, steps: int, config: ScheduleConfig) -> float:
    """The share of the peak learning rate to use at `step` (0 to steps - 1).

    The warm-up rises to 1 at its last step, and a falling schedule reaches `minimum` at the last step of all.
    """
    warmup = round(config.warmup * steps)
    if step < warmup:
        return (step + 1) / warmup
    # 0 at the first step after the warm-up, 1 at the last step of all
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    return config.minimum + (1 - config.minimum) * _fall(progress, step, steps, config)


def _fall(progress: float, step: int, steps: int, config: ScheduleConfig) -> float:
    """From 1 to 0 in the schedule's shape."""
    if config.name == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if config.name == "linear":
        return 1 - progress
    if config.name == "wsd":
        decay = round(config.decay * steps)
        return min(1.0, (steps - 1 - step) / max(1, decay))
    return 1.0
