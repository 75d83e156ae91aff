"""The loss on text that is never trained on: when it is measured, how, and what it decides."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from lumilab.recipe.training import TrainingConfig
from lumilab.training.devices import Devices
from lumilab.training.hardware import Hardware
from lumilab.training.learner import Learner
from lumilab.training.objective import Objective
from lumilab.training.parallel import DistributedLoss
from lumilab.training.states import Progress
from lumilab.work.stopping import StopRequest

SHARE = 0.1  # of an epoch, between validations
FEWEST, MOST = 10, 100  # validations in a run


def steps_between(config: TrainingConfig, epoch_steps: float) -> int:
    """Steps from one validation to the next.

    A tenth of an epoch where the recipe leaves it open; but runs of much less than an epoch want to be looked at too,
    and many epochs of little text not all the time: so 10 to 100 times a run. Where the recipe says a share, that is
    taken at its word, up to 100 times a run.
    """
    every = config.validate_every
    if isinstance(every, int):
        return every
    if every is not None:
        return max(1, round(max(every * epoch_steps, config.steps / MOST)))
    return max(1, round(min(max(SHARE * epoch_steps, config.steps / MOST), config.steps / FEWEST)))


def validate(
    learner: Learner,
    objective: Objective,
    loss_of: DistributedLoss,
    hardware: Hardware,
    devices: Devices,
    rows: int,
    stop: StopRequest,
) -> tuple[float, dict[str, float]] | None:
    """The mean loss over the validation batches (in nats per trained token, as a rule) and the objective's measures of
    them; None when there are no batches, or on a stop."""
    total = torch.zeros((), dtype=torch.float32, device=hardware.device)
    divisor = torch.zeros((), dtype=torch.int64, device=hardware.device)
    stopped = False
    learner.model.eval()
    # With gradients the compiled program is that of training; compiling another would cost more than it saves.
    with learner.as_validated(), loss_of.evaluating(), torch.set_grad_enabled(hardware.compiled):
        for batch in devices.shared_out(objective.validation(rows)):
            if stopped := devices.stopped(stop):
                break
            total = total + loss_of(batch.to(hardware.device)).detach().flatten()
            divisor += batch.divisor().to(hardware.device)
    learner.model.train()
    sums, count = devices.summed(total).flatten().tolist(), devices.summed(divisor).item()
    if not count or stopped:
        return None
    loss, *means = (value / count for value in sums)
    return loss, objective.measures(means)


def judged(progress: Progress, loss: float) -> Progress:
    """The progress with a validation loss measured after its last step, the best so far or not."""
    told = loss if math.isfinite(loss) else None
    progress = replace(progress, validation_loss=told, validated_step=progress.step)
    if told is not None and (progress.best_loss is None or told < progress.best_loss):
        return replace(progress, best_loss=loss, best_step=progress.step, without_improvement=0)
    return replace(progress, without_improvement=progress.without_improvement + 1)


def bits_per_byte(loss: float, tokens_per_byte: float | None) -> dict[str, float]:
    """A loss in nats per token as bits per byte of text, which tokenizers with other tokens share; by its name."""
    return {} if tokens_per_byte is None else {"bits_per_byte": loss / math.log(2) * tokens_per_byte}
