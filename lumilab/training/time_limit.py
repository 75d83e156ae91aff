"""The time a run may take before it stops cleanly, such as "30m"."""

from __future__ import annotations

import re
import time

from lumilab.errors import ConfigError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> float:
    """Seconds in a duration such as 45s, 30m, 1.5h or 2d.

    Raises:
        ConfigError: it is not one.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if match is None:
        raise ConfigError(f"{text!r} is not a duration", where="time_limit", mend="write for example 45s, 30m or 2h.")
    return float(match[1]) * SECONDS[match[2]]


class TimeLimit:
    """Counts from when it is made; None never ends."""

    def __init__(self, text: str | None) -> None:
        self.text = text
        self._end = time.monotonic() + parse_duration(text) if text else None

    @property
    def reached(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end
