"""Training on a disk that fills up in the middle of a save: said in words, nothing lost, and it goes on exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_corpus import quiet_context
from tiny_training import Counting, changed, fresh_model, states_in
from torch import Tensor

from lumilab.artifact import Artifact
from lumilab.errors import ResourceError
from lumilab.training.loop import train

CONFIG = changed(steps=12, checkpoint_every=3, validate_every=99, keep_checkpoints=2)
ROOM = 3_000_000  # the two states of 0.6 MB that are kept, a third in the making, and the logs
FILLER = 2_100_000  # leaves room for one


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root on Linux can mount a small tmpfs")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # what failed may hold a log open until it is forgotten


def run(folder: Path) -> dict[str, Tensor]:
    model = fresh_model()
    train(model, Counting(), CONFIG, states_in(folder, CONFIG), quiet_context()[0], seed=5)
    return dict(model.state_dict())


def test_a_full_disk_stops_training_and_room_lets_it_go_on(small_disk: Path, tmp_path: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(FILLER))
    with pytest.raises(ResourceError, match="disk is full") as error:
        run(small_disk)
    assert error.value.exit_code == 5
    states = sorted(path for path in small_disk.glob("step_*"))
    assert [path.name for path in states] == ["step_000003"], "the one that fitted"
    assert not list(Artifact.open(states[0]).problems())
    assert (small_disk / "latest").read_text() == "step_000003\n"
    filler.unlink()
    weights, undisturbed = run(small_disk), run(tmp_path / "whole")
    assert all(torch.equal(tensor, undisturbed[name]) for name, tensor in weights.items())
