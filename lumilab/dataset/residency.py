"""Where the tokens of a run wait, and how its batches come to the device that trains.

Three residencies, the same batches:

- mmap: the tokens stay in their files, and the system's page cache holds what memory has room for;
- pinned: they are copied to page-locked memory first, which the system never gives up for something else;
- device: the windows of the coming steps wait on the GPU. An epoch is cut into N parts, each of so many steps; while
  one part is trained on, the next is put together and copied, and then takes its place. The parts follow the order of
  the samples, not that of the files, so that rotating them changes nothing of what a step trains on: a
  window may be in any part, and only its turn decides.

With a CUDA device, batches are put together in page-locked memory by threads and copied on a stream of their own
while the step before computes. On other devices a batch is a tensor on the CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self, get_args

import psutil
import torch
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.dataset.loader import WindowLoader
from lumilab.dataset.prefetch import Prefetcher
from lumilab.dataset.shards import TokenArray
from lumilab.errors import ConfigError, ResourceError

Residency = Literal["mmap", "pinned", "device"]

SHARE_OF_MEMORY = 0.25  # of what is free: the model, its gradients and the page cache need the rest
STAGED_BYTES = 2**26  # of a part, filled and copied at once
TOKEN_BYTES = 8  # of a token that waits on the device: its id and its label, int32 each


@dataclass(frozen=True)
class TokenBatch:
    """One device's share of a step.

    Attributes:
        inputs, labels: int64, [rows, window]; labels are -100 where nothing is predicted.
        cu_seqlens, positions, documents: as `lumilab.dataset.views.Boundaries`, where they were asked for.
    """

    inputs: Tensor
    labels: Tensor
    cu_seqlens: Tensor | None = None
    positions: Tensor | None = None
    documents: Tensor | None = None


def choose_residency(wanted: str, device: torch.device, epoch_tokens: int, size: int) -> Residency:
    """The residency for "auto", or a name.

    auto is mmap unless the device is CUDA. There it is device where all of an epoch fits twice into a quarter of the
    GPU's free memory, else pinned where the tokens fit into a quarter of the host's, else mmap.

    Args:
        wanted: "auto", "mmap", "pinned" or "device".
        device: that trains.
        epoch_tokens: tokens in the windows of an epoch.
        size: bytes of the token files.

    Raises:
        ConfigError: there is none of that name.
        ResourceError: what is named needs a CUDA device, and there is none; or the tokens do not fit into memory.
    """
    if wanted != "auto" and wanted not in get_args(Residency):
        raise ConfigError(
            f"There is no residency {wanted}",
            where="residency",
            mend=f"choose auto or one of {', '.join(get_args(Residency))}.",
        )
    cuda = device.type == "cuda"
    if wanted in ("pinned", "device") and not cuda:
        raise ResourceError(
            f"residency is {wanted}, which needs a CUDA device, and training is on {device.type}",
            where="pretrain.residency",
            mend="choose residency=auto or residency=mmap.",
        )
    if wanted == "pinned" and size > psutil.virtual_memory().available:
        raise ResourceError(
            f"residency is pinned, but the tokens take {size / 1e9:,.1f} GB and "
            f"{psutil.virtual_memory().available / 1e9:,.1f} GB of memory are free",
            where="pretrain.residency",
            mend="choose residency=mmap, or residency=device, which holds a part at a time.",
        )
    if wanted == "device" or (wanted == "auto" and cuda and parts_needed(device, epoch_tokens) == 1):
        return "device"
    room = SHARE_OF_MEMORY * psutil.virtual_memory().available
    return "pinned" if wanted == "pinned" or (wanted == "auto" and cuda and size <= room) else "mmap"


def token_bytes(dataset: Artifact, split: str) -> int:
    """Size of a split's files."""
    return sum(record.size for name, record in dataset.manifest.files.items() if name.startswith(f"{split}/"))


def parts_needed(device: torch.device, epoch_tokens: int) -> int:
    """Into how many parts an epoch is cut so that two of them fit into a quarter of the GPU's free memory."""
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, -(-2 * epoch_tokens * TOKEN_BYTES // max(1, int(SHARE_OF_MEMORY * free))))


def page_locked(tokens: TokenArray) -> TokenArray:
    """A copy of a shard's tokens in page-locked memory; read-only, as the mapped file is."""
    copy = torch.empty(tokens.nbytes, dtype=torch.uint8, pin_memory=True).numpy().view(tokens.dtype)
    copy[:] = tokens
    copy.flags.writeable = False
    return copy


@dataclass(frozen=True)
class _Part:
    """The windows of some steps: [steps · rows, window] each, and when they have arrived on the device."""

    inputs: Tensor
    labels: Tensor
    arrived: torch.cuda.Event | None


class BatchStream:
    """A run's batches on the device that trains, made ahead in threads; use it as a context manager.

    Args:
        loader: the run's windows.
        device: that trains. Batches come to it if it is a CUDA device, else to the CPU.
        workers: threads that put batches together; 0 to do it when one is asked for.
        ahead: steps (with `parts`, parts: always one) made ahead.
        parts: keep the windows on the device, an epoch in so many parts; None to bring each step's by itself.
        boundaries: tell where documents begin, too.
    """

    def __init__(
        self,
        loader: WindowLoader,
        device: torch.device | str = "cpu",
        *,
        workers: int = 1,
        ahead: int = 2,
        parts: int | None = None,
        boundaries: bool = False,
    ) -> None:
        self._loader = loader
        self._device = torch.device(device)
        self._boundaries = boundaries
        stream: Any = torch.cuda.Stream
        self._copies: torch.cuda.Stream | None = stream(self._device) if self._device.type == "cuda" else None
        self._target = self._device if self._copies else torch.device("cpu")
        self.steps_in_part = 1
        if parts is not None:
            epoch_steps = -(-loader.window_count // loader.batch_size)
            self.steps_in_part = -(-epoch_steps // parts)
            workers, ahead = min(workers, 1), 1
        self._parts = Prefetcher(self._part, workers, ahead)
        self._held: tuple[int, _Part] | None = None

    def get(self, step: int) -> TokenBatch:
        """This device's share of a step: a pure function of the step."""
        number, place = divmod(step, self.steps_in_part)
        if self._held is None or self._held[0] != number:
            self._held = None  # its memory is free before the next part is asked for
            self._held = (number, self._parts.get(number))
        part = self._held[1]
        if part.arrived is not None:
            now = torch.cuda.current_stream(self._device)
            now.wait_event(part.arrived)
            part.inputs.record_stream(now)  # both are one block: it is not given out again while this stream reads it
        here = slice(place * self._loader.rows, (place + 1) * self._loader.rows)
        batch = TokenBatch(part.inputs[here].to(torch.int64), part.labels[here].to(torch.int64))
        return self._with_boundaries(batch, step) if self._boundaries else batch

    def close(self) -> None:
        """Ends the threads."""
        self._held = None
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _with_boundaries(self, batch: TokenBatch, step: int) -> TokenBatch:
        found = self._loader.boundaries(step)
        arrays = (found.cu_seqlens, found.positions, found.documents)
        return TokenBatch(batch.inputs, batch.labels, *(torch.from_numpy(each).to(self._target) for each in arrays))

    def _part(self, number: int) -> _Part:
        steps = range(number * self.steps_in_part, (number + 1) * self.steps_in_part)
        if self._copies is None and self.steps_in_part == 1:
            rows = self._loader.batch(steps[0])
            return _Part(torch.from_numpy(rows.inputs), torch.from_numpy(rows.labels), None)
        shape = (2, len(steps) * self._loader.rows, self._loader.window)
        with torch.cuda.stream(self._copies):  # of no effect without CUDA
            both = torch.empty(shape, dtype=torch.int32, device=self._target)
            self._bring(steps, both)
            arrived = None if self._copies is None else self._copies.record_event()
        return _Part(both[0], both[1], arrived)

    def _bring(self, steps: range, both: Tensor) -> None:
        """Fills a part, some steps at a time."""
        rows, window = self._loader.rows, self._loader.window
        at_once = max(1, STAGED_BYTES // (rows * window * TOKEN_BYTES))
        for first in range(0, len(steps), at_once):
            taken = steps[first : first + at_once]
            shape = (2, len(taken) * rows, window)
            # A page-locked block goes back to PyTorch's cache when it is dropped, and out again once its copy is done.
            staged = torch.empty(shape, dtype=torch.int32, pin_memory=self._copies is not None)
            inputs, labels = staged.numpy()
            for place, step in enumerate(taken):
                here = slice(place * rows, (place + 1) * rows)
                self._loader.fill(step, inputs[here], labels[here])
            for target, source in zip(both, staged, strict=True):
                target[first * rows : (first + len(taken)) * rows].copy_(source, non_blocking=True)
