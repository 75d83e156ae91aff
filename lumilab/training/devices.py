"""The ranks that train together, as one of them sees them: joining, agreeing, and noticing that one is lost.

The launcher (torchrun, accelerate, `lumi run --nproc`) tells each process its number in the environment: RANK,
WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT. What the ranks agree on (a stop, a time limit, how many micro-batches)
they tell one another over gloo, from CPU to CPU, so that nobody waits for a GPU. Every decision that ends or skips
something is made on values that are the same in all ranks: one that went another way would leave the others waiting.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lumilab.errors import ConfigError, LumiError, ResourceError
from lumilab.training.objective import UNTRAINED, Batch
from lumilab.work.stopping import StopRequest

PATIENCE = timedelta(minutes=30)  # for a rank that is alive and silent, such as while another writes samples
COMMUNICATION = ("gloo", "nccl", "connection closed by peer", "connection reset", "connection refused")

T = TypeVar("T")


@dataclass(frozen=True)
class Devices:
    """The devices of a training, as one rank sees them.

    Attributes:
        rank, count: which of how many.
        group: through which the ranks talk, on CPUs; None for the process's default group.
    """

    rank: int = 0
    count: int = 1
    group: Any = None

    @classmethod
    def of_this_process(cls) -> Devices:
        """Those of the process group that this process has joined; a single one without a group."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def first(self) -> bool:
        """Whether this rank is the one that writes logs and reports."""
        return self.rank == 0

    @property
    def on_this_machine(self) -> int:
        """How many of the ranks are here; all, where the launcher does not say it."""
        return int(os.environ.get("LOCAL_WORLD_SIZE", self.count)) if self.count > 1 else 1

    def apart(self, patience: timedelta = PATIENCE) -> Devices:
        """The same devices with a channel of their own, for another thread. All ranks call this at the same time."""
        return self if self.count == 1 else replace(self, group=dist.new_group(backend="gloo", timeout=patience))

    def gathered(self, *values: float) -> list[list[float]]:
        """The values of every rank, in the order of the ranks: the same list in all of them, exact in float64."""
        if self.count == 1:
            return [list(values)]
        mine = torch.tensor(values, dtype=torch.float64)
        everyone = [torch.empty_like(mine) for _ in range(self.count)]
        dist.all_gather(everyone, mine, group=self.group)
        return [tensor.tolist() for tensor in everyone]

    def summed(self, value: Tensor) -> Tensor:
        """The sum over the ranks of a tensor of one shape, on the device where it is; nobody waits for the device."""
        if self.count > 1:
            dist.all_reduce(value, group=self.group)
        return value

    def from_first(self, value: int) -> int:
        """What the first rank has."""
        return int(self.gathered(value)[0][0])

    def lowest(self, value: int) -> int:
        """The smallest over the ranks."""
        return int(min(row[0] for row in self.gathered(value)))

    def together(self, action: Callable[[], T], what: str) -> T:
        """Does something that all ranks must be able to do, and waits until all have.

        Raises:
            ResourceError: another rank could not; it says why itself.
            Whatever the action raises here.
        """
        try:
            result = action()
        except BaseException:
            self.gathered(0)
            raise
        failed = [rank for rank, (done,) in enumerate(self.gathered(1)) if not done]
        if failed:
            raise ResourceError(
                f"Process {failed[0]} of {self.count} could not {what}, so this one stops too",
                mend="see its message; the same command goes on from the last saved state.",
            )
        return result

    def stopped(self, stop: StopRequest, also: bool = False) -> bool:
        """Whether any rank was asked to stop, or has another reason to: the same answer in all of them, so that all
        leave at the same step. A rank that was not asked is asked hereby."""
        if self.count == 1:
            return stop.requested or also
        answers = self.gathered(stop.signal_number or 0, also)
        if signal_number := int(max(number for number, _ in answers)):
            stop.request(signal_number)
        return any(number or reason for number, reason in answers)

    def evened(self, parts: list[Batch]) -> tuple[int, list[Batch]]:
        """The tokens that all ranks read, and as many micro-batches as the rank with the most has.

        Under FSDP2 every forward pass takes all ranks, so one with fewer rows adds passes in which nothing is trained.
        """
        everyone = self.gathered(len(parts), sum(part.ids.numel() for part in parts))
        most = int(max(count for count, _ in everyone))
        missing = [replace(parts[0], labels=torch.full_like(parts[0].labels, UNTRAINED))] * (most - len(parts))
        return int(sum(tokens for _, tokens in everyone)), parts + missing

    def shared_out(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """This rank's share of batches that all ranks have, every rank's of the same number: where nothing is left for
        it, one in which nothing is trained."""
        while turn := list(islice(batches, self.count)):
            blank = replace(turn[0], labels=torch.full_like(turn[0].labels, UNTRAINED))
            yield turn[self.rank] if self.rank < len(turn) else blank

    @contextmanager
    def losses_explained(self) -> Iterator[None]:
        """Turns the loss of another rank inside the block into a ResourceError that says so."""
        try:
            yield
        except LumiError:
            raise
        except RuntimeError as error:
            if self.count == 1 or not _of_communication(error):
                raise
            raise ResourceError(
                f"Another of the {self.count} processes of this training ended or cannot be reached, so process "
                f"{self.rank} stops too",
                mend="see the other's message; the same command goes on from the last saved state.",
            ) from error


ALONE = Devices()


def _of_communication(error: RuntimeError) -> bool:
    told = str(error).lower()
    return isinstance(error, dist.DistError) or any(words in told for words in COMMUNICATION)


@contextmanager
def joined() -> Iterator[Devices]:
    """Joins the other ranks for the length of the block; an error leaves at once and takes no leave of them.

    Raises:
        ConfigError: there are more ranks on this machine than GPUs.
    """
    gpus, local = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", "0"))
    if gpus:
        if local >= gpus:
            raise ConfigError(
                f"There are more processes than GPUs on this machine: {gpus} GPUs, and this is process {local + 1}",
                where="command line",
                mend=f"start {gpus} processes a machine, or hide the GPUs (CUDA_VISIBLE_DEVICES=) to train on CPUs.",
            )
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=PATIENCE)
    yield Devices.of_this_process()
    dist.destroy_process_group()
