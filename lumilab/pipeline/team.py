"""A run by several ranks, which torchrun, accelerate or `lumi run --nproc` started with the same command.

The first rank runs the recipe as a single process would: it plans, says what it does, and builds the stages that do not
train in subprocesses while the others wait. Where a stage trains, it gives the others the same order, and all ranks
build it together in the processes that they are: the launcher watches those, and they have joined one another. All
ranks see the run's folder, so on several machines it is on a file system that they share.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console

from lumilab.artifact import Artifact
from lumilab.errors import ConfigError, Interrupted
from lumilab.pipeline.run import work_in_subprocess
from lumilab.pipeline.stages import STAGES, Job
from lumilab.pipeline.worker import WorkOrder, build
from lumilab.recipe import Recipe
from lumilab.training.devices import Devices, joined
from lumilab.work.context import WorkContext
from lumilab.work.progress import Reporter
from lumilab.work.stopping import stopping_on_signals

FOR_EVER = timedelta(days=365)  # a stage that does not train may take as long as it likes
PULSE = 0.05  # seconds between two looks for an order


class Team:
    """The ranks of one run, as one of them sees them.

    Args:
        devices: with a channel that waits for ever.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._training = False

    @property
    def leads(self) -> bool:
        """Whether this rank runs the recipe; the others follow."""
        return self._devices.first

    def work(self, order: WorkOrder, context: WorkContext) -> int:
        """Builds a stage: what trains in all ranks, anything else in a subprocess of this one.

        Returns:
            The exit code of the subprocess.

        Raises:
            LumiError: what went wrong in a training.
        """
        if not _stage(order).trains:
            return work_in_subprocess(order, context)
        with self._devices.losses_explained():
            build(order, context, on_start=lambda: self._begin(order))
        self._training = False
        return 0

    def end(self, exit_code: int) -> None:
        """Lets the others go. One that is in a training finds out by itself that this rank has left it."""
        if not self._training:
            self._tell({"exit_code": exit_code})

    def follow(self) -> None:
        """Takes part in each training until the first rank ends; leaves with its exit code."""
        with stopping_on_signals() as stop, Path(os.devnull).open("w") as nowhere, self._devices.losses_explained():
            quiet = WorkContext(Reporter(Console(file=nowhere)), stop)
            try:
                while "exit_code" not in (message := self._hear(quiet)):
                    order = WorkOrder(**message)
                    inputs = {name: Artifact.open(Path(path)) for name, path in order.inputs.items()}
                    recipe = Recipe.model_validate(order.recipe)
                    _stage(order).build(Job(recipe, inputs, Path(order.target), quiet, order.raw))
            except (Interrupted, ConfigError) as told:
                sys.exit(told.exit_code)  # the first rank tells the person, who asked for the same in all of them
        sys.exit(message["exit_code"])

    def _begin(self, order: WorkOrder) -> None:
        self._tell(asdict(order))
        self._training = True

    def _tell(self, message: dict[str, Any]) -> None:
        data = torch.frombuffer(bytearray(json.dumps(message).encode()), dtype=torch.uint8)
        dist.broadcast(torch.tensor(len(data)), 0, group=self._devices.group)
        dist.broadcast(data, 0, group=self._devices.group)

    def _hear(self, context: WorkContext) -> dict[str, Any]:
        length = torch.tensor(0)
        _wait(dist.broadcast(length, 0, group=self._devices.group, async_op=True), context)
        data = torch.empty(int(length), dtype=torch.uint8)
        _wait(dist.broadcast(data, 0, group=self._devices.group, async_op=True), context)
        message: dict[str, Any] = json.loads(data.numpy().tobytes())
        return message


@contextmanager
def joined_team() -> Iterator[Team]:
    """The team that this process is one of. The block ends in the first rank; then the others are let go."""
    with joined() as devices:
        team = Team(devices.apart(FOR_EVER))
        try:
            yield team
        except BaseException as error:
            if team.leads:
                team.end(_exit_code(error))
            raise
        team.end(0)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    return int(getattr(error, "exit_code", 1))


def _stage(order: WorkOrder) -> Any:
    return next(stage for stage in STAGES if stage.name == order.stage)


def _wait(work: Any, context: WorkContext) -> None:
    while not work.is_completed():
        context.stop.check()
        time.sleep(PULSE)
    work.wait()
