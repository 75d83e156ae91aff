"""The most windows that fit into memory in one forward and backward pass (`micro_batch_size: auto`).

Sizes are tried from one window up, at most doubling each time, among those that divide the batch. What a pass took at
two sizes says what the next would take, as memory grows in a straight line with the rows; a size that would not leave a
tenth of the memory free is not tried, because on a CPU nothing says "too much" before the system kills. Where a device
does say it, the size is given up.

The passes are not compiled: a compiled one takes less memory, so that what fits here fits there, and compiling each
size would take longer than all else. A step's result depends on the size only by rounding. It is part of the saved
state, so a run that goes on uses it again.
"""

from __future__ import annotations

from itertools import pairwise

import torch

from lumilab.training.hardware import out_of_memory
from lumilab.training.learner import Learner
from lumilab.training.memory import most_memory, peak_watched
from lumilab.training.objective import Batch
from lumilab.training.parallel import LossFunction
from lumilab.training.randomness import undisturbed

USED = 0.9  # share of the memory that may be taken


def largest_micro_batch(learner: Learner, loss_of: LossFunction, batch: Batch) -> int:
    """How many of the batch's rows to train on at once.

    Args:
        learner: that has not taken a step yet; it is left as it was.
        loss_of: gives the summed loss of a batch, not compiled.
        batch: of some step.

    Raises:
        RuntimeError, MemoryError: not even one window fits; as the device says it.
    """
    device = next(learner.model.parameters()).device
    room = USED * most_memory(device)  # the optimizer's state is there already
    sizes = [rows for rows in range(1, len(batch.ids) + 1) if len(batch.ids) % rows == 0]
    best, too_many = 0, len(batch.ids) + 1
    taken: dict[int, int] = {}
    with undisturbed():
        while size := _next_size(sizes, best, too_many, taken, room):
            try:
                taken[size] = _peak_of_passes(learner, loss_of, batch, size)
                best = size
            except (MemoryError, RuntimeError) as error:
                if not best or not out_of_memory(error):
                    raise
                too_many = size
            finally:
                if device.type == "cuda":
                    torch.cuda.empty_cache()
        learner.optimizer.zero_grad()
    return best


def _next_size(sizes: list[int], best: int, too_many: int, taken: dict[int, int], room: float) -> int | None:
    """The size to try next: the largest that is at most twice the best one, or the next one, and ought to fit."""
    if not best:
        return sizes[0]  # there is no smaller one: if it does not fit, that is to be said
    larger = [size for size in sizes if best < size < too_many]
    options = [size for size in larger if size <= max(2 * best, larger[0])]
    fitting = [size for size in options if _expected(size, taken) <= room]
    return fitting[-1] if fitting else None


def _expected(size: int, taken: dict[int, int]) -> float:
    """What a size would take, on the steepest straight line that what was measured allows."""
    if len(taken) < 2:
        return 0.0
    measured = sorted(taken.items())
    slope = max((after - before) / (more - less) for (less, before), (more, after) in pairwise(measured))
    largest, peak = measured[-1]
    return peak + slope * (size - largest)


def _peak_of_passes(learner: Learner, loss_of: LossFunction, batch: Batch, rows: int) -> int:
    """The most memory taken by two passes: in the second the gradients of the first are there."""
    device = next(learner.model.parameters()).device
    with peak_watched(device) as peak:
        part = next(batch.split(rows)).to(device)
        for _ in range(2):
            torch.autograd.backward(loss_of(learner.model, part).flatten()[0])
        return peak()
