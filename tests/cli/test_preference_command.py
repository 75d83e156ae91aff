"""`lumi preference`: what it shows before anything is trained, what it trains, and that kills change nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import lumi
from tiny_pairs import pair
from tiny_pipeline import digests, kill_at_random

SECTION = """\
preference:
  sources:
    - kind: pairs
      paths: [pairs.jsonl]
  validation_share: 0.2
  steps: 12
  batch_size: 4
  dtype: float32
  device: cpu
  compile: "no"
  optimizer: {learning_rate: 0.001}
  validate_every: 6
  checkpoint_every: 4
  log_every: 2
  sample_every: 6
  sample_prompts: ["What does the cat do?"]
"""
SECONDS = 8  # about what the two stages take


@pytest.fixture
def prepared(copy: Path) -> Path:
    """A run that is finished but for preferences, and a recipe that asks for them."""
    recipe = copy / "recipe.yaml"
    recipe.write_text(recipe.read_text() + SECTION)
    (copy / "pairs.jsonl").write_text("".join(json.dumps(pair(number)) + "\n" for number in range(40)))
    return copy


def test_pairs_are_shown_and_then_learned(prepared: Path) -> None:
    before = digests(prepared / "run")
    command = ("preference", prepared / "recipe.yaml", "--out", "run")
    shown = lumi(*command, "--show-pairs", "--examples", "2", cwd=prepared, check=0).stdout
    assert shown.count("<|im_end|>⟧") == 4
    assert "pair 1 of" in shown and "good: " in shown and "bad: " in shown
    assert digests(prepared / "run").keys() - before.keys() == {"pairs"}
    told = lumi(*command, cwd=prepared, check=0)
    assert "pairs, seen" in told.stdout + told.stderr
    after = digests(prepared / "run")
    assert after.keys() - before.keys() == {"pairs", "preference"}
    (log,) = (prepared / "run" / "checkpoints" / "preference").glob("*/log.jsonl")
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert {event["event"] for event in events} == {"begin", "step", "validation", "sample", "samples"}
    assert all("rewards/accuracies" in event for event in events if event["event"] == "validation")
    lumi("verify", prepared / "run", cwd=prepared, check=0)
    (reference,) = (prepared / "run" / "checkpoints" / "preference").glob("reference-*")
    made = (reference / "manifest.json").stat().st_mtime_ns
    lumi(*command, "preference.beta=0.5", cwd=prepared, check=0)
    assert (reference / "manifest.json").stat().st_mtime_ns == made  # another beta finds it again


def test_a_recipe_without_preferences_is_refused_with_the_way_out(copy: Path) -> None:
    refused = lumi("preference", copy / "recipe.yaml", "--out", "run", cwd=copy, check=2)
    assert "add a section `preference`" in " ".join(refused.stderr.split())


@pytest.mark.parametrize("kills", [pytest.param(2, marks=pytest.mark.long), pytest.param(10, marks=pytest.mark.long)])
@pytest.mark.parametrize("changes", [[], ["preference.adapter.rank=4"]], ids=["all weights", "adapter"])
def test_killed_again_and_again_the_weights_are_the_same(prepared: Path, kills: int, changes: list[str]) -> None:
    recipe = prepared / "recipe.yaml"
    shutil.copytree(prepared / "run", prepared / "whole", symlinks=True)
    command = ("preference", recipe, *changes, "--out")
    lumi(*command, prepared / "whole", cwd=prepared, check=0)
    expected = digests(prepared / "whole")
    run, untouched = prepared / "run", prepared / "untouched"
    shutil.copytree(run, untouched, symlinks=True)

    def finished() -> None:
        assert digests(run) == expected
        shutil.rmtree(run)
        shutil.copytree(untouched, run, symlinks=True)

    kill_at_random(*command, run, cwd=prepared, kills=kills, seconds=SECONDS / 2, finished=finished)
    lumi(*command, run, cwd=prepared, check=0)
    assert digests(run) == expected
    assert [path for path in run.rglob(".*") if path.is_dir()] == []


@pytest.mark.long
def test_two_processes_take_the_steps_of_one(prepared: Path) -> None:
    logs = []
    for name, ranks in (("alone", ()), ("together", ("--nproc", "2"))):
        run = prepared / name
        shutil.copytree(prepared / "run", run, symlinks=True)
        recipe = prepared / "recipe.yaml"
        lumi("run", recipe, "--until", "preference", *ranks, "--out", run, cwd=prepared, check=0)
        (log,) = (run / "checkpoints" / "preference").glob("*/log.jsonl")
        events = [json.loads(line) for line in log.read_text().splitlines()]
        figures = ("loss", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "logps/chosen")
        told = [event for event in events if event["event"] in ("step", "validation")]
        logs.append([[event[figure] for figure in figures] for event in told])
    assert np.allclose(*logs, rtol=1e-4, atol=1e-5)
