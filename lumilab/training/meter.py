"""How fast a run is, how its loss goes, how much memory it takes: for the log and for the line at the terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch

from lumilab.training.memory import resident
from lumilab.training.step import Figures
from lumilab.work.progress import format_bytes, format_count

SMOOTHING = 0.98  # of the smoothed loss: about the mean of the last 50 steps


class Meter:
    """Smoothed loss, speed, share of the device's peak (MFU) and memory of a run.

    Attributes:
        smoothed: the smoothed loss; None before the first step.
        tokens_per_second, memory: at the last lap.

    Args:
        smoothed: where an earlier part of the run left the smoothed loss.
        device: that trains.
        operations: floating-point operations of a token.
        peak: operations a second of all devices that train; None where it is unknown, and so is the MFU.
        learning_rate: at its peak.
    """

    def __init__(
        self,
        smoothed: float | None = None,
        device: torch.device | None = None,
        operations: float = 0.0,
        peak: float | None = None,
        learning_rate: float = 0.0,
    ) -> None:
        self.smoothed = smoothed
        self.tokens_per_second = 0.0
        self.memory = 0
        self._mix: dict[str, str] = {}
        self._learning_rate = learning_rate
        self._device = device or torch.device("cpu")
        self._operations = operations
        self._peak = peak
        self._started = time.monotonic()
        self._window_began = self._started
        self._window_tokens = 0
        self._latest: Figures | None = None

    def count(self, figures: Figures) -> None:
        """Takes in one step. The loss of a skipped one is not smoothed in."""
        self._latest = figures
        self._window_tokens += figures.tokens
        if not figures.skipped:
            before = figures.loss if self.smoothed is None else self.smoothed
            self.smoothed = SMOOTHING * before + (1 - SMOOTHING) * figures.loss

    def pause(self, seconds: float) -> None:
        """Leaves time spent on other things than training out of the speed."""
        self._window_began += seconds

    def lap(self, mix: Mapping[str, float] | None = None) -> float:
        """Tokens per second since the last lap; measures the memory, too.

        Args:
            mix: the share of each source in what was trained on, by name.
        """
        now = time.monotonic()
        self.tokens_per_second = self._window_tokens / max(now - self._window_began, 1e-9)
        self._window_began, self._window_tokens = now, 0
        self._mix = {name: f"{100 * share:.0f} %" for name, share in (mix or {}).items()}
        self.memory = self._memory_now()
        return self.tokens_per_second

    @property
    def mfu(self) -> float | None:
        """The last lap's operations as a share of the peak; None where the peak is unknown."""
        return self.tokens_per_second * self._operations / self._peak if self._peak else None

    @property
    def seconds(self) -> float:
        """Since the meter was made."""
        return time.monotonic() - self._started

    def facts(self) -> dict[str, str]:
        """What to show beside the progress bar, the most wanted first: narrow terminals cut the rest off."""
        if self._latest is None:
            return {}
        facts = {"loss": f"{self._latest.loss:.3f}"}
        if self.smoothed is not None:
            facts["smoothed"] = f"{self.smoothed:.3f}"
        if self.tokens_per_second:
            facts["tokens/s"] = format_count(self.tokens_per_second)
            facts["MFU"] = "unknown" if self.mfu is None else f"{100 * self.mfu:.1f} %"
        if self.memory:
            facts["memory"] = format_bytes(self.memory)
        facts["gradient"] = f"{self._latest.norm:.2f}"
        facts["lr"] = f"{self._latest.share * self._learning_rate:.2g}"
        return facts | self._mix

    def _memory_now(self) -> int:
        """Bytes: of a GPU the most that tensors took so far, else what the process takes now."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        if self._device.type == "mps":
            return int(torch.mps.driver_allocated_memory())
        return resident()
