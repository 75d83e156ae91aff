"""What a run tells about itself: `log.jsonl`, TensorBoard and, where it is asked for, Weights & Biases.

`log.jsonl` has one JSON object a line with "event" (begin, step, validation, suite, sample, samples, skipped) and
"step" (steps done). When a run goes on from a saved step, what was logged after it is cut off first, so each step is
told once.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lumilab.artifact import write_atomically
from lumilab.recipe.training import TrainingConfig
from lumilab.training.states import StateFolder
from lumilab.training.wandb_run import WandbRun

LOG_FILE = "log.jsonl"
BOARD_FOLDER = "tensorboard"


class TrainingLog:
    """Writes all logs; use it as a context manager.

    Args:
        folder: the run's folder.
        step: steps already done: what was logged beyond it is cut off.
        wandb: a run of Weights & Biases to log to, too.
    """

    def __init__(self, folder: Path, step: int, wandb: WandbRun | None = None) -> None:
        self.path = folder / LOG_FILE
        self._earlier = cut_log(self.path, step)
        self._folder = folder
        self._step = step
        self._wandb = wandb

    def __enter__(self) -> Self:
        # TensorBoard takes a second to import; programs that only read checkpoints should not wait for it.
        from torch.utils.tensorboard import SummaryWriter

        self._file = self.path.open("a", encoding="utf-8")
        self._board = SummaryWriter(str(self._folder / BOARD_FOLDER), purge_step=self._step + 1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._board.close()
        self._file.close()
        if self._wandb is not None:
            self._wandb.close(failed=error is not None)

    def begin(self, step: int, **plan: Any) -> None:
        """Logs how much is to be done and on what, unless the run goes on as it was begun."""
        known = self.last("begin") or {}
        if plan.items() - known.items():
            self.write("begin", step, **plan)

    def last(self, event: str) -> dict[str, Any] | None:
        """The last line of that event before this run went on."""
        return next((line for line in reversed(self._earlier) if line.get("event") == event), None)

    def write(self, event: str, step: int, **values: Any) -> None:
        """Logs an event; numbers go to TensorBoard too, and texts as texts. What is no finite number becomes null."""
        values = {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }
        self._file.write(
            json.dumps({"event": event, "step": step} | values, ensure_ascii=False, allow_nan=False) + "\n"
        )
        self._file.flush()
        for name, value in values.items():
            if isinstance(value, int | float):
                self._board.add_scalar(f"{event}/{name}", value, step)
            elif isinstance(value, str):
                self._board.add_text(f"{event}/{name}", value, step)
        if self._wandb is not None:
            self._wandb.write({f"{event}/{name}": value for name, value in values.items()}, step)


class NoLog:
    """The log of a rank that is not the first: nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def begin(self, step: int, **plan: Any) -> None:
        """Forgets it."""

    def last(self, event: str) -> dict[str, Any] | None:
        """Nothing."""
        return None

    def write(self, event: str, step: int, **values: Any) -> None:
        """Forgets it."""


def open_log(states: StateFolder, config: TrainingConfig, step: int) -> TrainingLog:
    """The logs of a run that goes on after `step` steps.

    Raises:
        ResourceError: Weights & Biases is asked for and cannot be used.
    """
    wandb = None
    if config.wandb != "off":
        wandb = WandbRun(states.folder, config.wandb, config.wandb_project, states.config)
    return TrainingLog(states.folder, step, wandb)


def cut_log(path: Path, step: int) -> list[dict[str, Any]]:
    """Removes from a log what came after `step`, and a last line that a kill cut short; returns what stays."""
    if not path.exists():
        return []
    kept = []
    lines = path.read_bytes().splitlines(keepends=True)
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if line.endswith(b"\n") and event["step"] <= step:
            kept.append((line, event))
    if len(kept) < len(lines):
        write_atomically(path, b"".join(line for line, _ in kept))
    return [event for _, event in kept]
