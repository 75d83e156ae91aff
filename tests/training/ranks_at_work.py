"""Trainings by several ranks, each a process of its own, over gloo on the CPU.

Argument: a file with a JSON list of trainings, done one after the other. Each has "folder", "ranks", "config" (changes
of `tiny_training.CONFIG`), and may have "copy_of" (an earlier one's folder, to go on in a copy), "stop_at" (a step at
which one rank is asked to stop), "kill_at" (a step at which the last rank is killed) or "kills" (so often a rank is
killed at a random moment, and all are started again).
This process imports everything once and forks the ranks, so that a training takes a second. It leaves its log and its
states in its folder, and there `weights.safetensors`, `outcome-RANK.json` (what a rank raised, or null) and
`said.txt`, the text that the first rank said.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sys
import time
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed.fsdp  # before the fork, as it takes two seconds
import torch.utils.tensorboard  # likewise
from tiny_corpus import quiet_context
from tiny_training import Counting, changed, fresh_model, states_in

from lumilab.dataset.loader import rank_rows
from lumilab.training.devices import Devices, joined
from lumilab.training.loop import train
from lumilab.training.objective import UNTRAINED, Batch
from lumilab.training.parallel import whole_model
from lumilab.training.run import Sample
from lumilab.training.weights import save_tensors

LAUNCHER_PATIENCE = 5.0  # seconds


class Shared(Counting):
    """This rank's rows of batches in which some rows have far fewer trained tokens than others, and some none."""

    def batch(self, step: int) -> Batch:
        whole = super().batch(step)
        labels = whole.labels.clone()
        labels[0, 3:] = UNTRAINED
        labels[1] = UNTRAINED
        devices = Devices.of_this_process()
        rows = rank_rows(len(labels), devices.rank, devices.count)
        return Batch(whole.ids[rows.start : rows.stop], labels[rows.start : rows.stop])


def work(task: dict[str, Any], context: Any) -> None:
    """One rank's part."""
    devices = Devices.of_this_process()

    def on_batch(step: int) -> None:
        last = devices.rank == devices.count - 1
        if step == task.get("stop_at") and last:
            context.stop.request(15)
        if step == task.get("kill_at") and last:
            os.kill(os.getpid(), signal.SIGKILL)

    config, folder = changed(**task["config"]), Path(task["folder"])
    model = fresh_model()
    objective = Shared(rows=config.batch_size, on_batch=on_batch)
    states, samples = states_in(folder, config), [Sample("a", "b")]
    train(model, objective, config, states, context, seed=5, sampler=lambda model, step: samples)
    whole = whole_model(model, devices)
    if devices.first and whole is not None:
        save_tensors(folder / "weights.safetensors", whole.state_dict())


def rank(task: dict[str, Any], number: int, port: int) -> None:
    """The life of one rank."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    count, context = task["ranks"], quiet_context()
    os.environ |= {"RANK": str(number), "WORLD_SIZE": str(count), "LOCAL_RANK": str(number)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    outcome = None
    try:
        with joined() if count > 1 else nullcontext():
            work(task, context[0])
    except Exception as error:
        outcome = f"{type(error).__name__}: {error}"
        if os.environ.get("LUMI_DEBUG"):
            raise
    folder = Path(task["folder"])
    (folder / f"outcome-{number}.json").write_text(json.dumps(outcome))
    if number == 0:
        (folder / "said.txt").write_text(context[1].getvalue())


def start(task: dict[str, Any]) -> list[int]:
    """Forks the ranks of a training; returns their ids. A single one works in this process, so that what torch imports
    and makes ready when it first trains is there for all that are forked later."""
    if task["ranks"] == 1:
        rank(task, 0, 0)
        return []
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = []
    for number in range(task["ranks"]):
        child = os.fork()
        if not child:
            rank(task, number, port)
            os._exit(0)
        children.append(child)
    return children


def lines_in(log: Path) -> int:
    """How many lines a log that may not be there has."""
    try:
        return log.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def outlasted(child: int, log: Path, headway: int, seconds: float) -> bool:
    """Waits for so many new lines in the log and then so many seconds; whether the child is still at work then."""
    least, end = lines_in(log), float("inf")
    while time.monotonic() < end:
        time.sleep(0.001)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        lines = lines_in(log)
        least = min(least, lines)  # what was logged after the state that it goes on from is cut off
        if lines - least >= headway and end == float("inf"):
            end = time.monotonic() + seconds
    return True


def reap(child: int, patience: float) -> None:
    """Waits for a rank to end. One that the killed rank left while they were meeting is ended, as a launcher does."""
    end = time.monotonic() + patience
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)


def main(file: str) -> None:
    """All trainings of a list; prints how often a rank was killed."""
    warnings.simplefilter("ignore", DeprecationWarning)  # forking beside idle threads of libraries
    draw, kills = random.Random(5), 0
    for task in json.loads(Path(file).read_text()):
        if "copy_of" in task:
            shutil.copytree(task["copy_of"], task["folder"])
        Path(task["folder"]).mkdir(parents=True, exist_ok=True)
        log, left = Path(task["folder"]) / "log.jsonl", task.get("kills", 0)
        while True:
            children = start(task)
            killed = False
            if left:
                victim = draw.choice(children)
                killed = outlasted(victim, log, draw.randint(0, 4), draw.uniform(0, 0.05))
            if killed:
                os.kill(victim, signal.SIGKILL)
                left, kills = left - 1, kills + 1
            for child in children:
                reap(child, LAUNCHER_PATIENCE if killed else float("inf"))
            if not killed:
                break
    sys.stdout.write(str(kills))


if __name__ == "__main__":
    main(sys.argv[1])
