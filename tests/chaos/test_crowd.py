"""Many clients at once, of whom 30 % hang up midway and 10 % send garbage: no slot and no memory is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from crowd import Figures, crowd
from tiny_talkers import lumi_serve

pytestmark = pytest.mark.skipif(os.name == "nt", reason="counts connections as POSIX systems do")

ALLOWED_GROWTH = 40  # megabytes beside what a crowd's buffers take; a leak would show as many times this in two minutes


def check(figures: Figures) -> None:
    assert figures.wrong == []
    assert (figures.running, figures.waiting) == (0, 0)
    assert min(figures.counts[what] for what in ("complete", "hung up", "garbage")) > 0
    assert not any(status.startswith("5") for status in figures.statuses), figures.statuses
    assert figures.descriptors[-1] <= figures.descriptors[0] + 5


def test_a_small_crowd(babbler: Path) -> None:
    with lumi_serve(babbler, "--slots", "4", "--queue", "8") as server:
        check(crowd(server.url, server.process.pid, seconds=3, clients=24))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_two_hundred_clients_for_two_minutes(babbler: Path) -> None:
    with lumi_serve(babbler, "--slots", "16", "--queue", "200") as server:
        figures = crowd(server.url, server.process.pid, seconds=120, clients=200)
        check(figures)
        _, halfway, after = figures.megabytes
        assert after < halfway + ALLOWED_GROWTH, figures.megabytes
