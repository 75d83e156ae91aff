"""How fast a training will be on this machine: measured on real steps of its own model, with random tokens.

The same parts take the steps as in a training (learner, loss, optimizer, compiled where the training would be), so the
time is that of a whole step but for reading the data. The first steps, in which things are compiled and memory is
fetched, do not count. Where a whole batch would take too long, fewer windows are measured.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import torch

from lumilab.model import Transformer, initialise
from lumilab.recipe.model import ModelConfig
from lumilab.recipe.training import TrainingConfig
from lumilab.training.cost import operations_per_token, tokens_of
from lumilab.training.devices import Devices
from lumilab.training.flops import peak_operations
from lumilab.training.hardware import keep_freed_memory, memory_explained, repeatable, resolve
from lumilab.training.learner import Learner
from lumilab.training.memory import peak_watched, resident
from lumilab.training.objective import Batch, summed_cross_entropy
from lumilab.training.parallel import DistributedLoss, LossModule, distribute
from lumilab.training.step import take_step
from lumilab.work.stopping import StopRequest

STEP_SECONDS = 8.0  # a measured step should take no longer
MEASURED = (3, 20)  # steps: at least, and at most
ENOUGH_SECONDS = 6.0  # of measuring, after which no more steps are taken
WARM_UP = 2  # steps that do not count


@dataclass(frozen=True)
class Probe:
    """What was measured.

    Attributes:
        tokens_per_second: of whole steps, the median.
        steps, windows: how many were measured, and of how many windows each.
        memory: bytes, the most that training took; on a CPU beyond what the process had before.
        mfu: share of the device's peak; None where the peak is unknown.
        hardware: in words.
    """

    tokens_per_second: float
    steps: int
    windows: int
    memory: int
    mfu: float | None
    hardware: str


def measure(
    model_config: ModelConfig,
    vocabulary_size: int,
    training: TrainingConfig,
    window: int,
    stop: StopRequest,
    rows: int | None = None,
) -> Probe:
    """Trains for some steps, and forgets all of it.

    Args:
        model_config, vocabulary_size: the model.
        training: how; where its `micro_batch_size` is open, the passes are of all windows measured.
        window: tokens in each.
        stop: asked between steps.
        rows: windows in each step; None for the whole batch, or fewer where that would take too long.

    Raises:
        ResourceError: the machine lacks what was chosen, or memory.
        Interrupted: a stop was asked for.
    """
    operations = operations_per_token(model_config, vocabulary_size, window).total
    hardware = resolve(training, operations * tokens_of(training, window))
    keep_freed_memory()
    before = resident() if hardware.device.type == "cpu" else 0
    with (
        memory_explained(training),
        repeatable(hardware.device, training.deterministic),
        peak_watched(hardware.device) as peak,
    ):
        model = initialise(Transformer(model_config, vocabulary_size), 0)
        model.activation_dtype = hardware.dtype
        loss_of = distribute(model, summed_cross_entropy, hardware, Devices(), training.parallel)
        model.recompute = training.activation_checkpointing
        learner = Learner(model, training, hardware.dtype)
        rows = rows or _affordable_rows(learner, training, window)
        seconds = _step_seconds(learner, loss_of, training, _random_batch(model, rows, window), stop)
        memory = peak() - before
    speed = rows * window / statistics.median(seconds)
    best = peak_operations(hardware.device, hardware.dtype)
    return Probe(
        tokens_per_second=speed,
        steps=len(seconds),
        windows=rows,
        memory=memory,
        mfu=speed * operations / best if best else None,
        hardware=hardware.describe().removeprefix("Training on "),
    )


def _affordable_rows(learner: Learner, training: TrainingConfig, window: int) -> int:
    """As many windows of the batch as a step may have, going by one that is not compiled; whole micro-batches."""
    batch = _random_batch(learner.model, 1, window)
    plain = DistributedLoss(LossModule(learner.model, summed_cross_entropy), "one")
    for _ in range(2):  # the first one fetches memory
        began = time.perf_counter()
        take_step(learner, plain, batch, 0, 0.0, Devices(), rows=None, clip=0.0).wait()
        seconds = time.perf_counter() - began
    affordable = max(1, int(STEP_SECONDS / seconds))
    if affordable >= training.batch_size:
        return training.batch_size
    micro = training.micro_batch_size if isinstance(training.micro_batch_size, int) else 1
    return affordable // micro * micro if micro <= affordable else affordable


def _step_seconds(
    learner: Learner, loss_of: DistributedLoss, training: TrainingConfig, batch: Batch, stop: StopRequest
) -> list[float]:
    micro = training.micro_batch_size if isinstance(training.micro_batch_size, int) else None
    seconds: list[float] = []
    for number in range(WARM_UP + MEASURED[1]):
        stop.check()
        began = time.perf_counter()
        take_step(learner, loss_of, batch, number, 0.0, Devices(), rows=micro, clip=training.optimizer.clip).wait()
        if number >= WARM_UP:
            seconds.append(time.perf_counter() - began)
        if len(seconds) >= MEASURED[0] and sum(seconds) > ENOUGH_SECONDS:
            break
    return seconds


def _random_batch(model: Transformer, rows: int, window: int) -> Batch:
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, model.vocabulary_size, (rows, window + 1), generator=draw)
    return Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())
