"""Reading a training's log while it is being written.

`log.jsonl` grows by whole lines, but a reader may come while one is half written, and a training that goes on from a
saved state first replaces the file by one without what came after that state. So only lines that end are read, the rest
is left for the next time, and a file that is another one, or shorter than before, is read anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any, TypeGuard

Event = dict[str, Any]

# As `lumilab.training.telemetry` names it, which would bring torch along: looking at a run should not take seconds.
LOG_FILE = "log.jsonl"

# What the loop itself writes with every step and validation; all else are measures of the objective.
STEP_FIGURES = frozenset(
    {"event", "step", "loss", "smoothed_loss", "learning_rate", "gradient_norm", "tokens", "skipped"}
    | {"tokens_per_second", "mfu", "memory", "seconds"}
)
VALIDATION_FIGURES = frozenset({"event", "step", "loss", "bits_per_byte"})


class History:
    """The events of one training so far.

    Attributes:
        path: of the log, which need not be there yet.
        events: each a JSON object with "event" (text) and "step" (steps done).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self._position = 0
        self._file: tuple[int, int] | None = None

    def follow(self) -> None:
        """Reads on: what was appended since the last time, or all of a file that took the old one's place."""
        try:
            with self.path.open("rb") as file:
                status = self.path.stat()
                # A replaced file has another number; one that was cut in place is shorter.
                if (status.st_dev, status.st_ino) != self._file or status.st_size < self._position:
                    self._file, self._position, self.events = (status.st_dev, status.st_ino), 0, []
                file.seek(self._position)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._position += len(whole)
        self.events += events_in(whole.splitlines())

    def named(self, event: str) -> list[Event]:
        """The events of one name, in their order."""
        return [each for each in self.events if each["event"] == event]

    def last(self, event: str) -> Event | None:
        """The last of them."""
        return next((each for each in reversed(self.events) if each["event"] == event), None)

    def curve(self, event: str, figure: str) -> list[tuple[float, float]]:
        """(step, value) of each event of that name in which the figure is a number."""
        return [(float(each["step"]), float(each[figure])) for each in self.named(event) if is_number(each.get(figure))]

    def measures(self, event: str, known: Iterable[str]) -> list[str]:
        """The names of the further numbers in events of that name, in the order in which they first appear."""
        known = set(known)
        names: dict[str, None] = {}
        for each in self.named(event):
            names |= {name: None for name, value in each.items() if name not in known and is_number(value)}
        return list(names)

    @property
    def step(self) -> int:
        """The last step that anything was logged of."""
        return max((each["step"] for each in self.events), default=0)

    @property
    def seconds(self) -> float:
        """In training so far. The log counts from the start of each process: a smaller number is a new one's."""
        clock = [seconds for _, seconds in self.curve("step", "seconds")]
        return sum(earlier for earlier, later in pairwise(clock) if later < earlier) + (clock[-1] if clock else 0.0)

    def seconds_per_step(self, window: int = 5) -> float | None:
        """Over the last events, without the time between two processes; None where less than two were logged."""
        steps = [each for each in self.named("step") if is_number(each.get("seconds"))][-window:]
        taken = [
            (later["step"] - earlier["step"], later["seconds"] - earlier["seconds"])
            for earlier, later in pairwise(steps)
            if later["seconds"] > earlier["seconds"]
        ]
        count = sum(steps for steps, _ in taken)
        return sum(seconds for _, seconds in taken) / count if count > 0 else None


def events_in(lines: Iterable[bytes]) -> Iterable[Event]:
    """The lines that are events; a line that is none, as after a crash of the machine, is passed over."""
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str) and isinstance(event.get("step"), int):
            yield event


def unseen(seen: Sequence[Event], events: Sequence[Event]) -> Sequence[Event]:
    """The events after those that both begin with: what is new also where a log was cut and went on otherwise."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(seen, events, strict=False)))
    return events[same:]


def is_number(value: Any) -> TypeGuard[float]:
    """Whether it can be drawn: a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
