"""Training on several devices: one process (a rank) for each, started by torchrun, accelerate or `lumi run --nproc`.

Every rank takes its rows of the global batch and divides its loss by the trained tokens of the *whole* global batch;
gradients are then summed over the ranks, never averaged, so that a token weighs the same wherever it lies.

- DDP (Li et al. 2020, arXiv 2006.15704): each rank holds everything; the gradients are added up during the last
  micro-batch's backward pass.
- FSDP2 (Zhao et al. 2023, arXiv 2304.11277; `fully_shard`): each rank holds some rows of every parameter, of its
  gradient and of its optimizer state, and a block's weights are gathered for as long as the block computes.

What is wrapped is the loss, as a module, and not the model: an objective may use the model in any way, and as often as
it likes, in what DDP and FSDP2 see as one forward pass. The model's own code knows nothing of all this. Precision
stays its own affair: it casts float32 weights where it uses them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from lumilab.errors import ConfigError
from lumilab.model import Transformer
from lumilab.training.devices import Devices
from lumilab.training.hardware import Hardware
from lumilab.training.objective import Batch
from lumilab.training.row_shards import is_sharded, whole

FULL = 0.4  # share of a GPU's memory that parameters, gradients and optimizer state may take before they are sharded
STATE_BYTES = 16  # of a parameter: its float32 value, gradient and two moments

LossFunction = Callable[[Transformer, Batch], Tensor]


class LossModule(nn.Module):
    """An objective's loss as a module around the model."""

    def __init__(self, model: Transformer, loss: LossFunction) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, batch: Batch) -> Tensor:
        """The summed loss of a batch."""
        return self.loss(self.model, batch)


@dataclass(frozen=True)
class DistributedLoss:
    """The summed loss on this rank's batches; its gradient becomes the sum over all ranks.

    Attributes:
        module: a LossModule as it is, under DDP or under FSDP2.
        kind: "one", "ddp" or "fsdp": which of these.
    """

    module: Any
    kind: str

    def __call__(self, batch: Batch) -> Tensor:
        loss: Tensor = self.module(batch)
        return loss

    def accumulating(self, last: bool) -> AbstractContextManager[None]:
        """For a micro-batch's passes: until the last one, DDP's gradients stay in their rank.

        Those under FSDP2 are summed each time: kept back, they would need the memory that sharding is there to save.
        """
        return self.module.no_sync() if self.kind == "ddp" and not last else nullcontext()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """For forward passes without a backward pass, after which FSDP2 would keep the last weights gathered."""
        with self.accumulating(last=False):
            yield
        if self.kind == "fsdp":
            self.module.reshard()


def distribute(
    model: Transformer, loss: LossFunction, hardware: Hardware, devices: Devices, wanted: str
) -> DistributedLoss:
    """Moves the model to the device, spreads it over the ranks, and returns the loss to train with.

    Args:
        model: the same weights in every rank.
        loss: the objective's.
        hardware: the device, and whether to compile.
        devices: the ranks.
        wanted: "ddp", "fsdp", or "auto" for DDP where a whole training state fits a device.

    Raises:
        ConfigError: FSDP2 for a model of which only some weights are trained.
    """
    kind = strategy(model, hardware.device, wanted) if devices.count > 1 else "one"
    if kind == "fsdp" and not all(parameter.requires_grad for parameter in model.parameters()):
        raise ConfigError(
            "An adapter trains with all weights on each device, but this model would be spread over them (FSDP2)",
            mend="set parallel to ddp if a device can hold the weights, or leave adapter out.",
        )
    if kind == "fsdp":
        return DistributedLoss(_sharded(model, loss, hardware), kind)
    module = LossModule(model.to(hardware.device), hardware.compile(loss))
    return DistributedLoss(module if kind == "one" else _replicated(module), kind)


def strategy(model: Transformer, device: torch.device, wanted: str) -> str:
    """ "ddp" or "fsdp"."""
    if wanted != "auto" or device.type != "cuda":
        return "ddp" if wanted == "auto" else wanted
    needed = sum(
        STATE_BYTES * parameter.numel() if parameter.requires_grad else parameter.nbytes
        for parameter in model.parameters()
    )
    return "fsdp" if needed > FULL * torch.cuda.get_device_properties(device).total_memory else "ddp"


def _replicated(module: LossModule) -> Any:
    # With find_unused_parameters the buckets are never rebuilt in the order of the first backward pass, so a resumed
    # run adds up in the same order as one that was not interrupted. There has to be an unused one, or DDP complains.
    module.unused = nn.Parameter(torch.zeros(1, device=next(module.parameters()).device))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the newer name of broadcast_buffers is unknown to torch 2.11
        wrapped = nn.parallel.DistributedDataParallel(
            module, broadcast_buffers=False, gradient_as_bucket_view=True, find_unused_parameters=True
        )
    wrapped.register_comm_hook(None, lambda state, bucket: _summed(bucket))
    return wrapped


def _summed(bucket: Any) -> Any:
    """DDP's communication of a bucket of gradients: their sum, where its own would be the mean."""
    work = dist.all_reduce(bucket.buffer(), async_op=True)
    return work.get_future().then(lambda done: done.value()[0])


def _sharded(model: Transformer, loss: LossFunction, hardware: Hardware) -> Any:
    """Block by block, so that no more than one block is ever whole on the device."""
    # Imported here: it takes two seconds, which a training in one process need not wait for.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(hardware.device.type, (dist.get_world_size(),))
    for block in model.model.layers:
        if hardware.compiled:
            block.compile(dynamic=False)  # FSDP2's own work between the blocks is not to be traced
        fully_shard(block, mesh=mesh)
    root = fully_shard(LossModule(model, loss), mesh=mesh)
    for module in [*model.model.layers, root]:
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    return root


def whole_model(
    model: Transformer, devices: Devices, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> Transformer | None:
    """The model in one piece, in the first rank; None in the others. All ranks call this at the same time.

    Args:
        model: sharded or not. What is not is returned as it is.
        devices: the ranks.
        device, dtype: of the pieces put together; by default those of the pieces.
    """
    if not any(is_sharded(parameter) for parameter in model.parameters()):
        return model if devices.first else None
    tensors = {}
    for name, piece in model.state_dict().items():
        full = whole(piece.detach())
        if devices.first:
            tensors[name] = full.to(device=device, dtype=dtype)
    if not devices.first:
        return None
    with torch.device("meta"):
        made = Transformer(model.config, model.vocabulary_size)
    made.load_state_dict(tensors, assign=True)
    made.activation_dtype = model.activation_dtype
    return made.to(next(made.parameters()).device)
