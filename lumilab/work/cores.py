"""How many cores this process may use, which is often fewer than the machine has."""

from __future__ import annotations

import os
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores(membership: Path = MEMBERSHIP, groups: Path = CONTROL_GROUPS) -> int:
    """Cores by affinity (taskset, Slurm) and by the control group's quota (containers), at least one.

    Args:
        membership: the file that says in which control groups this process is.
        groups: where they are mounted.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = _quotas(membership, groups)
    # Half a core is still one worker's; of two and a half the half is left to this process.
    return max(1, min([cores, *(int(quota) for quota in quotas)]))


def _quotas(membership: Path, groups: Path) -> list[float]:
    """The limits, in cores, of the control groups this process is in and of those around them."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    quotas: list[float | None] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            quotas += [_quota_v2(folder) for folder in _with_parents(groups, path)]
        elif "cpu" in controllers.split(","):
            quotas += [_quota_v1(folder) for folder in _with_parents(groups / "cpu", path)]
    return [quota for quota in quotas if quota is not None]


def _with_parents(root: Path, path: str) -> list[Path]:
    folder = root / path.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(root))]


def _quota_v2(folder: Path) -> float | None:
    """`cpu.max` holds "QUOTA PERIOD" in microseconds, or "max PERIOD" for no limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    """A quota of -1 is no limit."""
    try:
        quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return quota / period if quota > 0 else None
    except (OSError, ValueError, ZeroDivisionError):
        return None
