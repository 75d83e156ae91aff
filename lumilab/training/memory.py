"""How much memory there is for training: what a GPU has free, or what the system lets this process have.

A CPU has no error for "too much" until it is too late: Linux promises more memory than there is and then kills. So what
counts is the least of the memory that is free, of the limits of the control groups that the process is in (a
container's, a batch system's), and of its own limits (`ulimit -v`).
"""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import torch

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
PEAK_RESET = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def most_memory(device: torch.device, sharers: int = 1) -> int:
    """Bytes that training may take on a device in all, those included that it takes already.

    Args:
        device: any; a GPU is one process's own.
        sharers: processes of this training that share the memory of this machine.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    shared = min([psutil.virtual_memory().available, *_group_limits()]) // sharers
    return resident() + max(0, min([shared, *_own_limits()]))


@contextmanager
def peak_watched(device: torch.device) -> Iterator[Callable[[], int]]:
    """Gives a function that tells the most bytes that training took on the device since the block began.

    Where the system keeps no such peak for a while, but only for the life of a process (not Linux), it is that one.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
    elif device.type == "mps":
        yield lambda: int(torch.mps.driver_allocated_memory())
    elif PEAK_RESET.exists():
        give_back_freed()
        with suppress(OSError):
            PEAK_RESET.write_text("5")  # proc(5): the peak of the resident memory begins anew
        yield lambda: 1024 * int(re.findall(r"VmHWM:\s*(\d+) kB", STATUS.read_text())[0])
    else:
        yield _peak_of_process


def _peak_of_process() -> int:
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def give_back_freed() -> None:
    """Gives freed memory that the C library (glibc; no other) kept back to the system."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """Bytes of real memory that this process has."""
    return int(psutil.Process().memory_info().rss)


def _own_limits() -> Iterator[int]:
    """What the process may still ask for by its own limits."""
    if sys.platform == "win32":
        return
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - int(psutil.Process().memory_info().vms)


def _group_limits(membership: Path = MEMBERSHIP, root: Path = CGROUPS) -> Iterator[int]:
    """What the control groups of the process may still take, in both of Linux's layouts."""
    if not membership.exists():
        return
    for line in membership.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        names = ("memory.max", "memory.current")
        if "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        elif controllers:
            continue
        mount = root / "memory" if controllers else root
        group = mount / path.lstrip("/")
        for place in (group, *group.parents):  # a limit of any group above holds, too
            if place.is_relative_to(mount):
                yield from _left(place / names[0], place / names[1])


def _left(limit: Path, used: Path) -> Iterator[int]:
    try:
        yield int(limit.read_text()) - int(used.read_text())
    except (OSError, ValueError):  # no such group here, or "max": no limit
        return
