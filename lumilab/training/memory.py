"""How much memory there is for training: what a GPU has free, or what the system lets this process have.

A CPU has no error for "too much" until it is too late: Linux promises more memory than there is and then kills. So what
counts is the least of the memory that is free, of the limits of the control groups that the process is in (a
container's, a batch system's), and of its own limits (`ulimit -v`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def most_memory(device: torch.device) -> int:
    """Bytes that training may take on a device in all, those included that it takes already."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory())
    return resident() + max(0, min(psutil.virtual_memory().available, *_own_limits(), *_group_limits()))


def peak_memory(device: torch.device) -> int:
    """The most bytes that training took on a device so far."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return int(torch.mps.driver_allocated_memory())
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
