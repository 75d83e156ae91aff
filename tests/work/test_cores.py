"""How many cores there are to use: by affinity and by the limits of containers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lumilab.work import cores
from lumilab.work.cores import available_cores


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Control groups of a machine with sixteen cores, with no limit yet."""
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    (tmp_path / "groups" / "pod" / "box").mkdir(parents=True)
    (tmp_path / "groups" / "cpu" / "pod").mkdir(parents=True)
    (tmp_path / "membership").write_text("12:memory:/pod\n3:cpu,cpuacct:/pod\n0::/pod/box\n")
    return tmp_path / "groups"


def count(groups: Path) -> int:
    return available_cores(groups.parent / "membership", groups)


def test_without_limits_it_is_the_affinity(groups: Path) -> None:
    assert count(groups) == 16
    (groups / "pod" / "cpu.max").write_text("max 100000\n")
    (groups / "cpu" / "pod" / "cpu.cfs_quota_us").write_text("-1\n")
    (groups / "cpu" / "pod" / "cpu.cfs_period_us").write_text("100000\n")
    assert count(groups) == 16


@pytest.mark.parametrize(("quota", "expected"), [("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1)])
def test_a_quota_of_this_group_or_of_one_around_it(groups: Path, quota: str, expected: int) -> None:
    (groups / "pod" / "box" / "cpu.max").write_text(quota)
    assert count(groups) == expected
    (groups / "pod" / "box" / "cpu.max").rename(groups / "pod" / "cpu.max")
    assert count(groups) == expected


def test_a_quota_of_the_older_kind(groups: Path) -> None:
    (groups / "cpu" / "pod" / "cpu.cfs_quota_us").write_text("300000\n")
    (groups / "cpu" / "pod" / "cpu.cfs_period_us").write_text("100000\n")
    assert count(groups) == 3


@pytest.mark.parametrize("text", ["", "half", "100000 0"])
def test_a_file_that_says_nothing_limits_nothing(groups: Path, text: str) -> None:
    (groups / "pod" / "box" / "cpu.max").write_text(text)
    assert count(groups) == 16


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    assert 1 <= available_cores(tmp_path / "none", tmp_path) <= (os.cpu_count() or 1)


def test_this_machine() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
