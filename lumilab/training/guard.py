"""Which steps are skipped: those whose loss or gradient is not a finite number, or far above the ones before.

A step is a spike where its loss or its gradient norm is more than so many standard deviations above the mean of the
last 128 steps (as AI2's OLMo-core does in its skip-step optimizers). Skipped spikes enter the record too, so that a
level that rises for good, as where the mix of the data changes, is soon the ordinary one. A deviation counts for at
least a hundredth of the mean: losses that hardly vary make no spike of a ripple.

The decision is a tensor on the device: nobody waits for the device to learn it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

RECORD = 128  # steps that a step is compared with
ENOUGH = 64  # with fewer in the record nothing is a spike: the first steps fall too fast for a level
RIPPLE = 0.01  # share of the mean that a deviation has at least


class StepGuard:
    """Judges the steps of a run, one after the other.

    Args:
        sigmas: standard deviations above the mean from which on a step is a spike; 0 to look for no spikes.
        device: where losses and norms are.
    """

    def __init__(self, sigmas: float, device: torch.device) -> None:
        self._sigmas = sigmas
        self._record = torch.zeros((2, RECORD), device=device)  # of losses and norms, in a ring
        self._seen = torch.zeros((), dtype=torch.int64, device=device)
        self._places = torch.arange(RECORD, device=device)

    def refuses(self, loss: Tensor, norm: Tensor) -> Tensor:
        """Whether the step is to be skipped, and takes it into the record.

        Args:
            loss, norm: float32 scalars.

        Returns:
            A boolean scalar.
        """
        values = torch.stack((loss, norm))
        finite = values.isfinite().all()
        refused = ~finite | (self._spikes(values) if self._sigmas else torch.zeros_like(finite))
        here = finite & (self._places == self._seen % RECORD)
        self._record = torch.where(here, values[:, None], self._record)
        self._seen = self._seen + finite
        return refused

    def state_dict(self) -> dict[str, Tensor]:
        """The record, as tensors."""
        return {"guard.record": self._record, "guard.seen": self._seen}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_dict` gave."""
        self._record = tensors["guard.record"].to(self._record.device)
        self._seen = tensors["guard.seen"].to(self._seen.device)

    def _spikes(self, values: Tensor) -> Tensor:
        count = self._seen.clamp(1, RECORD)
        known = self._places < count
        mean = (self._record * known).sum(1) / count
        deviation = (((self._record - mean[:, None]) * known).square().sum(1) / count).sqrt()
        deviation = torch.maximum(deviation, RIPPLE * mean)
        return (values > mean + self._sigmas * deviation).any() & (self._seen >= ENOUGH)
