"""Training states: whole or refused, kept and removed by the rules, of this run or refused."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_training import CONFIG, Counting, changed, fresh_model, states_in

from lumilab.artifact import Artifact
from lumilab.errors import DamageError, MismatchError, ResourceError
from lumilab.recipe.training import TrainingConfig
from lumilab.training.devices import ALONE
from lumilab.training.learner import Learner
from lumilab.training.objective import summed_cross_entropy
from lumilab.training.parallel import DistributedLoss, LossModule
from lumilab.training.states import Progress
from lumilab.training.step import take_step


def fresh(config: TrainingConfig = CONFIG) -> Learner:
    return Learner(fresh_model(), config, torch.float32)


def trained(steps: int = 2, config: TrainingConfig = CONFIG) -> Learner:
    learner = fresh(config)
    loss_of = DistributedLoss(LossModule(learner.model, summed_cross_entropy), "one")
    for step in range(steps):
        take_step(learner, loss_of, Counting().batch(step), step, 1.0, ALONE, rows=None, clip=1.0)
    return learner


def same_tensors(one: Learner, other: Learner) -> bool:
    groups, others = one.tensors(), other.tensors()
    return groups.keys() == others.keys() and all(
        torch.equal(tensor, others[group][name])
        for group, tensors in groups.items()
        for name, tensor in tensors.items()
    )


def quietly(told: str) -> None:
    pytest.fail(f"nothing was to be said, but: {told}")


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def folders(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir())


def test_everything_comes_back(tmp_path: Path) -> None:
    config = changed(ema={"decay": 0.9})
    states, learner = states_in(tmp_path, config), trained(config=config)
    progress = Progress(step=2, tokens=99, skipped=1, validation_loss=3.5, validated_step=2, best_loss=3.5, best_step=2)
    states.save(learner, progress)
    following = draws()
    again = fresh(config)
    assert not same_tensors(learner, again)
    assert states.restore(again, quietly) == progress
    assert draws() == following
    assert same_tensors(learner, again)


def test_a_new_folder_has_nothing_to_restore(tmp_path: Path) -> None:
    assert states_in(tmp_path).restore(fresh(), quietly) is None


def test_a_state_of_one_moment_has_one_digest(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        states = states_in(tmp_path / name)
        states.save(trained(), Progress(step=2))
        digests.add(states.at(2).digest)
    assert len(digests) == 1


def test_the_newest_stay_and_the_best_always(tmp_path: Path) -> None:
    states, parts = states_in(tmp_path, changed(keep_checkpoints=2)), trained()
    for step in (10, 20, 30, 40):
        best = 10 if step < 40 else 40
        states.save(parts, Progress(step=step, best_loss=1.0, best_step=best))
        assert (tmp_path / "latest").read_text() == f"step_{step:06d}\n"
        assert (tmp_path / "best").read_text() == f"step_{best:06d}\n"
        expected = {10: [10], 20: [10, 20], 30: [10, 20, 30], 40: [30, 40]}[step]
        assert folders(tmp_path) == ["best", "latest", *(f"step_{kept:06d}" for kept in expected)]


def test_keeping_one_never_leaves_none(tmp_path: Path) -> None:
    states, parts = states_in(tmp_path, changed(keep_checkpoints=1)), trained()
    for step in (1, 2, 3):
        states.save(parts, Progress(step=step))
        assert folders(tmp_path) == ["latest", f"step_{step:06d}"]
        assert not list(Artifact.open(tmp_path / f"step_{step:06d}").problems())


@pytest.mark.parametrize(
    "name", ["model.safetensors", "optimizer.safetensors", "control.safetensors", "state.json", "manifest.json"]
)
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_newest_state_is_reported_not_skipped(tmp_path: Path, name: str, harm: str) -> None:
    states, parts = states_in(tmp_path), trained()
    for step in (1, 2):
        states.save(parts, Progress(step=step))
    path = tmp_path / "step_000002" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    if harm == "remove":
        path.unlink()
    else:
        path.write_bytes(data if harm == "flip" else data[:-1])
    with pytest.raises(DamageError) as error:
        states.restore(fresh(), quietly)
    assert error.value.exit_code == 4
    assert "step_000002" in str(error.value)
    assert "run again with pretrain.go_back=true to go on from step_000001" in str(error.value)
    told: list[str] = []
    progress = replace(states, go_back=True).restore(fresh(), told.append)
    assert progress is not None and progress.step == 1
    assert len(told) == 1 and "Passing over a damaged state" in told[0]
    assert folders(tmp_path) == ["latest", "step_000001", "step_000002.damaged"]
    assert (tmp_path / "latest").read_text() == "step_000001\n"


def test_going_back_passes_over_every_damaged_state_but_never_begins_anew(tmp_path: Path) -> None:
    states, parts = states_in(tmp_path, changed(keep_checkpoints=3, go_back=True)), trained()
    for step in (1, 2, 3):
        states.save(parts, Progress(step=step))
    for step in (2, 3):
        (tmp_path / f"step_00000{step}" / "state.json").unlink()
    progress = states.restore(fresh(), [].append)
    assert progress is not None and progress.step == 1
    (tmp_path / "step_000001" / "state.json").unlink()
    with pytest.raises(DamageError, match="start this training anew"):
        states.restore(fresh(), quietly)
    assert (tmp_path / "step_000001").exists()


def test_a_damaged_only_state_says_that_training_starts_anew(tmp_path: Path) -> None:
    states = states_in(tmp_path)
    states.save(trained(), Progress(step=3))
    (tmp_path / "step_000003" / "state.json").write_text("{}")
    with pytest.raises(DamageError, match="start this training anew"):
        states.restore(fresh(), quietly)


def test_states_of_another_configuration_or_input_are_refused(tmp_path: Path) -> None:
    states = states_in(tmp_path)
    states.save(trained(), Progress(step=1))
    artifact = states.at(1)
    with pytest.raises(MismatchError, match="setting training differs"):
        states_in(tmp_path, changed(steps=13)).restore(fresh(), quietly)
    with pytest.raises(MismatchError, match="input dataset differs"):
        replace(states, inputs={"dataset": artifact}).restore(fresh(), quietly)


def test_runtime_settings_may_change_between_runs(tmp_path: Path) -> None:
    states_in(tmp_path).save(trained(), Progress(step=1))
    other = changed(validate_every=3, checkpoint_every=2, keep_checkpoints=5, log_every=7, time_limit="1h")
    progress = states_in(tmp_path, other).restore(fresh(), quietly)
    assert progress is not None and progress.step == 1


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    states = states_in(tmp_path)
    states.save(trained(), Progress(step=1))
    for name in (".step_000002.building-1", ".step_000000.removed-1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".latest.77").write_text("step_")
    states.restore(fresh(), quietly)
    assert folders(tmp_path) == ["latest", "step_000001"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte: room for one state of these tests' model, not for two."""
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small tmpfs")
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_leaves_the_last_state_whole(small_disk: Path) -> None:
    states, parts = states_in(small_disk), trained()
    states.save(parts, Progress(step=1))
    with pytest.raises(ResourceError, match="disk is full"):
        states.save(parts, Progress(step=2))
    assert folders(small_disk) == ["latest", "step_000001"]
    progress = states.restore(fresh(), quietly)
    assert progress is not None and progress.step == 1
