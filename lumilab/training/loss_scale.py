"""The loss scale of float16 training (Micikevicius et al. 2017, "Mixed Precision Training", section 3.2).

Small gradients vanish in float16, so the loss is multiplied by a large number before the backward pass and the
gradients are divided by it after. Where they overflow, the step is skipped and the scale halved; after 2 000 steps
without an overflow it is doubled. These are the numbers of torch.amp.GradScaler, which this follows; it is not used
because it waits for the device in every step, and because a skipped step is decided in one place (`guard.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

FIRST_SCALE = 2.0**16
PATIENCE = 2_000  # steps without an overflow before the scale is doubled


class LossScale:
    """The scale and how long it has held."""

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.tensor(FIRST_SCALE, device=device)
        self._held = torch.zeros((), dtype=torch.int64, device=device)

    def unscale(self, gradients: Sequence[Tensor]) -> None:
        """Divides the gradients by the scale, in place."""
        torch._foreach_mul_(list(gradients), self.scale.reciprocal())

    def update(self, norm: Tensor) -> None:
        """Adjusts the scale after a step.

        Args:
            norm: of the step's gradient; what is not finite is an overflow.
        """
        overflow = ~norm.isfinite()
        held = torch.where(overflow, 0, self._held + 1)
        patient = held >= PATIENCE
        self.scale = torch.where(overflow, self.scale / 2, torch.where(patient, self.scale * 2, self.scale))
        self._held = torch.where(patient, 0, held)

    def state_dict(self) -> dict[str, Tensor]:
        """As tensors."""
        return {"loss_scale.scale": self.scale, "loss_scale.held": self._held}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Restores what `state_dict` gave."""
        self.scale = tensors["loss_scale.scale"].to(self.scale.device)
        self._held = tensors["loss_scale.held"].to(self._held.device)
