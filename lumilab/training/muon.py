"""Muon: momentum, orthogonalised (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

Each matrix's Nesterov momentum is replaced by an approximation of its nearest semi-orthogonal matrix, found by five
steps of a matrix polynomial with the coefficients of Polar Express (Amsel et al. 2025, arXiv 2505.16932, algorithm 1),
each optimal for the singular values that the steps before it leave. Matrices of one shape are done as one batched
product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

SAFETY = 1.01  # the paper's margin against bfloat16's rounding
# (a, b, c) of a x + b x^3 + c x^5, for relative singular values from 1e-3 up: the first five of the paper's list.
POLYNOMIALS = tuple(
    (a / SAFETY, b / SAFETY**3, c / SAFETY**5)
    for a, b, c in (
        (8.28721201814563, -23.595886519098837, 17.300387312530933),
        (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
        (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
        (3.3184196573706015, -2.488488024314874, 0.51004894012372),
        (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
    )
)


def orthogonalise(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Near the closest semi-orthogonal matrices to `matrices` [N, rows, columns]: singular values around 1.

    Args:
        matrices: any scale; a zero matrix stays zero.
        dtype: of the products. The polynomial heals its own rounding, so bfloat16 loses nothing that matters; but a
            processor without bfloat16 instructions is thirty times slower at it than at float32.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * SAFETY + 1e-7)
    for a, b, c in POLYNOMIALS:
        square = x @ x.mT
        x = a * x + torch.baddbmm(b * square, square, square, beta=1, alpha=c) @ x
    result: Tensor = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised, for hidden matrices only.

    An update's root mean square is that of a semi-orthogonal matrix, times sqrt(rows / columns) where a matrix is
    taller than wide (the original scaling), so learning rates are larger than Adam's: 0.02 is usual.

    Args:
        parameters: matrices.
        learning_rate: step size.
        momentum: decay of the gradient's running mean; the update looks ahead (Nesterov).
        weight_decay: decoupled; each step takes this share times the learning rate off the weights.
        dtype: of the products that orthogonalise.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        learning_rate: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        super().__init__(list(parameters), {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameters in _by_shape(group["params"]):
                ahead = torch.stack([self._look_ahead(p, group["momentum"]) for p in parameters])
                updates = orthogonalise(ahead, self._dtype)
                rows, columns = parameters[0].shape
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update.to(parameter.dtype), alpha=-rate)

    def _look_ahead(self, parameter: Tensor, momentum: float) -> Tensor:
        """Updates a parameter's momentum and returns it moved one gradient further."""
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(gradient)
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)


def _by_shape(parameters: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    groups: dict[torch.Size, list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            groups[parameter.shape].append(parameter)
    yield from groups.values()
