"""An exponential moving average of the weights (Polyak and Juditsky 1992; Morales-Brotons et al. 2024, arXiv
2411.18704, on what it gives in deep learning).

average <- d * average + (1 - d) * weights after every step. In the first steps d is (1 + n) / (10 + n) after n steps
where that is less than the decay (as TensorFlow's ExponentialMovingAverage has it), so that the first weights, which
know nothing, are soon forgotten. A skipped step counts: the weights are as they were, and the average moves on towards
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a model's trained parameters, in their dtype and on their device.

    Args:
        model: with its first weights, which the average begins with.
        decay: d of the later steps.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._parameters = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self._average = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes the weights in after step `step` (0 for the first)."""
        kept = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self._average.values()), list(self._parameters.values()), 1 - kept)

    @torch.no_grad()
    def exchange(self) -> None:
        """Exchanges the average and the model's weights; twice changes nothing."""
        for name, parameter in self._parameters.items():
            weights = parameter.detach().clone()
            parameter.copy_(self._average[name])
            self._average[name].copy_(weights)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The model has the average for its weights while the block runs."""
        self.exchange()
        try:
            yield
        finally:
            self.exchange()

    def state_dict(self) -> dict[str, Tensor]:
        """The average by the parameters' names."""
        return dict(self._average)

    @torch.no_grad()
    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_dict` gave, bit for bit."""
        for name, average in self._average.items():
            average.copy_(tensors[name])
