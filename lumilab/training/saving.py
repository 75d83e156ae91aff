"""Saving training states while training goes on.

A save copies all state to the host's memory, and a thread writes the copy: so training waits for a copy and not for a
disk. There is never more than one save under way: the next one, and the end of the training, wait for it, and raise
what went wrong. Until a state is published whole, readers find the one before it; so a kill costs the steps since then.

With several ranks each writes its own part (under FSDP2 its rows of everything; else the first rank writes for all,
the replicas being equal), and the first one publishes once all have. Threads of different ranks talk through a channel
of their own, so that their messages never meet those of the training.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import psutil
import torch
from torch import Tensor

from lumilab.training.devices import ALONE, Devices
from lumilab.training.stored_tensors import Pieces

ROOM = 4  # copies of a state that must fit into free memory before one is made without being asked for


class Saver:
    """Does one piece of writing at a time in a thread; use it as a context manager.

    Args:
        wanted: "yes", "no", or "auto" for yes where there is ample memory for the copies.
        devices: the ranks that save together.

    Attributes:
        devices: the same, with a channel of their own.
    """

    def __init__(self, wanted: str = "no", devices: Devices = ALONE) -> None:
        self.devices = devices.apart()
        self._wanted = wanted
        self._thread = ThreadPoolExecutor(1, "saving")
        self._under_way: Future[None] | None = None
        self._memory: dict[str, dict[str, Tensor]] = {}  # of the last copies, for the next ones

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            self.wait()

    def save(self, pieces: dict[str, Pieces], write: Callable[[dict[str, Pieces]], None]) -> None:
        """Writes the pieces of all groups as they are now, at once or in the thread.

        Raises:
            Whatever the save before this one raised; and where it is done at once, this one.
        """
        self.wait()
        if not self._in_background(pieces):
            write(pieces)
            return
        copies = {group: self._copied(group, each) for group, each in pieces.items()}
        self._under_way = self._thread.submit(write, copies)

    def check(self) -> None:
        """Raises what a save that has ended meanwhile raised."""
        if self._under_way is not None and self._under_way.done():
            self.wait()

    def wait(self) -> None:
        """Until the save under way is done.

        Raises:
            Whatever it raised.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def _in_background(self, pieces: dict[str, Pieces]) -> bool:
        if self._wanted != "auto" or self._memory:
            return self._wanted != "no"
        size = sum(tensor.nbytes for each in pieces.values() for tensor in each.tensors.values())
        return ROOM * size < psutil.virtual_memory().available

    def _copied(self, group: str, pieces: Pieces) -> Pieces:
        """The pieces in the host's memory, page-locked where a GPU copies into it, and the same memory each time."""
        kept = self._memory.setdefault(group, {})
        for name, tensor in pieces.tensors.items():
            there = kept.get(name)
            if there is None or there.shape != tensor.shape:
                kept[name] = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
            # Only CUDA is waited for below: what another device copies must be there when this returns.
            kept[name].copy_(tensor, non_blocking=tensor.is_cuda)
        if any(tensor.is_cuda for tensor in pieces.tensors.values()):
            torch.cuda.synchronize()
        return Pieces({name: kept[name] for name in pieces.tensors}, pieces.rows)
