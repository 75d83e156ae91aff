"""The first weights: a pure function of the seed and the model's shape, whatever else has drawn random numbers.

Normal with deviation 0.02 (GPT-2), and for the matrices that write into the residual stream that over sqrt(2 * layers),
so that the stream's variance does not grow with depth (GPT-2, section 2.3). Norms begin at one, biases at zero.
"""

from __future__ import annotations

import torch

from lumilab.model.transformer import Transformer

DEVIATION = 0.02
RESIDUAL_PROJECTIONS = ("o_proj.weight", "down_proj.weight")


@torch.no_grad()
def initialise(model: Transformer, seed: int) -> Transformer:
    """Sets every parameter of `model` anew, in place, and returns it. The numbers are drawn on the CPU in float32."""
    generator = torch.Generator().manual_seed(seed)
    residual = DEVIATION / (2 * model.config.layers) ** 0.5
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        deviation = residual if name.endswith(RESIDUAL_PROJECTIONS) else DEVIATION
        parameter.copy_(torch.empty(parameter.shape).normal_(0.0, deviation, generator=generator))
    return model
