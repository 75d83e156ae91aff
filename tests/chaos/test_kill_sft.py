"""`lumi sft` killed with SIGKILL ten times at random moments ends in the very same model, with an adapter, too."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from command_line import lumi
from tiny_pipeline import digests, kill_at_random

from lumilab.pipeline.records import read_records

KILLS = 10
SETTINGS = ("sft.steps=60", "sft.checkpoint_every=2", "sft.validate_every=10")


@pytest.mark.long
@pytest.mark.timeout(2_400)
@pytest.mark.parametrize("more", [(), ("sft.adapter={dropout: 0.1}",)], ids=["all weights", "adapter"])
def test_killed_again_and_again_the_digest_is_the_same(finished: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    """All that comes before fine-tuning is finished, so the kills land in it."""
    for name in ("whole", "killed"):
        shutil.copytree(finished, tmp_path / name)
    words = (*SETTINGS, *more, "--out", "run")
    began = time.monotonic()
    lumi("sft", tmp_path / "whole" / "recipe.yaml", *words, cwd=tmp_path / "whole", check=0)
    seconds = time.monotonic() - began
    expected = digests(tmp_path / "whole" / "run")["sft"]
    place = tmp_path / "killed"

    def ended() -> None:
        assert digests(place / "run")["sft"] == expected
        shutil.rmtree((place / "run" / read_records(place / "run")["sft"].path).parent)  # the next kills hit a new one

    kill_at_random("sft", place / "recipe.yaml", *words, cwd=place, kills=KILLS, seconds=seconds, finished=ended)
    lumi("sft", place / "recipe.yaml", *words, cwd=place, check=0)
    assert digests(place / "run")["sft"] == expected
    lumi("verify", "run", cwd=place, check=0)


@pytest.mark.long
def test_trl_trains_where_it_is_asked_to(copy: Path) -> None:
    done = lumi("sft", copy / "recipe.yaml", "--trainer", "trl", "--out", "run", cwd=copy, check=0)
    assert "Training with TRL" in done.stdout + done.stderr
    assert lumi("verify", "run", cwd=copy, check=0).returncode == 0
