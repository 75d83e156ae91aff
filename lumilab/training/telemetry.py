"""What a run tells about itself: `log.jsonl`, TensorBoard, and the facts beside the progress bar.

`log.jsonl` has one JSON object a line with "event" (step, validation, sample, skipped) and "step" (steps done). When a
run goes on from a saved step, what was logged after that step is cut off first, so each step is told once.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lumilab.artifact import write_atomically
from lumilab.work.progress import format_count

LOG_FILE = "log.jsonl"
BOARD_FOLDER = "tensorboard"
SMOOTHING = 0.98  # of the smoothed loss: about the mean of the last 50 steps


class TrainingLog:
    """Writes both logs; use it as a context manager.

    Args:
        folder: the run's folder.
        step: steps already done: what was logged beyond it is cut off.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / LOG_FILE
        self._earlier = cut_log(self.path, step)
        self._folder = folder
        self._step = step

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


class Meter:
    """Smoothed loss and speed of a run.

    Args:
        smoothed: where an earlier part of the run left the smoothed loss.
    """

    def __init__(self, smoothed: float | None = None) -> None:
        self.smoothed = smoothed
        self._started = time.monotonic()
        self._window_began = self._started
        self._window_tokens = 0
        self.tokens_per_second = 0.0

    def count(self, loss: float, tokens: int) -> None:
        """Takes in one step: its loss per token and the number of tokens the model read."""
        self.smoothed = loss if self.smoothed is None else SMOOTHING * self.smoothed + (1 - SMOOTHING) * loss
        self._window_tokens += tokens

    def pause(self, seconds: float) -> None:
        """Leaves time spent on other things than training out of the speed."""
        self._window_began += seconds

    def lap(self) -> float:
        """Tokens per second since the last lap."""
        now = time.monotonic()
        self.tokens_per_second = self._window_tokens / max(now - self._window_began, 1e-9)
        self._window_began, self._window_tokens = now, 0
        return self.tokens_per_second

    @property
    def seconds(self) -> float:
        """Since the meter was made."""
        return time.monotonic() - self._started

    def facts(self) -> dict[str, str]:
        """What to show beside the progress bar."""
        facts = {"loss": f"{self.smoothed:.3f}"} if self.smoothed is not None else {}
        if self.tokens_per_second:
            facts["tokens/s"] = format_count(self.tokens_per_second)
        return facts
