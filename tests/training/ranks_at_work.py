"""Trainings by several ranks, each a process of its own, over gloo on the CPU.

Argument: a file with a JSON list of trainings, done one after the other. Each has "folder", "ranks", "config" (changes
of `tiny_training.CONFIG`), and may have "stop_at" (a step at which one rank is asked to stop) and "kill_at" (a step at
which the last rank is killed). This process imports everything once and forks the ranks, so that a training takes a
second. A training leaves its log and its states in its folder, and there `weights.safetensors`, `outcome.json` (what
each rank raised, or null) and the text that the first rank said.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
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
from lumilab.training.loop import train
from lumilab.training.objective import UNTRAINED, Batch
from lumilab.training.parallel import Devices, joined, whole_model
from lumilab.training.weights import save_tensors


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
    train(
        model, objective, config, states_in(folder, config), context, seed=5, sampler=lambda model, step: [("a", "b")]
    )
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
    os._exit(0)


def main(file: str) -> None:
    """All trainings of a list."""
    warnings.simplefilter("ignore", DeprecationWarning)  # forking beside idle threads of libraries
    for task in json.loads(Path(file).read_text()):
        Path(task["folder"]).mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        children = []
        for number in range(task["ranks"]):
            child = os.fork()
            if not child:
                rank(task, number, port)
            children.append(child)
        for child in children:
            os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1])
