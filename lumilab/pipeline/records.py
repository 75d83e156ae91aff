"""`run.json`: which artifact of each stage is the current one in a run's folder, and what made it.

It is only a pointer with a memory. The artifacts prove themselves; deleting this file loses nothing but the
reasons `--dry-run` can give.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lumilab.artifact import Artifact, canonical_json, write_atomically
from lumilab.errors import InputError

FILE_NAME = "run.json"
MODELS = ("grpo", "preference", "sft", "pretrain")  # the stages that publish one, the last trained first


@dataclass(frozen=True)
class StageRecord:
    """What a stage was last built from, and where the result is, relative to the run's folder."""

    key: str
    path: str
    digest: str
    config: dict[str, Any]
    inputs: dict[str, str]
    raw: str | None


def read_records(folder: Path) -> dict[str, StageRecord]:
    """The records of a run; none when the folder is new or its `run.json` cannot be read."""
    try:
        stored = json.loads((folder / FILE_NAME).read_bytes())
        return {name: StageRecord(**record) for name, record in stored["stages"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_record(folder: Path, name: str, record: StageRecord) -> None:
    """Makes `record` the current one of its stage."""
    records = read_records(folder) | {name: record}
    stored = {"stages": {stage: asdict(entry) for stage, entry in records.items()}}
    write_atomically(folder / FILE_NAME, canonical_json(stored, indent=2) + b"\n")


def current_artifact(folder: Path, stage: str) -> Artifact | None:
    """The artifact a run's folder points at for a stage; None when the stage has not run."""
    record = read_records(folder).get(stage)
    return Artifact.open(folder / record.path) if record else None


def find_checkpoint(path: Path | None, runs: Path = Path("runs")) -> Artifact:
    """The checkpoint a person means by a path: a checkpoint, a run (the model that was trained last), or
    nothing (the run that was worked on last).

    Raises:
        InputError: there is none.
    """
    if path is None:
        candidates = sorted(runs.glob(f"*/{FILE_NAME}"), key=lambda file: file.stat().st_mtime)
        for file in reversed(candidates):
            if set(MODELS) & read_records(file.parent).keys():
                return find_checkpoint(file.parent)
        raise InputError(
            "There is no trained model here yet",
            where=str(runs.absolute()),
            mend="train one with `lumi quickstart`, or give the folder of a checkpoint.",
        )
    for stage in MODELS:
        found = current_artifact(path, stage)
        if found is not None:
            return found
    if (path / FILE_NAME).exists():
        raise InputError(
            "This run has no trained model yet", where=str(path), mend="run its recipe to the end with `lumi run`."
        )
    return Artifact.open(path, kind="checkpoint")
