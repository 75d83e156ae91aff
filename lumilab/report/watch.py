"""What a run is doing now: the stage at work, the training to look at, its remaining time, and what happened last."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from lumilab.artifact.manifest import FILE_NAME as MANIFEST
from lumilab.pipeline.records import read_records
from lumilab.pipeline.stages import STAGES
from lumilab.report.log import Event, History, is_number
from lumilab.report.run_view import Training, check_run, find_trainings, stages_at_work

SPIKE = 6.0  # median distances between loss and smoothed loss
FEW = 8  # logged steps from which on a spike can be told
NOT_TOLD = frozenset({"step", "sample"})  # events that are no news by themselves


@dataclass(frozen=True)
class Now:
    """A run at one moment.

    Attributes:
        name: of the run.
        done: the stages with a current result, in the order of the pipeline.
        working: those that a process is at work on.
        training: the one to show: that at work, else the one that logged last; None before the first.
        quiet: seconds since its log grew.
    """

    name: str
    done: list[str]
    working: list[str]
    training: Training | None
    quiet: float

    @property
    def seconds_left(self) -> float | None:
        """Until the training's last step; None where that is not known, or nothing is at work on it."""
        training = self.training
        if training is None or not training.running or training.steps is None:
            return None
        pace = training.history.seconds_per_step()
        last = training.history.last("step")
        if pace is None or last is None:
            return None
        return max(pace * (training.steps - int(last["step"])) - self.quiet, 0.0)


class Watch:
    """Looks at a run again and again, reading only what is new of its logs.

    Args:
        folder: the run's.

    Raises:
        InputError: it is no run's folder.
    """

    def __init__(self, folder: Path) -> None:
        check_run(folder)
        self.folder = folder
        self._histories: dict[Path, History] = {}

    def look(self) -> Now:
        """The run at this moment."""
        records = read_records(self.folder)
        trainings = find_trainings(self.folder, records, self._histories)
        shown = max(trainings, key=lambda each: (each.running, _changed(each)), default=None)
        return Now(
            name=self.folder.absolute().name,
            done=[stage.name for stage in STAGES if stage.name in records],
            working=stages_at_work(self.folder),
            training=shown,
            quiet=max(time.time() - _changed(shown), 0.0) if shown else 0.0,
        )


def happenings(training: Training) -> list[tuple[int, str]]:
    """(step, what) of all worth telling, the last one last: validations, scores, spikes, skipped steps, states."""
    told = [(event["step"], words) for event in training.history.events if (words := told_event(event))]
    told += [(step, f"loss {loss:.4f}, a spike") for step, loss in spikes(training.history)]
    told += [(step, "state saved") for step in saved_states(training.folder)]
    return sorted(told, key=lambda each: each[0])


def told_event(event: Event) -> str:
    """An event in a few words; "" for one that is no news."""
    name = event["event"]
    if name in NOT_TOLD:
        return ""
    if name == "skipped":
        return f"skipped: {event.get('reason', 'its update')}"
    figures = {key: value for key, value in event.items() if key not in ("event", "step") and is_number(value)}
    return f"{name} " + ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in figures.items())


def spikes(history: History) -> Iterator[tuple[int, float]]:
    """(step, loss) where the loss lies above the smoothed one by far more than it usually lies away from it."""
    steps = [
        event
        for event in history.named("step")
        if is_number(event.get("loss")) and is_number(event.get("smoothed_loss"))
    ]
    if len(steps) < FEW:
        return
    usual = median(abs(event["loss"] - event["smoothed_loss"]) for event in steps)
    for event in steps:
        if event["loss"] - event["smoothed_loss"] > SPIKE * usual > 0:
            yield event["step"], event["loss"]


def saved_states(folder: Path) -> list[int]:
    """The steps of the saved states that are there."""
    names = (path.parent.name.removeprefix("step_") for path in folder.glob(f"step_*/{MANIFEST}"))
    return sorted(int(name) for name in names if name.isdigit())


def _changed(training: Training) -> float:
    """When its log grew last, in seconds since 1970."""
    try:
        return training.history.path.stat().st_mtime
    except OSError:
        return 0.0
