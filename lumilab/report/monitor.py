"""`lumi monitor`: a run as it goes on, in a terminal.

At a terminal one picture is drawn over and over, cut to its width and height; elsewhere each new event is a line. What
is shown comes from the run's folder alone (`lumilab.report.watch`), so a run can be watched from another terminal, or
another machine that sees the folder, and loses nothing by it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from lumilab.pipeline.stages import STAGES
from lumilab.report.curve import draw_curve
from lumilab.report.log import Event, History, is_number, unseen
from lumilab.report.run_view import Training
from lumilab.report.watch import Now, Watch, happenings, told_event
from lumilab.work.progress import format_bytes, format_count, format_seconds

EVENTS = 6  # of the last ones, where there is room
LEAST_CURVE, MOST_CURVE = 3, 12  # lines
MARGIN = 10  # columns beside a curve, for its labels
BAR = 24  # columns, of the progress bar


def monitor(folder: Path, console: Console, every: float, *, once: bool = False) -> None:
    """Shows a run until Ctrl-C, or once.

    Args:
        folder: the run's.
        console: where to.
        every: seconds between two looks.
        once: show one picture and return.

    Raises:
        InputError: the folder is no run's.
    """
    watch = Watch(folder)
    now = watch.look()
    if once:
        console.print(picture(now, console))
    elif console.is_terminal:
        with Live(picture(now, console), console=console, auto_refresh=False, vertical_overflow="crop") as live:
            while True:
                time.sleep(every)
                live.update(picture(watch.look(), console), refresh=True)
    else:
        lines = Lines()
        while True:
            for line in lines.new(now):
                console.print(line, soft_wrap=True)
            console.file.flush()
            time.sleep(every)
            now = watch.look()


def picture(now: Now, console: Console) -> Group:
    """The run as a picture of at most the console's width and height."""
    width, room = console.width, console.height - 1
    lines = [Text.assemble((now.name, "bold"), f"  {datetime.now(UTC):%H:%M:%S} UTC")]
    lines += [*_stages(now, width), _state(now)]
    training = now.training
    if training is not None:
        lines += [Text(), *_facts(now, training, width)]
        events = _events(training)
        space = room - len(lines) - len(events) - 3  # the title of the curve, its axis, the title of the events
        curve = list(_curve(training.history, width - MARGIN, min(space, MOST_CURVE)))
        lines += curve if console.encoding.startswith("utf") else []
        lines += events[-max(room - len(lines), 0) :] if room > len(lines) else []
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines[:room])


def _stages(now: Now, width: int) -> list[Text]:
    """All stages of which there is a result or that are at work."""
    marks = [
        Text(f"▶ {stage.name}", style="bold yellow")
        if stage.name in now.working
        else Text(f"✓ {stage.name}", style="green")
        for stage in STAGES
        if stage.name in now.working or stage.name in now.done
    ]
    return packed(marks or [Text("no stage has a result yet", style="dim")], width, "  ")


def _state(now: Now) -> Text:
    """What a process is doing, if any."""
    others = [name for name in now.working if now.training is None or name != now.training.stage]
    if others:
        return Text(f"at work: {', '.join(others)}", style="yellow")
    if now.training is not None and now.training.running:
        return Text(f"at work: {now.training.stage} {now.training.key}", style="yellow")
    return Text("nothing is at work on this run now", style="dim")


def _facts(now: Now, training: Training, width: int) -> Iterator[Text]:
    """Where the training stands."""
    history = training.history
    last = history.last("step") or {}
    yield _progress(training, width)
    yield from packed(map(Text, _losses(history, last)), width)
    yield from packed(map(Text, _speed(last)), width)
    times = []
    if now.seconds_left is not None:
        times.append(f"{format_seconds(now.seconds_left)} left")
    pace = history.seconds_per_step()
    if pace is not None:
        times.append(f"{format_seconds(pace)} a step")
    if history.seconds:
        times.append(f"{format_seconds(history.seconds)} in training")
    times.append(f"log grew {format_seconds(now.quiet)} ago")
    yield from packed(map(Text, times), width)


def _progress(training: Training, width: int) -> Text:
    step, steps = training.history.step, training.steps
    ended = " · ended" if training.finished else ""
    if not steps:
        return Text(f"{training.stage}  step {step:,}{ended}", style="bold")
    filled = round(BAR * min(step / steps, 1))
    bar = Text.assemble(("━" * filled, "green"), ("━" * (BAR - filled), "dim"))
    text = Text(f"{training.stage}  step {step:,} of {steps:,} ({100 * step / steps:.0f} %){ended}  ", style="bold")
    return text.append_text(bar) if text.cell_len + BAR <= width else text


def _losses(history: History, last: Event) -> Iterator[str]:
    for name, key in (("loss", "loss"), ("smoothed", "smoothed_loss")):
        if is_number(last.get(key)):
            yield f"{name} {last[key]:.4f}"
    losses = history.curve("validation", "loss")
    if losses:
        yield f"validation {losses[-1][1]:.4f}"
        step, best = min(losses, key=lambda point: point[1])
        yield f"best {best:.4f} at step {step:,.0f}"


def _speed(last: Event) -> Iterator[str]:
    if is_number(last.get("tokens_per_second")):
        yield f"{format_count(last['tokens_per_second'])} tokens/s"
    if is_number(last.get("memory")):
        yield f"memory {format_bytes(last['memory'])}"
    if is_number(last.get("learning_rate")):
        yield f"lr {last['learning_rate']:.2g}"
    if is_number(last.get("gradient_norm")):
        yield f"gradient {last['gradient_norm']:.2f}"
    if is_number(last.get("mfu")):
        yield f"MFU {100 * last['mfu']:.1f} %"
    if is_number(last.get("tokens")):
        yield f"{format_count(last['tokens'])} tokens"
    if is_number(last.get("skipped")) and last["skipped"]:
        yield f"{last['skipped']:,} skipped"


def packed(pieces: Iterable[Text], width: int, between: str = " · ") -> list[Text]:
    """The pieces in their order in as few lines of that width as hold them; a piece is never cut in two."""
    lines: list[Text] = []
    for piece in pieces:
        if lines and lines[-1].cell_len + cell_len(between) + piece.cell_len <= width:
            lines[-1].append(between).append_text(piece)
        else:
            lines.append(piece)
    return lines


def _curve(history: History, width: int, height: int) -> Iterator[Text]:
    points = history.curve("step", "smoothed_loss")
    if len(points) > 1 and height >= LEAST_CURVE and width > 0:
        yield Text("smoothed loss over steps", style="dim")
        yield from (Text(line, style="cyan") for line in draw_curve(points, width, height))


def _events(training: Training) -> list[Text]:
    told = happenings(training)[-EVENTS:]
    return [Text(f"  step {step:,}: {printable(words)}", style="dim") for step, words in reversed(told)]


class Lines:
    """For an output that is no terminal: a line for each new event, and for each change of what is at work."""

    def __init__(self) -> None:
        self._state = ""
        self._told: dict[Path, list[Event]] = {}

    def new(self, now: Now) -> Iterator[Text]:
        """What came since the last time; of a training that is met for the first time its last step alone."""
        state = f"{now.name}: {_state(now).plain}"
        if state != self._state:
            self._state = state
            yield Text(state)
        if now.training is None:
            return
        training, events = now.training, now.training.history.events
        told = self._told.get(training.folder)
        last = training.history.last("step")
        new = ([last] if last else []) if told is None else unseen(told, events)
        self._told[training.folder] = list(events)
        for event in new:
            words = " · ".join(_step_facts(event)) if event["event"] == "step" else told_event(event)
            if words:
                of = f"/{training.steps:,}" if training.steps else ""
                yield Text(f"{training.stage} step {event['step']:,}{of} · {printable(words)}")


def _step_facts(event: Event) -> Iterator[str]:
    if is_number(event.get("loss")):
        yield f"loss {event['loss']:.4f}"
    yield from _speed(event)


def printable(text: str) -> str:
    """On one line, without the characters that move a terminal's cursor or change its colours."""
    return "".join(character if character.isprintable() else "\ufffd" for character in " ".join(text.split()))
