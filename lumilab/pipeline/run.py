"""Running a recipe: each stale stage in a subprocess, in order, until the end or the first failure.

A stage is planned again just before it runs, when its inputs' digests are known: an input that was rebuilt to the
same content does not make what follows stale.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lumilab.artifact import Artifact, work_folder
from lumilab.errors import ConfigError, Interrupted
from lumilab.pipeline.plan import StagePlan, plan_stage
from lumilab.pipeline.records import write_record
from lumilab.pipeline.stages import Stage, stages_of
from lumilab.pipeline.worker import WorkOrder
from lumilab.recipe import Recipe
from lumilab.work.context import WorkContext

Work = Callable[[WorkOrder, WorkContext], int]

WORKER = (sys.executable, "-m", "lumilab.pipeline.worker")
RANK_VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")  # a subprocess is no rank of several
STOP_PATIENCE = 120.0  # seconds a stage gets to save its work after a stop was asked for


class StageFailure(Exception):
    """A stage ended badly. It said why on standard error itself, so only its exit code is handed on."""

    def __init__(self, stage: str, exit_code: int) -> None:
        super().__init__(f"The run stops at {stage}. Finished stages are kept: the same command goes on from there.")
        self.exit_code = exit_code


@dataclass(frozen=True)
class RunResult:
    """The current artifacts by stage name, and the names of the stages that ran."""

    artifacts: dict[str, Artifact]
    ran: list[str]


def run(
    recipe: Recipe,
    folder: Path,
    context: WorkContext,
    *,
    until: str | None = None,
    force: frozenset[str] = frozenset(),
    work: Work | None = None,
) -> RunResult:
    """Brings a run's folder up to date with the recipe.

    Args:
        recipe, folder, context: what, where, and how to report and stop.
        until: the last stage to bring up to date; None for all.
        force: stages to build even if they are up to date.
        work: carries out an order and returns its exit code; `work_in_subprocess` by default.

    Raises:
        ConfigError: `until` or `force` names no stage of the recipe.
        StageFailure: a stage failed; those before it are kept.
        Interrupted: a stop was asked for; the next run goes on from there.
    """
    check_stage_names(recipe, [*([until] if until else []), *force])
    artifacts: dict[str, Artifact] = {}
    ran: list[str] = []
    for stage in stages_of(recipe):
        context.stop.check()
        inputs = {name: artifacts[name] for name in stage.inputs if name in artifacts}
        step = plan_stage(stage, recipe, folder, inputs, forced=stage.name in force)
        if step.artifact is None:
            context.report.say(f"{stage.name}: {stage.about} ({'; '.join(step.reasons)})", style="bold")
            artifact = _build(step, recipe, folder, inputs, context, work or work_in_subprocess)
            ran.append(stage.name)
        else:
            context.report.say(f"{stage.name}: up to date", style="dim")
            artifact = step.artifact
            # A build that was killed after it had published left this behind.
            shutil.rmtree(work_folder(artifact.path), ignore_errors=True)
        assert step.record is not None
        write_record(folder, stage.name, replace(step.record, digest=artifact.digest))
        artifacts[stage.name] = artifact
        if stage.name == until:
            break
    return RunResult(artifacts, ran)


def check_stage_names(recipe: Recipe, names: Sequence[str]) -> None:
    """Raises ConfigError for a name that is no stage of the recipe."""
    known = [stage.name for stage in stages_of(recipe)]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"This recipe has no stage called {name}",
                where="command line",
                mend=f"its stages are {', '.join(known)}.",
            )


def _build(
    step: StagePlan, recipe: Recipe, folder: Path, inputs: dict[str, Artifact], context: WorkContext, work: Work
) -> Artifact:
    assert step.record is not None
    target = (folder / step.record.path).absolute()
    order = WorkOrder(
        stage=step.stage.name,
        recipe=recipe.model_dump(mode="json"),
        inputs={name: str(artifact.path) for name, artifact in inputs.items()},
        folder=str(_key_folder(step.stage, folder, step.record.key).absolute()),
        target=str(target),
        replaces=step.replaces,
        raw=step.record.raw,
    )
    exit_code = work(order, context)
    context.stop.check()
    if exit_code != 0:
        # 128 + n is how shells say "ended by signal n"; Python says it as -n.
        raise StageFailure(step.stage.name, 128 - exit_code if exit_code < 0 else exit_code)
    return Artifact.open(target, kind=step.stage.kind)


def _key_folder(stage: Stage, folder: Path, key: str) -> Path:
    """The folder named by the key: all of a stage's result, step checkpoints and logs included."""
    place, separator, _ = stage.place.partition("{key}")
    return folder / (place + separator).format(key=key)


def work_in_subprocess(order: WorkOrder, context: WorkContext) -> int:
    """Runs one worker to its end and returns its exit code.

    A stop is told to the worker once, in the way every system understands: by closing its standard input.
    """
    worker = _start_worker()
    assert worker.stdin is not None
    try:
        worker.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        worker.stdin.flush()
        while not context.stop.requested:
            try:
                return worker.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
        context.report.say("Stopping: the stage saves its work first (press Ctrl-C again to stop at once).")
        worker.stdin.write(str(int(context.stop.signal_number or signal.SIGTERM)).encode())
        worker.stdin.close()
        return worker.wait(timeout=STOP_PATIENCE)
    except BrokenPipeError:
        return worker.wait()  # the worker ended before it read its order: its exit code says why
    except (Interrupted, subprocess.TimeoutExpired):
        worker.kill()
        worker.wait()
        raise


def _start_worker() -> subprocess.Popen[bytes]:
    """Starts a worker in a process group of its own, so that Ctrl-C reaches only this process."""
    environment = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
        return subprocess.Popen(WORKER, stdin=subprocess.PIPE, env=environment, creationflags=flags)
    return subprocess.Popen(WORKER, stdin=subprocess.PIPE, env=environment, process_group=0)
