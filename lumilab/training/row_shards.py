"""Tensors of which each rank holds some rows: FSDP2's parameters, their gradients and their optimizer state.

Rank r of W holds the rows r·c to (r + 1)·c - 1 of a tensor with n rows, where c = ceil(n / W): the last ranks may have
fewer, or none (`torch.chunk`'s rule, which is FSDP2's).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether this rank holds only some rows of the tensor (a DTensor, told by its method to spare the import)."""
    return hasattr(tensor, "to_local")


def rows_here(tensor: Tensor) -> Tensor:
    """The rows that this rank holds, as a plain tensor that shares their memory."""
    local: Tensor = tensor.to_local() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return local


def whole(tensor: Tensor) -> Tensor:
    """The whole of a tensor, in every rank. All ranks call this at the same time."""
    full: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]
    return full


def row_range(rows: int, rank: int, count: int) -> tuple[int, int]:
    """The first row of a rank and the one after its last, of so many rows over so many ranks."""
    chunk = -(-rows // count)
    return min(rank * chunk, rows), min((rank + 1) * chunk, rows)


def like(parameter: Tensor, rows: Tensor) -> Tensor:
    """A tensor sharded as the parameter is, with these rows here."""
    made = torch.empty_like(parameter, dtype=rows.dtype, requires_grad=False)
    rows_here(made).copy_(rows)
    return made


def by_owners(matrices: Tensor, rows: int, work: Callable[[Tensor], Tensor]) -> Tensor:
    """Does `work` on whole matrices, each one in one rank, and gives every rank its rows of the results.

    Ownership, and not a gathering of all matrices in all ranks: a matrix travels to one rank and back rather than to
    W - 1 of them, and is worked on once rather than W times.

    Args:
        matrices: [N, this rank's rows, columns]: the same N in all ranks.
        rows: of the whole matrices.
        work: [n, rows, columns] to the same shape.

    Returns:
        [N, this rank's rows, columns].
    """
    count, rank = dist.get_world_size(), dist.get_rank()
    number, _, columns = matrices.shape
    heights = [last - first for first, last in (row_range(rows, each, count) for each in range(count))]
    owned = [number * (each + 1) // count - number * each // count for each in range(count)]
    sent = [share * heights[rank] * columns for share in owned]
    received = [owned[rank] * height * columns for height in heights]
    pieces = matrices.new_empty(sum(received))
    dist.all_to_all_single(pieces, matrices.flatten(), received, sent)
    stacks = zip(torch.split(pieces, received), heights, strict=True)
    complete = torch.cat([stack.view(owned[rank], height, columns) for stack, height in stacks], dim=1)
    done = torch.cat([piece.flatten() for piece in torch.split(work(complete), heights, dim=1)])
    result = torch.empty_like(matrices).flatten()
    dist.all_to_all_single(result, done.to(matrices.dtype), sent, received)
    return result.view_as(matrices)
