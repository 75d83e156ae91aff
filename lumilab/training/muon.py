"""Muon: momentum, orthogonalised (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/).

Each matrix's Nesterov momentum is replaced by an approximation of its nearest semi-orthogonal matrix, found by five
steps of a matrix polynomial with the coefficients of Polar Express (Amsel et al. 2025, arXiv 2505.16932, algorithm 1),
each optimal for the singular values that the steps before it leave. Matrices of one shape are done as one batched
product.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import partial

import torch
from torch import Tensor

from lumilab.training.row_shards import by_owners, is_sharded, rows_here

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
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) * SAFETY + 1e-7)).to(dtype)  # float16 holds no unscaled gradient
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

    Attributes:
        found_inf: as of PyTorch's fused optimizers: where this scalar is 1, a step changes nothing.
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
        self.found_inf: Tensor | None = None
        for group in self.param_groups:  # before the first step: a state may be saved before it, too
            for parameter in group["params"]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter, requires_grad=False)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        used = 1.0 if self.found_inf is None else 1.0 - self.found_inf
        for group in self.param_groups:
            for parameters in _by_shape(group["params"]):
                ahead = torch.stack([self._look_ahead(p, group["momentum"], used) for p in parameters])
                rows, columns = parameters[0].shape
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5 * used
                for parameter, update in zip(parameters, self._updates(ahead, parameters[0]), strict=True):
                    here = rows_here(parameter)
                    here.mul_(1 - group["lr"] * group["weight_decay"] * used)
                    here.sub_(update.to(here.dtype) * rate)

    def _updates(self, ahead: Tensor, like: Tensor) -> Tensor:
        """The orthogonalised matrices; where ranks hold rows of them (those of `like`), each is done by one rank."""
        if not is_sharded(like):
            return orthogonalise(ahead, self._dtype)
        # In bfloat16 for products in it: half the traffic. Float16 has not the range for what is not normalised yet.
        carried = ahead.to(torch.bfloat16) if self._dtype is torch.bfloat16 else ahead
        return by_owners(carried, like.shape[0], partial(orthogonalise, dtype=self._dtype))

    def _look_ahead(self, parameter: Tensor, momentum: float, used: float | Tensor) -> Tensor:
        """Updates a parameter's momentum and returns it moved one gradient further."""
        assert parameter.grad is not None
        gradient, mean = rows_here(parameter.grad), rows_here(self.state[parameter]["momentum"])
        if isinstance(used, Tensor):
            gradient = gradient.where(used > 0, 0.0)  # what is not finite stays so when it is multiplied by 0
        mean.lerp_(gradient, (1 - momentum) * used)
        return gradient.lerp(mean, momentum)


def _by_shape(parameters: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    groups: dict[torch.Size, list[Tensor]] = defaultdict(list)
    for parameter in parameters:
        if parameter.grad is not None:
            groups[parameter.shape].append(parameter)
    yield from groups.values()
