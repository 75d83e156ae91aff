"""The most windows that fit into memory in one forward and backward pass (`micro_batch_size: auto`).

Sizes are tried from one window up, at most doubling each time, among those that divide the batch. What passes took so
far says what the next would take, as memory grows in a straight line with the rows; a size that would not leave a
tenth of the memory free is not tried, because on a CPU nothing says "too much" before the system kills. Where a device
does say it, the size is given up.

The passes are not compiled: a compiled one takes less memory, so that what fits here fits there, and compiling each
size would take longer than all else. A step's result depends on the size only by rounding. It is part of the saved
state, so a run that goes on uses it again.

Several ranks try the same sizes at the same time and go by the one with the least room: under FSDP2 a pass takes all
of them. There a rank cannot give a size up alone, so one that runs out of memory ends the training.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from lumilab.training.devices import ALONE, Devices
from lumilab.training.hardware import out_of_memory
from lumilab.training.learner import Learner
from lumilab.training.memory import most_memory, peak_watched
from lumilab.training.objective import Batch
from lumilab.training.randomness import undisturbed
from lumilab.training.row_shards import rows_here

USED = 0.9  # share of the memory that may be taken


def largest_micro_batch(
    learner: Learner, loss_of: Callable[[Batch], Tensor], batch: Batch, devices: Devices = ALONE, *, apart: bool = True
) -> int:
    """How many of the batch's rows to train on at once; the same in all ranks.

    Args:
        learner: that has not taken a step yet; it is left as it was.
        loss_of: gives the summed loss of a batch, not compiled.
        batch: this rank's rows of some step.
        devices: the ranks.
        apart: whether a rank's pass is its own, and may fail without the others.

    Raises:
        RuntimeError, MemoryError: not even one window fits; as the device says it.
    """
    device = next(learner.model.parameters()).device
    room = USED * devices.lowest(most_memory(device, devices.on_this_machine))  # the optimizer's state is there already
    rows = devices.lowest(len(batch.ids))
    sizes = [size for size in range(1, rows + 1) if rows % size == 0]
    best, too_many = 0, rows + 1
    taken = {0: -devices.lowest(-_taken_without_windows(learner))}
    with undisturbed():
        while size := _next_size(sizes, best, too_many, taken, room):
            peak = -1
            try:
                peak = _peak_of_passes(learner, loss_of, batch, size)
            except (MemoryError, RuntimeError) as error:
                if not (best and apart and out_of_memory(error)):
                    raise
            finally:
                if device.type == "cuda":
                    torch.cuda.empty_cache()
            if devices.lowest(peak) < 0:
                too_many = size
            else:
                best, taken[size] = size, -devices.lowest(-peak)
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
    measured = sorted(taken.items())
    if len(measured) > 2:
        del measured[0]  # no windows at all: only while there is nothing better, as it has less of what is fixed
    slope = max((after - before) / (more - less) for (less, before), (more, after) in pairwise(measured))
    largest, peak = measured[-1]
    return peak + slope * (size - largest)


def _taken_without_windows(learner: Learner) -> int:
    """What is taken before any pass, and the gradients."""
    parameters = list(learner.model.parameters())
    gradients = sum(rows_here(parameter).nbytes for parameter in parameters if parameter.requires_grad)
    with peak_watched(parameters[0].device) as peak:
        return peak() + gradients


def _peak_of_passes(learner: Learner, loss_of: Callable[[Batch], Tensor], batch: Batch, rows: int) -> int:
    """The most memory taken by two passes: in the second the gradients of the first are there."""
    device = next(learner.model.parameters()).device
    with peak_watched(device) as peak:
        part = next(batch.split(rows)).to(device)
        for _ in range(2):
            torch.autograd.backward(loss_of(part).flatten()[0])
        return peak()
