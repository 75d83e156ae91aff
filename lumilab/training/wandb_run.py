"""A run on Weights & Biases: the same events as in the other logs, for those who keep all their runs there.

The run's id lies in the run's folder, so that a training that goes on, goes on there. What a killed run had logged
beyond the state it goes on from is logged once more. Offline, everything is written below the run's folder, and
`wandb sync` brings it up later.
"""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lumilab.artifact import write_atomically
from lumilab.errors import ResourceError

ID_FILE = "wandb.json"


class WandbRun:
    """An open run.

    Args:
        folder: the run's folder.
        mode: "online" or "offline".
        project: where the run is listed.
        config: what the training is, for people.

    Raises:
        ResourceError: the package is not installed, or the service cannot be used.
    """

    def __init__(self, folder: Path, mode: str, project: str, config: Mapping[str, Any]) -> None:
        try:
            wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise ResourceError(
                f"wandb is {mode}, but the package wandb is not installed",
                mend="install it with `pip install 'lumilab[wandb]'`, or choose wandb=off.",
            ) from error
        try:
            self._run = wandb.init(
                project=project, id=_id_in(folder), resume="allow", mode=mode, dir=str(folder), config=dict(config)
            )
        except wandb.errors.Error as error:
            raise ResourceError(
                f"Weights & Biases cannot be used: {error}",
                mend="log in with `wandb login`, or choose wandb=offline or wandb=off.",
            ) from error
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def write(self, values: Mapping[str, Any], step: int) -> None:
        """Logs values by name; those that are None are left out."""
        self._run.log({"step": step} | {name: value for name, value in values.items() if value is not None})

    def close(self, *, failed: bool) -> None:
        """Ends the run there."""
        self._run.finish(exit_code=int(failed))


def _id_in(folder: Path) -> str:
    """The id of the folder's run, made where there is none yet."""
    path = folder / ID_FILE
    if path.exists():
        return str(json.loads(path.read_bytes())["id"])
    made = uuid.uuid4().hex[:12]
    write_atomically(path, json.dumps({"id": made}).encode() + b"\n")
    return made
