"""Builds one stage in a process of its own, so that memory is clean between stages.

The job comes as one JSON line on standard input. The pipe then stays open: when the starting process closes it, or
dies, this one stops at its next safe point. The result is the published artifact; the exit code tells the rest.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact
from lumilab.errors import InputError, Interrupted
from lumilab.pipeline.stages import STAGES, Job
from lumilab.recipe import Recipe
from lumilab.work.context import WorkContext
from lumilab.work.failures import failures_explained
from lumilab.work.lock import exclusive
from lumilab.work.progress import Reporter
from lumilab.work.stopping import stop_when_closed, stopping_on_signals
from lumilab.work.terminal import show_what_can_be_shown


@dataclass(frozen=True)
class WorkOrder:
    """What the worker is told: all of it plain JSON values."""

    stage: str
    recipe: dict[str, Any]
    inputs: dict[str, str]
    folder: str
    target: str
    replaces: bool
    raw: str | None = None


def main() -> None:
    """Reads an order from standard input and carries it out."""
    show_what_can_be_shown()
    with failures_explained(), stopping_on_signals() as stop:
        orders = FileIO(sys.stdin.fileno(), closefd=False)  # unbuffered, see stop_when_closed
        order = WorkOrder(**json.loads(orders.readline()))
        stop_when_closed(orders, stop)
        try:
            build(order, WorkContext(Reporter(), stop))
        except Interrupted as stopped:
            if not stop.requested:
                raise
            sys.exit(stopped.exit_code)  # who asked for the stop tells the person


def build(order: WorkOrder, context: WorkContext, on_start: Callable[[], None] | None = None) -> Artifact:
    """Builds the ordered stage unless another process did so while this one waited for the lock.

    Args:
        order, context: what, and how to report and stop.
        on_start: called just before, if it is built.
    """
    stage = next(stage for stage in STAGES if stage.name == order.stage)
    target, folder = Path(order.target), Path(order.folder)
    with exclusive(folder, context):
        bring_back(folder)
        if not order.replaces:
            try:
                return Artifact.open(target, kind=stage.kind)
            except InputError:
                pass  # the usual case: it is not there yet
        inputs = {name: Artifact.open(Path(path)) for name, path in order.inputs.items()}
        job = Job(Recipe.model_validate(order.recipe), inputs, target, context, order.raw)
        with set_aside(folder) if order.replaces else nullcontext():
            if on_start is not None:
                on_start()
            return stage.build(job)


@contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Moves an earlier result out of the way while the block builds it anew, and back if the block fails."""
    aside = folder.with_name(f".{folder.name}.aside")
    if not folder.exists():
        yield
        return
    folder.rename(aside)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        bring_back(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def bring_back(folder: Path) -> None:
    """Undoes `set_aside` where a killed process left it: an old result counts until a new one is whole."""
    aside = folder.with_name(f".{folder.name}.aside")
    if aside.exists() and not folder.exists():
        aside.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


if __name__ == "__main__":
    main()
