"""The time a run may take before it stops cleanly, such as "30m"."""

from __future__ import annotations

import time

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Seconds in a duration such as 45s, 30m, 1.5h or 2d, as the recipe's schema lets through."""
    return float(text[:-1]) * SECONDS[text[-1]]


class TimeLimit:
    """Counts from when it is made; None never ends."""

    def __init__(self, text: str | None) -> None:
        self._end = time.monotonic() + parse_duration(text) if text else None

    @property
    def reached(self) -> bool:
        """Whether the time is over."""
        return self._end is not None and time.monotonic() >= self._end
