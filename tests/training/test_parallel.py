"""Several ranks train as one process does: gloo on the CPU, DDP and FSDP2, whoever saved and whoever goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lumilab.training.weights import load_tensors

MUON = {"optimizer": {"name": "muon", "learning_rate": 0.01, "matrix_learning_rate": 0.01}}
BASE = {
    "steps": 6,
    "batch_size": 6,
    "micro_batch_size": 2,
    "validate_every": 3,
    "checkpoint_every": 2,
    "sample_every": 3,
}
SMALL = MUON | {"micro_batch_size": 1}  # four ranks, which have 1, 2, 1 and 2 rows, then have as many passes

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="ranks are made by fork here")


def task(folder: Path, ranks: int = 1, parallel: str = "ddp", **more: Any) -> dict[str, Any]:
    config = BASE | {"parallel": parallel} | more.pop("config", {})
    return {"folder": str(folder), "ranks": ranks, "config": config} | more


def train(folder: Path, *tasks: dict[str, Any]) -> int:
    """Does the trainings, one after the other; returns how often a rank was killed."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tasks.json").write_text(json.dumps(tasks))
    script = str(Path(__file__).with_name("ranks_at_work.py"))
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, str(folder / "tasks.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def outcome(folder: Path, rank: int = 0) -> str | None:
    found: str | None = json.loads((folder / f"outcome-{rank}.json").read_text())
    return found


def weights(folder: Path) -> dict[str, Tensor]:
    assert outcome(folder) is None
    return load_tensors(folder / "weights.safetensors")


def events(folder: Path, event: str = "step", value: str = "loss") -> list[tuple[int, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line[value]) for line in lines if line["event"] == event]


def assert_as_one(folder: Path, one: Path) -> None:
    """The same losses, tokens and weights, but for rounding."""
    assert events(folder, value="tokens") == events(one, value="tokens")
    assert events(folder, value="tokens_per_second") and len(events(folder)) == BASE["steps"]
    for event, value in (("step", "loss"), ("step", "gradient_norm"), ("validation", "loss")):
        ours, theirs = events(folder, event, value), events(one, event, value)
        assert [step for step, _ in ours] == [step for step, _ in theirs]
        assert [each for _, each in ours] == pytest.approx([each for _, each in theirs], rel=1e-4)
    for name, tensor in weights(one).items():
        torch.testing.assert_close(weights(folder)[name], tensor, atol=1e-4, rtol=1e-3, msg=f"{folder.name}: {name}")


def assert_same_bits(folder: Path, other: Path) -> None:
    for name, tensor in weights(other).items():
        assert torch.equal(weights(folder)[name], tensor), f"{folder.name}: {name}"
    assert events(folder) == events(other)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What these tests look at, trained in one go."""
    folder = tmp_path_factory.mktemp("ranks")
    train(
        folder,
        task(folder / "adamw"),
        task(folder / "muon", config=MUON),
        task(folder / "adamw-ddp-2", 2),
        task(folder / "muon-fsdp-2", 2, "fsdp", config=MUON),
        task(folder / "muon-auto-2", 2, "fsdp", config=MUON | {"micro_batch_size": "auto"}),
        task(folder / "killed", 2, kill_at=4),
        task(folder / "stopped", 2, "fsdp", stop_at=2, config=SMALL),
        task(folder / "restarted", 2, copy_of=str(folder / "killed")),
        task(folder / "resumed-1", 1, config=SMALL, copy_of=str(folder / "stopped")),
        task(folder / "resumed-4", 4, "fsdp", config=SMALL, copy_of=str(folder / "stopped")),
    )
    return folder


@pytest.mark.parametrize(("name", "one"), [("adamw-ddp-2", "adamw"), ("muon-fsdp-2", "muon"), ("muon-auto-2", "muon")])
def test_ranks_train_as_one_process_does(done: Path, name: str, one: str) -> None:
    """Though one rank's rows have far fewer trained tokens than the other's."""
    assert_as_one(done / name, done / one)


def test_ranks_find_the_size_of_their_passes_together(done: Path) -> None:
    assert "3 of 3 windows fit into memory at once" in (done / "muon-auto-2" / "said.txt").read_text()


def test_the_first_rank_tells_and_saves_for_all(done: Path) -> None:
    folder = done / "adamw-ddp-2"
    assert "validation loss" in (folder / "said.txt").read_text()
    assert [step for step, _ in events(folder, "sample", "text")] == [3, 6]
    state = folder / "step_000006"
    assert {path.name for path in state.iterdir()} == {
        *("manifest.json", "state.json", "random.1-of-2.json"),
        *("model.safetensors", "optimizer.safetensors", "control.safetensors"),
    }
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_under_fsdp_each_rank_saves_its_rows(done: Path) -> None:
    names = {path.name for path in (done / "resumed-4" / "step_000006").iterdir()}
    for rank in range(4):
        assert {f"model.{rank}-of-4.safetensors", f"optimizer.{rank}-of-4.safetensors"} <= names
    assert "model.safetensors" not in names and "control.safetensors" in names


def test_a_stop_asked_of_one_rank_stops_all_at_one_step(done: Path) -> None:
    for rank in range(2):
        assert (outcome(done / "stopped", rank) or "").startswith("Interrupted: Stopped on request")
    assert (done / "stopped" / "latest").read_text() == "step_000003\n"


@pytest.mark.parametrize("ranks", [1, 4])
def test_fsdp_states_of_two_ranks_go_on_with_others(done: Path, ranks: int) -> None:
    assert_as_one(done / f"resumed-{ranks}", done / "muon")


def test_the_loss_of_a_rank_ends_the_others_with_a_message(done: Path) -> None:
    told = outcome(done / "killed")
    assert told is not None and "Another of the 2 processes of this training ended" in told
    assert not (done / "killed" / "outcome-1.json").exists()
    assert (done / "killed" / "latest").read_text() in ("step_000003\n", "step_000004\n")  # one was being written


def test_a_restart_after_it_gives_the_same_bits(done: Path) -> None:
    assert "Going on from step" in (done / "restarted" / "said.txt").read_text()
    assert_same_bits(done / "restarted", done / "adamw-ddp-2")


@pytest.mark.long
@pytest.mark.timeout(1600)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_way_of_training_and_going_on(tmp_path: Path, optimizer: str) -> None:
    """DDP and FSDP2 with 2 and 4 ranks, with an average of the weights; each state goes on in every other way."""
    config = {"ema": {"decay": 0.9}} | (MUON if optimizer == "muon" else {})
    ways = [(1, "ddp"), (2, "ddp"), (4, "ddp"), (2, "fsdp"), (4, "fsdp")]
    names = {way: f"{way[1]}-{way[0]}" for way in ways}
    train(tmp_path, *[task(tmp_path / names[way], *way, config=config) for way in ways])
    for way in ways[1:]:
        assert_as_one(tmp_path / names[way], tmp_path / "ddp-1")
    for way in ways:
        train(tmp_path, task(tmp_path / f"{names[way]}-stopped", *way, config=config, stop_at=2))
        stopped = str(tmp_path / f"{names[way]}-stopped")
        targets = {other: tmp_path / f"{names[way]}-then-{names[other]}" for other in ways}
        train(tmp_path, *[task(targets[other], *other, config=config, copy_of=stopped) for other in ways])
        for target in targets.values():
            assert_as_one(target, tmp_path / "ddp-1")
        assert_same_bits(targets[way], tmp_path / names[way])


@pytest.mark.long
@pytest.mark.timeout(1600)
def test_compiled_ranks_train_as_one_that_is_not(tmp_path: Path) -> None:
    compiled = {"compile": "yes"}
    ways = {"ddp": task(tmp_path / "ddp", 2, "ddp", config=compiled)}
    ways |= {"fsdp": task(tmp_path / "fsdp", 2, "fsdp", config=compiled)}
    train(tmp_path, task(tmp_path / "one"), *ways.values())
    for name in ways:
        assert_as_one(tmp_path / name, tmp_path / "one")


@pytest.mark.long
@pytest.mark.timeout(1600)
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_thirty_kills_change_no_bit(tmp_path: Path, parallel: str) -> None:
    config = {"steps": 300, "validate_every": 100, "sample_every": 0}
    train(tmp_path, task(tmp_path / "undisturbed", 2, parallel, config=config))
    kills = train(tmp_path, task(tmp_path / "killed", 2, parallel, config=config, kills=30))
    assert kills == 30
    assert_same_bits(tmp_path / "killed", tmp_path / "undisturbed")
