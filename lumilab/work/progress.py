"""Progress with rate and remaining time, for a person at a terminal and for a log file.

At a terminal each task is a live line; elsewhere a plain line is printed every few seconds, so that logs stay
readable. Both show the same facts. Lines printed with `say` go above the live ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn
from rich.progress import Task as RichTask
from rich.text import Text

BYTES = "bytes"  # the unit that is shown as kB, MB and GB
WIDE = 100  # columns of a terminal from which on there is room for a long bar
PLAIN_INTERVAL = 10.0  # seconds between the lines of one task when the output is not a terminal


class Task:
    """One counted piece of work. `advance` is cheap enough to call per document."""

    def __init__(self, name: str, total: int | None, unit: str, show: Callable[[Task], None]) -> None:
        self.name = name
        self.total = total
        self.unit = unit
        self.done = 0
        self.facts: dict[str, str] = {}
        self._show = show
        self._started = time.monotonic()
        self._started_at = 0
        self._next_show = 0.0

    def start_at(self, done: int) -> None:
        """Continues earlier work: the rate counts only what is done from here on."""
        self.done = self._started_at = done

    def advance(self, count: int = 1, **facts: str) -> None:
        """Counts `count` more units, and shows the given facts (`loss="2.31"`) beside the bar."""
        self.done += count
        self.facts.update(facts)
        now = time.monotonic()
        if now >= self._next_show:
            self._next_show = now + 0.1
            self._show(self)

    def seconds(self) -> float:
        """Since the task began."""
        return time.monotonic() - self._started

    def rate(self) -> float:
        """Units per second since the task began."""
        return (self.done - self._started_at) / max(time.monotonic() - self._started, 1e-9)

    def describe(self) -> str:
        """Rate, remaining time and facts in one line."""
        rate = self.rate()
        # Until something is done nothing is known of the rate, and large tasks may be long.
        parts = [self._speed() if self.done > self._started_at else f"{format_seconds(self.seconds())} so far"]
        if self.total is not None and rate > 0 and self.done < self.total:
            parts.append(f"{format_seconds((self.total - self.done) / rate)} left")
        parts += [f"{name} {value}" for name, value in self.facts.items()]
        return " · ".join(parts)

    def summary(self) -> str:
        """What was done in how long, once it is done, and what was there before."""
        facts = "".join(f" · {name} {value}" for name, value in self.facts.items())
        parts = []
        if self.done > self._started_at or not self._started_at:
            # A rate over less than a second says more about starting than about the work.
            speed = f" ({self._speed()})" if self.seconds() >= 1 else ""
            parts.append(f"{self._amount(self.done - self._started_at)} in {format_seconds(self.seconds())}{speed}")
        if self._started_at:
            parts.append(f"{self._amount(self._started_at)} done before")
        return f"{self.name}: {', '.join(parts)}{facts}"

    def _amount(self, count: int) -> str:
        if self.unit == BYTES:
            return format_bytes(count)
        return f"{count:,} {self.unit.removesuffix('s') if count == 1 else self.unit}"

    def _speed(self) -> str:
        rate = self.rate()
        return f"{format_bytes(rate)}/s" if self.unit == BYTES else f"{format_count(rate)} {self.unit}/s"


class Reporter:
    """Where a stage reports to: `say` for a line, `task` for counted work."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False, soft_wrap=True)
        self._live: Progress | None = None

    def say(self, text: str, style: str | None = None) -> None:
        """Prints a line above any live progress. The text is shown as it is: brackets are not markup."""
        self.console.print(Text(text, style=style or ""))

    @contextmanager
    def task(
        self, name: str, total: int | None = None, unit: str = "items", worth_a_line: float = 0.0
    ) -> Iterator[Task]:
        """Shows a task while the block runs, then leaves one line that says what it did.

        Args:
            name: what is done.
            total: how much there is to do; None if that is not known.
            unit: what is counted.
            worth_a_line: no line is left of a task that took less than this many seconds.
        """
        if self.console.is_terminal:
            with self._live_task(name, total, unit) as task:
                yield task
        else:
            task = Task(name, total, unit, self._plain_show())
            yield task
        if task.seconds() >= worth_a_line:
            self.say(f"  {task.summary()}", style="dim")

    @contextmanager
    def _live_task(self, name: str, total: int | None, unit: str) -> Iterator[Task]:
        outermost = self._live is None
        # On 80 columns rate and remaining time matter more than a long bar.
        width = 24 if self.console.width >= WIDE else 8
        live = self._live or Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=width), _Facts(),
            console=self.console, transient=True,
        )  # fmt: skip
        if outermost:
            self._live = live
            live.start()
        row = live.add_task(name, total=total, facts="")

        def show(task: Task) -> None:
            live.update(row, completed=task.done, facts=task.describe())

        try:
            yield Task(name, total, unit, show)
        finally:
            live.remove_task(row)
            if outermost:
                live.stop()
                self._live = None

    def _plain_show(self) -> Callable[[Task], None]:
        last = time.monotonic()

        def show(task: Task) -> None:
            nonlocal last
            if time.monotonic() - last >= PLAIN_INTERVAL:
                last = time.monotonic()
                share = f" {100 * task.done / task.total:.0f}%" if task.total else ""
                self.say(f"  {task.name}{share}: {task.describe()}")
                self.console.file.flush()

        return show


class _Facts(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        return Text(str(task.fields["facts"]), style="dim", overflow="ellipsis", no_wrap=True)


def format_count(number: float, space: str = "") -> str:
    """A number a person reads at a glance: 950, 12.3k, 4.56M, 7.89G; `space` goes before the letter."""
    units = ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"))
    # 999.5 rounds to 1000, which the next unit says shorter.
    divisor, letter = next((unit for unit in units if abs(number) < 999.5 * unit[0]), units[-1])
    scaled = number / divisor
    whole = abs(scaled) >= 99.95 or (not letter and scaled == int(scaled))
    digits = f"{scaled:.0f}" if whole else f"{scaled:.3g}"
    return digits + (space + letter if letter else space)


def format_bytes(size: float) -> str:
    """Bytes as a person reads them: 512 B, 4.2 kB, 1.3 GB (powers of ten)."""
    return format_count(size, " ") + "B"


def format_seconds(seconds: float) -> str:
    """A duration as a person says it: 0.4 s, 12 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
