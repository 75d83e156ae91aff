"""What a step changes and a saved state therefore holds: weights, optimizer, average, loss scale, the record of steps.

All of it is tensors, in four groups that become one file each. So how states are written, whole by one process or in
pieces by several, is no concern of the parts. Of the weights only those that are trained belong here: where others are
frozen (under an adapter), they are an input of the run and as they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import torch
from torch import Tensor

from lumilab.model import Transformer
from lumilab.recipe.training import TrainingConfig
from lumilab.training.averaging import WeightAverage
from lumilab.training.guard import StepGuard
from lumilab.training.loss_scale import LossScale
from lumilab.training.optimizers import TrainingOptimizer
from lumilab.training.weights import check_shapes

Groups = dict[str, dict[str, Tensor]]

MODEL, OPTIMIZER, AVERAGE, CONTROL = "model", "optimizer", "average", "control"


class Learner:
    """A model and all that changes with it.

    Args:
        model: on the device that trains, with its first weights.
        config: of the training.
        dtype: of the matrix products.

    Attributes:
        average: of the weights, where one is kept.
        loss_scale: in float16.
    """

    def __init__(self, model: Transformer, config: TrainingConfig, dtype: torch.dtype) -> None:
        device = next(model.parameters()).device
        self.model = model
        self.optimizer = TrainingOptimizer(model, config.optimizer, dtype)
        self.average = WeightAverage(model, config.ema.decay) if config.ema else None
        self.loss_scale = LossScale(device) if dtype is torch.float16 else None
        self.guard = StepGuard(config.spike_sigmas, device)
        self._ema = config.ema

    def tensors(self) -> Groups:
        """All state, by group and name. The tensors are those in use, not copies."""
        control = self.guard.state_dict() | (self.loss_scale.state_dict() if self.loss_scale else {})
        groups = {MODEL: self._trained(), OPTIMIZER: self.optimizer.state_dict(), CONTROL: control}
        return groups | ({AVERAGE: self.average.state_dict()} if self.average else {})

    def load(self, groups: Mapping[str, Mapping[str, Tensor]], where: Path) -> None:
        """Restores what `tensors` gave, bit for bit.

        Args:
            where: what to name in an error.

        Raises:
            DamageError: the weights are not those of this model.
            MismatchError: the optimizer's state is of another model.
        """
        shapes = {name: tuple(weight.shape) for name, weight in self._trained().items()}
        for group in (MODEL, AVERAGE) if self.average else (MODEL,):
            check_shapes(groups[group], shapes, where)
        self.model.load_state_dict(groups[MODEL], strict=False)  # what is frozen is not among them
        self.optimizer.load_state_dict(groups[OPTIMIZER])
        self.guard.load_state_dict(groups[CONTROL])
        if self.loss_scale:
            self.loss_scale.load_state_dict(groups[CONTROL])
        if self.average:
            self.average.load_state_dict(groups[AVERAGE])

    def _trained(self) -> dict[str, Tensor]:
        """The weights that change, by name."""
        return {name: weight.detach() for name, weight in self.model.named_parameters() if weight.requires_grad}

    def as_validated(self) -> AbstractContextManager[None]:
        """While the block runs, the model has the weights that are validated."""
        average = self.average if self._ema and self._ema.validated else None
        return average.in_model() if average else nullcontext()

    def keep_published(self) -> None:
        """Gives the model, for good, the weights that are published."""
        if self.average and self._ema and self._ema.published:
            self.average.exchange()
