"""One optimizer step on a global batch, and the figures of it, which nobody waits for.

A GPU works through its orders while the host gives the next ones; asking for a number in every step would make each
wait for the other. So whether a step is skipped is decided where it is computed, and its loss and its gradient norm
set out for the host at once, to be read when the next step is under way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lumilab.training.devices import Devices
from lumilab.training.learner import Learner
from lumilab.training.objective import Batch
from lumilab.training.parallel import DistributedLoss
from lumilab.training.row_shards import whole


@dataclass(frozen=True)
class Figures:
    """What a step was.

    Attributes:
        step: its number, from 0.
        tokens: tokens read, trained or not.
        share: of the peak learning rate.
        loss: over the batch's divisor: in nats per trained token, as a rule.
        norm: of the gradient, before clipping.
        trained: trained tokens.
        skipped: whether it changed nothing.
        means: the objective's further sums, over the divisor.
    """

    step: int
    tokens: int
    share: float
    loss: float
    norm: float
    trained: int
    skipped: bool
    means: tuple[float, ...] = ()


class Reading:
    """A step's figures on their way to the host."""

    def __init__(self, step: int, tokens: int, share: float, *figures: Tensor) -> None:
        self._known = (step, tokens, share)
        # From a GPU these are copies to page-locked memory, there once the event has come to pass.
        self._figures = [figure.detach().to("cpu", non_blocking=True) for figure in figures]
        self._event = torch.cuda.current_stream().record_event() if figures[0].device.type == "cuda" else None
        if figures[0].device.type == "mps":
            torch.mps.synchronize()

    def wait(self) -> Figures:
        """The figures, once they are there."""
        if self._event is not None:
            self._event.synchronize()
        loss, *means = self._figures[0].tolist()
        norm, trained, skipped = (figure.item() for figure in self._figures[1:])
        return Figures(*self._known, loss, float(norm), int(trained), bool(skipped), tuple(means))


def take_step(
    learner: Learner,
    loss_of: DistributedLoss,
    batch: Batch,
    step: int,
    share: float,
    devices: Devices,
    *,
    rows: int | None,
    clip: float,
) -> Reading:
    """Trains on one global batch.

    Args:
        loss_of: gives the summed loss of a batch.
        batch: this rank's rows of it, on any device.
        step: its number, from 0.
        share: of the peak learning rates.
        devices: the ranks that train together.
        rows: windows in each forward pass; None for all.
        clip: the largest gradient norm; 0 for any.
    """
    device = next(learner.model.parameters()).device
    counts = torch.stack((batch.count_trained(), batch.divisor()))
    trained, divisor = devices.summed(counts.to(device, non_blocking=True))
    means = torch.zeros((), device=device)
    tokens, parts = devices.evened(list(batch.split(rows)))
    for number, part in enumerate(parts, start=1):
        with loss_of.accumulating(last=number == len(parts)):
            part_means = loss_of(part.to(device)).flatten() / divisor
            loss = part_means[0]
            torch.autograd.backward(loss * learner.loss_scale.scale if learner.loss_scale else loss)
        means = means + part_means.detach()
    means = devices.summed(means)
    norm = clip_gradient(learner, clip)
    refused = learner.guard.refuses(means[0], norm)
    learner.optimizer.step(share, refused)
    learner.optimizer.zero_grad()
    if learner.loss_scale:
        learner.loss_scale.update(norm)
    if learner.average:
        learner.average.update(step)
    return Reading(step, tokens, share, means, norm, trained, refused)


def clip_gradient(learner: Learner, largest: float) -> Tensor:
    """The gradient's norm, which is then scaled down to the largest one allowed (0 for any)."""
    parameters = [parameter for parameter in learner.model.parameters() if parameter.grad is not None]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if learner.loss_scale:
        learner.loss_scale.unscale(gradients)
    norm = whole(torch.nn.utils.get_total_norm(gradients))
    if largest:
        torch.nn.utils.clip_grads_with_norm_(parameters, largest, norm)
    return norm
