"""What lies in a run's folder: its stages' results, its trainings and their logs, and what is being worked on.

`run.json` says which result of each stage is the current one; a training that has not ended is no result yet, and is
found by the folder of its key. All is read as it is now, and nothing is changed, so a run can be looked at while it
works. What cannot be read is told in words instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lumilab.artifact import Artifact
from lumilab.artifact.manifest import FILE_NAME as MANIFEST
from lumilab.artifact.manifest import Manifest
from lumilab.errors import DamageError, InputError, LumiError
from lumilab.pipeline.records import FILE_NAME as RECORDS
from lumilab.pipeline.records import StageRecord, read_records
from lumilab.pipeline.stages import STAGES, Stage
from lumilab.report.log import LOG_FILE, History
from lumilab.work.lock import is_held


@dataclass(frozen=True)
class StageResult:
    """The current result of a stage.

    Attributes:
        stage, record: which, and what made it.
        artifact: None where it cannot be read.
        problem: why not.
        older: the inputs that have been made anew since.
    """

    stage: Stage
    record: StageRecord
    artifact: Artifact | None
    problem: str | None
    older: Sequence[str]

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.size for file in self.artifact.manifest.files.values()) if self.artifact else 0

    @property
    def created(self) -> str:
        """When it was published: date and time, UTC."""
        made = str(self.artifact.manifest.environment.get("created", "")) if self.artifact else ""
        return made[:16].replace("T", " ")


@dataclass(frozen=True)
class Training:
    """One training: the folder of its key, with its log.

    Attributes:
        stage: its name.
        folder: with the log, the saved states and, once it has ended, `final`.
        history: what it has logged.
        steps: how many it is to take; None while that is not known.
        current: whether its result is the run's current one.
        running: whether a process is at work on it now.
    """

    stage: str
    folder: Path
    history: History
    steps: int | None
    current: bool
    running: bool

    @property
    def finished(self) -> bool:
        """Whether it has published its model."""
        return (self.folder / "final" / MANIFEST).exists()

    @property
    def key(self) -> str:
        """Of the stage's result."""
        return self.folder.name


@dataclass(frozen=True)
class RunView:
    """A run's folder, as it was found.

    Attributes:
        folder: the run's.
        results: the current results by stage, in the order of the pipeline.
        trainings: those to tell of, in that order: the current one of a stage, and one that came after it.
        working: the stages that a process is at work on now.
    """

    folder: Path
    results: dict[str, StageResult]
    trainings: list[Training]
    working: list[str]

    def artifact(self, stage: str) -> Artifact | None:
        """A stage's current result, where it can be read."""
        return self.results[stage].artifact if stage in self.results else None


def open_run(folder: Path) -> RunView:
    """Looks at a run.

    Raises:
        InputError: this is no run's folder.
    """
    check_run(folder)
    records = read_records(folder)
    results = {stage.name: _result(folder, stage, records) for stage in STAGES if stage.name in records}
    return RunView(folder, results, find_trainings(folder, records, {}), stages_at_work(folder))


def check_run(folder: Path) -> None:
    """Raises InputError for what is no run's folder."""
    if not folder.is_dir():
        raise InputError(
            "There is no such run", where=str(folder), mend="give the folder of a run, such as runs/quickstart."
        )
    if (folder / MANIFEST).exists():
        raise InputError(
            "This is one artifact, and not a run",
            where=str(folder),
            mend="give the run's folder, the one with run.json; `lumi inspect` shows an artifact.",
        )
    places = {Path(stage.place).parts[0] for stage in STAGES}
    if not (folder / RECORDS).exists() and not any((folder / place).is_dir() for place in places):
        raise InputError(
            "This is no run's folder: it has neither run.json nor any stage's folder",
            where=str(folder),
            mend="give the folder of a run, such as runs/quickstart.",
        )


def find_trainings(folder: Path, records: dict[str, StageRecord], histories: dict[Path, History]) -> list[Training]:
    """The trainings of a run, in the order of the pipeline: of each stage the one that made its current result, and the
    newest one after it that has not ended.

    Args:
        folder, records: of the run.
        histories: what was read of logs before, by path, from where their reading goes on; new ones are added.
    """
    return [
        each
        for stage in STAGES
        if stage.trains
        for each in _trainings(folder, stage, records.get(stage.name), histories)
    ]


def stages_at_work(folder: Path) -> list[str]:
    """The stages that a process is at work on now."""
    return [stage.name for stage in STAGES if _locks_held(folder, stage)]


def keys_folder(folder: Path, stage: Stage) -> Path:
    """The folder that holds those of a stage's keys."""
    return folder / stage.place.partition("{key}")[0]


def _result(folder: Path, stage: Stage, records: dict[str, StageRecord]) -> StageResult:
    record = records[stage.name]
    older = [name for name, digest in record.inputs.items() if name in records and records[name].digest != digest]
    try:
        return StageResult(stage, record, Artifact.open(folder / record.path), None, older)
    except LumiError as error:
        return StageResult(stage, record, None, error.what, older)


def _trainings(
    folder: Path, stage: Stage, record: StageRecord | None, histories: dict[Path, History]
) -> Iterator[Training]:
    key = record.key if record else None
    logs = sorted(keys_folder(folder, stage).glob(f"*/{LOG_FILE}"), key=lambda log: log.stat().st_mtime)
    folders = [log.parent for log in logs if not log.parent.name.startswith(".")]
    current = [each for each in folders if each.name == key]
    since = current[0].joinpath(LOG_FILE).stat().st_mtime if current else 0.0
    later = [each for each in folders if each.name != key and each.joinpath(LOG_FILE).stat().st_mtime >= since]
    unfinished = [each for each in later if not (each / "final" / MANIFEST).exists()][-1:]
    for each in [*current, *unfinished]:
        history = histories.setdefault(each, History(each / LOG_FILE))
        history.follow()
        yield Training(stage.name, each, history, _planned_steps(each, history), each in current, is_held(each))


def _planned_steps(folder: Path, history: History) -> int | None:
    """As the log tells, or, where it is of an earlier version of ours, the manifest of the result or newest state."""
    begun = history.last("begin")
    if begun is not None and isinstance(begun.get("steps"), int):
        return int(begun["steps"])
    states = sorted(folder.glob("step_*"), reverse=True)
    for place in [folder / "final", *states]:
        try:
            steps = Manifest.read(place).config["training"]["steps"]
        except (OSError, DamageError, KeyError, TypeError):
            continue
        return steps if isinstance(steps, int) else None
    return None


def _locks_held(folder: Path, stage: Stage) -> bool:
    place = keys_folder(folder, stage)
    if not place.is_dir():
        return False
    names = [entry.name for entry in os.scandir(place) if entry.name.startswith(".") and entry.name.endswith(".lock")]
    return any(is_held(place / name.removeprefix(".").removesuffix(".lock")) for name in names)
