"""`lumi run` by several processes: whoever starts them, the run ends as one process's does, and a kill is survived."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from command_line import lumi
from tiny_pipeline import digests, environment, start_lumi

from lumilab.artifact import Artifact

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="the launchers and signals of POSIX systems"),
    pytest.mark.timeout(900),
]
ONLY_PRETRAIN = ("--force", "pretrain", "--until", "pretrain")


def losses(run: Path) -> list[float]:
    record = json.loads((run / "run.json").read_text())["stages"]["pretrain"]
    lines = [json.loads(line) for line in ((run / record["path"]).parent / "log.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if line["event"] == "step"]


def ranks_below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if "lumilab" in " ".join(child.cmdline())]


def start_until_a_state_is_saved(*words: str, cwd: Path) -> subprocess.Popen[str]:
    """Starts `lumi WORDS` and waits for a saved state of pretraining that was not there before."""

    def saved() -> set[Path]:
        return set((cwd / "run").glob("checkpoints/pretrain/*/step_*"))

    before = saved()
    process = start_lumi(*words, cwd=cwd)
    while not saved() - before:
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.long
def test_two_processes_end_as_one_does(copy: Path) -> None:
    """The stages that do not train are up to date here, but for one that follows the new weights."""
    expected = losses(copy / "run")
    done = lumi("run", "recipe.yaml", "--out", "run", "--nproc", "2", *ONLY_PRETRAIN, cwd=copy, check=0)
    assert "ddp over 2 processes" in done.stdout and done.stdout.count("pretrain: train the model") == 1
    assert losses(copy / "run") == pytest.approx(expected, rel=1e-4)
    checkpoint = Artifact.open(
        copy / "run" / json.loads((copy / "run" / "run.json").read_text())["stages"]["pretrain"]["path"]
    )
    assert not list(checkpoint.problems()) and "model.safetensors" in checkpoint.manifest.files


@pytest.mark.long
def test_a_mistake_is_told_once_and_has_its_exit_code(copy: Path) -> None:
    done = lumi("run", "recipe.yaml", "pretrain.stepz=3", "--nproc", "2", cwd=copy, check=2)
    assert done.stderr.count("error:") == 1 and "pretrain.steps" in done.stderr
    done = lumi("run", "recipe.yaml", "pretrain.batch_size=1", "--nproc", "2", "--out", "run", cwd=copy, check=2)
    assert done.stderr.count("error:") == 1 and "cannot be shared by 2 devices" in done.stderr


@pytest.mark.long
def test_a_stop_is_handed_on_and_the_next_command_goes_on(copy: Path) -> None:
    words = ["run", "recipe.yaml", "pretrain.steps=400", "--nproc", "2", "--until", "pretrain", "--out", "run"]
    process = start_until_a_state_is_saved(*words, cwd=copy)
    process.terminate()
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 143 and told.count("Run the same command again to go on") == 1
    assert "Going on from step" in lumi(*words, cwd=copy, check=0).stdout


@pytest.mark.long
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_the_launchers_of_others(copy: Path, launcher: str, parallel: str) -> None:
    if launcher == "accelerate":
        pytest.importorskip("accelerate")
    start = {
        "torchrun": ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"],
        # Without GPUs accelerate would start MPI; what it starts for several GPUs is torchrun.
        "accelerate": [
            *("accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"),
            *("--mixed_precision=no", "--dynamo_backend=no", "-m"),
        ],
    }[launcher]
    expected = losses(copy / "run")
    words = ["lumilab", "run", "recipe.yaml", f"pretrain.parallel={parallel}", "--out", "run"]
    done = subprocess.run(
        [sys.executable, "-m", *start, *words, *ONLY_PRETRAIN],
        cwd=copy, env=environment(), capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{parallel} over 2 processes" in done.stdout
    assert losses(copy / "run") == pytest.approx(expected, rel=1e-4)


@pytest.mark.long
def test_a_killed_rank_ends_the_command_and_the_next_one_goes_on(copy: Path) -> None:
    settings = ["pretrain.steps=60", "pretrain.checkpoint_every=2", "pretrain.log_every=1"]
    words = ["run", "recipe.yaml", *settings, "--nproc", "2", "--until", "pretrain", "--out"]
    shutil.copytree(copy / "run", copy / "undisturbed")
    lumi(*words, "undisturbed", cwd=copy, check=0)
    process = start_until_a_state_is_saved(*words, "run", cwd=copy)
    ranks_below(process)[1].kill()
    told, _ = process.communicate(timeout=120)
    assert process.returncode in (5, 137) and "processes of this training ended" in told and "Traceback" not in told
    again = lumi(*words, "run", cwd=copy, check=0)
    assert "Going on from step" in again.stdout
    assert digests(copy / "run")["pretrain"] == digests(copy / "undisturbed")["pretrain"]
