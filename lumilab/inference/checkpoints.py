"""Which trained models there are in a folder of runs, for people to choose from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from lumilab.artifact import Artifact
from lumilab.errors import LumiError

RUN_FILE = "run.json"
ROOM = 0.8  # of the memory that is free: what a model may take without a warning


@dataclass(frozen=True)
class StoredModel:
    """A checkpoint, or a state of training that can be generated from.

    Attributes:
        path: its folder.
        stage: what it was trained by: "pretrain", "sft"...
        name: of its folder: "final", "step_000200".
        best, latest: whether its training says so of it.
        changed: when it was written, in seconds of the epoch.
        parameters: bytes that its weights take in memory, in float32.
    """

    path: Path
    stage: str
    name: str
    best: bool
    latest: bool
    changed: float
    parameters: int


def runs_below(folder: Path) -> list[Path]:
    """Runs with at least one trained model, newest first."""
    runs = [path.parent for path in folder.glob(f"*/{RUN_FILE}")]
    newest = {run: models[0].changed for run in runs if (models := models_of(run))}
    return sorted(newest, key=lambda run: newest[run], reverse=True)


def models_of(run: Path) -> list[StoredModel]:
    """The models of a run, newest first."""
    found = [
        model
        for folder in (run / "checkpoints").glob("*/*/")
        for path in (*folder.glob("step_*/"), folder / "final")
        if (model := _model(path)) is not None
    ]
    return sorted(found, key=lambda model: (model.changed, model.name == "final"), reverse=True)


def model_name(path: Path) -> str:
    """The end of a model's path that tells it from others: run, stage and checkpoint."""
    parts = path.absolute().parts
    if "checkpoints" in parts:
        place = len(parts) - 1 - parts[::-1].index("checkpoints")
        return "/".join((parts[place - 1], parts[place + 1], parts[-1]))
    return parts[-1]


def _model(path: Path) -> StoredModel | None:
    """The model in a folder; None where there is no whole one."""
    try:
        artifact = Artifact.open(path)
    except LumiError:
        return None
    manifest = path / "manifest.json"
    weights = sum(record.size for name, record in artifact.manifest.files.items() if name.startswith("model."))
    best, latest = (_named(path.parent / name) == path.name for name in ("best", "latest"))
    return StoredModel(
        path, path.parent.parent.name, path.name, best, latest, manifest.stat().st_mtime, parameters=weights
    )


def _named(pointer: Path) -> str | None:
    """The step that a text file such as `best` names."""
    try:
        return pointer.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def memory_warning(needed: int) -> str | None:
    """What to tell a person whose model will hardly fit into memory; None where it will.

    Args:
        needed: bytes.
    """
    free = psutil.virtual_memory().available
    if needed <= ROOM * free:
        return None
    return (
        f"This needs about {needed / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free: it may be slow, or "
        "stopped by the system. --quantize int8 takes a quarter."
    )
